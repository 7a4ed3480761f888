"""Ring buffers and seasonal memory inside the flat state array; used by the operators only.

Ring of n values at s[o:]: s[o] = values held, s[o + 1] = position of the next write, then the n values.
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


@inner
def sort_range(s, a, m):
    """Sort s[a : a + m] in place, ascending (insertion sort: windows here are short)."""
    for j in range(a + 1, a + m):
        value = s[j]
        k = j - 1
        while k >= a and s[k] > value:
            s[k + 1] = s[k]
            k -= 1
        s[k + 1] = value


@inner
def median_sorted(s, a, m):
    """Median of the sorted s[a : a + m]."""
    half = m // 2
    if m % 2 == 1:
        return s[a + half]
    return 0.5 * (s[a + half - 1] + s[a + half])


# Seasonal memory at s[o:]: per slot [values held, next write, last session + 1, `depth` values],
# then `depth` numbers of scratch. Its size is slot_size(n_slots, depth).


def slot_size(n_slots: float, depth: float) -> int:
    """Number of float64 of state a seasonal memory takes."""
    return int(n_slots) * (int(depth) + 3) + int(depth)


@inner
def slot_load(s, o, n_slots, depth, slot, session):
    """Copy the values `slot` had in sessions before `session` to the scratch, sorted; returns how many."""
    base = o + slot * (depth + 3)
    scratch = o + n_slots * (depth + 3)
    held = int(s[base])
    today = -1
    if held > 0 and s[base + 2] == session + 1.0:
        today = int(s[base + 1]) - 1
        if today < 0:
            today += depth
    m = 0
    for k in range(held):
        if k != today:
            s[scratch + m] = s[base + 3 + k]
            m += 1
    sort_range(s, scratch, m)
    return m


@inner
def slot_store(s, o, n_slots, depth, slot, session, value):
    """Remember one value for (slot, session); a second one of the same session replaces the first."""
    base = o + slot * (depth + 3)
    if s[base] > 0 and s[base + 2] == session + 1.0:
        at = int(s[base + 1]) - 1
        if at < 0:
            at += depth
        s[base + 3 + at] = value
        return
    at = int(s[base + 1])
    if s[base] < depth:
        s[base] += 1.0
    s[base + 3 + at] = value
    at += 1
    s[base + 1] = 0.0 if at == depth else float(at)
    s[base + 2] = session + 1.0


@inner
def slot_median(s, o, n_slots, depth, m):
    """Median of the m values `slot_load` left in the scratch."""
    return median_sorted(s, o + n_slots * (depth + 3), m)


@inner
def slot_mad(s, o, n_slots, depth, m, center):
    """Median absolute deviation from `center`; overwrites the scratch, so take the median first."""
    scratch = o + n_slots * (depth + 3)
    for k in range(m):
        s[scratch + k] = abs(s[scratch + k] - center)
    sort_range(s, scratch, m)
    return median_sorted(s, scratch, m)


@inner
def ring_mean(s, o, n):
    """Mean of a full ring of n, summed afresh so that nothing can drift."""
    total = 0.0
    for k in range(n):
        total += s[o + 2 + k]
    return total / n


@inner
def ring_squares(s, o, n, mean):
    """Sum of squared deviations from `mean` over a full ring of n (two passes: no cancellation)."""
    total = 0.0
    for k in range(n):
        total += (s[o + 2 + k] - mean) ** 2
    return total
