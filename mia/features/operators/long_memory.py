"""Operators on the dependence of returns over long windows: Hurst, variance ratio, fractional differences."""

import math
from collections.abc import Mapping

import numpy as np

from mia.features.operators.registry import Operator, Param
from mia.features.operators.window import inner, ring_clear, ring_get, ring_push

# hurst and variance_ratio keep a ring of n + 1 log prices, then n numbers of scratch for the returns.


@inner
def _centred_returns(s, o, n, value):
    """Push a log price; once n returns exist, leave them, less their mean, in the scratch and say so."""
    if not value > 0.0:
        ring_clear(s, o)
        return False
    ring_push(s, o, n + 1, math.log(value))
    if s[o] < n + 1:
        return False
    scratch = o + n + 3
    newest = ring_get(s, o, n + 1, 0)
    mean = (newest - ring_get(s, o, n + 1, n)) / n
    for age in range(n):
        earlier = ring_get(s, o, n + 1, age + 1)
        s[scratch + n - 1 - age] = newest - earlier - mean
        newest = earlier
    return True


@inner
def _box_residuals(s, a, n, size):
    """Mean squared distance of the n profile values at s[a:] from a straight line in each box of `size`."""
    along = size * (size * size - 1.0) / 12.0
    total = 0.0
    boxes = n // size
    for box in range(boxes):
        start = a + box * size
        mean = 0.0
        for k in range(size):
            mean += s[start + k]
        mean /= size
        squares = cross = 0.0
        for k in range(size):
            deviation = s[start + k] - mean
            squares += deviation * deviation
            cross += deviation * (k - 0.5 * (size - 1))
        total += max(0.0, squares - cross * cross / along)
    return total / (boxes * size)


@inner
def hurst_step(v, x, i, s, o, p, q):
    """Hurst exponent of n returns by detrended fluctuation analysis, clipped to 0..1; 0.5 if nothing moved.

    Boxes of 8, 16, ... up to n / 4 bars. Source: Peng et al. (1994).
    """
    n = int(p[q])
    if not _centred_returns(s, o, n, v[x[i]]):
        return np.nan
    profile = o + n + 3
    for k in range(1, n):
        s[profile + k] += s[profile + k - 1]
    size, points = 8, 0
    sum_a = sum_b = sum_aa = sum_ab = 0.0
    while size <= n // 4:
        residual = _box_residuals(s, profile, n, size)
        if residual <= 1e-24:  # a dead market: no fluctuation to scale
            return 0.5
        a, b = math.log(size), 0.5 * math.log(residual)
        sum_a += a
        sum_b += b
        sum_aa += a * a
        sum_ab += a * b
        points += 1
        size *= 2
    slope = (points * sum_ab - sum_a * sum_b) / (points * sum_aa - sum_a * sum_a)
    return min(1.0, max(0.0, slope))


@inner
def variance_ratio_step(v, x, i, s, o, p, q):
    """Heteroskedasticity-robust z of the variance ratio at `q` bars over n returns; 0 if nothing moved.

    Positive: moves continue; negative: they revert. Source: Lo and MacKinlay (1988), overlapping, unbiased.
    """
    n, lag = int(p[q]), int(p[q + 1])
    if not _centred_returns(s, o, n, v[x[i]]):
        return np.nan
    r = o + n + 3
    squares = 0.0
    for k in range(n):
        squares += s[r + k] ** 2
    if squares <= 1e-24:
        return 0.0
    total = 0.0
    window = 0.0
    for k in range(n):
        window += s[r + k]
        if k >= lag:
            window -= s[r + k - lag]
        if k >= lag - 1:
            total += window * window
    unbiased = lag * (n - lag + 1.0) * (1.0 - lag / n)
    ratio = (total / unbiased) / (squares / (n - 1.0))
    spread = 0.0
    for j in range(1, lag):
        pairs = 0.0
        for k in range(j, n):
            pairs += (s[r + k] * s[r + k - j]) ** 2
        spread += (2.0 * (lag - j) / lag) ** 2 * pairs / (squares * squares)
    return (ratio - 1.0) / math.sqrt(spread) if spread > 0.0 else 0.0


def fractional_weights(d: float, tau: float) -> np.ndarray:
    """Weights of (1 - B)^d, newest first, as far as they reach `tau` in size. Source: Hosking (1981)."""
    weights = [1.0]
    while True:
        k = len(weights)
        following = -weights[-1] * (d - k + 1) / k
        if abs(following) < tau:
            return np.array(weights)
        weights.append(following)


def _fracdiff_state(params: Mapping[str, float], _inputs: int) -> int:
    return 2 * len(fractional_weights(params["d"], params["tau"])) + 3


@inner
def fracdiff_step(v, x, i, s, o, p, q):
    """Fractional difference of order d of the log price [points]. State: [weights held, weights, ring].

    The weights are written into the state on the first bar; how many there are is decided by the same rule
    that sized the state.
    """
    d, tau, tick = p[q], p[q + 1], p[q + 2]
    if s[o] == 0.0:
        count, weight = 0, 1.0
        while abs(weight) >= tau:
            s[o + 1 + count] = weight
            count += 1
            weight = -weight * (d - count + 1) / count
        s[o] = count
    m = int(s[o])
    ring = o + 1 + m
    value = v[x[i]]
    if not value > 0.0:
        ring_clear(s, ring)
        return np.nan
    ring_push(s, ring, m, math.log(value * tick))
    if s[ring] < m:
        return np.nan
    total = 0.0
    for k in range(m):
        total += s[o + 1 + k] * ring_get(s, ring, m, k)
    return total


N = Param(name="n")

OPERATORS = (
    Operator(
        name="hurst",
        opcode=50,
        step=hurst_step,
        params=(N, Param(name="method", default="dfa", choices=("dfa",))),
        state=lambda params, _inputs: 2 * int(params["n"]) + 3,
    ),
    Operator(
        name="variance_ratio",
        opcode=51,
        step=variance_ratio_step,
        params=(N, Param(name="q")),
        state=lambda params, _inputs: 2 * int(params["n"]) + 3,
    ),
    Operator(
        name="fracdiff",
        opcode=52,
        step=fracdiff_step,
        params=(Param(name="d"), Param(name="tau"), Param(name="tick_size")),
        state=_fracdiff_state,
    ),
)
