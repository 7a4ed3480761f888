"""Linear forecasts a network begins with: ridge regressions on what passes beside it. For fitting alone."""

import numpy as np

from mia.encoder.batches import Lesson
from mia.encoder.linear import ridge
from mia.encoder.settings import LSTM_KIND

Array = np.ndarray

_LEAST_SPREAD = 1e-4  # a forecast that hardly moves says nothing


def linear_start(lesson: Lesson) -> list[tuple[str, int, Array, float]]:
    """Label, its column, weights (P,) and spread of each forecast, of the learning part alone.

    Every row counts twice, as it was and turned upside down, so that no forecast leans on the weeks' own drift.
    """
    order, signs = lesson.passed_mirror
    twice = np.empty((2 * len(lesson.passed), lesson.passed.shape[1]))
    twice[0::2], twice[1::2] = lesson.passed, lesson.passed[:, order] * signs
    wanted = [("returns", column, -1.0) for column in range(lesson.labels["returns"].shape[1])]
    if lesson.kind == LSTM_KIND:
        wanted.append(("volatility", 0, 1.0))
    found = []
    for label, column, sign in wanted:
        y, known = (lesson.labels[name][: len(lesson.passed)] for name in (label, f"has_{label}"))
        if y.ndim == 2:
            y, known = y[:, column], known[:, column]
        target = np.where(known > 0, y.astype(np.float64), np.nan)
        weights, _ = ridge(twice, np.column_stack([target, sign * target]).ravel())
        spread = float((twice @ weights).std())
        if spread > _LEAST_SPREAD:  # False for NaN: too few labels
            found.append((label, column, weights, spread))
    return found
