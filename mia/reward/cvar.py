"""Profit after costs less a price on the tail: a bar's loss beyond what one bar in twenty loses."""

from dataclasses import dataclass

import numpy as np

from mia.domain.errors import ConfigurationError
from mia.reward.pnl import check_scale
from mia.reward.reward import in_units, of_one
from mia.reward.settings import CvarSettings

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class CvarReward:
    """Net change - weight x (loss beyond `threshold_cents`) / (1 - alpha).

    Its mean over the bars of a position always held is the mean profit - weight x (CVaR - VaR) of a bar's loss, by
    the definition CVaR = VaR + E[(loss - VaR)+] / (1 - alpha). The threshold is a constant fitted beforehand, so a
    step's reward depends on that step alone, and counterfactual tables can hold it.

    Parameters
    ----------
    settings : alpha and weight
    threshold_cents : loss of a bar that is exceeded with probability 1 - alpha [cents], >= 0
    scale_cents : what one unit of reward is worth [cents], > 0

    Raises
    ------
    ConfigurationError : if the scale is not positive, or the threshold negative.

    Source: Rockafellar and Uryasev (2000), Optimization of conditional value-at-risk.
    """

    settings: CvarSettings
    threshold_cents: float
    scale_cents: float

    def __post_init__(self) -> None:
        check_scale(self.settings.name, self.scale_cents)
        if not 0 <= self.threshold_cents < float("inf"):
            raise ConfigurationError(f"reward cvar: the threshold must not be negative, was {self.threshold_cents:g}")

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
        """Return (n,) float32 rewards, as `mia.reward.reward.Reward` says; position and context are not used."""
        beyond = np.maximum(-change_cents - self.threshold_cents, 0.0)
        return in_units(change_cents - self.settings.weight / (1.0 - self.settings.alpha) * beyond, self.scale_cents)


def value_at_risk(change_cents: Array, alpha: float) -> float:
    """Return the loss (n,) net changes exceed with probability at most 1 - `alpha` [cents], at least 0.

    It is one of the losses seen, the smallest that at least the share `alpha` of them do not exceed.
    """
    return max(0.0, float(np.quantile(-change_cents, alpha, method="inverted_cdf")))
