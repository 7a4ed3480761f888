"""Operators on trades: absorption, divergence, footprint, trade sizes, arrivals, and combinations."""

import math

import numpy as np

from mia.features.operators.registry import Operator, Param, state_of, window_of
from mia.features.operators.window import inner, ring_clear, ring_get, ring_push

HAWKES_PARTS = 48
"""Parts of a session the fitted diurnal factor of the arrival intensity is constant on."""


@inner
def absorption_step(v, x, i, s, o, p, q):
    """Share of the expected price impact that did not happen, x unusual aggressive volume (floored at 0).

    Over the last n bars, side ask: expected = lambda_{t-1} max(0, sum delta), seen = max(0, mid change),
    a = clip(1 - seen / max(expected, 1 tick), 0, 1); side bid mirrored.
    Inputs: delta, mid, impact per contract [ticks], seasonal z of the side's aggressive volume.
    """
    ask, n = p[q] == 0.0, int(p[q + 1])
    delta, mid, impact, unusual = v[x[i]], v[x[i + 1]], v[x[i + 2]], v[x[i + 3]]
    deltas, mids = o + 2, o + 2 + n + 2
    seen_before, prior = s[o] > 0.0, s[o + 1]
    s[o], s[o + 1] = 1.0, impact
    if np.isnan(delta) or np.isnan(mid):
        ring_clear(s, deltas)
        ring_clear(s, mids)
        return np.nan
    ring_push(s, deltas, n, delta)
    ring_push(s, mids, n + 1, mid)
    if s[mids] < n + 1 or not seen_before or np.isnan(prior) or np.isnan(unusual):
        return np.nan
    flow = 0.0
    for age in range(n):
        flow += ring_get(s, deltas, n, age)
    move = mid - ring_get(s, mids, n + 1, n)
    if not ask:
        flow, move = -flow, -move
    expected = max(prior * max(0.0, flow), 1.0)
    return min(max(1.0 - max(0.0, move) / expected, 0.0), 1.0) * max(0.0, unusual)


ABSORPTION = Operator(
    name="absorption",
    opcode=110,
    step=absorption_step,
    inputs=4,
    params=(Param(name="side", choices=("ask", "bid")), Param(name="n", default=3)),
    state=lambda p, _: 2 + int(p["n"]) + 2 + int(p["n"]) + 3,
)


@inner
def newest_rank(s, o, n, newest):
    """Rank of the newest of the n values of a full ring among the others, ties half, in [0, 1]."""
    below, equal = 0, -1  # -1: itself
    for k in range(o + 2, o + 2 + n):
        below += s[k] < newest
        equal += s[k] == newest
    return (below + 0.5 * equal) / (n - 1)


@inner
def divergence_step(v, x, i, s, o, p, q):
    """Percent rank of the second input minus that of the first over n bars of one session, in [-1, 1].

    Inputs: close, cumulative delta, cal.session. Restarts with the session because cumulative delta does.
    """
    n = int(p[q])
    price, flow, session = v[x[i]], v[x[i + 1]], v[x[i + 2]]
    prices, flows = o + 1, o + n + 3
    if np.isnan(price) or np.isnan(flow) or np.isnan(session) or s[o] != session + 1.0:
        ring_clear(s, prices)
        ring_clear(s, flows)
    if np.isnan(price) or np.isnan(flow) or np.isnan(session):
        return np.nan
    s[o] = session + 1.0
    ring_push(s, prices, n, price)
    ring_push(s, flows, n, flow)
    if s[prices] < n:
        return np.nan
    return newest_rank(s, flows, n, flow) - newest_rank(s, prices, n, price)


DIVERGENCE = Operator(
    name="divergence",
    opcode=111,
    step=divergence_step,
    inputs=3,
    params=(Param(name="n"),),
    state=window_of("n", extra=1, copies=2),
)


@inner
def stacked_imbalance_step(v, x, i, s, o, p, q):
    """Longest run of stacked imbalances as the aggregator found it, 0 if shorter than `min_levels`."""
    run = v[x[i]]
    if np.isnan(run):
        return np.nan
    return run if run >= p[q] else 0.0


STACKED_IMBALANCE = Operator(
    name="stacked_imbalance",
    opcode=112,
    step=stacked_imbalance_step,
    inputs=1,
    params=(Param(name="min_levels", default=3),),
)


@inner
def entropy_step(v, x, i, s, o, p, q):
    """Shannon entropy [nats] of counts; NaN if there is nothing to count. Source: Shannon (1948)."""
    count, total = int(p[q]), 0.0
    for k in range(count):
        total += v[x[i + k]]
    if not total > 0.0:
        return np.nan
    answer = 0.0
    for k in range(count):
        share = v[x[i + k]] / total
        if share > 0.0:
            answer -= share * math.log(share)
    return answer


ENTROPY = Operator(name="entropy", opcode=113, step=entropy_step, inputs=0, params=(Param(name="n_inputs"),))


@inner
def total_step(v, x, i, s, o, p, q):
    """Sum of the inputs."""
    answer = 0.0
    for k in range(int(p[q])):
        answer += v[x[i + k]]
    return answer


TOTAL = Operator(name="total", opcode=114, step=total_step, inputs=0, params=(Param(name="n_inputs"),))


@inner
def composite_step(v, x, i, s, o, p, q):
    """Squashed mean of the inputs that are there, NaN if fewer than `min_present` (0: all of them).

    `negate` names the inputs that count negatively as a sum of 2^k, k = 0 for the first.
    """
    count, negate, squash, least = int(p[q]), int(p[q + 1]), p[q + 2], p[q + 3]
    total, present = 0.0, 0.0
    for k in range(count):
        value = v[x[i + k]]
        if np.isnan(value):
            continue
        total += -value if (negate >> k) & 1 else value
        present += 1.0
    if present < (least if least > 0.0 else count):
        return np.nan
    mean = total / present
    if squash == 1.0:
        return 1.0 / (1.0 + math.exp(-mean))
    if squash == 2.0:
        return math.tanh(mean)
    return mean


COMPOSITE = Operator(
    name="composite",
    opcode=115,
    step=composite_step,
    inputs=0,
    params=(
        Param(name="n_inputs"),
        Param(name="negate", default=0),
        Param(name="squash", default="none", choices=("none", "logistic", "tanh")),
        Param(name="min_present", default=0),
    ),
)


@inner
def session_part(minute, session_minutes, parts):
    """Which of `parts` equal parts of an ordinary session a bar's close lies in."""
    return min(max(int((minute - 0.5) / session_minutes * parts), 0), parts - 1)


@inner
def hawkes_step(v, x, i, s, o, p, q):
    """Intensity mu x diurnal factor + alpha x (decayed count of past trades) [events/s] at the bar's close.

    Inputs: decayed sum, cal.minute. Fitted block: mu, alpha, one factor for each part of the session.
    Source: Bacry, Mastromatteo, Muzy (2015).
    """
    memory, minute = v[x[i]], v[x[i + 1]]
    if np.isnan(memory) or np.isnan(minute):
        return np.nan
    part = session_part(minute, p[q], HAWKES_PARTS)
    return p[q + 1] * p[q + 3 + part] + p[q + 2] * memory


HAWKES = Operator(
    name="hawkes",
    opcode=116,
    step=hawkes_step,
    inputs=2,
    params=(Param(name="session_minutes"),),
    fitted=lambda _params, _inputs: 2 + HAWKES_PARTS,
)


@inner
def session_diff_step(v, x, i, s, o, p, q):
    """Change since the previous bar; 0 on a session's first bar: nobody's trade moved the price over the gap.

    Inputs: price, cal.first.
    """
    price, first = v[x[i]], v[x[i + 1]]
    had, before = s[o] > 0.0, s[o + 1]
    if np.isnan(price) or np.isnan(first):
        s[o] = 0.0
        return np.nan
    s[o], s[o + 1] = 1.0, price
    if first == 1.0:
        return 0.0
    return price - before if had else np.nan


SESSION_DIFF = Operator(name="session_diff", opcode=117, step=session_diff_step, inputs=2, state=state_of(2))
