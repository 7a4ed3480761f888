"""What an operator is, and the table of all of them: the plan compiles names into opcodes with it.

An operator is one small compiled function `step(v, x, i, s, o, p, q) -> float64` that reads one row and
its own state; opcodes 0-99 live in `price_dispatch`, 100-199 in `flow_dispatch`,
200-299 in `context_dispatch`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mia.domain.errors import ConfigurationError

ENVIRONMENT = (
    "n_inputs",  # number of inputs of this node
    "tick_size",  # [points]
    "multiplier",  # value of one point [USD]
    "round_step",  # distance between round numbers [points]
    "bar_minutes",  # length of a bar [minutes]
    "session_minutes",  # length of an ordinary full session [minutes]
    "n_slots",  # bar slots in such a session
)
"""Parameters the plan fills in by itself wherever an operator declares one of these names."""

PRICE_OPCODES = range(100)
FLOW_OPCODES = range(100, 200)
CONTEXT_OPCODES = range(200, 300)

Sizes = Callable[[Mapping[str, float], int], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One parameter of an operator, stored as one float64.

    Parameters
    ----------
    name : key in a spec's `p`, or a name of `ENVIRONMENT`
    default : value when the spec says nothing; None means the spec must give it
    choices : words the parameter may take; stored as their position in this tuple
    """

    name: str
    default: float | str | None = None
    choices: tuple[str, ...] = ()

    def encode(self, value: Any, where: str) -> float:
        """Return the float64 the kernel sees; `where` names the feature in error messages."""
        if self.choices:
            if value not in self.choices:
                raise ConfigurationError(
                    f"{where}: {self.name} must be one of {', '.join(self.choices)}, was {value!r}"
                )
            return float(self.choices.index(value))
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigurationError(f"{where}: {self.name} must be a number, was {value!r}")
        return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One operator.

    Parameters
    ----------
    name : word used as `op` in the feature lines
    opcode : 0-99 price, 100-199 flow; unique
    step : compiled function `step(v, x, i, s, o, p, q) -> float64`
    params : its scalar parameters, in the order of p[q], p[q + 1], ...
    inputs : how many inputs it takes; 0 means one or more (declare `n_inputs` to learn how many)
    state : number of float64 of state, from (parameters by name, number of inputs); all zero means
        "nothing seen"
    fitted : length of a block of train-fold-fitted numbers that follows the scalars in p, or None.
        The block is NaN until `Plan.with_parameters` fills it.
    """

    name: str
    opcode: int
    step: Callable[..., float]
    params: tuple[Param, ...] = ()
    inputs: int = 1
    state: Sizes | None = None
    fitted: Sizes | None = None

    def resolve(self, given: Mapping[str, Any], environment: Mapping[str, float], where: str) -> dict[str, float]:
        """Return every scalar parameter as a float, in order; unknown or missing ones are errors."""
        known = {param.name for param in self.params} - set(ENVIRONMENT)
        for key in given:
            if key not in known:
                raise ConfigurationError(
                    f"{where}: operator {self.name} has no parameter {key!r}; "
                    f"it takes {', '.join(sorted(known)) or 'none'}"
                )
        resolved: dict[str, float] = {}
        for param in self.params:
            if param.name in ENVIRONMENT:
                resolved[param.name] = float(environment[param.name])
                continue
            value = given.get(param.name, param.default)
            if value is None:
                raise ConfigurationError(f"{where}: operator {self.name} needs parameter {param.name}; add it to p")
            resolved[param.name] = param.encode(value, where)
        return resolved


def state_of(count: int) -> Sizes:
    """State of a fixed size."""
    return lambda _params, _inputs: count


def window_of(name: str = "n", *, extra: int = 0, copies: int = 1) -> Sizes:
    """State of `copies` ring buffers of params[name] values each (see `window`), plus `extra` numbers."""
    return lambda params, _inputs: extra + copies * (int(params[name]) + 2)


def laps_of(name: str = "n", *, extra: int = 0, copies: int = 1, rings: int = 0) -> Sizes:
    """State of `copies` laps and `rings` rings of params[name] values each (see `window`), plus `extra` numbers."""
    return lambda params, _inputs: extra + copies * (int(params[name]) + 3) + rings * (int(params[name]) + 2)
