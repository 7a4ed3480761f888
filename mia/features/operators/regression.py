"""Operators that fit a line or a correlation to a window, from sums that cannot drift (see `window`)."""

import math

import numpy as np

from mia.features.operators.registry import Operator, Param, laps_of
from mia.features.operators.window import (
    inner,
    lap_clear,
    lap_push,
    ring_clear,
    ring_mean,
    ring_push,
    ring_squares,
    strip_push,
)

STEADY = 1e-3
"""Variance by less than this share of the mean square: sums around zero would lose digits, so sum directly."""


@inner
def linreg_step(v, x, i, s, o, p, q):
    """Least-squares line over n bars: slope [unit per bar], or R squared (0 if nothing varies)."""
    n, out = int(p[q]), int(p[q + 1])
    value = v[x[i]]
    if value != value:
        ring_clear(s, o)
        return np.nan
    a = strip_push(s, o, n, value)
    if s[o] < n:
        return np.nan
    # Distances d from the newest value, one of the window's: see `window_moments`.
    t0 = t1 = m0 = m1 = q0 = q1 = 0.0
    for k in range(0, n - 1, 2):
        d0, d1 = s[a + k] - value, s[a + k + 1] - value
        t0 += d0
        t1 += d1
        m0 += k * d0
        m1 += k * d1  # and d1 once more below: it stands at k + 1
        q0 += d0 * d0
        q1 += d1 * d1
    total = t0 + t1  # an odd n leaves out the newest, whose d is 0
    cross = (m0 + m1) + t1 - 0.5 * (n - 1) * total
    along = n * (n * n - 1.0) / 12.0
    if out == 0:
        return cross / along
    across = q0 + q1 - total * total / n
    return min(1.0, cross * cross / (along * across)) if across > 0.0 else 0.0


@inner
def _moments(s, a, b, n):
    """Sums of squares and products of the deviations in two full rings pushed together."""
    mean_a, mean_b = ring_mean(s, a, n), ring_mean(s, b, n)
    cross = 0.0
    for k in range(n):
        cross += (s[a + 2 + k] - mean_a) * (s[b + 2 + k] - mean_b)
    return ring_squares(s, a, n, mean_a), ring_squares(s, b, n, mean_b), cross


# Pairs are kept in two rings, then laps of a, b, a a, b b and a b.


@inner
def _pair_clear(s, o, n):
    ring_clear(s, o)
    ring_clear(s, o + n + 2)
    for k in range(5):
        lap_clear(s, o + 2 * (n + 2) + k * (n + 3))


@inner
def _pair_moments(s, o, n, a, b):
    """Take one more pair; returns squares and products around the means of the last n, NaN while filling."""
    laps, second = o + 2 * (n + 2), o + n + 2
    ring_push(s, o, n, a)
    ring_push(s, second, n, b)
    sum_a, sum_b = lap_push(s, laps, n, a), lap_push(s, laps + n + 3, n, b)
    aa, bb = lap_push(s, laps + 2 * (n + 3), n, a * a), lap_push(s, laps + 3 * (n + 3), n, b * b)
    ab = lap_push(s, laps + 4 * (n + 3), n, a * b)
    if s[o] < n:
        return np.nan, np.nan, np.nan
    left_a, left_b = aa - sum_a * sum_a / n, bb - sum_b * sum_b / n
    if left_a > STEADY * aa and left_b > STEADY * bb:
        return left_a, left_b, ab - sum_a * sum_b / n
    return _moments(s, o, second, n)


@inner
def corr_step(v, x, i, s, o, p, q):
    """Correlation of two series over n bars; 0 if one does not vary."""
    n, a, b = int(p[q]), v[x[i]], v[x[i + 1]]
    if a != a or b != b:
        _pair_clear(s, o, n)
        return np.nan
    aa, bb, ab = _pair_moments(s, o, n, a, b)
    if s[o] < n:
        return np.nan
    return max(-1.0, min(1.0, ab / math.sqrt(aa * bb))) if aa * bb > 0.0 else 0.0


@inner
def roll_ols_step(v, x, i, s, o, p, q):
    """Slope of the first input on the second over n bars; NaN if the second does not vary."""
    n, y, z = int(p[q]), v[x[i]], v[x[i + 1]]
    if y != y or z != z:
        _pair_clear(s, o, n)
        return np.nan
    _, zz, yz = _pair_moments(s, o, n, y, z)
    return yz / zz if zz > 0.0 else np.nan


@inner
def autocorr_step(v, x, i, s, o, p, q):
    """Correlation of n pairs (value, value `lag` bars before); 0 if nothing varies."""
    n, lag = int(p[q]), int(p[q + 1])
    value, pairs = v[x[i]], o + lag + 2
    if value != value:
        ring_clear(s, o)
        _pair_clear(s, pairs, n)
        return np.nan
    earlier = ring_push(s, o, lag, value)
    if earlier != earlier:
        return np.nan
    aa, bb, ab = _pair_moments(s, pairs, n, value, earlier)
    if s[pairs] < n:
        return np.nan
    return max(-1.0, min(1.0, ab / math.sqrt(aa * bb))) if aa * bb > 0.0 else 0.0


N = Param(name="n")
PAIRS = laps_of(copies=5, rings=2)

OPERATORS = (
    Operator(
        name="linreg",
        opcode=20,
        step=linreg_step,
        params=(N, Param(name="out", choices=("slope", "r2"))),
        state=lambda params, _inputs: 2 * int(params["n"]) + 2,
    ),
    Operator(name="corr", opcode=21, step=corr_step, inputs=2, params=(N,), state=PAIRS),
    Operator(
        name="roll_ols",
        opcode=22,
        step=roll_ols_step,
        inputs=2,
        params=(N, Param(name="out", default="beta", choices=("beta",))),
        state=PAIRS,
    ),
    Operator(
        name="autocorr",
        opcode=23,
        step=autocorr_step,
        params=(N, Param(name="lag", default=1)),
        state=lambda params, count: PAIRS(params, count) + int(params["lag"]) + 2,
    ),
)
