"""Finds the runs task=compare sets side by side, and says which belong together and which were judged alike."""

import glob
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mia.domain import digest
from mia.domain.errors import ConfigurationError

SUMMARY = "summary.json"
JUDGES = {
    "evaluation": ("scheme", "n_folds", "min_train_sessions", "min_train_share", "warmup_sessions", "purge_bars"),
    "broker": (),
    "risk": (),
    "source": (),
}
"""Sections of the configuration that decide what a run is judged on, with the keys that do; none named means all."""

NOT_A_CHOICE = ("seed", "outputs", "quiet", "resume", "device", "tracking", "audit", "compare", "task", "mode")
"""Sections in which runs of one group may differ without being different experiments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is compared.

    Parameters
    ----------
    path : dotted key of summary.json
    label : how people call it
    unit : suffix of a key that says how it is written: "_usd" or ""
    tick_format : of its axis
    sign : -1 where smaller is better
    optimum : best possible value, None where nobody knows it
    """

    path: str
    label: str
    unit: str = ""
    tick_format: str = ",.3~g"
    sign: int = 1
    optimum: float | None = None


METRICS = {
    "fraction": Metric(path="known_world.fraction", label="fraction of the optimum", tick_format=".0%", optimum=1.0),
    "achieved": Metric(path="known_world.achieved", label="expected profit per bar [units]"),
    "net_usd": Metric(path="oos.net_usd", label="net profit [USD]", unit="_usd", tick_format="$,.0f"),
    "sharpe": Metric(path="oos.sharpe", label="Sharpe ratio, annual"),
    "cvar95_usd": Metric(path="oos.cvar95_usd", label="CVaR 95 % [USD]", unit="_usd", tick_format="$,.0f"),
    "max_drawdown_usd": Metric(
        path="oos.max_drawdown_usd", label="max drawdown [USD]", unit="_usd", tick_format="$,.0f"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """One finished run.

    Parameters
    ----------
    directory : where it lies
    summary : its summary.json
    sections : top-level keys of its configuration as YAML text; empty if Hydra's record is gone
    """

    directory: Path
    summary: Mapping[str, Any]
    sections: Mapping[str, str]
    _parsed: dict[str, Any] = field(default_factory=dict, repr=False)

    def section(self, name: str) -> Any:
        """One top-level key of the configuration, None if it is not there."""
        if name not in self._parsed:
            import yaml

            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            text = self.sections.get(name)
            self._parsed[name] = None if text is None else yaml.load(text, loader)[name]  # noqa: S506 - a safe loader
        return self._parsed[name]

    @property
    def market(self) -> str:
        """Name of the market or WORLD."""
        return str(self.summary["market"])

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.summary["seed"])

    @property
    def is_world(self) -> bool:
        """Whether its market is one whose best policy is known."""
        return "known_world" in self.summary


def found(patterns: Sequence[str], outputs: str) -> tuple[list[Run], list[str]]:
    """Read the runs that match, oldest folder first, and say in sentences what could not be read.

    Raises
    ------
    ConfigurationError : if a pattern matches nothing, or nothing is found at all.
    """
    paths: dict[Path, None] = {}
    for pattern in patterns or (str(Path(outputs, "runs")),):
        matched = sorted(path for name in glob.glob(pattern, recursive=True) for path in _summaries(Path(name)))
        if not matched and patterns:
            raise ConfigurationError(
                f"compare.runs: {pattern!r} leads to no {SUMMARY}; name a run's folder, one above it, or a glob"
            )
        paths.update(dict.fromkeys(path.resolve() for path in matched))
    runs, problems = [], []
    for path in paths:
        try:
            run = _read(path)
            if run is not None:
                runs.append(run)
        except (OSError, ValueError, KeyError, TypeError) as error:
            problems.append(f"{path} was left out: it is no summary of a run ({type(error).__name__}: {error})")
    return runs, problems


def _summaries(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in path.rglob(SUMMARY) if file.is_file()]
    return [path] if path.name == SUMMARY else []


def _read(path: Path) -> Run | None:
    """The run of a summary; None for a race, which is a comparison itself."""
    summary = json.loads(path.read_text(encoding="utf-8"))
    if "race" in summary:
        return None
    for key in ("market", "algo", "seed", "data_digest", "digest"):
        if key not in summary:
            raise KeyError(key)
    int(summary["seed"])
    record = path.parent / ".hydra" / "config.yaml"
    text = record.read_text(encoding="utf-8") if record.is_file() else ""
    # Cut at the top-level keys: most of a configuration is the features' lines, and parsing them would take longest.
    pieces = [piece for piece in re.split(r"(?m)^(?=\w+:)", text) if piece]
    return Run(directory=path.parent, summary=summary, sections={piece.split(":", 1)[0]: piece for piece in pieces})


def metric(name: str) -> Metric:
    """The metric of that short name or dotted key of summary.json; a minus before it makes less better."""
    sign, bare = (-1, name[1:]) if name.startswith("-") else (1, name)
    known = METRICS.get(bare) or Metric(path=bare, label=bare.replace("_", " "))
    if sign == 1:
        return known
    return Metric(
        path=known.path,
        label=f"{known.label}, negated",
        unit=known.unit,
        tick_format=known.tick_format,
        sign=-1,
        optimum=None if known.optimum is None else -known.optimum,
    )


def metric_of(run: Run, asked: str) -> Metric:
    """The metric a run is compared by: the one asked for, or what suits its kind."""
    if asked != "auto":
        return metric(asked)
    if not run.is_world:
        return METRICS["sharpe"]
    return METRICS["fraction"] if value(run, METRICS["fraction"]) is not None else METRICS["achieved"]


def value(run: Run, metric: Metric) -> float | None:
    """The run's value of a metric, larger is better; None if it has none."""
    at: Any = run.summary
    for key in metric.path.split("."):
        at = at.get(key) if isinstance(at, Mapping) else None
    if isinstance(at, bool) or not isinstance(at, int | float) or not math.isfinite(at):
        return None
    return metric.sign * float(at)


def group(run: Run, by: str) -> str:
    """What group a run belongs to; what a policy became by fine-tuning and the like is not pooled with plain runs.

    Raises
    ------
    ConfigurationError : if neither its configuration nor its summary has the key.
    """
    parts = [part.strip() for part in by.split("+")]
    name, task = " · ".join(_choice(run, part) for part in parts), run.summary.get("task")
    return name if task is None or "task" in parts else f"{name} (task={task})"


def _choice(run: Run, key: str) -> str:
    first, *rest = key.split(".")
    for at in (run.section(first), run.summary.get(first)):
        for name in rest:
            at = at.get(name) if isinstance(at, Mapping) else None
        if isinstance(at, Mapping):
            at = at.get("name")
        if at is not None:
            return str(at)
    raise ConfigurationError(
        f"compare.by: {key!r} is neither in the configuration nor in the summary of {run.directory}; "
        "name a group such as algo, selection or reward, or a key such as algo.network"
    )


def _judged_by(run: Run) -> dict[str, Any]:
    """What decides on which rows a run is judged and how, flat."""
    facts: dict[str, Any] = {"market": run.market, "source": run.summary.get("source")}
    sections = {"source": JUDGES["source"]} if run.is_world else JUDGES
    for name, keys in sections.items():
        part = run.section(name)
        if isinstance(part, Mapping):
            facts |= {key: item for key, item in flat(part, name).items() if not keys or key.split(".")[1] in keys}
    # A made-up market is drawn anew by every seed; recorded rows are the same ones or others.
    source = run.section("source")
    if not isinstance(source, Mapping) or source.get("kind") == "files":
        facts["data"] = run.summary["data_digest"]
    return facts


def strata(runs: Sequence[Run]) -> list[str]:
    """Name for every run what it was judged on; only runs of the same name may be pooled.

    A stratum is a market or world with its source, span and rules of judging; where two would be called the same,
    what they differ in is added.
    """
    judged = [_judged_by(run) for run in runs]
    keys = [digest.of_json(facts) for facts in judged]
    plain = [_place(run) for run in runs]
    names: dict[str, str] = {}
    for name in dict.fromkeys(plain):
        alike = {key: facts for key, facts, own in zip(keys, judged, plain, strict=True) if own == name}
        told = differences(list(alike.values()))
        for number, (key, facts) in enumerate(alike.items()):
            words = ", ".join(f"{at}={_word(facts.get(at))}" for at in told[:3])
            names[key] = name if len(alike) == 1 else f"{name} ({words or f'variant {number + 1}'})"
    return [names[key] for key in keys]


def _word(item: Any) -> str:
    text = str(item)
    return text[:8] if re.fullmatch(r"[0-9a-f]{64}", text) else text


def _place(run: Run) -> str:
    """What people call what a run was judged on."""
    source = str(run.summary.get("source", "unknown source"))
    folds = run.summary.get("folds")
    if run.is_world or not folds:
        return source if run.market == "WORLD" else f"{run.market}, {source}"
    return f"{run.market}, {source}, {folds[0]['test_from']} to {folds[-1]['test_to']}"


def flat(node: Any, path: str) -> dict[str, Any]:
    """Dotted key -> leaf."""
    if not isinstance(node, Mapping):
        return {path: node}
    leaves: dict[str, Any] = {}
    for name, child in node.items():
        leaves |= flat(child, f"{path}.{name}")
    return leaves


def differences(facts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys whose values are not the same in all mappings."""
    keys = dict.fromkeys(key for each in facts for key in each)
    return [key for key in keys if len({json.dumps(each.get(key), default=str) for each in facts}) > 1]


def choices_apart(runs: Sequence[Run], by: str) -> list[str]:
    """Keys of the configuration in which the runs differ though they count as one group: other than seed and judge."""
    named = {part.strip().split(".")[0] for part in by.split("+")}
    differing = []
    for name in dict.fromkeys(name for run in runs for name in run.sections):
        if name in NOT_A_CHOICE or name in JUDGES or len({run.sections.get(name) for run in runs}) == 1:
            continue
        known = [flat(run.section(name), name) for run in runs]
        apart = [key for key in differences(known) if key != f"{name}.name" or name not in named]
        differing += apart
    return differing
