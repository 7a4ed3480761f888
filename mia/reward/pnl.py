"""The plain reward: what the account gained after costs. What every policy is judged by, whatever it learned from."""

from dataclasses import dataclass

import numpy as np

from mia.domain.errors import ConfigurationError
from mia.reward.reward import in_units, of_one

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class PnlReward:
    """Net change of equity in units of `scale_cents`; costs are in it, nothing is shaped.

    Parameters
    ----------
    scale_cents : what one unit of reward is worth [cents], > 0

    Raises
    ------
    ConfigurationError : if the scale is not positive.
    """

    scale_cents: float

    def __post_init__(self) -> None:
        check_scale("pnl", self.scale_cents)

    def __call__(
        self, before: float, after: float, *, position: float | None = None, context: Array | None = None
    ) -> float:
        """Return the reward of one step; position and context are not used."""
        return of_one(self, before, after, position, context)

    def of_changes(
        self,
        change_cents: Array,
        position: Array | None = None,  # noqa: ARG002
        context: Array | None = None,  # noqa: ARG002
    ) -> Array:
        """Return (n,) float32 rewards of (n,) net changes [cents]; position and context are not used."""
        return in_units(change_cents, self.scale_cents)


def check_scale(name: str, scale_cents: float) -> None:
    """Refuse a unit that is not positive and finite."""
    if not 0 < scale_cents < float("inf"):
        raise ConfigurationError(f"reward {name}: scale_cents must be positive, was {scale_cents:g}")
