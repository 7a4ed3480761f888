"""Context operators without a clock: scaling, pinning, divergence of forecasts, and memory of the model's own words."""

import math

import numpy as np

from mia.features.operators.registry import Operator, Param, laps_of, window_of
from mia.features.operators.window import inner, lap_clear, lap_push, ring_clear, ring_mean, ring_push

UNBOUNDED = 1e300
PAIR_LAPS = 5


@inner
def scaled_step(v, x, i, s, o, p, q):
    """Factor x input, clipped to [low, high]."""
    value = v[x[i]] * p[q]
    return min(p[q + 2], max(p[q + 1], value)) if value == value else np.nan


SCALED = Operator(
    name="scaled",
    opcode=200,
    step=scaled_step,
    params=(
        Param(name="factor", default=1.0),
        Param(name="low", default=-UNBOUNDED),
        Param(name="high", default=UNBOUNDED),
    ),
)


@inner
def shrunk_ratio_step(v, x, i, s, o, p, q):
    """A / max(b, floor): a mean that fades to 0 as the weight behind it does."""
    a, b = v[x[i]], v[x[i + 1]]
    return a / max(b, p[q]) if a == a and b == b else np.nan


SHRUNK_RATIO = Operator(
    name="shrunk_ratio", opcode=201, step=shrunk_ratio_step, inputs=2, params=(Param(name="floor"),)
)


@inner
def pin_step(v, x, i, s, o, p, q):
    """Share of gamma at the nearest strike x exp(-distance / expected move) x min(1, 1 / sqrt(hours left)).

    Inputs: share, distance, expected move in the same unit, hours to expiry.
    """
    share, distance, move, hours = v[x[i]], v[x[i + 1]], v[x[i + 2]], v[x[i + 3]]
    if share != share or distance != distance or hours != hours or not move > 0.0:
        return np.nan
    return share * math.exp(-abs(distance) / move) / math.sqrt(max(hours, 1.0))


PIN = Operator(name="pin", opcode=202, step=pin_step, inputs=4)


@inner
def likeliest_step(v, x, i, s, o, p, q):
    """Position of the largest input (the first of equals); NaN if any is missing."""
    best = 0
    for k in range(int(p[q])):
        if np.isnan(v[x[i + k]]):
            return np.nan
        if v[x[i + k]] > v[x[i + best]]:
            best = k
    return float(best)


LIKELIEST = Operator(name="likeliest", opcode=203, step=likeliest_step, inputs=0, params=(Param(name="n_inputs"),))


@inner
def js_divergence_step(v, x, i, s, o, p, q):
    """Jensen-Shannon divergence [nats] of two distributions, given one after the other; weights need not sum to 1.

    0 if they agree, ln 2 if they share nothing. Source: Lin (1991).
    """
    half = int(p[q]) // 2
    first, second = 0.0, 0.0
    for k in range(half):
        first += v[x[i + k]]
        second += v[x[i + half + k]]
    if not (first > 0.0 and second > 0.0):
        return np.nan
    answer = 0.0
    for k in range(half):
        a, b = v[x[i + k]] / first, v[x[i + half + k]] / second
        middle = 0.5 * (a + b)
        if a > 0.0:
            answer += 0.5 * a * math.log(a / middle)
        if b > 0.0:
            answer += 0.5 * b * math.log(b / middle)
    return min(math.log(2.0), max(0.0, answer))


JS_DIVERGENCE = Operator(
    name="js_divergence", opcode=204, step=js_divergence_step, inputs=0, params=(Param(name="n_inputs"),)
)


@inner
def shortfall_step(v, x, i, s, o, p, q):
    """How far the input is below its mean over n bars, as a share of that mean; 0 above it."""
    n = int(p[q])
    value = v[x[i]]
    if value != value:
        ring_clear(s, o)
        return np.nan
    ring_push(s, o, n, value)
    if s[o] < n:
        return np.nan
    mean = ring_mean(s, o, n)
    return max(0.0, (mean - value) / mean) if mean > 0.0 else np.nan


SHORTFALL = Operator(name="shortfall", opcode=205, step=shortfall_step, params=(Param(name="n"),), state=window_of("n"))


@inner
def pair_push(s, o, n, a, b):
    """Take one more pair; returns squares and products around the means of the last n, NaN while filling.

    For numbers whose mean is not far beyond their deviation, such as returns. State: five laps, `PAIR_LAPS`.
    """
    size = n + 3
    sa, sb = lap_push(s, o, n, a), lap_push(s, o + size, n, b)
    aa, bb = lap_push(s, o + 2 * size, n, a * a), lap_push(s, o + 3 * size, n, b * b)
    return aa - sa * sa / n, bb - sb * sb / n, lap_push(s, o + 4 * size, n, a * b) - sa * sb / n


@inner
def pair_clear(s, o, n):
    """Forget all pairs."""
    for k in range(PAIR_LAPS):
        lap_clear(s, o + k * (n + 3))


@inner
def correlation(aa, bb, ab):
    """Correlation from squares and products around the means; 0 if one does not vary, NaN if one is NaN."""
    size = aa * bb
    if size != size:
        return np.nan
    return max(-1.0, min(1.0, ab / math.sqrt(size))) if aa > 0.0 and bb > 0.0 else 0.0


@inner
def paired_corr_step(v, x, i, s, o, p, q):
    """Correlation of the last n pairs of which both are there, however far apart; NaN `max_gap` bars after the last.

    State [bars since the last pair, correlation + 2 (0: none), laps].
    """
    a, b = v[x[i]], v[x[i + 1]]
    if a == a and b == b:
        s[o] = 0.0
        aa, bb, ab = pair_push(s, o + 2, int(p[q]), a, b)
        now = correlation(aa, bb, ab)
        s[o + 1] = now + 2.0 if now == now else 0.0
    else:
        s[o] += 1.0
    return s[o + 1] - 2.0 if s[o + 1] > 0.0 and s[o] < p[q + 1] else np.nan


PAIRED_CORR = Operator(
    name="paired_corr",
    opcode=206,
    step=paired_corr_step,
    inputs=2,
    params=(Param(name="n"), Param(name="max_gap", default=120)),
    state=laps_of("n", extra=2, copies=PAIR_LAPS),
)
