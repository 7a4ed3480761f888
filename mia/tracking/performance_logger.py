"""Records how each training goes, one look at a time, in the performance file and in the tracker at once.

The tasks make one `PerformanceLogger` per training and hand it what learners tell their progress.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mia.tracking.performance_log import COLUMNS, KINDS, LEVELS, MEASURED, NUMBER, QUANTILES, WHOLE, append
from mia.tracking.tracker import Tracker

_ALIASES = {"quantiles": "qr_dqn_quantiles"}
_NOT_FIGURES = ("policy", "step")
_NAME = re.compile(r"[\w.\-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """Which training a line belongs to; see `COLUMNS`."""

    run: str
    trial: int
    seed: int
    fold: int
    algo: str
    market: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """What only the top floor may ask: clock and process.

    Parameters
    ----------
    now : returns the time, UTC, ISO 8601
    cpu_s : returns CPU time used so far [s]
    memory_mb : returns the largest memory held so far [MB]
    latency_us : returns the median time of one decision of a policy [µs]
    """

    now: Callable[[], str]
    cpu_s: Callable[[], float]
    memory_mb: Callable[[], float]
    latency_us: Callable[[Any], float]


class PerformanceLogger:
    """Records the looks of one training, in the file and under ``train/fold_<k>/<column>`` in the tracker.

    Parameters
    ----------
    path : the file, see `log_path`; made with its folder if absent
    tracker : hears the same figures
    training : which training this is
    probes : clock and process
    say : prints one line; a file that cannot be written costs one line, never the training
    """

    def __init__(
        self, path: Path, tracker: Tracker, training: Training, probes: Probes, say: Callable[[str], None]
    ) -> None:
        self.path = Path(path)
        self._tracker, self._training, self._probes, self._say = tracker, training, probes, say
        self._started = probes.cpu_s()
        self._broken = False

    def log(self, step: int, figures: Mapping[str, Any]) -> None:
        """Record one look.

        Parameters
        ----------
        step : training steps taken
        figures : what the learner told. Known keys: the columns from `reward` on, each a number;
            ``profit_cents_per_bar`` (becomes `reward`); ``quantiles``, a mapping level -> USD or five values at
            `LEVELS`; ``ensemble_weights``, name -> weight; ``policy``, the present policy, whose latency is
            measured here; ``step``, which is left out. Other numbers and texts go to `more`.

        Raises
        ------
        ValueError : naming the key, if a figure is not of its kind.
        """
        measured = _measured(figures)
        if figures.get("policy") is not None:
            measured["latency_us"] = float(self._probes.latency_us(figures["policy"]))
        measured.setdefault("memory_mb", float(self._probes.memory_mb()))
        measured.setdefault("cpu_s", self._probes.cpu_s() - self._started)
        self._write({"when": self._probes.now(), **asdict(self._training), "step": int(step), **measured})
        room = f"train/fold_{self._training.fold}"
        self._tracker.log({f"{room}/{key}": value for key, value in _flat(measured).items()}, int(step))

    def _write(self, row: Mapping[str, Any]) -> None:
        if self._broken:
            return
        try:
            append(self.path, row)
        except OSError as error:
            self._broken = True
            reason = error.strerror or type(error).__name__
            self._say(f"performance log {self.path} stopped ({reason}); the training goes on without")


def _measured(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures by column, each checked; unknown ones under `more`."""
    found: dict[str, Any] = {}
    more: dict[str, Any] = {}
    for key, value in figures.items():
        if key in _NOT_FIGURES or value is None:
            continue
        column = "reward" if key == "profit_cents_per_bar" else _ALIASES.get(key, key)
        if column in found:
            raise ValueError(f"performance log: {column} was told twice, the second time as {key}")
        if column in MEASURED:
            value = _checked(column, value)
            found[column] = value / 100 if key == "profit_cents_per_bar" else value
        elif column in KINDS:
            raise ValueError(f"performance log: {column} is not a learner's to tell; name the figure otherwise")
        else:
            more[_named(key)] = value if isinstance(value, str) else _number(key, value)
    if more:
        found["more"] = more
    return {column: found[column] for column in COLUMNS if column in found}


def _flat(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Return one number per key, as trackers want them."""
    flat: dict[str, Any] = {}
    for key, value in measured.items():
        if key == "qr_dqn_quantiles":
            flat |= {f"{key}/{round(100 * q):02d}": v for q, v in zip(LEVELS, value, strict=True)}
        elif key == "more":
            flat |= value
        elif isinstance(value, Mapping):
            flat |= {f"{key}/{name}": part for name, part in value.items()}
        else:
            flat[key] = value
    return flat


def _checked(column: str, value: Any) -> Any:
    """Return the value of a column as its kind asks for."""
    kind = KINDS[column]
    if kind == NUMBER:
        return float(_number(column, value))
    if kind == QUANTILES:
        return _quantiles(value)
    if kind == WHOLE:
        number = _number(column, value)
        if not float(number).is_integer():
            raise ValueError(f"performance log: {column} must be a whole number, was {value!r}")
        return int(number)
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"performance log: {column} must map names to weights, was {value!r}")
    return {_named(name): float(_number(f"{column} of {name}", weight)) for name, weight in value.items()}


def _quantiles(value: Any) -> tuple[float, ...]:
    """Return the values at `LEVELS` of a mapping level -> value or of five values."""
    if isinstance(value, Mapping):
        at = {round(float(level), 9): part for level, part in value.items()}
        value = [at[level] for level in LEVELS if level in at]
    values = tuple(float(_number("qr_dqn_quantiles", part)) for part in value)
    if len(values) != len(LEVELS):
        levels = ", ".join(f"{level:g}" for level in LEVELS)
        raise ValueError(f"performance log: quantiles must be given at {levels}, was {value!r}")
    return values


def _number(key: str, value: Any) -> int | float:
    """Return a plain number; infinite ones and NaN pass, since a diverged learner must show."""
    value = value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(  # noqa: TRY004 - one kind of error for whatever a learner tells wrongly
            f"performance log: {key} must be a number, was {value!r}"
        )
    return value


def _named(name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"performance log: a name must be letters, digits, . _ -, was {name!r}")
    return name
