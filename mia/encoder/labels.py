"""What encoders learn to foresee: returns, volatility, volatility index, barriers. Used in training only.

Row t's labels use rows t+1 .. t+horizon of the same session; rows without them hold NaN (or -1).
"""

import math

import numpy as np

Array = np.ndarray

MINUTES_PER_YEAR = 252 * 1380
UP, FLAT, DOWN, UNKNOWN = 0, 1, 2, -1


def bars_of(minutes: float, bar_minutes: float) -> int:
    """Bars that cover a horizon, at least one."""
    return max(1, math.ceil(minutes / bar_minutes))


def within(session: Array, bars: int) -> Array:
    """(T,) bool: rows whose horizon ends inside their own session and inside the rows."""
    inside = np.zeros(len(session), dtype=bool)
    if bars < len(session):
        inside[:-bars] = session[bars:] == session[:-bars]
    return inside


def return_ahead(price: Array, session: Array, bars: int) -> Array:
    """(T,) log return from each row's close to the close `bars` rows later [basis points].

    Parameters
    ----------
    price : (T,) > 0; session : (T,) int64
    """
    out = np.full(len(price), np.nan)
    if bars < len(price):
        out[:-bars] = 1e4 * np.log(price[bars:] / price[:-bars])
    out[~within(session, bars)] = np.nan
    return out


def volatility_ahead(price: Array, session: Array, bars: int, bar_minutes: float) -> Array:
    """(T,) realised volatility of the next `bars` rows, annualised over 252 sessions of 1380 minutes [decimal].

    0 where the price does not move.
    """
    change = np.zeros(len(price))
    change[1:] = np.log(price[1:] / price[:-1])
    squares = np.concatenate([[0.0], np.cumsum(np.where(np.isfinite(change), change, 0.0) ** 2)])
    out = np.full(len(price), np.nan)
    if bars < len(price):
        total = np.maximum(squares[bars + 1 :] - squares[1:-bars], 0.0)
        out[:-bars] = np.sqrt(MINUTES_PER_YEAR / (bars * bar_minutes) * total)
    out[~within(session, bars)] = np.nan
    return out


def ratio_ahead(level: Array, session: Array, bars: int) -> Array:
    """(T,) log of the level `bars` rows later over the level now; NaN where either is missing or not positive."""
    positive = np.where(level > 0, level, np.nan)
    return return_ahead(positive, session, bars) / 1e4


def running_deviation(price: Array, session: Array, half_life: float) -> Array:
    """(T,) deviation of one-bar log returns up to each row, recent ones weighing more [decimal].

    The jump from one session to the next does not count.
    """
    keep = 0.5 ** (1.0 / half_life)
    change = np.zeros(len(price))
    same = session[1:] == session[:-1]
    change[1:] = np.where(same, np.log(price[1:] / price[:-1]), 0.0)
    counts = np.concatenate([[0.0], same.astype(np.float64)])
    total = weight = 0.0
    out = np.full(len(price), np.nan)
    for t in range(len(price)):
        if counts[t] and np.isfinite(change[t]):
            total, weight = keep * total + change[t] ** 2, keep * weight + 1.0
        if weight > 0:
            out[t] = math.sqrt(total / weight)
    return out


def barrier_ahead(price: Array, session: Array, bars: int, distance: float, half_life: float) -> Array:
    """(T,) int64: which barrier the closes meet first within `bars` rows.

    Parameters
    ----------
    distance : of each barrier from the close [running deviations x sqrt(bars)]
    half_life : of the running deviation [bars]

    Returns
    -------
    UP, DOWN, FLAT (neither) or UNKNOWN (horizon leaves the session or the rows, or no deviation yet).

    Source: Lopez de Prado (2018), Advances in Financial Machine Learning, ch. 3.
    """
    width = distance * math.sqrt(bars) * running_deviation(price, session, half_life)
    inside = within(session, bars) & (width > 0)
    rows = np.flatnonzero(inside)
    found = np.full(len(rows), FLAT)
    for step in range(1, bars + 1):
        move = np.log(price[rows + step] / price[rows])
        found = np.where((found == FLAT) & (move >= width[rows]), UP, found)
        found = np.where((found == FLAT) & (move <= -width[rows]), DOWN, found)
    out = np.full(len(price), UNKNOWN, dtype=np.int64)
    out[rows] = found
    return out
