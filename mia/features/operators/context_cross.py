"""Operators between markets: what one has moved and the other not yet, spreads, correlations, common variance.

A bar counts only if both legs traded in it: returns are taken between neighbouring bars, never over hours in
which one leg was closed.
"""

import math

import numpy as np

from mia.features.operators.context_plain import correlation, ring_correlation
from mia.features.operators.registry import Operator, Param, window_of
from mia.features.operators.window import inner, ring_clear, ring_get, ring_mean, ring_push, ring_squares

Z_CLIP = 5.0


@inner
def _slope(s, y, z, n):
    """Least-squares slope of the full ring y on the full ring z; NaN if z does not vary."""
    mean_y, mean_z, cross = ring_mean(s, y, n), ring_mean(s, z, n), 0.0
    for k in range(n):
        cross += (s[y + 2 + k] - mean_y) * (s[z + 2 + k] - mean_z)
    along = ring_squares(s, z, n, mean_z)
    return cross / along if along > 0.0 else np.nan


@inner
def lead_residual_step(v, x, i, s, o, p, q):
    """Return the leader's log return in this bar minus beta x the own one: what has not been followed yet.

    beta: slope over the n common returns before this bar, kept while the leader's market is closed.
    Inputs: leader's price, own price. State [has previous, leader's, own, two rings]. Source: Hasbrouck (2003).
    """
    n, leader, own = int(p[q]), v[x[i]], v[x[i + 1]]
    first, second = o + 3, o + 3 + int(p[q]) + 2
    if not (leader > 0.0 and own > 0.0):
        s[o] = 0.0
        return np.nan
    answer = np.nan
    if s[o] > 0.0:
        there, here = math.log(leader / s[o + 1]), math.log(own / s[o + 2])
        if s[first] == n:
            answer = there - _slope(s, first, second, n) * here
        ring_push(s, first, n, there)
        ring_push(s, second, n, here)
    s[o], s[o + 1], s[o + 2] = 1.0, leader, own
    return answer


LEAD_RESIDUAL = Operator(
    name="lead_residual",
    opcode=210,
    step=lead_residual_step,
    inputs=2,
    params=(Param(name="n"),),
    state=window_of("n", extra=3, copies=2),
)


@inner
def pair_spread_step(v, x, i, s, o, p, q):
    """Z-score over n bars of log(own) - beta log(partner), clipped to +-5.

    One beta for all n bars: the slope of own on partner's returns over the n bars before this one. A beta that
    changed inside the window would move the spread by its change times the logarithm of a price.
    Inputs: own price, partner's price. Source: Gatev, Goetzmann, Rouwenhorst (2006).
    """
    n, own, partner = int(p[q]), v[x[i]], v[x[i + 1]]
    size, second = n + 2, o + n + 4
    if not (own > 0.0 and partner > 0.0):
        ring_clear(s, o)
        ring_clear(s, second)
        return np.nan
    ring_push(s, o, size, math.log(own))
    ring_push(s, second, size, math.log(partner))
    if s[o] < size:
        return np.nan
    # Sums of returns telescope: their means are differences of the ends.
    mean_y = (ring_get(s, o, size, 1) - ring_get(s, o, size, n + 1)) / n
    mean_z = (ring_get(s, second, size, 1) - ring_get(s, second, size, n + 1)) / n
    cross, along = 0.0, 0.0
    for age in range(1, n + 1):
        move = ring_get(s, second, size, age) - ring_get(s, second, size, age + 1) - mean_z
        cross += (ring_get(s, o, size, age) - ring_get(s, o, size, age + 1) - mean_y) * move
        along += move * move
    if not along > 0.0:
        return np.nan
    beta, now, there = cross / along, ring_get(s, o, size, 0), ring_get(s, second, size, 0)
    total, squares = 0.0, 0.0  # of the spread relative to now, small numbers whose squares cancel nothing
    for age in range(n):
        distance = (ring_get(s, o, size, age) - now) - beta * (ring_get(s, second, size, age) - there)
        total += distance
        squares += distance * distance
    mean = total / n
    variance = (squares - n * mean * mean) / (n - 1)
    if not variance > 1e-24:
        return 0.0
    return min(Z_CLIP, max(-Z_CLIP, -mean / math.sqrt(variance)))


PAIR_SPREAD = Operator(
    name="pair_spread",
    opcode=211,
    step=pair_spread_step,
    inputs=2,
    params=(Param(name="n"),),
    state=window_of("n", extra=4, copies=2),
)


@inner
def _unroll(s, ring, size, target):
    """Copy a full ring to s[target:], oldest first, less one of its values."""
    base = s[ring + 2]
    for k in range(size):
        s[target + k] = ring_get(s, ring, size, size - 1 - k) - base


@inner
def _shifted_correlation(s, a, b, n):
    """Correlation of s[a : a + n] and s[b : b + n], numbers near 0."""
    sa = sb = saa = sbb = sab = 0.0
    for k in range(n):
        x, y = s[a + k], s[b + k]
        sa += x
        sb += y
        saa += x * x
        sbb += y * y
        sab += x * y
    return correlation(n, sa, sb, saa, sbb, sab)


@inner
def lead_lag_ratio_step(v, x, i, s, o, p, q):
    """Log of the sum of squared correlations with the partner's earlier returns over that with its later ones.

    Positive: the partner leads. Inputs: partner's return, own return. Source: Huth, Abergel (2014).
    """
    n, lags = int(p[q]), int(p[q + 1])
    size, second = n + lags, o + n + lags + 2
    partner, own = v[x[i]], v[x[i + 1]]
    if partner != partner or own != own:
        ring_clear(s, o)
        ring_clear(s, second)
        return np.nan
    ring_push(s, o, size, partner)
    ring_push(s, second, size, own)
    if s[o] < size:
        return np.nan
    there = second + size + 2
    here = there + size
    _unroll(s, o, size, there)
    _unroll(s, second, size, here)
    leads, follows = 0.0, 0.0
    for back in range(lags):  # windows of n that end 1 to `lags` bars before this one begin at `back`
        leads += _shifted_correlation(s, here + lags, there + back, n) ** 2
        follows += _shifted_correlation(s, there + lags, here + back, n) ** 2
    return math.log(leads / follows) if leads > 0.0 and follows > 0.0 else np.nan


LEAD_LAG_RATIO = Operator(
    name="lead_lag_ratio",
    opcode=212,
    step=lead_lag_ratio_step,
    inputs=2,
    params=(Param(name="n"), Param(name="lags", default=3)),
    state=lambda params, _inputs: 4 * (int(params["n"]) + int(params["lags"]) + 1),
)


@inner
def alive_corr_step(v, x, i, s, o, p, q):
    """Correlation over n bars; NaN if more than `dead_max` of the first input are exactly 0 (a stale index)."""
    n, a, b = int(p[q]), v[x[i]], v[x[i + 1]]
    second = o + int(p[q]) + 2
    if a != a or b != b:
        ring_clear(s, o)
        ring_clear(s, second)
        return np.nan
    ring_push(s, o, n, a)
    ring_push(s, second, n, b)
    if s[o] < n:
        return np.nan
    dead = 0
    for k in range(n):
        if s[o + 2 + k] == 0.0:
            dead += 1
    return np.nan if dead > p[q + 1] * n else ring_correlation(s, o, second, n)


ALIVE_CORR = Operator(
    name="alive_corr",
    opcode=213,
    step=alive_corr_step,
    inputs=2,
    params=(Param(name="n"), Param(name="dead_max", default=0.5)),
    state=window_of("n", copies=2),
)

# absorption_ratio keeps [next row, then per member: bars without a gap, sum, largest square sum since the sums were
# made afresh], the n rows of the panel, their sums of products, and two matrices of scratch.
LOST = 1e-6  # share of the largest square sum below which rounding has eaten what is left
SQUARINGS = 45  # 6 to 9 are usual, all only where eigenvalues are equal


@inner
def _add_row(s, row, m, sign, sums, products):
    """Add or take off one row of the panel: the lower triangle of the products, and the sums."""
    for j in range(m):
        value = sign * s[row + j]
        s[sums + j] += value
        for k in range(j + 1):
            s[products + j * m + k] += value * s[row + k]


@inner
def _first_share(s, a, b, m):
    """Largest eigenvalue of the symmetric positive m x m matrix at s[a:] as a share of its trace; s[b:] is scratch.

    A matrix of trace 1 squared and scaled back to trace 1 over and over goes to the projection on its first
    eigenvectors, and the scales multiply up to the eigenvalue: lambda = t_0^(1/2) t_1^(1/4) t_2^(1/8) ...
    """
    trace = 0.0
    for j in range(m):
        trace += s[a + j * m + j]
    logarithm, weight = 0.0, 1.0
    for _ in range(SQUARINGS):
        scale, after = 1.0 / (trace * trace), 0.0
        for j in range(m):
            for k in range(j + 1):
                total = 0.0
                for i in range(m):
                    total += s[a + j * m + i] * s[a + k * m + i]
                s[b + j * m + k] = s[b + k * m + j] = total * scale
            after += s[b + j * m + j]
        weight *= 0.5
        step = weight * math.log(after)
        logarithm += step
        if step > -1e-13:
            break
        trace = after
        a, b = b, a
    return math.exp(logarithm)


@inner
def _see_row(v, x, i, s, o, m, n):
    """Put one row into the panel in place of the oldest; once in n rows all sums are made afresh."""
    clean, sums, peak, panel = o + 1, o + 1 + m, o + 1 + 2 * m, o + 1 + 3 * m
    products = panel + n * m
    row = panel + int(s[o]) * m
    _add_row(s, row, m, -1.0, sums, products)
    for k in range(m):
        value = v[x[i + k]]
        s[row + k] = value if value == value else 0.0
        s[clean + k] = min(s[clean + k] + 1.0, float(n)) if value == value else 0.0
    _add_row(s, row, m, 1.0, sums, products)
    s[o] += 1.0
    if s[o] == n:
        s[o] = 0.0
        for k in range(m):
            s[sums + k] = s[peak + k] = 0.0
        for k in range(m * m):
            s[products + k] = 0.0
        for at in range(n):
            _add_row(s, panel + at * m, m, 1.0, sums, products)
    for k in range(m):
        s[peak + k] = max(s[peak + k], s[products + k * m + k])


@inner
def absorption_ratio_step(v, x, i, s, o, p, q):
    """Share of the first principal component in the variance of the standardised returns over n bars.

    Takes part who has n bars without a gap and varies; NaN with fewer than `least` of them.
    Source: Kritzman, Li, Page, Rigobon (2011).
    """
    m, n, least = int(p[q]), int(p[q + 1]), int(p[q + 2])
    clean, sums, peak = o + 1, o + 1 + m, o + 1 + 2 * m
    products = o + 1 + 3 * m + n * m
    matrix = products + m * m
    _see_row(v, x, i, s, o, m, n)
    chosen, members = matrix + m * m, 0  # the scratch behind the matrix holds who takes part, and 1 / deviation
    for j in range(m):
        variance = s[products + j * m + j] - s[sums + j] ** 2 / n
        if s[clean + j] == n and variance > LOST * s[peak + j]:
            s[chosen + members] = float(j)
            s[chosen + m + members] = 1.0 / math.sqrt(variance)
            members += 1
    if members < least:
        return np.nan
    for a in range(members):
        j = int(s[chosen + a])
        for b in range(a + 1):
            k = int(s[chosen + b])
            value = (s[products + j * m + k] - s[sums + j] * s[sums + k] / n) * s[chosen + m + a] * s[chosen + m + b]
            s[matrix + a * members + b] = s[matrix + b * members + a] = value
    return min(1.0, _first_share(s, matrix, chosen, members))


ABSORPTION_RATIO = Operator(
    name="absorption_ratio",
    opcode=214,
    step=absorption_ratio_step,
    inputs=0,
    params=(Param(name="n_inputs"), Param(name="n"), Param(name="least", default=4)),
    state=lambda params, count: 1 + (3 + int(params["n"])) * count + 3 * count * count,
)
