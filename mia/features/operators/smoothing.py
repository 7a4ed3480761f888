"""Recursive averages and the classic indicators made of them, seeded as their authors did.

The seeds matter: an exponential average that starts from its first value is wrong for hundreds of bars.
After a missing bar each one starts afresh and is back after its ordinary warm-up.
"""

import numpy as np

from mia.features.operators.registry import Operator, Param, state_of
from mia.features.operators.window import inner

# A smoother holds [values seen, sum while seeding / average afterwards].


@inner
def ema_update(s, o, n, value):
    """Exponential average, weight 2 / (n + 1), seeded with the mean of the first n values; NaN until then."""
    s[o] += 1.0
    if s[o] <= n:
        s[o + 1] += value
        if s[o] < n:
            return np.nan
        s[o + 1] /= n
        return s[o + 1]
    s[o + 1] += (value - s[o + 1]) * (2.0 / (n + 1.0))
    return s[o + 1]


@inner
def rma_update(s, o, n, value):
    """Wilder's average, weight 1 / n, seeded with the mean of the first n values; NaN until then."""
    s[o] += 1.0
    if s[o] <= n:
        s[o + 1] += value
        if s[o] < n:
            return np.nan
        s[o + 1] /= n
        return s[o + 1]
    s[o + 1] = (s[o + 1] * (n - 1.0) + value) / n
    return s[o + 1]


@inner
def smoother_reset(s, o):
    s[o] = 0.0
    s[o + 1] = 0.0


@inner
def true_range(high, low, previous_close):
    return max(high, previous_close) - min(low, previous_close)


@inner
def atr_update(s, o, n, high, low, close):
    """Average true range; state [bars seen, previous close, smoother (2)]; restarts at a missing bar."""
    if high != high or low != low or close != close:
        s[o] = 0.0
        smoother_reset(s, o + 2)
        return np.nan
    value = np.nan
    if s[o] > 0.0:
        value = rma_update(s, o + 2, n, true_range(high, low, s[o + 1]))
    s[o] = 1.0
    s[o + 1] = close
    return value


@inner
def ema_step(v, x, i, s, o, p, q):
    """Exponential moving average over n bars."""
    value = v[x[i]]
    if value != value:
        smoother_reset(s, o)
        return np.nan
    return ema_update(s, o, int(p[q]), value)


@inner
def atr_step(v, x, i, s, o, p, q):
    """Average true range of high, low, close, Wilder-smoothed over n bars."""
    return atr_update(s, o, int(p[q]), v[x[i]], v[x[i + 1]], v[x[i + 2]])


@inner
def rsi_step(v, x, i, s, o, p, q):
    """Relative strength index 0..100 over n bars; 50 if nothing moved. State [seen, last, gains, losses]."""
    n = int(p[q])
    value = v[x[i]]
    if value != value:
        s[o] = 0.0
        smoother_reset(s, o + 2)
        smoother_reset(s, o + 4)
        return np.nan
    result = np.nan
    if s[o] > 0.0:
        change = value - s[o + 1]
        gain = rma_update(s, o + 2, n, max(change, 0.0))
        loss = rma_update(s, o + 4, n, max(-change, 0.0))
        if gain + loss > 0.0:
            result = 100.0 * gain / (gain + loss)
        elif gain == gain:
            result = 50.0
    s[o] = 1.0
    s[o + 1] = value
    return result


@inner
def _wilder_sum(s, o, n, seen, value):
    """Wilder's running sum: the first n - 1 values added up, then s - s / n + value."""
    if seen < n:
        s[o] += value
    else:
        s[o] += value - s[o] / n


@inner
def dmi_step(v, x, i, s, o, p, q):
    """Directional movement over n bars: adx, plus or minus directional indicator, each 0..100.

    State [seen, high, low, close, plus sum, minus sum, range sum, last index, average index (2)].
    """
    n, out = int(p[q]), int(p[q + 1])
    high, low, close = v[x[i]], v[x[i + 1]], v[x[i + 2]]
    if high != high or low != low or close != close:
        for k in range(10):
            s[o + k] = 0.0
        return np.nan
    result = np.nan
    moves = int(s[o])  # movements including this bar's
    if moves > 0:
        up, down = high - s[o + 1], s[o + 2] - low
        _wilder_sum(s, o + 4, n, moves, up if up > down and up > 0.0 else 0.0)
        _wilder_sum(s, o + 5, n, moves, down if down > up and down > 0.0 else 0.0)
        _wilder_sum(s, o + 6, n, moves, true_range(high, low, s[o + 3]))
        if moves >= n:
            span = s[o + 6]
            plus = 100.0 * s[o + 4] / span if span > 0.0 else 0.0
            minus = 100.0 * s[o + 5] / span if span > 0.0 else 0.0
            if plus + minus > 0.0:  # otherwise the last index stands
                s[o + 7] = 100.0 * abs(plus - minus) / (plus + minus)
            adx = rma_update(s, o + 8, n, s[o + 7])
            result = adx if out == 0 else (plus if out == 1 else minus)
    s[o] = moves + 1.0
    s[o + 1], s[o + 2], s[o + 3] = high, low, close
    return result


@inner
def macd_step(v, x, i, s, o, p, q):
    """Fast minus slow exponential average, its signal average, or their difference.

    Both averages are seeded on the bar that completes the slow one; all three outputs begin with the signal.
    State [bars seen, fast (2), slow (2), signal (2)].
    """
    fast, slow, signal, out = int(p[q]), int(p[q + 1]), int(p[q + 2]), int(p[q + 3])
    value = v[x[i]]
    if value != value:
        for k in range(7):
            s[o + k] = 0.0
        return np.nan
    s[o] += 1.0
    quick = np.nan
    if s[o] > slow - fast:
        quick = ema_update(s, o + 1, fast, value)
    calm = ema_update(s, o + 3, slow, value)
    if calm != calm:
        return np.nan
    line = quick - calm
    average = ema_update(s, o + 5, signal, line)
    if average != average:
        return np.nan
    return line if out == 0 else (average if out == 1 else line - average)


@inner
def keltner_step(v, x, i, s, o, p, q):
    """Position of the close in the channel EMA(n) +- mult x ATR(atr_n), or the relative width of the channel.

    0 is the middle, +-1 are the edges. Width = 2 x mult x ATR / EMA. NaN if the range is 0.
    Inputs high, low, close.
    """
    n, atr_n, mult, out = int(p[q]), int(p[q + 1]), p[q + 2], int(p[q + 3])
    close = v[x[i + 2]]
    span = atr_update(s, o + 2, atr_n, v[x[i]], v[x[i + 1]], close)
    if close != close:
        smoother_reset(s, o)
        return np.nan
    middle = ema_update(s, o, n, close)
    if out == 1:
        return 2.0 * mult * span / middle
    return (close - middle) / (mult * span) if span > 0.0 else np.nan


N = Param(name="n")

OPERATORS = (
    Operator(name="ema", opcode=30, step=ema_step, params=(N,), state=state_of(2)),
    Operator(name="atr", opcode=31, step=atr_step, inputs=3, params=(N,), state=state_of(4)),
    Operator(name="rsi", opcode=32, step=rsi_step, params=(N,), state=state_of(6)),
    Operator(
        name="dmi",
        opcode=33,
        step=dmi_step,
        inputs=3,
        params=(N, Param(name="out", choices=("adx", "plus", "minus"))),
        state=state_of(10),
    ),
    Operator(
        name="macd",
        opcode=34,
        step=macd_step,
        params=(
            Param(name="fast", default=12),
            Param(name="slow", default=26),
            Param(name="signal", default=9),
            Param(name="out", choices=("line", "signal", "histogram")),
        ),
        state=state_of(7),
    ),
    Operator(
        name="keltner",
        opcode=35,
        step=keltner_step,
        inputs=3,
        params=(
            N,
            Param(name="atr_n", default=14),
            Param(name="mult", default=2),
            Param(name="out", default="position", choices=("position", "width")),
        ),
        state=state_of(6),
    ),
)
