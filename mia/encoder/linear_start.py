"""Linear forecasts a network begins with: ridge regressions on what passes beside it. For fitting alone."""

import numpy as np

from mia.encoder.batches import Lesson
from mia.encoder.linear import ridge
from mia.encoder.settings import LSTM_KIND

Array = np.ndarray

_LEAST_SPREAD = 1e-4  # a forecast that hardly moves says nothing
_ENOUGH = 5000  # rows read of a long history, evenly spaced: neighbours say nearly the same


def linear_start(lesson: Lesson) -> list[tuple[str, int, Array, float]]:
    """Label, its column, weights (P,) and spread of each forecast, of the learning part alone.

    Every row counts twice, as it was and turned upside down, so that no forecast leans on the weeks' own drift.
    """
    order, signs = lesson.passed_mirror
    every = slice(None, None, max(1, len(lesson.passed) // _ENOUGH))
    read = lesson.passed[every]
    twice = np.empty((2 * len(read), read.shape[1]))
    twice[0::2], twice[1::2] = read, read[:, order] * signs
    found = []
    for label, column, values, sign in _wanted(lesson):
        target = values[every]
        weights, _ = ridge(twice, np.column_stack([target, sign * target]).ravel())
        spread = float((twice @ weights).std())
        if spread > _LEAST_SPREAD:  # False for NaN: too few labels
            found.append((label, column, weights, spread))
    return found


def _wanted(lesson: Lesson) -> list[tuple[str, int, Array, float]]:
    """Label, its column, values (learn,) with NaN where unknown, and their sign in a market turned upside down."""
    learn, known = slice(0, len(lesson.passed)), lesson.labels
    returns = np.where(known["has_returns"][learn] > 0, known["returns"][learn].astype(np.float64), np.nan)
    direction = np.where(known["has_barrier"][learn] > 0, 1.0 - known["barrier"][learn], np.nan)
    wanted = [("returns", column, returns[:, column], -1.0) for column in range(returns.shape[1])]
    wanted.append(("direction", 0, direction, -1.0))
    if lesson.kind == LSTM_KIND:
        volatility = np.where(known["has_volatility"][learn] > 0, known["volatility"][learn].astype(np.float64), np.nan)
        wanted.append(("volatility", 0, volatility, 1.0))
    return wanted
