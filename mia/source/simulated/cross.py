"""Companions of the simulated market: a volatility index, an S&P 500 fund and the partner future."""

from dataclasses import dataclass

import numpy as np

from mia.source.simulated.hidden import autoregression
from mia.source.simulated_settings import SimulatedSettings

Array = np.ndarray
_VIX_HALF_LIFE_MINUTES = 300.0

NAMES = ("xa.vix", "xa.spy_close", "xa.pair_close")
"""Columns `simulate` returns, in order."""


@dataclass(slots=True)
class Companions:
    """What one session hands to the next: log index above its resting level, log partner, log fund price."""

    vix: float
    pair: float
    fund: float


def start(settings: SimulatedSettings) -> Companions:
    """All at their configured levels."""
    return Companions(0.0, float(np.log(settings.pair_level_ticks)), float(np.log(settings.spy_level)))


def simulate(
    settings: SimulatedSettings,
    state: Companions,
    rng: np.random.Generator,
    *,
    returns: Array,
    sd: Array,
    log_variance: Array,
    regular: Array,
    fund_follows_partner: bool,
) -> Array:
    """Draw the companions of one session and move `state` on.

    Parameters
    ----------
    returns : (M,) log returns of the market's mid per minute, the first from the last session's end
    sd : (M,) deviation expected of each [1]
    log_variance : (M,) level of log variance above its mean
    regular : (M,) bool, minutes in which the fund trades
    fund_follows_partner : the partner is the S&P 500, not the market itself

    Returns
    -------
    (M, 3) float64: index [vol points], fund [USD], partner [ticks]; the fund is NaN outside regular hours.
    Each row uses only minutes up to itself.
    """
    noise = rng.standard_normal((3, len(returns)))
    decay = float(np.exp(-np.log(2.0) / _VIX_HALF_LIFE_MINUTES))
    pull = (1 - decay) * 0.35 * log_variance
    shock = settings.vix_leverage * (settings.vix_noise * sd * noise[0] - returns)
    vix = autoregression(state.vix, decay, pull + shock)
    own = np.sqrt(1 / settings.pair_correlation**2 - 1) * sd * noise[1]
    pair_returns = settings.pair_beta * (returns + own)
    pair = state.pair + np.cumsum(pair_returns)
    fund = state.fund + np.cumsum(pair_returns / settings.pair_beta if fund_follows_partner else returns)
    state.vix, state.pair, state.fund = float(vix[-1]), float(pair[-1]), float(fund[-1])
    price = np.round(np.exp(fund + 0.2e-4 * noise[2]), 2)
    return np.column_stack(
        [
            np.round(settings.vix_level * np.exp(vix), 2),
            np.where(regular, price, np.nan),
            np.round(np.exp(pair)),
        ]
    )
