"""The plain reward: what the account gained after costs. Env and vector env call it."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mia.domain.errors import ConfigurationError

Array = np.ndarray


class Reward(Protocol):
    """What one step of one account, or of many accounts at once, was worth."""

    def __call__(self, before: int, after: int, context: Any = None) -> float:
        """Return the reward of going from equity `before` to equity `after` [cents]."""
        ...

    def of_changes(self, change_cents: Array, context: Any = None) -> Array:
        """Return (n,) float32 rewards of n net changes of equity (n,) int64 [cents]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PnlReward:
    """Net change of equity in units of `scale_cents`; costs are in it, nothing is shaped.

    Parameters
    ----------
    scale_cents : what one unit of reward is worth [cents], > 0
    """

    scale_cents: float

    def __post_init__(self) -> None:
        if not 0 < self.scale_cents < float("inf"):
            raise ConfigurationError(f"reward pnl: scale_cents must be positive, was {self.scale_cents:g}")

    def __call__(self, before: int, after: int, context: Any = None) -> float:  # noqa: ARG002
        """Return the reward of going from equity `before` to `after` [cents]; `context` is not used."""
        return float(np.float32((after - before) / self.scale_cents))

    def of_changes(self, change_cents: Array, context: Any = None) -> Array:  # noqa: ARG002
        """Return (n,) float32 rewards of (n,) int64 net changes [cents], each as `__call__` gives it."""
        return np.divide(change_cents, self.scale_cents).astype(np.float32)
