"""Operators of plain arithmetic on one or two series: take, sub, product, ratio, differences, ranks."""

import math

import numpy as np

from mia.features.operators.registry import Operator, Param, laps_of, window_of
from mia.features.operators.window import inner, lap_clear, lap_push, ring_clear, ring_push, window_moments


@inner
def take_step(v, x, i, s, o, p, q):
    """The input, `lag` bars ago."""
    lag = int(p[q])
    value = v[x[i]]
    return value if lag == 0 else ring_push(s, o, lag, value)


@inner
def sub_step(v, x, i, s, o, p, q):
    """First input minus second."""
    return v[x[i]] - v[x[i + 1]]


@inner
def product_step(v, x, i, s, o, p, q):
    """Product of all inputs."""
    value = 1.0
    for k in range(int(p[q])):
        value *= v[x[i + k]]
    return value


@inner
def sign_step(v, x, i, s, o, p, q):
    """-1, 0 or 1."""
    value = v[x[i]]
    if value > 0.0:
        return 1.0
    if value < 0.0:
        return -1.0
    return value  # 0 or NaN


@inner
def log_step(v, x, i, s, o, p, q):
    """Natural logarithm; NaN for values <= 0."""
    value = v[x[i]]
    return math.log(value) if value > 0.0 else np.nan


@inner
def ratio_step(v, x, i, s, o, p, q):
    """Sum of a over n bars by sum of b over n bars, optionally its log; NaN if the divisor is 0."""
    n, take_log = int(p[q]), p[q + 1]
    a, b = v[x[i]], v[x[i + 1]]
    second = o + n + 3
    if a != a or b != b:
        lap_clear(s, o)
        lap_clear(s, second)
        return np.nan
    above, below = lap_push(s, o, n, a), lap_push(s, second, n, b)
    if s[o] < n or below == 0.0:
        return np.nan
    value = above / below
    if take_log == 0.0:
        return value
    return math.log(value) if value > 0.0 else np.nan


@inner
def rel_distance_step(v, x, i, s, o, p, q):
    """(a - b) / unit; NaN if the unit is 0."""
    unit = v[x[i + 2]]
    return np.nan if unit == 0.0 else (v[x[i]] - v[x[i + 1]]) / unit


@inner
def diff_step(v, x, i, s, o, p, q):
    """Change over n bars."""
    value = v[x[i]]
    if value != value:
        ring_clear(s, o)
        return np.nan
    return value - ring_push(s, o, int(p[q]), value)


@inner
def log_return_step(v, x, i, s, o, p, q):
    """Log of today's value by the one n bars ago; values <= 0 count as missing."""
    value = v[x[i]]
    if not value > 0.0:
        ring_clear(s, o)
        return np.nan
    return math.log(value / ring_push(s, o, int(p[q]), value))


@inner
def roll_sum_step(v, x, i, s, o, p, q):
    """Sum over n bars."""
    n = int(p[q])
    value = v[x[i]]
    if value != value:
        lap_clear(s, o)
        return np.nan
    return lap_push(s, o, n, value)


@inner
def zscore_step(v, x, i, s, o, p, q):
    """(value - mean) / standard deviation (ddof 1) over n bars; 0 if nothing varies."""
    n = int(p[q])
    value = v[x[i]]
    if value != value:
        ring_clear(s, o)
        return np.nan
    ring_push(s, o, n, value)
    if s[o] < n:
        return np.nan
    total, squares = window_moments(s, o + 2, n, value)
    deviation = math.sqrt(max(0.0, squares - total * total / n) / (n - 1))
    return -total / n / deviation if deviation > 0.0 else 0.0


@inner
def pct_rank_step(v, x, i, s, o, p, q):
    """Share of the other n - 1 bars that lie below, ties counting half: 0 lowest, 1 highest."""
    n = int(p[q])
    value = v[x[i]]
    if value != value:
        ring_clear(s, o)
        return np.nan
    ring_push(s, o, n, value)
    if s[o] < n:
        return np.nan
    below, equal = 0, -1  # -1: itself
    for k in range(n):
        other = s[o + 2 + k]
        if other < value:
            below += 1
        elif other == value:
            equal += 1
    return (below + 0.5 * equal) / (n - 1)


@inner
def threshold_step(v, x, i, s, o, p, q):
    """1 if the first input is below the second, else 0."""
    a, b = v[x[i]], v[x[i + 1]]
    if a != a or b != b:
        return np.nan
    return 1.0 if a < b else 0.0


@inner
def bars_since_step(v, x, i, s, o, p, q):
    """Bars since any input last changed to another value; 0 on that bar, NaN before the first value."""
    changed = False
    for k in range(int(p[q])):
        value = v[x[i + k]]
        at = o + 2 + 2 * k
        if value == value and (s[at] == 0.0 or s[at + 1] != value):
            s[at], s[at + 1] = 1.0, value
            changed = True
    if changed:
        s[o], s[o + 1] = 1.0, 0.0
    elif s[o] == 1.0:
        s[o + 1] += 1.0
    return s[o + 1] if s[o] == 1.0 else np.nan


N = Param(name="n")
COUNT = Param(name="n_inputs")

OPERATORS = (
    Operator(
        name="take",
        opcode=0,
        step=take_step,
        params=(Param(name="lag", default=0),),
        state=window_of("lag"),
    ),
    Operator(name="sub", opcode=1, step=sub_step, inputs=2),
    Operator(name="product", opcode=2, step=product_step, inputs=0, params=(COUNT,)),
    Operator(
        name="ratio",
        opcode=3,
        step=ratio_step,
        inputs=2,
        params=(Param(name="n", default=1), Param(name="log", default=0)),
        state=laps_of(copies=2),
    ),
    Operator(name="sign", opcode=4, step=sign_step),
    Operator(name="log", opcode=5, step=log_step),
    Operator(name="diff", opcode=6, step=diff_step, params=(N,), state=window_of("n")),
    Operator(name="log_return", opcode=7, step=log_return_step, params=(N,), state=window_of("n")),
    Operator(name="roll_sum", opcode=8, step=roll_sum_step, params=(N,), state=laps_of()),
    Operator(name="rel_distance", opcode=9, step=rel_distance_step, inputs=3),
    Operator(name="zscore", opcode=10, step=zscore_step, params=(N,), state=window_of("n")),
    Operator(name="pct_rank", opcode=11, step=pct_rank_step, params=(N,), state=window_of("n")),
    Operator(name="threshold", opcode=12, step=threshold_step, inputs=2),
    Operator(
        name="bars_since",
        opcode=13,
        step=bars_since_step,
        inputs=0,
        params=(COUNT,),
        state=lambda _params, count: 2 + 2 * count,
    ),
)
