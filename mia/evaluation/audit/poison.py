"""Spoilt futures: what comes after a row is replaced, so that whoever looks at it gives himself away."""

from collections.abc import Sequence

import numpy as np

Array = np.ndarray

KINDS = ("noise", "x1000", "missing")


def spoilt(values: Array, keep: Sequence[int], kind: str, rng: np.random.Generator) -> Array:
    """Rows (n, W) replaced by noise, by a thousand times themselves, or by nothing.

    Parameters
    ----------
    values : (n, W) float64
    keep : columns that are known beforehand (the calendar) and stay
    kind : one of `KINDS`
    """
    out = values.copy()
    if kind == "noise":
        out[:] = rng.normal(0.0, 1e4, values.shape)
    elif kind == "x1000":
        out *= 1000.0
    else:
        out[:] = np.nan
    out[:, list(keep)] = values[:, list(keep)]
    return out


def other_market(values: Array, prices: Sequence[int], keep: Sequence[int], rng: np.random.Generator) -> Array:
    """Rows (n, W) of a market that could have been: prices stay whole and in order, so that a tape takes them.

    Turned upside down (what rose falls, so every label changes its sign) and carried along a walk of whole ticks;
    everything else is scaled at random, row by row.

    Parameters
    ----------
    values : (n, W) float64
    prices : columns of open, high, low and close [ticks]
    keep : columns that stay
    """
    out = values * rng.uniform(0.3, 3.0, size=(len(values), 1))
    out[:, list(keep)] = values[:, list(keep)]
    open_, high, low, close = (-values[:, column] for column in prices)
    walk = np.cumsum(rng.integers(-20, 21, len(values)))
    for column, turned in zip(prices, (open_, low, high, close), strict=True):
        out[:, column] = turned + walk
    lowest = np.nanmin(out[:, list(prices)]) if len(values) else 0.0
    out[:, list(prices)] += np.ceil(np.nan_to_num(1000.0 - lowest))
    return out
