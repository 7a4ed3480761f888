"""How an action becomes a wished position: the discrete menu short, flat, long, or a share of the limit."""

import numpy as np
from gymnasium import spaces

from mia.desk.accounting import contracts
from mia.domain.errors import ConfigurationError

Array = np.ndarray

KINDS = ("discrete", "continuous")
TARGETS = (-1.0, 0.0, 1.0)
"""What the discrete actions 0, 1, 2 mean, as shares of the limit."""


def space(kind: str) -> spaces.Space:
    """Return the action space of a kind.

    Raises
    ------
    ConfigurationError : if the kind is unknown.
    """
    if kind == "discrete":
        return spaces.Discrete(len(TARGETS))
    if kind == "continuous":
        return spaces.Box(-1.0, 1.0, shape=(1,), dtype=np.float32)
    raise ConfigurationError(f"env: actions must be one of {', '.join(KINDS)}, was {kind!r}")


def wish(kind: str, action: int | Array, max_contracts: int) -> int:
    """Return the position one action asks for [contracts]."""
    target = TARGETS[int(action)] if kind == "discrete" else float(np.asarray(action).reshape(-1)[0])
    return int(contracts(target, max_contracts))


_MENU = np.array(TARGETS)


def wishes(kind: str, actions: Array) -> Array:
    """Return (n,) float64 shares of the limit that n actions ask for; the kernel rounds them."""
    if kind == "discrete":
        return _MENU[np.asarray(actions).reshape(-1)]
    return np.asarray(actions, dtype=np.float64).reshape(-1)
