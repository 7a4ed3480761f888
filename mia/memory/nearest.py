"""The compiled part of the memory: distances, the nearest few, and what followed them. Row by row, never a batch."""

import math

import numpy as np
from numba import njit

inner = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For functions called by compiled code only: numpy's division, and no wrappers for Python to compile."""

LANES = 4
"""Directions are summed four at a time; `white` has a multiple of as many rows, the last of them zero."""

# Columns of what is kept of a context: numbers, and whole numbers.
OUTCOME, ADVERSE, FAVOURABLE = range(3)
HOUR, REGIME, END, STAMP = range(4)


@inner
def whiten(context, mean, directions, out):
    """Write a context (C,) in the basis' directions (D, C) to the first D of `out`."""
    for d in range(directions.shape[0]):
        total = 0.0
        for c in range(context.shape[0]):
            total += (context[c] - mean[c]) * directions[d, c]
        out[d] = total


@inner
def distances(white, x, a, b, out):
    """Write the squared distances of the stored contexts white[:, a:b] from x to out[a:b].

    Directions are the outer loop: each sum has one fixed order, and the compiler may still take several
    contexts at once.
    """
    to = out[a:b]
    for j in range(to.shape[0]):
        to[j] = 0.0
    for d in range(0, white.shape[0], LANES):
        x0, x1, x2, x3 = x[d], x[d + 1], x[d + 2], x[d + 3]
        w0, w1, w2, w3 = white[d, a:b], white[d + 1, a:b], white[d + 2, a:b], white[d + 3, a:b]
        for j in range(to.shape[0]):
            g0, g1, g2, g3 = w0[j] - x0, w1[j] - x1, w2[j] - x2, w3[j] - x3
            to[j] += ((g0 * g0 + g1 * g1) + g2 * g2) + g3 * g3


@inner
def _insert(chosen, square, m, j, d):
    """Put (j, d) behind its equals in the m sorted by distance; there is room for one more."""
    k = m
    while k > 0 and square[k - 1] > d:
        square[k] = square[k - 1]
        chosen[k] = chosen[k - 1]
        k -= 1
    square[k] = d
    chosen[k] = j


@inner
def _farthest_of_hour(keys, chosen, m, hour, per_hour):
    """Place in `chosen` of the farthest of an hour that is full, -1 if it is not."""
    same, last = 0, -1
    for i in range(m):
        if keys[chosen[i], HOUR] == hour:
            same += 1
            last = i
    return last if same >= per_hour else -1


@inner
def nearest(gaps, keys, oldest, known, per_hour, chosen, square):
    """Choose the nearest of `known` contexts from the oldest on, at most `per_hour` of one clock hour.

    The same as taking all in the order of distance and passing over those whose hour is full; of equally near
    ones the older. Fills `chosen` (k,) with places and `square` (k,) with squared distances, returns how many.
    """
    capacity, k = keys.shape[0], chosen.shape[0]
    m = taken = 0
    hour = -1
    bound = np.inf
    for age in range(known):
        j = oldest + age
        if j >= capacity:
            j -= capacity
        d = gaps[j]
        if not d < bound:
            continue
        if keys[j, HOUR] != hour:
            hour, taken = keys[j, HOUR], 0
        # Contexts of one hour follow each other: before `per_hour` were taken it cannot be full.
        full = _farthest_of_hour(keys, chosen, m, hour, per_hour) if taken >= per_hour else -1
        if full >= 0:
            if not d < square[full]:
                continue
            # The farthest of its hour makes room.
            for i in range(full, m - 1):
                square[i] = square[i + 1]
                chosen[i] = chosen[i + 1]
            m -= 1
        elif m == k:
            m -= 1
        _insert(chosen, square, m, j, d)
        m += 1
        taken += 1
        if m == k:
            bound = square[k - 1]
    return m


@inner
def _middle(square, m):
    """Median distance of m ascending squared distances."""
    half = m // 2
    if m % 2 == 1:
        return math.sqrt(square[half])
    return 0.5 * (math.sqrt(square[half - 1]) + math.sqrt(square[half]))


@inner
def _weight(square, width):
    if width > 0.0:
        return math.exp(-square / (2.0 * width * width))
    # More than half are identical to now: they alone speak.
    return 1.0 if square == 0.0 else 0.0


@inner
def summarise(chosen, square, m, facts, keys, regime, clip, out):
    """Write score, sd, hit rate, distance, (novelty later), effective n, mae, mfe, same regime to `out`.

    Gaussian weights whose width is the median distance; all means are weighted.

    Source: Nadaraya (1964); Watson (1964); effective n: Kish (1965).
    """
    width = _middle(square, m)
    total = squares = mean = hit = adverse = favourable = same = 0.0
    for i in range(m):
        w, j = _weight(square[i], width), chosen[i]
        total += w
        squares += w * w
        mean += w * facts[j, OUTCOME]
        hit += w if facts[j, OUTCOME] > 0.0 else 0.0
        adverse += w * facts[j, ADVERSE]
        favourable += w * facts[j, FAVOURABLE]
        same += w if keys[j, REGIME] == regime else 0.0
    mean /= total
    spread = 0.0
    for i in range(m):
        gap = facts[chosen[i], OUTCOME] - mean
        spread += _weight(square[i], width) * gap * gap
    sd = math.sqrt(spread / total)
    effective = total * total / squares
    if sd > 0.0:
        out[0] = min(clip, max(-clip, mean / (sd / math.sqrt(effective))))
    else:
        out[0] = math.copysign(clip, mean) if mean != 0.0 else 0.0
    out[1], out[2], out[3] = sd, hit / total, width
    out[5], out[6], out[7] = effective, adverse / total, favourable / total
    out[8] = same / total if regime >= 0 else np.nan


@inner
def rank(past, n, value):
    """Share of the n past values below `value`, equal ones counted half."""
    below = equal = 0
    for j in range(n):
        below += past[j] < value
        equal += past[j] == value
    return (below + 0.5 * equal) / n
