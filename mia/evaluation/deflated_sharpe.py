"""Is a Sharpe ratio more than the best of so many lucky ones? Probabilistic and deflated Sharpe ratio.

Ratios here are per observation (per day), not annualised.
Source: Bailey & Lopez de Prado (2014), "The Deflated Sharpe Ratio", J. Portfolio Management 40(5).
"""

from math import e, sqrt
from statistics import NormalDist

import numpy as np

Array = np.ndarray
_EULER = 0.5772156649015329
_NORMAL = NormalDist()


def expected_maximum(trials: int, variance: float) -> float:
    """Expected best Sharpe ratio of `trials` skill-less ones whose ratios have this variance.

    Parameters
    ----------
    trials : independent trials, >= 1; one trial has nothing to choose from, so 0
    variance : variance of the trials' Sharpe ratios, per observation
    """
    if trials <= 1:
        return 0.0
    quantile = (1 - _EULER) * _NORMAL.inv_cdf(1 - 1 / trials) + _EULER * _NORMAL.inv_cdf(1 - 1 / (trials * e))
    return sqrt(variance) * quantile


def probabilistic_sharpe(
    sharpe: float, threshold: float, observations: int, skew: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Probability that the true Sharpe ratio exceeds `threshold`.

    Parameters
    ----------
    sharpe, threshold : per observation
    observations : number of returns, >= 2
    skew, kurtosis : of the returns (normal: 0 and 3)
    """
    if observations < 2:
        return 0.5
    spread = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    return _NORMAL.cdf((sharpe - threshold) * sqrt(observations - 1) / sqrt(max(spread, 1e-12)))


def deflated_sharpe(daily: Array, trials: int, variance: float | None) -> float:
    """Probability that the daily profits' true Sharpe ratio exceeds the best expected of luck alone.

    Parameters
    ----------
    daily : (n,) net profit of each day
    trials : how many runs were tried, from the ledger
    variance : variance of their daily Sharpe ratios; None (fewer than two are known) takes 1 / (n - 1), which
        is what trials without skill would show

    Returns
    -------
    Probability; 0 where the ratio is undefined (fewer than two days or no variation).
    """
    values = np.asarray(daily, np.float64)
    n = len(values)
    if n < 2 or not values.std() > 0:
        return 0.0
    sharpe = float(values.mean() / values.std(ddof=1))
    standard = (values - values.mean()) / values.std()
    luck = 1.0 / (n - 1) if variance is None else variance
    return probabilistic_sharpe(
        sharpe,
        expected_maximum(trials, luck),
        n,
        skew=float(np.mean(standard**3)),
        kurtosis=float(np.mean(standard**4)),
    )
