"""Windows and seasonal memory inside the flat state array; used by the operators only.

Ring of n values at s[o:]: s[o] = values held, s[o + 1] = position of the next write, then the n values.
Strip of n values: a ring whose values stand there twice, so that any window lies in one piece, oldest first.
Lap of n terms: sums a window without subtracting, so that nothing can drift and nothing lost stays behind.
"""

import numpy as np
from numba import njit

inner = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For functions called by compiled code only: numpy's division, and no wrappers for Python to compile."""


@inner
def ring_push(s, o, n, value):
    """Append one value to the ring of n; returns the value that fell out, NaN while filling."""
    at = int(s[o + 1])
    lost = np.nan
    if s[o] < n:
        s[o] += 1.0
    else:
        lost = s[o + 2 + at]
    s[o + 2 + at] = value
    at += 1
    s[o + 1] = 0.0 if at == n else float(at)
    return lost


@inner
def ring_clear(s, o):
    """Forget everything: the window must fill again."""
    s[o] = 0.0
    s[o + 1] = 0.0


@inner
def ring_get(s, o, n, age):
    """Value pushed `age` pushes ago (0 = newest). The caller knows that it is there (age < s[o])."""
    at = int(s[o + 1]) - 1 - age
    if at < 0:
        at += n
    return s[o + 2 + at]


# Strip of n values at s[o:]: values held, next write, then 2 n values.


@inner
def strip_push(s, o, n, value):
    """Append one value to the strip of n; returns where the oldest of the last n values stands."""
    at = int(s[o + 1])
    if s[o] < n:
        s[o] += 1.0
    s[o + 2 + at] = value
    s[o + 2 + n + at] = value
    at += 1
    s[o + 1] = 0.0 if at == n else float(at)
    return o + 2 + at


# Lap of n terms at s[o:]: terms held, next write, sum of this lap, then n places. Those of this lap hold their
# term, those still to come the sum of the last lap from there on: the window is this lap's sum plus one of those.


@inner
def lap_push(s, o, n, term):
    """Add one term to the window of n; returns the sum of the last n terms, NaN while filling."""
    at = int(s[o + 1])
    total = s[o + 2] + term
    s[o + 3 + at] = term
    at += 1
    if s[o] < n:
        s[o] += 1.0
    if at == n:
        s[o + 1] = 0.0
        s[o + 2] = 0.0
        for k in range(n - 2, -1, -1):
            s[o + 3 + k] += s[o + 4 + k]
        return total
    s[o + 1] = float(at)
    s[o + 2] = total
    return total + s[o + 3 + at] if s[o] == n else np.nan


@inner
def lap_max_push(s, o, n, term):
    """The like for the largest of the last n terms (push and return negatives for the smallest)."""
    at = int(s[o + 1])
    best = max(s[o + 2], term) if at > 0 else term
    s[o + 3 + at] = term
    at += 1
    if s[o] < n:
        s[o] += 1.0
    if at == n:
        s[o + 1] = 0.0
        for k in range(n - 2, -1, -1):
            s[o + 3 + k] = max(s[o + 3 + k], s[o + 4 + k])
        return best
    s[o + 1] = float(at)
    s[o + 2] = best
    return max(best, s[o + 3 + at]) if s[o] == n else np.nan


@inner
def lap_clear(s, o):
    """Forget everything: the window must fill again."""
    s[o] = 0.0
    s[o + 1] = 0.0
    s[o + 2] = 0.0


@inner
def sort_range(s, a, m):
    """Sort s[a : a + m] in place, ascending (insertion sort, over coarser and coarser steps before if m is large)."""
    gap = 1
    while gap < m // 9:
        gap = 3 * gap + 1
    while gap > 0:
        for j in range(a + gap, a + m):
            value = s[j]
            k = j - gap
            while k >= a and s[k] > value:
                s[k + gap] = s[k]
                k -= gap
            s[k + gap] = value
        gap //= 3


@inner
def median_sorted(s, a, m):
    """Median of the sorted s[a : a + m]."""
    half = m // 2
    if m % 2 == 1:
        return s[a + half]
    return 0.5 * (s[a + half - 1] + s[a + half])


@inner
def sorted_deviation(s, a, m, center, rank):
    """The `rank`-th smallest (1 = smallest) distance from `center` among the sorted s[a : a + m].

    The `rank` nearest values stand side by side; how far the farther end of such a stretch is away first falls,
    then rises with its place.
    """
    low, high = 0, m - rank
    while low < high:
        middle = (low + high) // 2
        if center - s[a + middle] <= s[a + middle + rank - 1] - center:
            high = middle
        else:
            low = middle + 1
    best = max(center - s[a + low], s[a + low + rank - 1] - center)
    return min(best, center - s[a + low - 1]) if low > 0 else best


@inner
def median_deviation(s, a, m, center):
    """Median absolute deviation from `center` of the sorted s[a : a + m]."""
    half = m // 2
    if m % 2 == 1:
        return sorted_deviation(s, a, m, center, half + 1)
    return 0.5 * (sorted_deviation(s, a, m, center, half) + sorted_deviation(s, a, m, center, half + 1))


# Seasonal memory at s[o:]: per slot [values held, next write, session + 1 of the newest value, that value], the
# `depth` values of sessions before in the order they came, and the same sorted; then `depth` numbers of scratch.


def slot_size(n_slots: float, depth: float) -> int:
    """Number of float64 of state a seasonal memory takes."""
    return int(n_slots) * (2 * int(depth) + 4) + int(depth)


@inner
def slot_settle(s, base, depth):
    """Move the newest value to the values of sessions before, dropping the oldest of `depth`."""
    value, held, at = s[base + 3], int(s[base]), int(s[base + 1])
    first = base + 4 + depth
    k = held
    if held == depth:
        k, lost = 0, s[base + 4 + at]
        while s[first + k] != lost:
            k += 1
    else:
        s[base] += 1.0
    s[base + 4 + at] = value
    s[base + 1] = 0.0 if at + 1 == depth else at + 1.0
    s[base + 2] = 0.0
    last = int(s[base]) - 1
    while k < last and s[first + k + 1] < value:
        s[first + k] = s[first + k + 1]
        k += 1
    while k > 0 and s[first + k - 1] > value:
        s[first + k] = s[first + k - 1]
        k -= 1
    s[first + k] = value


@inner
def slot_before(s, o, depth, slot, session):
    """Where the sorted values stand that `slot` had in sessions before `session`; their number is at `slot_held`."""
    base = o + slot * (2 * depth + 4)
    if s[base + 2] > 0.0 and s[base + 2] != session + 1.0:
        slot_settle(s, base, depth)
    return base + 4 + depth


@inner
def slot_held(s, first, depth):
    """How many values stand at the place `slot_before` returned."""
    return int(s[first - depth - 4])


@inner
def slot_load(s, o, n_slots, depth, slot, session):
    """Copy the values `slot` had in sessions before `session` to the scratch, sorted; returns how many."""
    first = slot_before(s, o, depth, slot, session)
    m, scratch = slot_held(s, first, depth), o + n_slots * (2 * depth + 4)
    for k in range(m):
        s[scratch + k] = s[first + k]
    return m


@inner
def slot_store(s, o, n_slots, depth, slot, session, value):
    """Remember one value for (slot, session); a second one of the same session replaces the first."""
    base = o + slot * (2 * depth + 4)
    if s[base + 2] > 0.0 and s[base + 2] != session + 1.0:
        slot_settle(s, base, depth)
    s[base + 2] = session + 1.0
    s[base + 3] = value


@inner
def slot_median(s, o, n_slots, depth, m):
    """Median of the m values `slot_load` left in the scratch."""
    return median_sorted(s, o + n_slots * (2 * depth + 4), m)


@inner
def ring_mean(s, o, n):
    """Mean of a full ring of n, summed afresh so that nothing can drift; four sums side by side."""
    a, whole = o + 2, n - n % 4
    t0 = t1 = t2 = t3 = 0.0
    for k in range(a, a + whole, 4):
        t0 += s[k]
        t1 += s[k + 1]
        t2 += s[k + 2]
        t3 += s[k + 3]
    for k in range(a + whole, a + n):
        t0 += s[k]
    return ((t0 + t1) + (t2 + t3)) / n


@inner
def window_moments(s, a, n, reference):
    """Sums of d and of d d over s[a : a + n], where d is the distance from `reference`, one of the n values.

    Since it is one of them, sum d d is at most n + 1 times the squares around the mean: little cancels.
    """
    t0 = t1 = t2 = t3 = q0 = q1 = q2 = q3 = 0.0
    whole = n - n % 4
    for k in range(a, a + whole, 4):
        d0, d1, d2, d3 = s[k] - reference, s[k + 1] - reference, s[k + 2] - reference, s[k + 3] - reference
        t0 += d0
        t1 += d1
        t2 += d2
        t3 += d3
        q0 += d0 * d0
        q1 += d1 * d1
        q2 += d2 * d2
        q3 += d3 * d3
    for k in range(a + whole, a + n):
        distance = s[k] - reference
        t0 += distance
        q0 += distance * distance
    return (t0 + t1) + (t2 + t3), (q0 + q1) + (q2 + q3)


@inner
def ring_squares(s, o, n, mean):
    """Sum of squared deviations from `mean` over a full ring of n (two passes: no cancellation)."""
    a, whole = o + 2, n - n % 4
    t0 = t1 = t2 = t3 = 0.0
    for k in range(a, a + whole, 4):
        t0 += (s[k] - mean) * (s[k] - mean)
        t1 += (s[k + 1] - mean) * (s[k + 1] - mean)
        t2 += (s[k + 2] - mean) * (s[k + 2] - mean)
        t3 += (s[k + 3] - mean) * (s[k + 3] - mean)
    for k in range(a + whole, a + n):
        t0 += (s[k] - mean) * (s[k] - mean)
    return (t0 + t1) + (t2 + t3)
