"""How much larger returns are after news of each topic than at the same time of day without news."""

import numpy as np

from mia.features.fitted.fold import Fold
from mia.features.fitted.hawkes import session_parts
from mia.features.fitted.parameters import TooShortError
from mia.features.operators.context_events import TOPICS
from mia.features.operators.flow_trades import HAWKES_PARTS
from mia.features.plan import Node

Array = np.ndarray

HORIZON_MINUTES = 15.0
LARGEST = 3.0
MIN_ITEMS = 20
"""Bars with news of a topic below which its multiple stays 1."""
MIN_ROWS = 500


def topic_multiples(node: Node, fold: Fold) -> Array:
    """Return E|15-minute return| after news of each topic over E|15-minute return| without news, at most 3.

    The usual size is that of the same part of the session, over bars without any news within the horizon before and
    after them; over all bars where news hardly ever stops. A return lies in one session and in training rows.
    Source: Tetlock (2007) for the sign, the multiple is a proposal.
    """
    alive, topics = fold.base("news.alive"), fold.inputs(node)[:, 1 : 1 + TOPICS]
    bar_minutes = fold.base("cal.bar_minutes")[fold.train]
    bar_minutes = bar_minutes[np.isfinite(bar_minutes)]
    steps = max(1, round(HORIZON_MINUTES / float(np.median(bar_minutes)))) if len(bar_minutes) else 1
    at = _starts(fold, steps)
    close, minute = fold.base("bar.close"), fold.base("cal.minute")
    price = np.where(close > 0, close, np.nan)
    size = np.abs(np.log(price[at + steps] / price[at]))
    good = np.isfinite(size) & (alive[at] == 1) & np.isfinite(minute[at])
    at, size = at[good], size[good]
    items = np.nan_to_num(topics) != 0
    news = np.concatenate([[0], np.cumsum(items.any(axis=1) | (np.nan_to_num(fold.base("news.count")) > 0))])
    if len(at) < MIN_ROWS or not size.mean() > 0:
        raise TooShortError(f"needs {MIN_ROWS} bars with a news feed, the training fold has {len(at)}")
    calm = news[at + steps + 1] == news[np.maximum(at - steps, 0)]
    if calm.sum() < MIN_ROWS or not size[calm].mean() > 0:
        calm = np.ones(len(at), dtype=bool)
    part = session_parts(minute[at], _session_minutes(fold))
    rows = np.bincount(part[calm], minlength=HAWKES_PARTS)
    sums = np.bincount(part[calm], weights=size[calm], minlength=HAWKES_PARTS)
    usual = np.where((rows > 0) & (sums > 0), sums / np.maximum(rows, 1), size[calm].mean())
    multiple = size / usual[part]
    return np.array(
        [min(LARGEST, float(multiple[seen].mean())) if seen.sum() >= MIN_ITEMS else 1.0 for seen in items[at].T]
    )


def _session_minutes(fold: Fold) -> float:
    """Longest planned session of the training rows [minutes]."""
    return float(np.nanmax(fold.base("cal.session_minutes")[fold.train]))


def _starts(fold: Fold, steps: int) -> Array:
    """Rows t such that t to t + steps are all training rows of one session."""
    session = fold.base("cal.session")
    if len(session) <= steps:
        return np.zeros(0, dtype=np.int64)
    seen = np.concatenate([[0], np.cumsum(fold.train)])
    whole = seen[steps + 1 :] - seen[: -steps - 1] == steps + 1
    return np.flatnonzero(whole & (session[steps:] == session[:-steps]))
