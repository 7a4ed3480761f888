"""Heterogeneous autoregression of the log realised variance on completed sessions."""

import numpy as np

from mia.features.fitted.fold import Fold
from mia.features.fitted.parameters import TooShortError
from mia.features.plan import Node

Array = np.ndarray

MIN_SESSIONS = 10
"""Sessions with a full monthly history and a known outcome: four coefficients need some."""


def har_coefficients(node: Node, fold: Fold) -> Array:
    """Return [b0, b_day, b_week, b_month, residual variance] of a session's log RV on what its start knew.

    Source: Corsi (2009).
    """
    del node
    known = np.stack([fold.column(name) for name in ("har_daily", "har_weekly", "har_monthly")], axis=1)
    session = fold.base("cal.session")
    first = np.flatnonzero(np.diff(session, prepend=np.nan) != 0)
    first = first[fold.train[first]]
    # What har_daily says at the start of session k + 1 is the outcome of session k.
    follows = session[first[1:]] == session[first[:-1]] + 1
    before, outcome = known[first[:-1]][follows], known[first[1:], 0][follows]
    good = np.isfinite(before).all(axis=1) & np.isfinite(outcome)
    if good.sum() < MIN_SESSIONS:
        raise TooShortError(
            f"needs {MIN_SESSIONS} sessions with a monthly history, the training fold has {int(good.sum())}"
        )
    X = np.column_stack([np.ones(int(good.sum())), before[good]])
    beta, *_ = np.linalg.lstsq(X, outcome[good], rcond=None)
    residual = outcome[good] - X @ beta
    return np.concatenate([beta, [float(residual @ residual) / (len(residual) - X.shape[1])]])
