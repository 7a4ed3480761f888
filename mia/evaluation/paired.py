"""Two accounts on the same rows: what one earned more than the other, with an interval that respects dependence."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mia.evaluation.bootstrap import block_length, mean_test, stationary_indices

Array = np.ndarray

_CHUNK = 256  # resamples per step, so that memory stays bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """What one account earned more than another.

    Parameters
    ----------
    difference : in all, in the unit of what was compared
    low, high : its interval by stationary bootstrap of the paired differences
    error : its standard error, by the same resamples
    p_value : one-sided, that the lead is chance
    pieces : differences that were resampled
    """

    difference: float
    low: float
    high: float
    error: float
    p_value: float
    pieces: int


def pieces(equity: Array, length: int) -> Array:
    """Return the profits of consecutive pieces of `length` bars of a cumulative (T,) equity; the last may be short."""
    at = np.append(np.arange(0, len(equity) - 1, length), len(equity) - 1)
    return np.diff(np.asarray(equity, dtype=np.float64)[at])


def lead(
    ours: Array, others: Array, rng: np.random.Generator, samples: int = 2000, confidence: float = 0.95
) -> dict[str, Any]:
    """Return a `Lead` of profits (n,) over others of the same pieces, as a dict."""
    gap = np.asarray(ours, dtype=np.float64) - np.asarray(others, dtype=np.float64)
    total, p_value = float(gap.sum()), mean_test(gap, rng, samples)
    if len(gap) < 2 or not np.ptp(gap) > 0:
        found = Lead(difference=total, low=total, high=total, error=0.0, p_value=p_value, pieces=len(gap))
        return asdict(found)
    mean_block, sums = block_length(gap), []
    for begin in range(0, samples, _CHUNK):
        rows = stationary_indices(len(gap), min(_CHUNK, samples - begin), mean_block, rng)
        sums.append(gap[rows].sum(axis=1))
    drawn, tail = np.concatenate(sums), (1.0 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    found = Lead(
        difference=total,
        low=float(low),
        high=float(high),
        error=float(drawn.std(ddof=1)),
        p_value=p_value,
        pieces=len(gap),
    )
    return asdict(found)


def tone(found: dict[str, Any]) -> str:
    """Return "good" if the interval lies above zero, "bad" if below, else "open"."""
    if found["low"] > 0:
        return "good"
    return "bad" if found["high"] < 0 else "open"
