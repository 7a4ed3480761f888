"""Operators that compare with the same time of day of prior sessions. Today never enters its own baseline."""

import math

import numpy as np

from mia.features.operators.registry import Operator, Param
from mia.features.operators.smoothing import rma_update, smoother_reset, true_range
from mia.features.operators.window import (
    inner,
    lap_clear,
    lap_push,
    median_deviation,
    median_sorted,
    slot_before,
    slot_held,
    slot_size,
    slot_store,
    sort_range,
)

MAD_TO_SD = 1.4826  # of a normal distribution
MEAN_AD_TO_SD = 1.2533


@inner
def _scatter(s, first, m, center, robust):
    """Standard deviation (ddof 1), or the mean absolute deviation scaled to one, of m numbers."""
    total = 0.0
    for k in range(m):
        distance = s[first + k] - center
        total += abs(distance) if robust else distance * distance
    return MEAN_AD_TO_SD * total / m if robust else math.sqrt(total / (m - 1.0))


@inner
def seasonal_z(s, first, m, value, robust, clip):
    """Distance of `value` from the m sorted numbers at s[first:] [deviations], clipped.

    robust: median and MAD (mean absolute deviation where half of the history is one value); else mean and sd.
    A history without any scatter gives 0 for its own value and +-clip for any other.
    """
    if robust:
        center = median_sorted(s, first, m)
        scale = MAD_TO_SD * median_deviation(s, first, m, center)
        if scale == 0.0:
            scale = _scatter(s, first, m, center, True)
    else:
        center = 0.0
        for k in range(m):
            center += s[first + k]
        center /= m
        scale = _scatter(s, first, m, center, False)
    distance = value - center
    if scale == 0.0:
        return 0.0 if distance == 0.0 else math.copysign(clip, distance)
    return min(clip, max(-clip, distance / scale))


@inner
def seasonal_step(v, x, i, s, o, p, q):
    """The n-bar sum (or mean) against the same slot of prior sessions: clipped z, or ratio to the median.

    Inputs value, session, slot. NaN before `min_sessions` prior sessions had that slot; a ratio to 0 is NaN.
    """
    n, depth, least = int(p[q]), int(p[q + 1]), int(p[q + 2])
    as_log, as_mean, out, plain, clip, n_slots = (
        p[q + 3],
        p[q + 4],
        int(p[q + 5]),
        p[q + 6],
        p[q + 7],
        int(p[q + 8]),
    )
    value, session, slot = v[x[i]], v[x[i + 1]], v[x[i + 2]]
    if value != value or session != session or not (0.0 <= slot < n_slots):
        lap_clear(s, o)
        return np.nan
    value = lap_push(s, o, n, value)
    if s[o] < n:
        return np.nan
    if as_mean == 1.0:
        value /= n
    if as_log == 1.0:
        value = math.log1p(max(value, 0.0))
    memory = o + n + 3
    first = slot_before(s, memory, depth, int(slot), session)
    slot_store(s, memory, n_slots, depth, int(slot), session, value)
    m = slot_held(s, first, depth)
    if m < least:
        return np.nan
    if out == 0:
        return seasonal_z(s, first, m, value, plain == 0.0, clip)
    center = median_sorted(s, first, m)
    return value / center if center > 0.0 else np.nan


# atr_dynamic keeps [session + 1, previous close + 1 (0: none), day factor ready, fast (2), slow (2)],
# then the day factor per slot, scratch of the same size, and the seasonal memory of true ranges.
_FACTORS = 7
SMALLEST_FACTOR = 0.1


@inner
def _day_factors(s, o, n_slots, depth, least, session):
    """Median true range per slot over prior sessions, relative to the median over slots.

    Slots without history copy a neighbour. Fixed once per session, so that the factor of the next minute is
    known at any minute.
    """
    factors, scratch, memory = o + _FACTORS, o + _FACTORS + n_slots, o + _FACTORS + 2 * n_slots
    known, last = 0, -1.0
    for slot in range(n_slots):
        first = slot_before(s, memory, depth, slot, session)
        m = slot_held(s, first, depth)
        if m >= least:
            last = median_sorted(s, first, m)
            s[scratch + known] = last
            known += 1
        s[factors + slot] = last
    s[o + 2] = 0.0
    if known == 0:
        return
    s[o + 2] = 1.0
    following = s[scratch]
    sort_range(s, scratch, known)
    middle = median_sorted(s, scratch, known)
    for slot in range(n_slots):
        typical = s[factors + slot] if s[factors + slot] >= 0.0 else following
        s[factors + slot] = max(SMALLEST_FACTOR, typical / middle) if middle > 0.0 else 1.0


@inner
def two_speed(fast, slow):
    """Slow average, giving way to the fast one as that runs up to 50 % above it: up fast, down slowly."""
    if slow <= 0.0:
        return 0.0
    weight = min(1.0, max(0.0, (fast / slow - 1.0) / 0.5))
    return (1.0 - weight) * slow + weight * fast


@inner
def atr_dynamic_step(v, x, i, s, o, p, q):
    """Average true range expected of the next bar [ticks]: by time of day, up fast, down slowly, floored.

    True ranges are divided by the day factor of their slot, smoothed at two speeds, and multiplied by the
    factor of the next slot. Inputs high, low, close, session, slot. NaN until `n_slow` bars after
    `min_sessions` sessions.
    """
    n_fast, n_slow, depth, least = int(p[q]), int(p[q + 1]), int(p[q + 2]), int(p[q + 3])
    floor_ticks, n_slots = p[q + 4], int(p[q + 5])
    high, low, close, session, slot = v[x[i]], v[x[i + 1]], v[x[i + 2]], v[x[i + 3]], v[x[i + 4]]
    if high != high or low != low or close != close or session != session or not (0.0 <= slot < n_slots):
        s[o + 1] = 0.0
        smoother_reset(s, o + 3)
        smoother_reset(s, o + 5)
        return np.nan
    if s[o] != session + 1.0:
        _day_factors(s, o, n_slots, depth, least, session)
        s[o] = session + 1.0
    known = s[o + 1] > 0.0
    span = true_range(high, low, s[o + 1] - 1.0) if known else high - low
    s[o + 1] = close + 1.0
    at = int(slot)
    if known:
        slot_store(s, o + _FACTORS + 2 * n_slots, n_slots, depth, at, session, span)
    if s[o + 2] == 0.0 or not known:
        return np.nan
    scaled = span / s[o + _FACTORS + at]
    fast = rma_update(s, o + 3, n_fast, scaled)
    slow = rma_update(s, o + 5, n_slow, scaled)
    if slow != slow:
        return np.nan
    following = at + 1 if at + 1 < n_slots else 0
    return max(floor_ticks, two_speed(fast, slow) * s[o + _FACTORS + following])


SESSIONS = (Param(name="sessions", default=20), Param(name="min_sessions", default=5))

OPERATORS = (
    Operator(
        name="seasonal",
        opcode=80,
        step=seasonal_step,
        inputs=3,
        params=(
            Param(name="n", default=1),
            *SESSIONS,
            Param(name="transform", default="none", choices=("none", "log1p")),
            Param(name="agg", default="sum", choices=("sum", "mean")),
            Param(name="out", choices=("z", "ratio")),
            Param(name="robust", default="mad", choices=("mad", "sd")),
            Param(name="clip", default=5),
            Param(name="n_slots"),
        ),
        state=lambda params, _inputs: int(params["n"]) + 3 + slot_size(params["n_slots"], params["sessions"]),
    ),
    Operator(
        name="atr_dynamic",
        opcode=81,
        step=atr_dynamic_step,
        inputs=5,
        params=(
            Param(name="n_fast", default=7),
            Param(name="n_slow", default=42),
            *SESSIONS,
            Param(name="floor_ticks", default=2),
            Param(name="n_slots"),
        ),
        state=lambda params, _inputs: (
            _FACTORS + 2 * int(params["n_slots"]) + slot_size(params["n_slots"], params["sessions"])
        ),
    ),
)
