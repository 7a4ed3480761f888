"""Context operators that look back over whole sessions: ranks, publications, turnover, time of day."""

import numpy as np

from mia.features.operators.registry import Operator, Param, state_of
from mia.features.operators.window import (
    inner,
    median_sorted,
    ring_push,
    slot_load,
    slot_median,
    slot_size,
    slot_store,
    sort_range,
)

# A session is remembered as its ordinal + 1, so that the zeroed state means "none yet".


@inner
def published_change_step(v, x, i, s, o, p, q):
    """What the latest publication of a daily value changed; kept until the next one.

    A value that differs from the last of the prior session is this session's publication; otherwise the latest
    is that of the prior session. Inputs: value as published, cal.session.
    State [session + 1, last, has, prior session's last, has, that of the one before, has].
    """
    value, session = v[x[i]], v[x[i + 1]]
    if session == session and s[o] != session + 1.0:
        s[o + 5], s[o + 6] = s[o + 3], s[o + 4]
        s[o + 3], s[o + 4] = s[o + 1], s[o + 2]
        s[o] = session + 1.0
    if value != value or session != session:
        return np.nan
    s[o + 1], s[o + 2] = value, 1.0
    if s[o + 4] == 0.0:
        return np.nan
    if value != s[o + 3]:
        return value - s[o + 3]
    return value - s[o + 5] if s[o + 6] == 1.0 else np.nan


PUBLISHED_CHANGE = Operator(
    name="published_change", opcode=220, step=published_change_step, inputs=2, state=state_of(7)
)


@inner
def settled_rank_step(v, x, i, s, o, p, q):
    """Share of the last values of up to n prior sessions that lie below, ties counting half; NaN before `least`.

    Inputs: value, cal.session. State [session + 1, last, has last, ring].
    """
    n, value, session = int(p[q]), v[x[i]], v[x[i + 1]]
    ring = o + 3
    if session == session and s[o] != session + 1.0:
        if s[o + 2] == 1.0:
            ring_push(s, ring, n, s[o + 1])
        s[o], s[o + 2] = session + 1.0, 0.0
    if value != value:
        return np.nan
    s[o + 1], s[o + 2] = value, 1.0
    held = int(s[ring])
    if held < p[q + 1]:
        return np.nan
    below = 0.0
    for k in range(held):
        if s[ring + 2 + k] < value:
            below += 1.0
        elif s[ring + 2 + k] == value:
            below += 0.5
    return below / held


SETTLED_RANK = Operator(
    name="settled_rank",
    opcode=221,
    step=settled_rank_step,
    inputs=2,
    params=(Param(name="n", default=252), Param(name="least", default=60)),
    state=lambda params, _inputs: 5 + int(params["n"]),
)


@inner
def turnover_share_step(v, x, i, s, o, p, q):
    """Amount [USD] over the mean money traded per session, of up to `sessions` prior ones.

    Sessions with less than half of their bars do not count. Inputs: amount, volume, close, cal.session.
    State [session + 1, volume x close of this session, its bars, ring].
    """
    size, n_slots, point = int(p[q]), p[q + 1], p[q + 2] * p[q + 3]
    volume, session, ring = v[x[i + 1]], v[x[i + 3]], o + 3
    if session == session and s[o] != session + 1.0:
        if s[o + 2] >= 0.5 * n_slots:
            ring_push(s, ring, size, s[o + 1])
        s[o], s[o + 1], s[o + 2] = session + 1.0, 0.0, 0.0
    money = volume * v[x[i + 2]]
    if money == money:
        s[o + 1] += money
        s[o + 2] += 1.0
    held, total = int(s[ring]), 0.0
    for k in range(held):
        total += s[ring + 2 + k]
    return v[x[i]] * held / (total * point) if total > 0.0 else np.nan


TURNOVER_SHARE = Operator(
    name="turnover_share",
    opcode=222,
    step=turnover_share_step,
    inputs=4,
    params=(
        Param(name="sessions", default=20),
        Param(name="n_slots"),
        Param(name="tick_size"),
        Param(name="multiplier"),
    ),
    state=lambda params, _inputs: 5 + int(params["sessions"]),
)

# deseasonal keeps [session + 1, ready], the day factor per slot, scratch of the same size, and the seasonal memory.
SMALLEST_FACTOR = 0.1


@inner
def _factors(s, o, n_slots, depth, least, session):
    """Median of each slot over prior sessions relative to the median over slots; unknown slots copy a neighbour."""
    scratch, memory = o + 2 + n_slots, o + 2 + 2 * n_slots
    known, last = 0, -1.0
    for slot in range(n_slots):
        m = slot_load(s, memory, n_slots, depth, slot, session)
        if m >= least:
            last = slot_median(s, memory, n_slots, depth, m)
            s[scratch + known] = last
            known += 1
        s[o + 2 + slot] = last
    s[o + 1] = 0.0
    if known == 0:
        return
    first = s[scratch]
    sort_range(s, scratch, known)
    middle = median_sorted(s, scratch, known)
    if middle > 0.0:
        s[o + 1] = 1.0
        for slot in range(n_slots):
            typical = s[o + 2 + slot] if s[o + 2 + slot] >= 0.0 else first
            s[o + 2 + slot] = max(SMALLEST_FACTOR, typical / middle)


@inner
def deseasonal_step(v, x, i, s, o, p, q):
    """Value over what its time of day usually adds: the slot's median of prior sessions by the median slot's.

    For values >= 0. The factors stand for a whole session; NaN before `min_sessions` sessions.
    Inputs: value, cal.session, cal.slot.
    """
    depth, least, n_slots = int(p[q]), int(p[q + 1]), int(p[q + 2])
    value, session, slot = v[x[i]], v[x[i + 1]], v[x[i + 2]]
    if session != session or not (0.0 <= slot < n_slots):
        return np.nan
    if s[o] != session + 1.0:
        _factors(s, o, n_slots, depth, least, session)
        s[o] = session + 1.0
    if value != value:
        return np.nan
    slot_store(s, o + 2 + 2 * n_slots, n_slots, depth, int(slot), session, value)
    return value / s[o + 2 + int(slot)] if s[o + 1] == 1.0 else np.nan


DESEASONAL = Operator(
    name="deseasonal",
    opcode=223,
    step=deseasonal_step,
    inputs=3,
    params=(Param(name="sessions", default=20), Param(name="min_sessions", default=5), Param(name="n_slots")),
    state=lambda params, _inputs: 2 + 2 * int(params["n_slots"]) + slot_size(params["n_slots"], params["sessions"]),
)
