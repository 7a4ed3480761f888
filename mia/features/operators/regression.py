"""Operators that fit a line or a correlation to a window, from the window itself: sums cannot drift."""

import math

import numpy as np

from mia.features.operators.registry import Operator, Param, window_of
from mia.features.operators.window import inner, ring_clear, ring_get, ring_mean, ring_push, ring_squares


@inner
def linreg_step(v, x, i, s, o, p, q):
    """Least-squares line over n bars: slope [unit per bar], or R squared (0 if nothing varies)."""
    n, out = int(p[q]), int(p[q + 1])
    value = v[x[i]]
    if value != value:
        ring_clear(s, o)
        return np.nan
    ring_push(s, o, n, value)
    if s[o] < n:
        return np.nan
    mean = ring_mean(s, o, n)
    middle = 0.5 * (n - 1)
    cross = 0.0
    for age in range(n):
        cross += (n - 1 - age - middle) * (ring_get(s, o, n, age) - mean)
    along = n * (n * n - 1.0) / 12.0
    if out == 0:
        return cross / along
    across = ring_squares(s, o, n, mean)
    return min(1.0, cross * cross / (along * across)) if across > 0.0 else 0.0


@inner
def _moments(s, a, b, n):
    """Sums of squares and products of the deviations in two full rings pushed together."""
    mean_a, mean_b = ring_mean(s, a, n), ring_mean(s, b, n)
    cross = 0.0
    for k in range(n):
        cross += (s[a + 2 + k] - mean_a) * (s[b + 2 + k] - mean_b)
    return ring_squares(s, a, n, mean_a), ring_squares(s, b, n, mean_b), cross


@inner
def corr_step(v, x, i, s, o, p, q):
    """Correlation of two series over n bars; 0 if one does not vary."""
    n = int(p[q])
    a, b, second = v[x[i]], v[x[i + 1]], o + int(p[q]) + 2
    if a != a or b != b:
        ring_clear(s, o)
        ring_clear(s, second)
        return np.nan
    ring_push(s, o, n, a)
    ring_push(s, second, n, b)
    if s[o] < n:
        return np.nan
    aa, bb, ab = _moments(s, o, second, n)
    return max(-1.0, min(1.0, ab / math.sqrt(aa * bb))) if aa * bb > 0.0 else 0.0


@inner
def roll_ols_step(v, x, i, s, o, p, q):
    """Slope of the first input on the second over n bars; NaN if the second does not vary."""
    n = int(p[q])
    y, z, second = v[x[i]], v[x[i + 1]], o + int(p[q]) + 2
    if y != y or z != z:
        ring_clear(s, o)
        ring_clear(s, second)
        return np.nan
    ring_push(s, o, n, y)
    ring_push(s, second, n, z)
    if s[o] < n:
        return np.nan
    _, zz, yz = _moments(s, o, second, n)
    return yz / zz if zz > 0.0 else np.nan


@inner
def autocorr_step(v, x, i, s, o, p, q):
    """Correlation of n pairs (value, value `lag` bars before); 0 if nothing varies."""
    n, lag = int(p[q]), int(p[q + 1])
    size = n + lag
    value = v[x[i]]
    if value != value:
        ring_clear(s, o)
        return np.nan
    ring_push(s, o, size, value)
    if s[o] < size:
        return np.nan
    mean_a = mean_b = 0.0
    for age in range(n):
        mean_a += ring_get(s, o, size, age)
        mean_b += ring_get(s, o, size, age + lag)
    mean_a /= n
    mean_b /= n
    aa = bb = ab = 0.0
    for age in range(n):
        a = ring_get(s, o, size, age) - mean_a
        b = ring_get(s, o, size, age + lag) - mean_b
        aa += a * a
        bb += b * b
        ab += a * b
    return max(-1.0, min(1.0, ab / math.sqrt(aa * bb))) if aa * bb > 0.0 else 0.0


N = Param(name="n")

OPERATORS = (
    Operator(
        name="linreg",
        opcode=20,
        step=linreg_step,
        params=(N, Param(name="out", choices=("slope", "r2"))),
        state=window_of("n"),
    ),
    Operator(name="corr", opcode=21, step=corr_step, inputs=2, params=(N,), state=window_of("n", copies=2)),
    Operator(
        name="roll_ols",
        opcode=22,
        step=roll_ols_step,
        inputs=2,
        params=(N, Param(name="out", default="beta", choices=("beta",))),
        state=window_of("n", copies=2),
    ),
    Operator(
        name="autocorr",
        opcode=23,
        step=autocorr_step,
        params=(N, Param(name="lag", default=1)),
        state=lambda params, _inputs: int(params["n"]) + int(params["lag"]) + 2,
    ),
)
