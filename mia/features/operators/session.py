"""Operators that know where a session begins: running sums, levels, daily range. Missing bars are skipped."""

import numpy as np

from mia.features.operators.registry import Operator, Param, state_of
from mia.features.operators.smoothing import atr_update
from mia.features.operators.window import inner

# A session is remembered as its ordinal + 1, so that the zeroed state means "none yet".


@inner
def session_cumsum_step(v, x, i, s, o, p, q):
    """Sum since the session began, or since regular hours began (then NaN outside them).

    Inputs value, cal.first[, cal.rth]. A missing value adds nothing. State [sum].
    """
    anchor, count = int(p[q]), int(p[q + 1])
    value = v[x[i]]
    if v[x[i + 1]] == 1.0:
        s[o] = 0.0
    if anchor == 1 and count > 2 and v[x[i + 2]] != 1.0:
        s[o] = 0.0
        return np.nan
    if value == value:
        s[o] += value
        return s[o]
    return np.nan


@inner
def session_last_step(v, x, i, s, o, p, q):
    """Last value of the prior session. State [session + 1, last, has last, prior, has prior]."""
    value, session = v[x[i]], v[x[i + 1]]
    if session == session and s[o] != session + 1.0:
        s[o + 3], s[o + 4] = s[o + 1], s[o + 2]
        s[o], s[o + 2] = session + 1.0, 0.0
    if value == value:
        s[o + 1], s[o + 2] = value, 1.0
    return s[o + 3] if s[o + 4] == 1.0 else np.nan


@inner
def range_so_far_step(v, x, i, s, o, p, q):
    """High minus low since the session began. Inputs high, low, session. State [session + 1, high, low]."""
    high, low, session = v[x[i]], v[x[i + 1]], v[x[i + 2]]
    if high != high or low != low or session != session:
        return np.nan
    if s[o] != session + 1.0:
        s[o], s[o + 1], s[o + 2] = session + 1.0, high, low
    s[o + 1] = max(s[o + 1], high)
    s[o + 2] = min(s[o + 2], low)
    return s[o + 1] - s[o + 2]


@inner
def daily_atr_step(v, x, i, s, o, p, q):
    """Average true range of the last completed sessions, Wilder-smoothed over n.

    Inputs high, low, close, session, first. State [session + 1, high, low, close, value, average (4)].
    """
    n, session = int(p[q]), v[x[i + 3]]
    high, low, close = v[x[i]], v[x[i + 1]], v[x[i + 2]]
    if session == session and high == high and low == low and close == close:
        if s[o] != session + 1.0:
            if s[o] > 0.0:
                s[o + 4] = atr_update(s, o + 5, n, s[o + 1], s[o + 2], s[o + 3])
            s[o], s[o + 1], s[o + 2] = session + 1.0, high, low
        s[o + 1] = max(s[o + 1], high)
        s[o + 2] = min(s[o + 2], low)
        s[o + 3] = close
    return s[o + 4] if s[o + 4] > 0.0 else np.nan


# session_level keeps [session + 1, then (has, value) pairs]; the pairs' places:
_PRIOR_CLOSE, _PRIOR_HIGH, _PRIOR_LOW, _PRIOR_RTH_CLOSE = 1, 3, 5, 7  # of the session before
_RTH_HIGH, _RTH_LOW, _RTH_CLOSE, _RTH_OPEN = 9, 11, 13, 15  # of this one
_OR_HIGH, _OR_LOW, _NIGHT_HIGH, _NIGHT_LOW = 17, 19, 21, 23
_HIGH, _LOW, _CLOSE = 25, 27, 29
_LEVEL_STATE = 31
OPENING_RANGE_MINUTES = 30.0


@inner
def _put(s, at, value):
    s[at], s[at + 1] = 1.0, value


@inner
def _put_max(s, at, value):
    if s[at] == 0.0 or value > s[at + 1]:
        _put(s, at, value)


@inner
def _put_min(s, at, value):
    if s[at] == 0.0 or value < s[at + 1]:
        _put(s, at, value)


@inner
def _shift(s, source, target):
    s[target], s[target + 1] = s[source], s[source + 1]


@inner
def _new_session(s, o, session):
    """What was today's becomes yesterday's."""
    _shift(s, o + _CLOSE, o + _PRIOR_CLOSE)
    _shift(s, o + _RTH_HIGH, o + _PRIOR_HIGH)
    _shift(s, o + _RTH_LOW, o + _PRIOR_LOW)
    _shift(s, o + _RTH_CLOSE, o + _PRIOR_RTH_CLOSE)
    for k in range(_RTH_HIGH, _LEVEL_STATE):
        s[o + k] = 0.0
    s[o] = session + 1.0


@inner
def _see_bar(s, o, high, low, first, close, rth, rth_minute):
    _put_max(s, o + _HIGH, high)
    _put_min(s, o + _LOW, low)
    _put(s, o + _CLOSE, close)
    if rth == 1.0:
        if s[o + _RTH_OPEN] == 0.0:
            _put(s, o + _RTH_OPEN, first)
        _put_max(s, o + _RTH_HIGH, high)
        _put_min(s, o + _RTH_LOW, low)
        _put(s, o + _RTH_CLOSE, close)
        if rth_minute <= OPENING_RANGE_MINUTES:
            _put_max(s, o + _OR_HIGH, high)
            _put_min(s, o + _OR_LOW, low)
    elif rth_minute <= 0.0:
        _put_max(s, o + _NIGHT_HIGH, high)
        _put_min(s, o + _NIGHT_LOW, low)


@inner
def session_level_step(v, x, i, s, o, p, q):
    """A price level of this or the prior session [ticks], by `which`.

    Inputs high, low, open, close, session, first, rth, rth_minute. Levels of regular hours exist from their
    first bar on, the opening range from minute 30 on, the overnight range grows until regular hours and then
    stands.
    """
    which, session, rth_minute = int(p[q]), v[x[i + 4]], v[x[i + 7]]
    high, low, first, close = v[x[i]], v[x[i + 1]], v[x[i + 2]], v[x[i + 3]]
    if session == session and s[o] != session + 1.0:
        _new_session(s, o, session)
    if high == high and low == low and first == first and close == close:
        _see_bar(s, o, high, low, first, close, v[x[i + 6]], rth_minute)
    at = o + _PLACES[which]
    early = (which == 5 or which == 6) and not rth_minute >= OPENING_RANGE_MINUTES
    return s[at + 1] if s[at] == 1.0 and not early else np.nan


_PLACES = np.array(
    [
        _PRIOR_CLOSE,
        _PRIOR_HIGH,
        _PRIOR_LOW,
        _PRIOR_RTH_CLOSE,
        _RTH_OPEN,
        _OR_HIGH,
        _OR_LOW,
        _NIGHT_HIGH,
        _NIGHT_LOW,
        _HIGH,
        _LOW,
    ]
)
LEVELS = (
    "prior_close",
    "prior_rth_high",
    "prior_rth_low",
    "prior_rth_close",
    "rth_open",
    "or30_high",
    "or30_low",
    "overnight_high",
    "overnight_low",
    "session_high",
    "session_low",
)

OPERATORS = (
    Operator(
        name="session_cumsum",
        opcode=70,
        step=session_cumsum_step,
        inputs=0,
        params=(Param(name="anchor", default="session", choices=("session", "rth")), Param(name="n_inputs")),
        state=state_of(1),
    ),
    Operator(name="session_last", opcode=71, step=session_last_step, inputs=2, state=state_of(5)),
    Operator(name="range_so_far", opcode=72, step=range_so_far_step, inputs=3, state=state_of(3)),
    Operator(
        name="daily_atr",
        opcode=73,
        step=daily_atr_step,
        inputs=5,
        params=(Param(name="n", default=14),),
        state=state_of(9),
    ),
    Operator(
        name="session_level",
        opcode=74,
        step=session_level_step,
        inputs=8,
        params=(Param(name="which", choices=LEVELS),),
        state=state_of(_LEVEL_STATE),
    ),
)
