"""Operators on the dependence of returns over long windows: Hurst, variance ratio, fractional differences."""

import math
from collections.abc import Mapping

import numpy as np

from mia.features.operators.registry import Operator, Param
from mia.features.operators.window import inner, lap_clear, lap_push, ring_clear, strip_push

CANCELLED = 1e-11
"""Squares left over from sums by less than this share are summed again directly."""
STEADY = 0.01
"""Variance by less than this share of the mean square: the expansion around zero loses too many digits."""

# hurst keeps [log prices seen], a strip of n of them, then for box sizes 8, 16, ... up to n / 4 a ring of `size`
# times (sum, moment, squares) and a strip of n residuals.


@inner
def _line_residual(s, a, size):
    """Squares around the straight line through s[a : a + size], directly."""
    mean = 0.0
    for k in range(size):
        mean += s[a + k] - s[a]
    mean = s[a] + mean / size
    squares = cross = 0.0
    for k in range(size):
        deviation = s[a + k] - mean
        squares += deviation * deviation
        cross += deviation * (k - 0.5 * (size - 1))
    return max(0.0, squares - cross * cross / (size * (size * size - 1.0) / 12.0))


@inner
def _residual_of(s, a, size, total, moment, squares):
    """The like from the sums of d, k d and d d, where d = s[a + k] - s[a]; directly if they cancel."""
    cross = moment - 0.5 * (size - 1) * total
    left = squares - total * total / size - cross * cross / (size * (size * size - 1.0) / 12.0)
    return left if left > CANCELLED * squares else _line_residual(s, a, size)


@inner
def _strided_sum(s, a, step, count):
    """Sum of `count` numbers `step` apart."""
    t0 = t1 = t2 = t3 = 0.0
    whole = count - count % 4
    for k in range(0, whole, 4):
        t0 += s[a + k * step]
        t1 += s[a + (k + 1) * step]
        t2 += s[a + (k + 2) * step]
        t3 += s[a + (k + 3) * step]
    for k in range(whole, count):
        t0 += s[a + k * step]
    return (t0 + t1) + (t2 + t3)


@inner
def hurst_step(v, x, i, s, o, p, q):
    """Hurst exponent of n returns by detrended fluctuation analysis, clipped to 0..1; 0.5 if nothing moved.

    Boxes of 8, 16, ... up to n / 4 bars. A straight line removed from the profile removes the mean return too, so
    a box's residual is that of its log prices and never changes again: each bar makes one new box of every size,
    the larger from two smaller ones. Source: Peng et al. (1994).
    """
    n, value = int(p[q]), v[x[i]]
    if not value > 0.0:
        s[o] = 0.0
        return np.nan
    if s[o] == 0.0:
        s[o + 1] = s[o + 2] = 0.0
    s[o] += 1.0
    oldest = strip_push(s, o + 1, n, math.log(value))
    end = oldest + n  # one behind the newest
    size, points, part = 8, 0, o + 3 + 2 * n
    sum_a = sum_b = sum_aa = sum_ab = 0.0
    total = moment = squares = 0.0
    dead = False
    for k in range(8):
        distance = s[end - 8 + k] - s[end - 8]
        total += distance
        moment += k * distance
        squares += distance * distance
    at = int(s[o + 2])  # where this strip writes next, and those of residuals
    while size <= n // 4:
        residuals = part + 3 * size
        here = residuals + (at if at > 0 else n) - 1
        residual = _residual_of(s, end - size, size, total, moment, squares) if s[o] >= size else 0.0
        s[here] = s[here + n] = residual
        if s[o] > n:
            boxes = n // size
            mean = _strided_sum(s, residuals + at + size - 1, size, boxes) / (boxes * size)
            if mean <= 1e-24:  # a dead market: no fluctuation to scale
                dead = True
            a, b = math.log(size), 0.5 * math.log(mean)
            sum_a += a
            sum_b += b
            sum_aa += a * a
            sum_ab += a * b
            points += 1
        # The box of this size `size` bars ago, then this one: together the next larger.
        slot = part + 3 * (int(s[o]) % size)
        before, before_moment, before_squares = s[slot], s[slot + 1], s[slot + 2]
        s[slot], s[slot + 1], s[slot + 2] = total, moment, squares
        shift = s[end - size] - s[end - 2 * size]
        moment = before_moment + moment + size * total + shift * (size * (3 * size - 1) // 2)
        squares = before_squares + squares + 2.0 * shift * total + size * shift * shift
        total = before + total + size * shift
        part = residuals + 2 * n
        size *= 2
    if s[o] <= n:
        return np.nan
    if dead:
        return 0.5
    slope = (points * sum_ab - sum_a * sum_b) / (points * sum_aa - sum_a * sum_a)
    return min(1.0, max(0.0, slope))


def _hurst_state(params: Mapping[str, float], _inputs: int) -> int:
    n, size, total = int(params["n"]), 8, 3 + 2 * int(params["n"])
    while size <= n // 4:
        total += 3 * size + 2 * n
        size *= 2
    return total


# variance_ratio keeps a strip of n + 1 log prices, laps of n squared returns, of n - q + 1 moves over q bars and
# their squares, and of four sums over pairs; then the sums of the last q pairs' groups still growing.
_PAIR_SUMS = 4


@inner
def _direct_ratio(s, a, n, lag):
    """The statistic from the n + 1 log prices at s[a:], term by term."""
    mean = (s[a + n] - s[a]) / n
    squares = total = spread = 0.0
    for k in range(1, n + 1):
        squares += (s[a + k] - s[a + k - 1] - mean) ** 2
        if k >= lag:
            total += (s[a + k] - s[a + k - lag] - lag * mean) ** 2
    if squares <= 1e-24:
        return 0.0
    for j in range(1, lag):
        pairs = 0.0
        for k in range(j + 1, n + 1):
            pairs += ((s[a + k] - s[a + k - 1] - mean) * (s[a + k - j] - s[a + k - j - 1] - mean)) ** 2
        spread += (2.0 * (lag - j) / lag) ** 2 * pairs
    return _ratio_z(total, squares, spread, n, lag)


@inner
def _ratio_z(total, squares, spread, n, lag):
    unbiased = lag * (n - lag + 1.0) * (1.0 - lag / n)
    ratio = (total / unbiased) / (squares / (n - 1.0))
    return (ratio - 1.0) * squares / math.sqrt(spread) if spread > 0.0 else 0.0


@inner
def variance_ratio_step(v, x, i, s, o, p, q):
    """Heteroskedasticity-robust z of the variance ratio at `q` bars over n returns; 0 if nothing moved.

    Positive: moves continue; negative: they revert. All sums are kept around zero and moved to the mean by
    expanding the powers; pairs are grouped by their older return, whose group is complete q - 1 bars later.
    Source: Lo and MacKinlay (1988), overlapping, unbiased.
    """
    n, lag, value = int(p[q]), int(p[q + 1]), v[x[i]]
    moves = n - lag + 1
    squares_lap, move_lap = o + 2 * n + 4, o + 2 * n + 4 + n + 3
    pair_lap = move_lap + 2 * (moves + 3)
    groups = pair_lap + _PAIR_SUMS * (moves + 3)
    if not value > 0.0:
        ring_clear(s, o)
        lap_clear(s, squares_lap)
        for k in range(2 + _PAIR_SUMS):
            lap_clear(s, move_lap + k * (moves + 3))
        for k in range(_PAIR_SUMS * lag):
            s[groups + k] = 0.0
        return np.nan
    a = strip_push(s, o, n + 1, math.log(value))
    held, newest = int(s[o]), a + n
    if held < 2:
        return np.nan
    r = s[newest] - s[newest - 1]
    all_squares = lap_push(s, squares_lap, n, r * r)
    sum_moves = sum_move_squares = np.nan
    if held > lag:
        move = s[newest] - s[newest - lag]
        sum_moves = lap_push(s, move_lap, moves, move)
        sum_move_squares = lap_push(s, move_lap + moves + 3, moves, move * move)
    # Groups stand by age of their older return, the oldest first; this return joins all but its own.
    known = min(lag - 1, held - 2)
    weights = 0.0
    g0 = g1 = g2 = g3 = 0.0
    for j in range(lag - 1, 0, -1):
        weight = (2.0 * (lag - j) / lag) ** 2
        weights += weight * (n - j)
        at = groups + _PAIR_SUMS * (lag - 1 - j)
        if j <= known:
            e = s[newest - j] - s[newest - j - 1]
            both, either = e * r, e + r
            s[at] += weight * both * both
            s[at + 1] += weight * both * either
            s[at + 2] += weight * (either * either + 2.0 * both)
            s[at + 3] += weight * either
        if j < lag - 1:
            g0 += s[at]
            g1 += s[at + 1]
            g2 += s[at + 2]
            g3 += s[at + 3]
    if held > lag:
        g0 += lap_push(s, pair_lap, moves, s[groups])
        g1 += lap_push(s, pair_lap + moves + 3, moves, s[groups + 1])
        g2 += lap_push(s, pair_lap + 2 * (moves + 3), moves, s[groups + 2])
        g3 += lap_push(s, pair_lap + 3 * (moves + 3), moves, s[groups + 3])
    for k in range(_PAIR_SUMS * (lag - 1)):
        s[groups + k] = s[groups + k + _PAIR_SUMS]
    if held < n + 1:
        return np.nan
    mean = (s[newest] - s[a]) / n
    squares = all_squares - n * mean * mean
    if not squares > STEADY * all_squares:
        return _direct_ratio(s, a, n, lag)
    if squares <= 1e-24:
        return 0.0
    shift = lag * mean
    total = sum_move_squares - 2.0 * shift * sum_moves + moves * shift * shift
    spread = g0 + mean * (-2.0 * g1 + mean * (g2 + mean * (-2.0 * g3 + mean * weights)))
    return _ratio_z(total, squares, spread, n, lag)


def _ratio_state(params: Mapping[str, float], _inputs: int) -> int:
    n, lag = int(params["n"]), int(params["q"])
    return 2 * n + 4 + n + 3 + (2 + _PAIR_SUMS) * (n - lag + 4) + _PAIR_SUMS * lag


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
    return 3 * len(fractional_weights(params["d"], params["tau"])) + 3


@inner
def fracdiff_step(v, x, i, s, o, p, q):
    """Fractional difference of order d of the log price [points]. State: [weights held, weights, strip].

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
    strip = o + 1 + m
    value = v[x[i]]
    if not value > 0.0:
        ring_clear(s, strip)
        return np.nan
    newest = strip_push(s, strip, m, math.log(value * tick)) + m - 1
    if s[strip] < m:
        return np.nan
    t0 = t1 = t2 = t3 = 0.0
    whole, weight = m - m % 4, o + 1
    for k in range(0, whole, 4):
        t0 += s[weight + k] * s[newest - k]
        t1 += s[weight + k + 1] * s[newest - k - 1]
        t2 += s[weight + k + 2] * s[newest - k - 2]
        t3 += s[weight + k + 3] * s[newest - k - 3]
    for k in range(whole, m):
        t0 += s[weight + k] * s[newest - k]
    return (t0 + t1) + (t2 + t3)


N = Param(name="n")

OPERATORS = (
    Operator(
        name="hurst",
        opcode=50,
        step=hurst_step,
        params=(N, Param(name="method", default="dfa", choices=("dfa",))),
        state=_hurst_state,
    ),
    Operator(
        name="variance_ratio",
        opcode=51,
        step=variance_ratio_step,
        params=(N, Param(name="q")),
        state=_ratio_state,
    ),
    Operator(
        name="fracdiff",
        opcode=52,
        step=fracdiff_step,
        params=(Param(name="d"), Param(name="tau"), Param(name="tick_size")),
        state=_fracdiff_state,
    ),
)
