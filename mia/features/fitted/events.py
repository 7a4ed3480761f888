"""How much larger returns are around each kind of event than at the same time of day without one."""

import numpy as np

from mia.features.fitted.fold import Fold
from mia.features.fitted.hawkes import session_parts
from mia.features.fitted.parameters import TooShortError
from mia.features.operators.flow_context import EVENT_CODES, LAG_FIRST, LAGS
from mia.features.operators.flow_trades import HAWKES_PARTS
from mia.features.plan import Node

Array = np.ndarray

MIN_ROWS = 500
PRIOR_ROWS = 5.0
"""Weight of "no effect" in every cell [rows]: a few events must not make a wild profile."""


def event_multiples(node: Node, fold: Fold) -> Array:
    """Return E|r| near an event / E|r| without one, by event code and minute, (EVENT_CODES * LAGS,).

    |r| is measured against the mean of event-free training bars in the same part of the session; each cell
    is pulled towards 1 with the weight of five bars. Source: Andersen, Bollerslev, Diebold, Vega (2003).
    """
    code, lag = fold.inputs(node).T
    close, minute = fold.base("bar.close"), fold.base("cal.minute")
    at = fold.steps() + 1
    size = np.abs(np.diff(np.log(np.where(close > 0, close, np.nan)), prepend=np.nan))[at]
    good = np.isfinite(size) & np.isfinite(code[at]) & np.isfinite(minute[at])
    at, size = at[good], size[good]
    calm = code[at] < 1
    if calm.sum() < MIN_ROWS or not size[calm].mean() > 0:
        raise TooShortError(f"needs {MIN_ROWS} bars without an event, the fold has {int(calm.sum())}")
    session_minutes = float(np.nanmax(fold.base("cal.session_minutes")[fold.train]))
    part = session_parts(minute[at], session_minutes)
    rows = np.bincount(part[calm], minlength=HAWKES_PARTS)
    sums = np.bincount(part[calm], weights=size[calm], minlength=HAWKES_PARTS)
    usual = np.where((rows > 0) & (sums > 0), sums / np.maximum(rows, 1), size[calm].mean())
    near = ~calm & (code[at] <= EVENT_CODES) & np.isfinite(lag[at])
    minutes = np.clip(np.floor(lag[at][near]).astype(int) - LAG_FIRST, 0, LAGS - 1)
    cell = (code[at][near].astype(int) - 1) * LAGS + minutes
    multiple = size[near] / usual[part[near]]
    count = np.bincount(cell, minlength=EVENT_CODES * LAGS)
    total = np.bincount(cell, weights=multiple, minlength=EVENT_CODES * LAGS)
    return (total + PRIOR_ROWS) / (count + PRIOR_ROWS)
