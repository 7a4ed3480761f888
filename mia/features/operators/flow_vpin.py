"""VPIN from bars: volume buckets filled by bulk volume classification. Keep it a feature, never a risk gate:
Andersen and Bondarenko (2014) find no forecasting power beyond volume and volatility on E-mini data.
"""

import math

import numpy as np

from mia.features.operators.registry import Operator, Param
from mia.features.operators.window import inner, ring_get, ring_push

HEAD = 12
WHOLE_TICKS = 32  # changes up to this size are looked up: few different ones occur in a session


@inner
def beta_fraction(a, b, x):
    """Continued fraction of the incomplete beta function (Lentz); converges for x < (a + 1) / (a + b + 2)."""
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    answer = d
    for m in range(1, 200):
        for odd in range(2):
            if odd == 0:
                term = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
            else:
                term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
            d = 1.0 + term * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + term / c
            c = c if abs(c) > tiny else tiny
            answer *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return answer


@inner
def student_cdf(t, dof):
    """Cumulative distribution of Student's t with `dof` degrees of freedom, by the incomplete beta."""
    if t == 0.0:
        return 0.5
    a, b = 0.5 * dof, 0.5
    x = dof / (dof + t * t)
    rest = t * t / (dof + t * t)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    front = math.exp(log_front)
    if x < (a + 1.0) / (a + b + 2.0):
        both = front * beta_fraction(a, b, x) / a
    else:
        both = 1.0 - front * beta_fraction(b, a, rest) / b
    return 1.0 - 0.5 * both if t > 0.0 else 0.5 * both


@inner
def vpin_new_session(s, o, sessions, buckets, session, first):
    """Take the finished session into the averages that fix bucket volume and price scale of the next."""
    volumes = o + HEAD
    squares, counts = volumes + sessions + 2, volumes + 2 * (sessions + 2)
    if s[o] > 0.0 and s[o + 1] == 1.0 and s[o + 2] > 0.0:
        ring_push(s, volumes, sessions, s[o + 2])
        ring_push(s, squares, sessions, s[o + 3])
        ring_push(s, counts, sessions, s[o + 4])
        held = int(s[volumes])
        volume, square, count = 0.0, 0.0, 0.0
        for age in range(held):
            volume += ring_get(s, volumes, sessions, age)
            square += ring_get(s, squares, sessions, age)
            count += ring_get(s, counts, sessions, age)
        s[o + 5] = volume / held / buckets
        s[o + 6] = math.sqrt(square / count) if count > 0.0 else 0.0
    s[o], s[o + 1] = session + 1.0, first
    s[o + 2], s[o + 3], s[o + 4] = 0.0, 0.0, 0.0


@inner
def vpin_fill(s, o, ring, buckets, volume, share):
    """Pour one bar's volume into the buckets; `share` of it is bought. Refreshes the mean at s[o + 11]."""
    target, closed = s[o + 5], False
    # One bar can overfill many buckets; only the last `buckets` of them can matter.
    if volume > target * (buckets + 1):
        volume = target * (buckets + 1)
    while s[o + 7] + volume >= target:
        part = max(target - s[o + 7], 0.0)
        s[o + 8] += part * share
        ring_push(s, ring, buckets, min(abs(2.0 * s[o + 8] - target) / target, 1.0))
        volume -= part
        s[o + 7], s[o + 8] = 0.0, 0.0
        closed = True
    s[o + 7] += volume
    s[o + 8] += volume * share
    if closed:
        held = int(s[ring])
        total = 0.0
        for age in range(held):
            total += ring_get(s, ring, buckets, age)
        s[o + 11] = total / held


@inner
def bought_share(s, o, change, scale, dof):
    """`student_cdf` of change / scale; for whole ticks from the table at s[o:], [scale, one place per change]."""
    if abs(change) > WHOLE_TICKS or change != math.floor(change):
        return student_cdf(change / scale, dof)
    if s[o] != scale:
        s[o] = scale
        for k in range(2 * WHOLE_TICKS + 1):
            s[o + 1 + k] = 0.0
    at = o + 1 + WHOLE_TICKS + int(change)
    if s[at] == 0.0:
        s[at] = student_cdf(change / scale, dof)
    return s[at]


@inner
def vpin_step(v, x, i, s, o, p, q):
    """Mean |bought - sold| / V over the last `buckets` volume buckets complete by the bar's close, in [0, 1].

    V is the mean volume of up to `sessions` prior complete sessions / buckets; bought share of a bar =
    t-distribution(price change / its rms over those sessions), `dof` degrees of freedom; the change over a
    session gap counts as 0. NaN until `least` buckets are full.
    Inputs: close, volume, cal.session, cal.first. Source: Easley, Lopez de Prado, O'Hara (2012, 2016).
    """
    buckets, sessions, dof, least = int(p[q]), int(p[q + 1]), p[q + 2], p[q + 3]
    close, volume, session, first = v[x[i]], v[x[i + 1]], v[x[i + 2]], v[x[i + 3]]
    ring = o + HEAD + 3 * (sessions + 2)
    if np.isnan(close) or np.isnan(volume) or np.isnan(session) or np.isnan(first):
        s[o + 10] = 0.0
        return np.nan
    new = s[o] != session + 1.0
    if new:
        vpin_new_session(s, o, sessions, buckets, session, first)
    change, known = close - s[o + 9], s[o + 10] > 0.0 and not new
    s[o + 9], s[o + 10] = close, 1.0
    if known:
        s[o + 3] += change * change
        s[o + 4] += 1.0
    volume = max(volume, 0.0)
    s[o + 2] += volume
    if s[o + 5] <= 0.0:
        return np.nan
    share = 0.5
    if known and change != 0.0 and s[o + 6] > 0.0:
        share = bought_share(s, ring + buckets + 2, change, s[o + 6], dof)
    vpin_fill(s, o, ring, buckets, volume, share)
    return s[o + 11] if s[ring] >= least else np.nan


VPIN = Operator(
    name="vpin",
    opcode=108,
    step=vpin_step,
    inputs=4,
    params=(
        Param(name="buckets", default=50),
        Param(name="sessions", default=20),
        Param(name="dof", default=0.25),
        Param(name="least", default=10),
    ),
    state=lambda p, _: HEAD + 3 * (int(p["sessions"]) + 2) + int(p["buckets"]) + 3 + 2 * WHOLE_TICKS + 1,
)
