"""Volatility from ranges and returns. Annual = per bar x sqrt(252 x session minutes / bar minutes)."""

import math

import numpy as np

from mia.features.operators.registry import Operator, Param, laps_of, window_of
from mia.features.operators.window import (
    inner,
    lap_clear,
    lap_push,
    ring_clear,
    ring_get,
    ring_mean,
    ring_push,
    ring_squares,
    window_moments,
)

TRADING_DAYS = 252.0

_TWO_LN2_LESS_1 = 2.0 * math.log(2.0) - 1.0
_FOUR_LN2 = 4.0 * math.log(2.0)


@inner
def rogers_satchell(high_open, low_open, close_open):
    """One bar's variance without drift, from log distances to the open."""
    return high_open * (high_open - close_open) + low_open * (low_open - close_open)


@inner
def range_vol_step(v, x, i, s, o, p, q):
    """Annualised volatility from open, high, low, close of n bars: parkinson, gk (Garman-Klass) or rs."""
    n, estimator, bars_a_year = int(p[q]), int(p[q + 1]), TRADING_DAYS * p[q + 2] / p[q + 3]
    first, high, low, close = v[x[i]], v[x[i + 1]], v[x[i + 2]], v[x[i + 3]]
    if not (first > 0.0 and high > 0.0 and low > 0.0 and close > 0.0):
        lap_clear(s, o)
        return np.nan
    span, body = math.log(high / low), math.log(close / first)
    if estimator == 0:
        variance = span * span / _FOUR_LN2
    elif estimator == 1:
        variance = 0.5 * span * span - _TWO_LN2_LESS_1 * body * body
    else:
        variance = rogers_satchell(math.log(high / first), math.log(low / first), body)
    total = lap_push(s, o, n, variance)
    return math.sqrt(bars_a_year * max(0.0, total / n)) if s[o] == n else np.nan


@inner
def _ewma(s, o, decay, seen_needed, value):
    """Exponentially weighted mean of squares, per bar; weights are normalised, so it needs no seed."""
    s[o] += 1.0
    s[o + 1] = decay * s[o + 1] + value * value
    s[o + 2] = decay * s[o + 2] + 1.0
    return s[o + 1] / s[o + 2] if s[o] >= seen_needed else np.nan


@inner
def realised_step(v, x, i, s, o, p, q):
    """Statistics of the last n returns.

    vol: annualised root of the mean square; bipower: sum, robust to jumps; jump_share, down_share: 0..1;
    moment: realised skewness (order 3) or kurtosis (4); ewma: annualised, decay `lam`, from n returns on.
    A window without any movement has jump_share 0, down_share 0.5, moment 0.
    """
    n, out, order, decay = int(p[q]), int(p[q + 1]), int(p[q + 2]), p[q + 3]
    bars_a_year = TRADING_DAYS * p[q + 4] / p[q + 5]
    value = v[x[i]]
    if value != value:
        lap_clear(s, o)
        lap_clear(s, o + n + 3)
        s[o + 2 * n + 6] = 0.0
        return np.nan
    if out == 5:
        return math.sqrt(bars_a_year * _ewma(s, o, decay, n, value))
    second = o + n + 3
    variance = lap_push(s, o, n, value * value)
    if out == 0:
        return math.sqrt(bars_a_year / n * variance)
    if out == 3:
        other = lap_push(s, second, n, value * value if value < 0.0 else 0.0)
    elif out == 4:
        other = lap_push(s, second, n, value * value * value if order == 3 else value**order)
    else:  # n - 1 products of neighbours
        other = np.nan
        if s[second + n + 3] == 1.0:
            other = lap_push(s, second, n - 1, abs(value) * s[second + n + 4])
        s[second + n + 3], s[second + n + 4] = 1.0, abs(value)
    if s[o] < n:
        return np.nan
    bipower = other * 0.5 * math.pi * n / (n - 1.0)
    if out == 1:
        return bipower
    if variance == 0.0:
        return 0.5 if out == 3 else 0.0
    if out == 2:
        return max(0.0, variance - bipower) / variance
    if out == 3:
        return other / variance
    return n ** (0.5 * order - 1.0) * other / variance ** (0.5 * order)


@inner
def deviation_step(v, x, i, s, o, p, q):
    """Standard deviation over n bars: annualised, plain, or relative to the mean (0 if the mean is 0)."""
    n, ddof, out = int(p[q]), p[q + 1], int(p[q + 2])
    value = v[x[i]]
    if value != value:
        ring_clear(s, o)
        return np.nan
    ring_push(s, o, n, value)
    if s[o] < n:
        return np.nan
    total, squares = window_moments(s, o + 2, n, value)
    mean = value + total / n
    deviation = math.sqrt(max(0.0, squares - total * total / n) / (n - ddof))
    if out == 0:
        return deviation * math.sqrt(TRADING_DAYS * p[q + 3] / p[q + 4])
    if out == 1:
        return deviation
    return deviation / mean if mean != 0.0 else 0.0


@inner
def _yang_zhang(s, overnight, body, inside, n):
    """The estimate from the three rings; counts only once they are full."""
    k = 0.34 / (1.34 + (n + 1.0) / (n - 1.0))
    jumps = ring_squares(s, overnight, n, ring_mean(s, overnight, n)) / (n - 1.0)
    moves = ring_squares(s, body, n, ring_mean(s, body, n)) / (n - 1.0)
    return math.sqrt(TRADING_DAYS * (jumps + k * moves + (1.0 - k) * ring_mean(s, inside, n)))


@inner
def yang_zhang_step(v, x, i, s, o, p, q):
    """Annualised Yang-Zhang volatility of the last n completed sessions; open, high, low, close, session.

    State [session + 1, open, high, low, close, previous close, answer of this session, rings of the three parts].
    """
    n, session = int(p[q]), v[x[i + 4]]
    first, high, low, close = v[x[i]], v[x[i + 1]], v[x[i + 2]], v[x[i + 3]]
    overnight, body, inside = o + 7, o + 7 + n + 2, o + 7 + 2 * (n + 2)
    if session == session and first > 0.0 and high > 0.0 and low > 0.0 and close > 0.0:
        if s[o] != session + 1.0:
            if s[o + 5] > 0.0:
                ring_push(s, overnight, n, math.log(s[o + 1] / s[o + 5]))
                ring_push(s, body, n, math.log(s[o + 4] / s[o + 1]))
                up, down = math.log(s[o + 2] / s[o + 1]), math.log(s[o + 3] / s[o + 1])
                ring_push(s, inside, n, rogers_satchell(up, down, math.log(s[o + 4] / s[o + 1])))
                s[o + 6] = _yang_zhang(s, overnight, body, inside, n)
            s[o + 5] = s[o + 4]
            s[o], s[o + 1], s[o + 2], s[o + 3] = session + 1.0, first, high, low
        s[o + 2] = max(s[o + 2], high)
        s[o + 3] = min(s[o + 3], low)
        s[o + 4] = close
    return s[o + 6] if s[overnight] == n else np.nan


@inner
def _week(s, o, ring, size):
    """Keep the logs of the last day and of the mean of the last five."""
    week = 0.0
    for age in range(5):
        week += ring_get(s, ring, size, age)
    s[o + 4], s[o + 5] = math.log(ring_get(s, ring, size, 0)), math.log(week / 5.0)


@inner
def har_step(v, x, i, s, o, p, q):
    """Log realised variance per session over completed sessions, or the HAR forecast of the next one.

    Inputs open, close, session. A session's variance is the sum of squared log moves from its first open
    through all its closes (no overnight gap); sessions with less than half of their bars do not count.
    level: log of the mean over `days` sessions. forecast: annualised volatility from the fitted
    [b0, b_day, b_week, b_month, s2].
    State [session + 1, previous close, sum, bars, logs of day, week and month, ring]. Source: Corsi (2009).
    """
    out, days, n_slots = int(p[q]), int(p[q + 1]), p[q + 2]
    size = 22 if out == 1 else days
    first, close, session = v[x[i]], v[x[i + 1]], v[x[i + 2]]
    ring = o + 7
    if session == session and first > 0.0 and close > 0.0:
        if s[o] != session + 1.0:
            if s[o + 3] >= 0.5 * n_slots and s[o + 2] > 0.0:
                ring_push(s, ring, size, s[o + 2])
                if s[ring] == size:
                    s[o + 6] = math.log(ring_mean(s, ring, size))
                    if out == 1:
                        _week(s, o, ring, size)
            s[o], s[o + 1], s[o + 2], s[o + 3] = session + 1.0, first, 0.0, 0.0
        move = math.log(close / s[o + 1])
        s[o + 1] = close
        s[o + 2] += move * move
        s[o + 3] += 1.0
    if s[ring] < size:
        return np.nan
    if out == 0:
        return s[o + 6]
    forecast = p[q + 3] + p[q + 4] * s[o + 4] + p[q + 5] * s[o + 5] + p[q + 6] * s[o + 6]
    return math.sqrt(TRADING_DAYS * math.exp(forecast + 0.5 * p[q + 7]))


N = Param(name="n")
CLOCK = (Param(name="session_minutes"), Param(name="bar_minutes"))

OPERATORS = (
    Operator(
        name="range_vol",
        opcode=60,
        step=range_vol_step,
        inputs=4,
        params=(N, Param(name="estimator", choices=("parkinson", "gk", "rs")), *CLOCK),
        state=laps_of(),
    ),
    Operator(
        name="realised",
        opcode=61,
        step=realised_step,
        params=(
            N,
            Param(name="out", choices=("vol", "bipower", "jump_share", "down_share", "moment", "ewma")),
            Param(name="order", default=3),
            Param(name="lam", default=0.94),
            *CLOCK,
        ),
        state=laps_of(copies=2, extra=2),
    ),
    Operator(
        name="deviation",
        opcode=62,
        step=deviation_step,
        params=(
            N,
            Param(name="ddof", default=1),
            Param(name="out", default="annual", choices=("annual", "plain", "relative")),
            *CLOCK,
        ),
        state=window_of("n"),
    ),
    Operator(
        name="yang_zhang",
        opcode=63,
        step=yang_zhang_step,
        inputs=5,
        params=(N,),
        state=window_of("n", extra=7, copies=3),
    ),
    Operator(
        name="har",
        opcode=64,
        step=har_step,
        inputs=3,
        params=(
            Param(name="out", default="level", choices=("level", "forecast")),
            Param(name="days", default=1),
            Param(name="n_slots"),
        ),
        state=lambda params, _inputs: 9 + (22 if params["out"] == 1 else int(params["days"])),
        fitted=lambda params, _inputs: 5 if params["out"] == 1 else 0,
    ),
)
