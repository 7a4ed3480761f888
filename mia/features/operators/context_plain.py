"""Context operators without a clock: scaling, pinning, divergence of forecasts, and memory of the model's own words."""

import math

import numpy as np

from mia.features.operators.registry import Operator, Param, window_of
from mia.features.operators.window import inner, ring_clear, ring_mean, ring_push

UNBOUNDED = 1e300


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
def correlation(count, a, b, aa, bb, ab):
    """Correlation from sums over `count` pairs of numbers near 0; 0 if one does not vary."""
    size = (aa - a * a / count) * (bb - b * b / count)
    return max(-1.0, min(1.0, (ab - a * b / count) / math.sqrt(size))) if size > 0.0 else 0.0


@inner
def ring_correlation(s, a, b, n):
    """Correlation of two full rings that were pushed together; 0 if one does not vary.

    One pass, relative to one of the values: a constant gives exact zeros, and nothing large cancels.
    """
    left, right = s[a + 2], s[b + 2]
    sa = sb = saa = sbb = sab = 0.0
    for k in range(n):
        x, y = s[a + 2 + k] - left, s[b + 2 + k] - right
        sa += x
        sb += y
        saa += x * x
        sbb += y * y
        sab += x * y
    return correlation(n, sa, sb, saa, sbb, sab)


@inner
def paired_corr_step(v, x, i, s, o, p, q):
    """Correlation of the last n pairs of which both are there, however far apart; NaN `max_gap` bars after the last.

    State [bars since the last pair, two rings].
    """
    n, a, b = int(p[q]), v[x[i]], v[x[i + 1]]
    first, second = o + 1, o + 1 + int(p[q]) + 2
    if a == a and b == b:
        s[o] = 0.0
        ring_push(s, first, n, a)
        ring_push(s, second, n, b)
    else:
        s[o] += 1.0
    if s[first] < n or s[o] >= p[q + 1]:
        return np.nan
    return ring_correlation(s, first, second, n)


PAIRED_CORR = Operator(
    name="paired_corr",
    opcode=206,
    step=paired_corr_step,
    inputs=2,
    params=(Param(name="n"), Param(name="max_gap", default=120)),
    state=window_of("n", extra=1, copies=2),
)
