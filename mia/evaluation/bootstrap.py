"""Stationary block bootstrap of daily profits: intervals that respect dependence between days.

Source: Politis & Romano (1994); block length: Politis & White (2004), corrected by Patton, Politis & White
(2009).
"""

import numpy as np

Array = np.ndarray
TRADING_DAYS = 252
_CHUNK = 256  # resamples per step, so that memory stays bounded


def sharpe_ratio(daily: Array) -> float:
    """Annualised Sharpe ratio of daily profits (n,), x sqrt(252); 0 if n < 2 or they do not vary."""
    values = np.asarray(daily, np.float64)
    if len(values) < 2:
        return 0.0
    spread = values.std(ddof=1)
    if not spread > 1e-12 * max(1.0, np.abs(values).max()):
        return 0.0
    return float(values.mean() / spread * np.sqrt(TRADING_DAYS))


def block_length(daily: Array) -> float:
    """Mean block length that minimises the error of the variance of the mean [days], at least 1.

    Autocovariances are summed with a flat-top window whose width is where autocorrelations become
    insignificant; the result is capped at min(3 sqrt(n), n / 3).
    """
    values = np.asarray(daily, np.float64)
    n = len(values)
    if n < 8 or not values.std() > 0:
        return 1.0
    centred = values - values.mean()
    most = min(int(np.ceil(np.sqrt(n))) + max(5, int(np.ceil(np.log10(n)))), n - 1)
    covariance = np.array([centred[: n - k] @ centred[k:] / n for k in range(most + 1)])
    quiet = max(5, int(np.ceil(np.sqrt(np.log10(n)))))
    bound = 2.0 * np.sqrt(np.log10(n) / n)
    loud = np.abs(covariance[1:] / covariance[0]) > bound
    # The first lag after which `quiet` autocorrelations in a row are insignificant.
    width = most
    for lag in range(most - quiet + 1):
        if not loud[lag : lag + quiet].any():
            width = min(2 * max(lag, 1), most)
            break
    lags = np.arange(1, width + 1)
    window = np.clip(2.0 * (1.0 - lags / width), 0.0, 1.0)
    slope = 2.0 * np.sum(window * lags * covariance[1 : width + 1])
    spectrum = covariance[0] + 2.0 * np.sum(window * covariance[1 : width + 1])
    if not spectrum > 0:
        return 1.0
    length = (2.0 * slope**2 / (2.0 * spectrum**2)) ** (1 / 3) * n ** (1 / 3)
    return float(np.clip(length, 1.0, min(np.ceil(3.0 * np.sqrt(n)), max(n / 3.0, 1.0))))


def stationary_indices(n: int, samples: int, mean_block: float, rng: np.random.Generator) -> Array:
    """Row numbers (samples, n) of stationary bootstrap resamples: circular blocks of geometric length."""
    jump = rng.random((samples, n)) < 1.0 / mean_block
    jump[:, 0] = True
    start = rng.integers(0, n, (samples, n))
    at = np.arange(n)
    origin = np.maximum.accumulate(np.where(jump, at, 0), axis=1)
    return (np.take_along_axis(start, origin, axis=1) + at - origin) % n


def sharpe_interval(
    daily: Array, rng: np.random.Generator, samples: int = 2000, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the annualised Sharpe ratio.

    Parameters
    ----------
    daily : (n,) profit of each session
    rng : source of the resamples
    samples : resamples
    confidence : coverage

    Returns
    -------
    (low, high); (0, 0) where the ratio is undefined (fewer than two sessions or no variation).
    """
    values = np.asarray(daily, np.float64)
    if sharpe_ratio(values) == 0.0 and (len(values) < 2 or np.ptp(values) == 0):
        return 0.0, 0.0
    mean_block = block_length(values)
    ratios = []
    for begin in range(0, samples, _CHUNK):
        rows = values[stationary_indices(len(values), min(_CHUNK, samples - begin), mean_block, rng)]
        spread = rows.std(axis=1, ddof=1)
        ratios.append(np.divide(rows.mean(axis=1), spread, out=np.zeros(len(rows)), where=spread > 0))
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(np.concatenate(ratios), [tail, 1.0 - tail]) * np.sqrt(TRADING_DAYS)
    return float(low), float(high)


def mean_test(daily: Array, rng: np.random.Generator, samples: int = 2000) -> float:
    """One-sided p-value that the mean of `daily` (n,) is above zero: resamples of the centred series."""
    values = np.asarray(daily, np.float64)
    if len(values) < 2 or np.ptp(values) == 0:
        return 1.0 if len(values) < 2 or values[0] <= 0 else 0.0
    centred = values - values.mean()
    mean_block = block_length(values)
    above = 0
    for begin in range(0, samples, _CHUNK):
        rows = centred[stationary_indices(len(values), min(_CHUNK, samples - begin), mean_block, rng)]
        above += int(np.count_nonzero(rows.mean(axis=1) >= values.mean()))
    # One is added to both: a p-value of exactly zero cannot be known from finitely many resamples.
    return (above + 1) / (samples + 1)
