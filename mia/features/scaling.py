"""The compiled part of the scaler: one row of raw features to one row of the model view."""

import math

import numpy as np
from numba import njit

DEAD = 0  # nothing was learnt: always neutral
LINEAR = 1  # (x - center) / spread
LOG = 2  # the same of log1p(x / unit)
SIGNED_LOG = 3  # the same of sign(x) log1p(|x| / unit)
SLOT = 4  # (x - center[slot]) / spread[slot]
SLOT_LOG = 5  # the same of log1p(x / unit)
LEVEL = 6  # (level - close) / ATR
SETTLED = 7  # (price - prior settlement) / daily ATR
ATR = 8  # x / ATR

REFERENCES = ("close", "prior_settlement", "atr_dynamic", "atr_14", "_atr_daily")

inner = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


@inner
def _column(features, t, column):
    return features[t, column] if column >= 0 else np.nan


@inner
def _ratio(distance, size):
    return distance / size if size > 0.0 else np.nan


@inner
def _scaled(kind, x, unit, center, spread, close, settled, span, daily):
    """One value, unclipped; NaN where something it needs is missing."""
    if kind == DEAD:
        return np.nan
    if kind == LEVEL:
        return _ratio(x - close, span)
    if kind == SETTLED:
        return _ratio(x - settled, daily)
    if kind == ATR:
        return _ratio(x, span)
    if kind in (LOG, SLOT_LOG):
        x = math.log1p(max(x, 0.0) / unit) if x == x else np.nan
    elif kind == SIGNED_LOG:
        x = math.copysign(math.log1p(abs(x) / unit), x)
    return (x - center) / spread


@njit(cache=True, error_model="numpy")
def scale(
    features,
    slots,
    kind,
    unit,
    center,
    spread,
    bound,
    neutral,
    table,
    slot_center,
    slot_spread,
    reference,
    member,
    view,
    masks,
):
    """Fill `view` (n, F) and `masks` (n, M) from `features` (n, C); arrays as in `normalisation.Scaler`.

    A group is available where at least half of its features have a value.
    """
    for t in range(features.shape[0]):
        close = _column(features, t, reference[0])
        settled = _column(features, t, reference[1])
        span = _column(features, t, reference[2])
        if not span > 0.0:
            span = _column(features, t, reference[3])
        daily = _column(features, t, reference[4])
        slot = int(slots[t]) if 0.0 <= slots[t] < slot_center.shape[1] else -1
        for g in range(masks.shape[1]):
            masks[t, g] = 0.0
        for f in range(kind.shape[0]):
            middle, width = center[f], spread[f]
            if table[f] >= 0 and slot >= 0:
                middle, width = slot_center[table[f], slot], slot_spread[table[f], slot]
            x = _scaled(kind[f], features[t, f], unit[f], middle, width, close, settled, span, daily)
            if x != x:
                view[t, f] = neutral[f]
                continue
            view[t, f] = min(bound[f], max(-bound[f], x))
            for g in range(masks.shape[1]):
                masks[t, g] += member[g, f]
        for g in range(masks.shape[1]):
            members = 0
            for f in range(kind.shape[0]):
                members += member[g, f]
            masks[t, g] = 1.0 if 2.0 * masks[t, g] >= members else 0.0
