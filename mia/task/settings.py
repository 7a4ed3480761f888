"""A run's settings: the composed configuration as one typed object, checked whole before anything starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from mia.desk.settings import AwarenessSettings
from mia.domain.errors import ConfigurationError
from mia.domain.market import Market
from mia.router.settings import RouterSettings
from mia.task import conf_tree, schema

SOURCES = {
    "simulated": "mia.source.simulated_settings:SimulatedSettings",
    "files": "mia.source.settings:FilesSettings",
    "yardstick": "mia.source.yardstick_settings:YardstickSettings",
    "null_market": "mia.source.yardstick_settings:YardstickSettings",
    "yardstick_hidden": "mia.source.hidden_settings:HiddenSettings",
    "regime_market": "mia.source.regime_world_settings:RegimeWorldSettings",
    "cmdp": "mia.source.cmdp_settings:CmdpSettings",
}
ALGORITHMS = {
    "sac": "mia.algo.settings.sac:SACSettings",
    "ppo": "mia.algo.settings.ppo:PPOSettings",
    "ddpg": "mia.algo.settings.ddpg:DDPGSettings",
    "ppo_lagrangian": "mia.algo.settings.ppo_lagrangian:PPOLagrangianSettings",
    "qr_dqn": "mia.algo.settings.qr_dqn:QRDQNSettings",
    "ensemble": "mia.algo.settings.ensemble:EnsembleSettings",
}
GOES_ON_LEARNING = ("finetune", "online", "meta")
"""Tasks that take gradient steps from weights that exist."""
DEVICES = ("cpu", "cuda", "auto")
REWARDS = {
    "pnl": "mia.reward.settings:PnlSettings",
    "adaptive": "mia.reward.settings:AdaptiveSettings",
    "cvar": "mia.reward.settings:CvarSettings",
}
ROOMS = {
    "features": "mia.features.settings:FeatureSettings",
    "snapshots": "mia.desk.settings:SnapshotSettings",
    "memory": "mia.memory.settings:MemorySettings",
    "encoder": "mia.encoder.settings:EncoderSettings",
    "options": "mia.features.options.settings:OptionsSettings",
    "news": "mia.features.news.settings:NewsSettings",
    "regime_weights": "mia.desk.regime_weights:RegimeWeightSettings",
    "selection": "mia.features.selection_settings:SelectionSettings",
    "regime": "mia.regime.settings:HmmSettings",
    "risk": "mia.risk.settings:RiskProfile",
    "broker": "mia.broker.settings:BrokerSettings",
    "evaluation": "mia.evaluation.settings:EvaluationSettings",
    "finetune": "mia.algo.settings.adaptation:FinetuneSettings",
    "online": "mia.task.online_settings:OnlineSettings",
    "meta": "mia.algo.settings.adaptation:MetaSettings",
    "cpcv": "mia.evaluation.settings:CpcvSettings",
    "compare": "mia.evaluation.settings:CompareSettings",
    "audit": "mia.evaluation.audit.settings:AuditSettings",
    "race": "mia.evaluation.race_settings:RaceSettings",
    "tracking": "mia.tracking.settings:TrackingSettings",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """Which verb runs, and where Hydra keeps what was composed for it."""

    name: str
    folder: str
    needs_market: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeSettings:
    """Where rows come from and where orders go."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Everything one command needs, typed. Groups of several shapes (source, algo, reward) carry their own type."""

    market: Market | None
    source: Any
    features: Any
    snapshots: Any
    memory: Any
    encoder: Any
    options: Any
    news: Any
    awareness: Any
    regime_weights: Any
    router: Any
    selection: Any
    regime: Any
    reward: Any
    algo: Any
    risk: Any
    broker: Any
    evaluation: Any
    finetune: Any
    online: Any
    meta: Any
    cpcv: Any
    compare: Any
    audit: Any
    race: Any
    tracking: Any
    task: TaskSettings
    mode: ModeSettings
    seed: int
    device: str
    resume: bool
    outputs: str
    quiet: bool


def from_composed(plain: Mapping[str, Any]) -> RunSettings:
    """Check a composed configuration whole and return it typed.

    Raises
    ------
    ConfigurationError : the first thing that is missing, unknown or impossible.
    """
    known = set(RunSettings.__dataclass_fields__)
    for key in plain:
        if key not in known:
            raise ConfigurationError(schema.unknown_key(str(key), sorted(known | {"experiment"})))
    task = schema.build(TaskSettings, plain["task"], "task")
    market = _market(plain.get("market"), task)
    seed = schema.convert(plain["seed"], int, "seed")
    if not 0 <= seed < 2**31:
        raise ConfigurationError(f"seed must lie between 0 and 2147483647, was {seed}")
    return RunSettings(
        market=market,
        source=_variant(plain["source"], "source", "kind", SOURCES),
        algo=_algorithm(plain["algo"], "algo"),
        reward=_variant(plain["reward"], "reward", "name", REWARDS),
        awareness=_awareness(plain["awareness"]),
        router=_router(plain["router"]),
        task=task,
        mode=schema.build(ModeSettings, plain["mode"], "mode"),
        seed=seed,
        device=_device(plain["device"]),
        resume=schema.convert(plain["resume"], bool, "resume"),
        outputs=schema.convert(plain["outputs"], str, "outputs"),
        quiet=schema.convert(plain["quiet"], bool, "quiet"),
        **{room: schema.build(_load(path), plain[room], room) for room, path in ROOMS.items()},
    )


def check_task(settings: RunSettings) -> None:
    """Refuse a task that this learner cannot do, while nothing has been written."""
    if settings.task.name in GOES_ON_LEARNING:
        from mia.algo.settings.adaptation import check_learner

        check_learner(settings.algo, settings.task.name)


def _device(data: Any) -> str:
    device = schema.convert(data, str, "device")
    if device not in DEVICES:
        raise ConfigurationError(f"device must be one of {', '.join(DEVICES)}, was {device!r}")
    return device


def _market(data: Any, task: TaskSettings) -> Market | None:
    if data is None:
        if task.needs_market:
            markets = ", ".join(conf_tree.groups()["market"])
            raise ConfigurationError(f"no market was named; add +market=NAME, one of: {markets}")
        return None
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"market must be one of conf/market, was {data!r}")
    return schema.build(Market, data, "market")


def _awareness(data: Any) -> AwarenessSettings:
    """The learner within has one of several shapes."""
    if isinstance(data, Mapping) and data.get("learner") is not None:
        data = {**data, "learner": _algorithm(data["learner"], "awareness.learner")}
    return schema.build(AwarenessSettings, data, "awareness")


def _router(data: Any) -> RouterSettings:
    """The three sources of a trade's probability are learners."""
    if isinstance(data, Mapping) and isinstance(data.get("sources"), Mapping):
        sources = {name: _algorithm(part, f"router.sources.{name}") for name, part in data["sources"].items()}
        data = {**data, "sources": sources}
    return schema.build(RouterSettings, data, "router")


def _algorithm(data: Any, group: str) -> Any:
    """The settings of a learner; an ensemble's hold those of its members."""
    if isinstance(data, Mapping) and isinstance(data.get("members"), Mapping):
        members = {name: _algorithm(part, f"{group}.members.{name}") for name, part in data["members"].items()}
        data = {**data, "members": members}
    return _variant(data, group, "kind", ALGORITHMS)


def _variant(data: Any, group: str, key: str, variants: Mapping[str, str]) -> Any:
    """Build the settings type that `data[key]` names."""
    if not isinstance(data, Mapping) or data.get(key) not in variants:
        value = data.get(key) if isinstance(data, Mapping) else data
        raise ConfigurationError(f"{group}.{key} must be one of {', '.join(variants)}, was {value!r}")
    return schema.build(_load(variants[data[key]]), data, group)


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
