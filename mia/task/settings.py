"""A run's settings: the composed configuration as one typed object, checked whole before anything starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from mia.desk.settings import AwarenessSettings
from mia.domain.errors import ConfigurationError
from mia.domain.market import Market
from mia.task import conf_tree, schema

SOURCES = {
    "simulated": "mia.source.simulated_settings:SimulatedSettings",
    "files": "mia.source.settings:FilesSettings",
    "yardstick": "mia.source.yardstick_settings:YardstickSettings",
}
ALGORITHMS = {"qr_dqn": "mia.algo.settings:QRDQNSettings", "ppo": "mia.algo.settings:PPOSettings"}
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
    "reward": "mia.reward.settings:RewardSettings",
    "risk": "mia.risk.settings:RiskProfile",
    "broker": "mia.broker.settings:BrokerSettings",
    "evaluation": "mia.evaluation.settings:EvaluationSettings",
    "audit": "mia.evaluation.audit.settings:AuditSettings",
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
    """Everything one command needs, typed. Groups that have several shapes (source, algo) carry their own type."""

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
    selection: Any
    regime: Any
    reward: Any
    algo: Any
    risk: Any
    broker: Any
    evaluation: Any
    audit: Any
    tracking: Any
    task: TaskSettings
    mode: ModeSettings
    seed: int
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
        algo=_variant(plain["algo"], "algo", "name", ALGORITHMS),
        awareness=_awareness(plain["awareness"]),
        task=task,
        mode=schema.build(ModeSettings, plain["mode"], "mode"),
        seed=seed,
        outputs=schema.convert(plain["outputs"], str, "outputs"),
        quiet=schema.convert(plain["quiet"], bool, "quiet"),
        **{room: schema.build(_load(path), plain[room], room) for room, path in ROOMS.items()},
    )


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
        data = {**data, "learner": _variant(data["learner"], "awareness.learner", "name", ALGORITHMS)}
    return schema.build(AwarenessSettings, data, "awareness")


def _variant(data: Any, group: str, key: str, variants: Mapping[str, str]) -> Any:
    """Build the settings type that `data[key]` names."""
    if not isinstance(data, Mapping) or data.get(key) not in variants:
        value = data.get(key) if isinstance(data, Mapping) else data
        raise ConfigurationError(f"{group}.{key} must be one of {', '.join(variants)}, was {value!r}")
    return schema.build(_load(variants[data[key]]), data, group)


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
