"""Operators between markets: what one has moved and the other not yet, spreads, correlations, common variance.

A bar counts only if both legs traded in it: returns are taken between neighbouring bars, never over hours in
which one leg was closed.
"""

import math

import numpy as np

from mia.features.operators.context_plain import PAIR_LAPS, correlation, pair_clear, pair_push
from mia.features.operators.registry import Operator, Param, laps_of
from mia.features.operators.window import inner, lap_clear, lap_push, ring_clear, strip_push

Z_CLIP = 5.0


@inner
def _slope(along, cross):
    """Cross products over squares; NaN if nothing varies."""
    return cross / along if along > 0.0 else np.nan


@inner
def lead_residual_step(v, x, i, s, o, p, q):
    """Return the leader's log return in this bar minus beta x the own one: what has not been followed yet.

    beta: slope over the n common returns before this bar, kept while the leader's market is closed.
    Inputs: leader's price, own price. State [has previous, leader's, own, has beta, beta, laps].
    Source: Hasbrouck (2003).
    """
    leader, own = v[x[i]], v[x[i + 1]]
    if not (leader > 0.0 and own > 0.0):
        s[o] = 0.0
        return np.nan
    answer = np.nan
    if s[o] > 0.0:
        there, here = math.log(leader / s[o + 1]), math.log(own / s[o + 2])
        if s[o + 3] > 0.0:
            answer = there - s[o + 4] * here
        along, _, cross = pair_push(s, o + 5, int(p[q]), here, there)
        beta = _slope(along, cross)
        s[o + 3], s[o + 4] = 1.0 if beta == beta else 0.0, beta
    s[o], s[o + 1], s[o + 2] = 1.0, leader, own
    return answer


LEAD_RESIDUAL = Operator(
    name="lead_residual",
    opcode=210,
    step=lead_residual_step,
    inputs=2,
    params=(Param(name="n"),),
    state=laps_of("n", extra=5, copies=PAIR_LAPS),
)


@inner
def pair_spread_step(v, x, i, s, o, p, q):
    """Z-score over n bars of log(own) - beta log(partner), clipped to +-5.

    One beta for all n bars: the slope of own on partner's returns over the n bars before this one. A beta that
    changed inside the window would move the spread by its change times the logarithm of a price.
    Inputs: own price, partner's price. State [has beta, beta, has previous, own log, partner's, two strips, laps].
    Source: Gatev, Goetzmann, Rouwenhorst (2006).
    """
    n, own, partner = int(p[q]), v[x[i]], v[x[i + 1]]
    first, second, laps = o + 5, o + 7 + 2 * n, o + 9 + 4 * n
    if not (own > 0.0 and partner > 0.0):
        s[o] = s[o + 2] = 0.0
        ring_clear(s, first)
        ring_clear(s, second)
        pair_clear(s, laps, n)
        return np.nan
    here, there, known, beta = math.log(own), math.log(partner), s[o] > 0.0, s[o + 1]
    a, b = strip_push(s, first, n, here), strip_push(s, second, n, there)
    if s[o + 2] > 0.0:
        along, _, cross = pair_push(s, laps, n, there - s[o + 4], here - s[o + 3])
        following = _slope(along, cross)
        s[o], s[o + 1] = 1.0 if following == following else 0.0, following
    s[o + 2], s[o + 3], s[o + 4] = 1.0, here, there
    if not known:
        return np.nan
    t0 = t1 = q0 = q1 = 0.0  # of the spread relative to now: small numbers whose squares cancel little
    for k in range(0, n - 1, 2):
        d0 = (s[a + k] - here) - beta * (s[b + k] - there)
        d1 = (s[a + k + 1] - here) - beta * (s[b + k + 1] - there)
        t0 += d0
        t1 += d1
        q0 += d0 * d0
        q1 += d1 * d1
    mean = (t0 + t1) / n  # an odd n leaves out the newest, whose distance is 0
    variance = (q0 + q1 - n * mean * mean) / (n - 1)
    if not variance > 1e-24:
        return 0.0
    return min(Z_CLIP, max(-Z_CLIP, -mean / math.sqrt(variance)))


PAIR_SPREAD = Operator(
    name="pair_spread",
    opcode=211,
    step=pair_spread_step,
    inputs=2,
    params=(Param(name="n"),),
    state=lambda params, _inputs: 9 + 4 * int(params["n"]) + PAIR_LAPS * (int(params["n"]) + 3),
)

# lead_lag_ratio keeps the sums over n of both returns and their squares, then for every lag what these four sums
# and the two returns were that many bars before, then one sum of products for every lag and direction.
_SUMS = 4
_PAST = 6


@inner
def lead_lag_ratio_step(v, x, i, s, o, p, q):
    """Log of the sum of squared correlations with the partner's earlier returns over that with its later ones.

    Positive: the partner leads. Inputs: partner's return, own return. Source: Huth, Abergel (2014).
    """
    n, lags = int(p[q]), int(p[q + 1])
    size = n + 3
    past = o + 1 + _SUMS * size
    laps = past + _PAST * lags
    partner, own = v[x[i]], v[x[i + 1]]
    if partner != partner or own != own:
        s[o] = 0.0
        for k in range(_SUMS):
            lap_clear(s, o + 1 + k * size)
        for k in range(2 * lags):
            lap_clear(s, laps + k * size)
        return np.nan
    sp, so = lap_push(s, o + 1, n, partner), lap_push(s, o + 1 + size, n, own)
    pp, oo = lap_push(s, o + 1 + 2 * size, n, partner * partner), lap_push(s, o + 1 + 3 * size, n, own * own)
    leads, follows = 0.0, 0.0
    for lag in range(1, min(lags, int(s[o])) + 1):
        at, lap = past + _PAST * (lag - 1), laps + 2 * (lag - 1) * size
        with_earlier, with_later = lap_push(s, lap, n, own * s[at + 4]), lap_push(s, lap + size, n, partner * s[at + 5])
        before_p, before_o = s[at + 2] - s[at] * s[at] / n, s[at + 3] - s[at + 1] * s[at + 1] / n
        leads += correlation(oo - so * so / n, before_p, with_earlier - so * s[at] / n) ** 2
        follows += correlation(pp - sp * sp / n, before_o, with_later - sp * s[at + 1] / n) ** 2
    full = s[o] >= n + lags - 1
    s[o] = min(s[o] + 1.0, n + lags - 1.0)
    for lag in range(lags - 1, 0, -1):
        for k in range(_PAST):
            s[past + _PAST * lag + k] = s[past + _PAST * (lag - 1) + k]
    s[past], s[past + 1], s[past + 2] = sp, so, pp
    s[past + 3], s[past + 4], s[past + 5] = oo, partner, own
    return math.log(leads / follows) if full and leads > 0.0 and follows > 0.0 else np.nan


LEAD_LAG_RATIO = Operator(
    name="lead_lag_ratio",
    opcode=212,
    step=lead_lag_ratio_step,
    inputs=2,
    params=(Param(name="n"), Param(name="lags", default=3)),
    state=lambda params, _inputs: (
        1 + _PAST * int(params["lags"]) + (_SUMS + 2 * int(params["lags"])) * (int(params["n"]) + 3)
    ),
)


@inner
def alive_corr_step(v, x, i, s, o, p, q):
    """Correlation over n bars; NaN if more than `dead_max` of the first input are exactly 0 (a stale index).

    State: laps of the pair, then of the zeros.
    """
    n, a, b = int(p[q]), v[x[i]], v[x[i + 1]]
    zeros = o + PAIR_LAPS * (n + 3)
    if a != a or b != b:
        pair_clear(s, o, n)
        lap_clear(s, zeros)
        return np.nan
    aa, bb, ab = pair_push(s, o, n, a, b)
    dead = lap_push(s, zeros, n, 1.0 if a == 0.0 else 0.0)
    return correlation(aa, bb, ab) if dead <= p[q + 1] * n else np.nan


ALIVE_CORR = Operator(
    name="alive_corr",
    opcode=213,
    step=alive_corr_step,
    inputs=2,
    params=(Param(name="n"), Param(name="dead_max", default=0.5)),
    state=laps_of("n", copies=PAIR_LAPS + 1),
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
        if step > -1e-11:
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
