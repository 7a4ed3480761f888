"""Profit after costs, more or less of it by the situation (method 5), so that no loss is ever worth having."""

from dataclasses import dataclass

import numpy as np

from mia.reward.context import ATR, CVAR, FLOW, NEWS, VIX
from mia.reward.pnl import check_scale
from mia.reward.reward import in_units, of_one
from mia.reward.settings import AdaptiveSettings

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveReward:
    """A gain counts `factor` times, a loss max(1, factor) times.

    The published rule multiplies gains and losses alike. A factor of 0.85 would then make losing cheaper just when
    markets are dangerous: below 1 it therefore shrinks gains only. Above 1 it applies to both, because a gain counted
    1.3 times beside a loss counted once would pay for noise. Dearer losses, max(1, 1 / factor), were tried as well:
    they charge so much for noise that weak signals were not traded at all. What is not known has the factor 1.

    Parameters
    ----------
    settings : thresholds and factors
    atr_threshold : atr_dynamic above which bars are wide [points]; infinite: never
    scale_cents : what one unit of reward is worth [cents], > 0

    Raises
    ------
    ConfigurationError : if the scale is not positive.
    """

    settings: AdaptiveSettings
    atr_threshold: float
    scale_cents: float

    def __post_init__(self) -> None:
        check_scale(self.settings.name, self.scale_cents)

    def __call__(
        self, before: float, after: float, *, position: float | None = None, context: Array | None = None
    ) -> float:
        """Return the reward of one step, the same bits as `of_changes`."""
        return of_one(self, before, after, position, context)

    def of_changes(self, change_cents: Array, position: Array | None = None, context: Array | None = None) -> Array:
        """Return (n,) float32 rewards, as `mia.reward.reward.Reward` says."""
        if context is None:
            return in_units(change_cents, self.scale_cents)
        factor = self.factors(position, context)
        shaped = np.where(change_cents < 0, change_cents * np.maximum(1.0, factor), change_cents * factor)
        return in_units(shaped, self.scale_cents)

    def factors(self, position: Array | None, context: Array) -> Array:
        """Return (n,) float64, the product of all factors that apply; comparisons with NaN do not."""
        s = self.settings
        news, flow = context[:, NEWS], context[:, FLOW]
        factor = np.where(news > s.good_news, s.good_news_factor, 1.0)
        factor *= np.where(news < s.bad_news, s.bad_news_factor, 1.0)
        factor *= np.where(context[:, VIX] > s.vix_threshold, s.vix_factor, 1.0)
        factor *= np.where(context[:, ATR] > self.atr_threshold, s.atr_factor, 1.0)
        if position is not None:
            factor *= np.where(flow * position > 0, s.flow_factor, 1.0)
        factor *= np.where(context[:, CVAR] > s.cvar_threshold, s.cvar_factor, 1.0)
        return factor


def atr_threshold(settings: AdaptiveSettings, context: Array | None) -> float:
    """Return the configured threshold [points], else the quantile of the known atr_dynamic of training rows.

    Infinite where nothing is known: no bar then counts as wide.
    """
    if settings.atr_threshold is not None:
        return settings.atr_threshold
    if context is None:
        return float("inf")
    known = context[np.isfinite(context[:, ATR]), ATR]
    return float(np.quantile(known, settings.atr_quantile)) if len(known) else float("inf")
