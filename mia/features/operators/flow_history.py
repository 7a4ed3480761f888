"""Histograms of past sessions inside the flat state array: causal quantiles and empirical distributions.

Layout at s[o:]: [session + 1, sessions held, next write, pooled count, cached number, today's count],
then `bins` counts pooled over the held sessions, `bins` of today, and `sessions` x `bins` of the past.
"""

import math

import numpy as np

from mia.features.operators.registry import Operator, Param
from mia.features.operators.window import inner

HEAD = 6


def history_size(sessions: float, bins: float) -> int:
    """Number of float64 of state a history takes."""
    return HEAD + int(bins) * (int(sessions) + 2)


@inner
def history_roll(s, o, sessions, bins, session):
    """Move today's counts to the past when a new session begins; returns True if that happened."""
    if s[o] == session + 1.0:
        return False
    began = s[o] == 0.0
    s[o] = session + 1.0
    if began or s[o + 5] == 0.0:
        return False
    pooled = o + HEAD
    today = pooled + bins
    past = today + bins + int(s[o + 2]) * bins
    full = s[o + 1] >= sessions
    for k in range(bins):
        if full:
            s[pooled + k] -= s[past + k]
            s[o + 3] -= s[past + k]
        s[past + k] = s[today + k]
        s[pooled + k] += s[today + k]
        s[today + k] = 0.0
    s[o + 3] += s[o + 5]
    s[o + 5] = 0.0
    if not full:
        s[o + 1] += 1.0
    s[o + 2] = (s[o + 2] + 1.0) % sessions
    return True


@inner
def history_add(s, o, bins, at):
    """Count one value of today in bin `at` (clipped to the range)."""
    at = min(max(at, 0), bins - 1)
    s[o + HEAD + bins + at] += 1.0
    s[o + 5] += 1.0


@inner
def counts_quantile(s, a, bins, total, level):
    """Position (in bins, fractional) below which `level` of the `total` counts at s[a:] lie."""
    target = level * total
    below = 0.0
    for k in range(bins):
        count = s[a + k]
        if count > 0.0 and below + count >= target:
            return k + (target - below) / count
        below += count
    return float(bins)


@inner
def log_bin(value, low, high, bins):
    """Bin of a value > 0 on a logarithmic grid from `low` to `high`; 0 and less fall into bin 0."""
    if not value > low:
        return 0
    if value >= high:
        return bins - 1
    return int(math.log(value / low) / math.log(high / low) * bins)


@inner
def log_value(position, low, high, bins):
    """Value at a fractional bin position of the logarithmic grid."""
    return low * math.exp(position / bins * math.log(high / low))


@inner
def session_cdf_step(v, x, i, s, o, p, q):
    """Share of the values of the prior sessions that lie below x; ties do not count, so a usual 0 stays 0.

    Values are binned on `bins` equal steps of [low, high], linear inside a bin: exact to one bin's share.
    """
    sessions, bins, low, high = int(p[q]), int(p[q + 1]), p[q + 2], p[q + 3]
    value, session = v[x[i]], v[x[i + 1]]
    if np.isnan(session):
        return np.nan
    below = o + HEAD + bins * (sessions + 2)  # [k]: counts of the prior sessions below bin k
    if history_roll(s, o, sessions, bins, session):
        for k in range(bins):
            s[below + k + 1] = s[below + k] + s[o + HEAD + k]
    if np.isnan(value):
        return np.nan
    position = min(max((value - low) / (high - low) * bins, 0.0), float(bins))
    at = min(int(position), bins - 1)
    answer = np.nan
    if s[o + 3] > 0.0:
        answer = (s[below + at] + (position - at) * s[o + HEAD + at]) / s[o + 3]
    history_add(s, o, bins, at)
    return answer


SESSION_CDF = Operator(
    name="session_cdf",
    opcode=109,
    step=session_cdf_step,
    inputs=2,
    params=(
        Param(name="sessions", default=5),
        Param(name="bins", default=512),
        Param(name="low", default=0.0),
        Param(name="high", default=1.0),
    ),
    state=lambda p, _: history_size(p["sessions"], p["bins"]) + int(p["bins"]) + 1,
)
