"""Feature lines of conf/features/group/*.yaml, expanded into one FeatureSpec per column; used by the plan."""

import ast
import operator as arithmetic
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mia.domain.errors import ConfigurationError
from mia.domain.series import SERIES_SETS

NORMS = ("none", "z", "logz", "slogz", "todz", "relpx", "prevset", "atr", "bin")
SCALES = ("tick", "usd")

_KEYS = {"k", "op", "in", "p", "unit", "range", "warm", "norm", "must", "fb", "ta", "src", "scale", "neutral"}
_SHORT = {
    "bar.hlc": ("bar.high", "bar.low", "bar.close"),
    "bar.ohlc": ("bar.open", "bar.high", "bar.low", "bar.close"),
}
_KNOWN = frozenset(name for series in SERIES_SETS for name in series.names)
_NAME = re.compile(r"^_?[a-z][a-z0-9_]*$")
_SPAN = re.compile(r"^(.*_)(\d+)\.\.(\d+)$")
_SIGNS = {
    ast.Add: arithmetic.add,
    ast.Sub: arithmetic.sub,
    ast.Mult: arithmetic.mul,
    ast.Div: arithmetic.truediv,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """One column, or one internal node if the name begins with an underscore.

    Parameters
    ----------
    name, family : as in the catalogue
    op : operator name
    inputs : base series, `@other` nodes, or `family:a+b/level` groups
    params : parameters of the operator as (name, number or word)
    unit : unit of the published value
    low, high : expected range of the published value, None where unbounded
    warm_bars : bars of own input history until the first value, at 1 minute per bar
    norm : normalisation code, one of `NORMS`
    mandatory : always part of a selection
    fallback : part of the static selection of 150
    talib : TA-Lib function that is the oracle, or ""
    source : literature key
    scale : factor from ticks inside to the published unit: "tick", "usd" or a number
    neutral : published value that a missing one stands for in the model view; None means the middle of the range
    """

    name: str
    family: str
    op: str
    inputs: tuple[str, ...]
    params: tuple[tuple[str, Any], ...]
    unit: str
    low: float | None
    high: float | None
    warm_bars: int
    norm: str
    mandatory: bool
    fallback: bool
    talib: str
    source: str
    scale: str | float
    neutral: float | None = None

    @property
    def published(self) -> bool:
        """Whether the value is a column of the table, not only an input of others."""
        return not self.name.startswith("_")


def expand(groups: Mapping[str, Mapping[str, Any]]) -> tuple[FeatureSpec, ...]:
    """Return the specs of all groups, sweeps unrolled, in the order written.

    Parameters
    ----------
    groups : group name -> {"family": word, "specs": {name template: line}}

    Raises
    ------
    ConfigurationError : naming the group or feature, the value and the remedy.
    """
    specs: dict[str, FeatureSpec] = {}
    for group, content in groups.items():
        family = _family(group, content)
        for template, line in content["specs"].items():
            for spec in _unroll(str(template), line, family):
                if spec.name in specs:
                    raise ConfigurationError(f"feature {spec.name}: declared twice; rename or delete one line")
                specs[spec.name] = spec
    if not specs:
        raise ConfigurationError("features: no line in any group; choose groups in conf/features")
    return tuple(specs.values())


def _family(group: str, content: Mapping[str, Any]) -> str:
    if not isinstance(content, Mapping) or set(content) != {"family", "specs"}:
        raise ConfigurationError(f"feature group {group}: must hold exactly the keys family and specs")
    return str(content["family"])


def _unroll(template: str, line: Mapping[str, Any], family: str) -> Iterator[FeatureSpec]:
    """One spec per sweep value; without a sweep, one spec."""
    if not isinstance(line, Mapping):
        raise ConfigurationError(f"feature {template}: its line must be a mapping such as {{op: rsi, in: bar.close}}")
    unknown = set(line) - _KEYS
    if unknown:
        raise ConfigurationError(f"feature {template}: unknown key {sorted(unknown)[0]!r}; known are {sorted(_KEYS)}")
    values = line.get("k", [None])
    if "{k}" in template and values == [None]:
        raise ConfigurationError(f"feature {template}: has {{k}} but no sweep; add k: [..]")
    for value in values:
        yield _spec(template, line, family, value)


def _fill(thing: Any, value: Any) -> Any:
    """Put the sweep value in place of {k}, in strings at any depth."""
    if isinstance(thing, str):
        return thing if value is None else thing.replace("{k}", str(value))
    if isinstance(thing, Mapping):
        return {key: _fill(item, value) for key, item in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [_fill(item, value) for item in thing]
    return thing


def _spec(template: str, line: Mapping[str, Any], family: str, value: Any) -> FeatureSpec:
    name = _fill(template, value)
    line = {key: (item if key in ("k", "must", "fb") else _fill(item, value)) for key, item in line.items()}
    if not _NAME.match(name):
        raise ConfigurationError(f"feature {name!r}: names are lower-case letters, digits and underscores")
    for key in ("op", "in") if name.startswith("_") else ("op", "in", "unit", "range", "warm", "norm", "src"):
        if key not in line:
            raise ConfigurationError(f"feature {name}: key {key!r} is missing; add it to the line")
    low, high = _range(name, line.get("range", [None, None]))
    norm = str(line.get("norm", "none"))
    if norm not in NORMS:
        raise ConfigurationError(f"feature {name}: norm must be one of {', '.join(NORMS)}, was {norm!r}")
    warm = _number(line.get("warm", 1))
    if not isinstance(warm, (int, float)) or warm < 1 or warm != int(warm):
        raise ConfigurationError(f"feature {name}: warm must be a whole number of bars >= 1, was {line['warm']!r}")
    scale = _number(line.get("scale", 1.0))
    if isinstance(scale, str) and scale not in SCALES:
        raise ConfigurationError(f"feature {name}: scale must be {', '.join(SCALES)} or a number, was {scale!r}")
    return FeatureSpec(
        name=name,
        family=family,
        op=str(line["op"]),
        inputs=_inputs(name, line["in"]),
        params=tuple((str(key), _number(item)) for key, item in line.get("p", {}).items()),
        unit=str(line.get("unit", "")),
        low=low,
        high=high,
        warm_bars=int(warm),
        norm=norm,
        mandatory=_flag(line.get("must", False), value),
        fallback=_flag(line.get("fb", False), value),
        talib=str(line.get("ta", "")),
        source=str(line.get("src", "")),
        scale=scale if isinstance(scale, str) else float(scale),
        neutral=_neutral(name, line.get("neutral"), norm, low, high),
    )


def _flag(given: Any, value: Any) -> bool:
    """True, or a list that holds this sweep value."""
    return value in given if isinstance(given, (list, tuple)) else bool(given)


def _range(name: str, given: Any) -> tuple[float | None, float | None]:
    if not isinstance(given, (list, tuple)) or len(given) != 2:
        raise ConfigurationError(f"feature {name}: range must be [low, high], null where unbounded, was {given!r}")
    low, high = (None if item is None else float(item) for item in given)
    if low is not None and high is not None and not low < high:
        raise ConfigurationError(f"feature {name}: range must increase, was [{low:g}, {high:g}]")
    return low, high


def _neutral(name: str, given: Any, norm: str, low: float | None, high: float | None) -> float | None:
    """Neutral point of a bounded feature; others have none: their 0 is the train fold's median."""
    if given is None:
        return None
    value = _number(given)
    if norm != "none" or low is None or high is None:
        raise ConfigurationError(f"feature {name}: neutral needs norm none and a range with both ends; delete it")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ConfigurationError(f"feature {name}: neutral must lie in [{low:g}, {high:g}], was {given!r}")
    return float(value)


def _inputs(name: str, given: Any) -> tuple[str, ...]:
    """Expand short forms: bar.hlc, bar.ohlc and dom.ofi_1..5."""
    names: list[str] = []
    for item in [given] if isinstance(given, str) else list(given):
        span = _SPAN.match(str(item))
        if item in _SHORT:
            names.extend(_SHORT[item])
        elif span:
            stem, first, last = span[1], int(span[2]), int(span[3])
            names.extend(f"{stem}{level}" for level in range(first, last + 1))
        else:
            names.append(str(item))
    for item in names:
        if not item.startswith(("@", "family:")) and item not in _KNOWN:
            raise ConfigurationError(
                f"feature {name}: unknown input {item!r}; use a base series of mia.domain.series or @feature"
            )
    if not names:
        raise ConfigurationError(f"feature {name}: has no input; add in: ...")
    return tuple(names)


def _number(given: Any) -> Any:
    """A number for numbers and plain arithmetic such as "2*14+1"; words stay words."""
    if not isinstance(given, str):
        return given
    try:
        return _evaluate(ast.parse(given, mode="eval").body)
    except (SyntaxError, KeyError, ZeroDivisionError):
        return given


def _evaluate(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        return node.value
    if isinstance(node, ast.BinOp):
        return _SIGNS[type(node.op)](_evaluate(node.left), _evaluate(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand)
    raise KeyError(ast.dump(node))
