"""Operators on market structure: anchored VWAP, swings, positions between levels, breakouts."""

import math

import numpy as np

from mia.features.operators.registry import Operator, Param, laps_of, state_of
from mia.features.operators.window import inner, lap_clear, lap_max_push, ring_push


@inner
def vwap_step(v, x, i, s, o, p, q):
    """Volume-weighted average price since the anchor [ticks], or the close's distance from it in deviations.

    The anchor is the first bar of regular hours (or of the session); what follows it accumulates until the
    next anchor, across the night. Sums are kept relative to the anchor's reference price, so they are exact.
    out = path is NaN on the anchor's bar (a slope must not reach across it); out = z is NaN for the first
    `min_bars` bars. A bar with volume but no trades makes it NaN until the next anchor.
    Inputs: trd.pv, trd.pv2, trd.ref, bar.volume, bar.close, cal.session, cal.rth.
    Source: Berkowitz, Logue, Noser (1988).
    """
    pv, pv2, ref, volume = v[x[i]], v[x[i + 1]], v[x[i + 2]], v[x[i + 3]]
    close, session, rth = v[x[i + 4]], v[x[i + 5]], v[x[i + 6]]
    out, globex, min_bars = p[q], p[q + 1] == 1.0, p[q + 2]
    if np.isnan(session) or np.isnan(rth) or np.isnan(volume):
        s[o + 6] = 1.0
        return np.nan
    if s[o] != session + 1.0 and (globex or rth == 1.0):
        s[o] = session + 1.0
        for k in range(1, 7):
            s[o + k] = 0.0
    if s[o] == 0.0:
        return np.nan
    if volume > 0.0:
        if np.isnan(pv) or np.isnan(pv2) or np.isnan(ref):
            s[o + 6] = 1.0
        else:
            if s[o + 4] == 0.0:
                s[o + 5] = ref
            shift = ref - s[o + 5]
            s[o + 1] += pv + shift * volume
            s[o + 2] += pv2 + 2.0 * shift * pv + shift * shift * volume
            s[o + 3] += volume
            s[o + 4] = 1.0
    # s[o + 7] counts the bars since the anchor; it is reset with the session above through s[o + 8].
    s[o + 7] = s[o + 7] + 1.0 if s[o + 8] == s[o] else 1.0
    s[o + 8] = s[o]
    if s[o + 6] == 1.0 or s[o + 3] <= 0.0:
        return np.nan
    mean = s[o + 1] / s[o + 3]
    if out == 0.0:
        return s[o + 5] + mean
    if out == 2.0:
        return s[o + 5] + mean if s[o + 7] > 1.0 else np.nan
    variance = s[o + 2] / s[o + 3] - mean * mean
    if s[o + 7] <= min_bars or not variance > 0.0:
        return np.nan
    return (close - s[o + 5] - mean) / math.sqrt(variance)


VWAP = Operator(
    name="vwap",
    opcode=130,
    step=vwap_step,
    inputs=7,
    params=(
        Param(name="out", default="level", choices=("level", "z", "path")),
        Param(name="anchor", default="rth_open", choices=("rth_open", "globex_open")),
        Param(name="min_bars", default=15),
    ),
    state=state_of(9),
)


@inner
def swing_confirm(s, o, price, high):
    """Record a confirmed swing: its level, and whether it is above (+1) or below (-1) the last such."""
    level = o + 3 if high else o + 4
    known = o + 5 if high else o + 6
    if s[known] > 0.0:
        ring_push(s, o + 8, 4, float((price > s[level]) - (price < s[level])))
    s[level], s[known], s[o + 7] = price, 1.0, 0.0


@inner
def swing_step(v, x, i, s, o, p, q):
    """Zig-zag swings, written at the bar that confirms them: a reversal of k_atr x ATR from the extreme.

    out: high, low = last confirmed level [ticks]; structure = (HH + HL - LH - LL) / 4 of the last four
    confirmed swings; age = bars since the last confirmation. The extreme's own bar cannot confirm it.
    Inputs: high, low, ATR. Source: Lo, Mamaysky, Wang (2000) for the idea; confirmation causal.
    """
    out, reversal = p[q], p[q + 1] * v[x[i + 2]]
    high, low = v[x[i]], v[x[i + 1]]
    if np.isnan(high) or np.isnan(low) or np.isnan(reversal):
        return np.nan
    s[o + 7] += 1.0
    mode = s[o]
    if mode == 0.0:  # first bar
        s[o], s[o + 1], s[o + 2] = 2.0, high, low
    elif mode == 2.0:  # no direction yet
        if high - s[o + 2] >= reversal:
            swing_confirm(s, o, s[o + 2], False)
            s[o], s[o + 1] = 1.0, max(high, s[o + 1])
        elif s[o + 1] - low >= reversal:
            swing_confirm(s, o, s[o + 1], True)
            s[o], s[o + 2] = -1.0, min(low, s[o + 2])
        else:
            s[o + 1], s[o + 2] = max(high, s[o + 1]), min(low, s[o + 2])
    elif mode == 1.0:
        if high > s[o + 1]:
            s[o + 1] = high
        elif s[o + 1] - low >= reversal:
            swing_confirm(s, o, s[o + 1], True)
            s[o], s[o + 2] = -1.0, low
    elif low < s[o + 2]:
        s[o + 2] = low
    elif high - s[o + 2] >= reversal:
        swing_confirm(s, o, s[o + 2], False)
        s[o], s[o + 1] = 1.0, high
    if out == 0.0:
        return s[o + 3] if s[o + 5] > 0.0 else np.nan
    if out == 1.0:
        return s[o + 4] if s[o + 6] > 0.0 else np.nan
    if out == 2.0:
        if s[o + 8] < 4.0:
            return np.nan
        return (s[o + 10] + s[o + 11] + s[o + 12] + s[o + 13]) / 4.0
    return s[o + 7] if s[o + 5] > 0.0 or s[o + 6] > 0.0 else np.nan


SWING = Operator(
    name="swing",
    opcode=131,
    step=swing_step,
    inputs=3,
    params=(Param(name="out", choices=("high", "low", "structure", "age")), Param(name="k_atr", default=3)),
    state=state_of(14),
)


@inner
def between_step(v, x, i, s, o, p, q):
    """(x - low) / (high - low); 0.5 if the two levels coincide. Inputs: x, low, high."""
    value, low, high = v[x[i]], v[x[i + 1]], v[x[i + 2]]
    if np.isnan(value) or np.isnan(low) or np.isnan(high):
        return np.nan
    return (value - low) / (high - low) if high != low else 0.5


BETWEEN = Operator(name="between", opcode=132, step=between_step, inputs=3)


@inner
def round_distance_step(v, x, i, s, o, p, q):
    """(price - nearest round number) / unit. Inputs: price [ticks], unit [ticks]. Source: Osler (2003)."""
    step = p[q] / p[q + 1]
    price, unit = v[x[i]], v[x[i + 1]]
    if np.isnan(price) or not unit > 0.0:
        return np.nan
    return (price - math.floor(price / step + 0.5) * step) / unit


ROUND_DISTANCE = Operator(
    name="round_distance",
    opcode=133,
    step=round_distance_step,
    inputs=2,
    params=(Param(name="round_step"), Param(name="tick_size")),
)


@inner
def breakout_score_of(side, penetration, anomaly, flow, squeezed):
    """Weigh penetration [ATR], unusual volume, agreeing flow and a recent squeeze; clipped to [-3, 3]."""
    score = 0.6 * min(penetration, 1.0) + 0.8 / (1.0 + math.exp(-anomaly))
    score += 1.6 * max(0.0, side * flow) + (0.8 if squeezed else 0.0)
    return min(max(side * score, -3.0), 3.0)


@inner
def breakout_step(v, x, i, s, o, p, q):
    """Breakout of the channel of the n bars before this one, with confirmations, in [-3, 3].

    Side +1 above, -1 below, else half the position relative to the channel's middle.
    Inputs: high, low, close, ATR, volume anomaly [z], delta ratio, squeeze flag. Source: own proposal.
    State [bars for which the last squeeze still counts, top and bottom of the last n bars, their laps].
    """
    n = int(p[q])
    highs, lows = o + 3, o + 3 + n + 3
    high, low, close, atr = v[x[i]], v[x[i + 1]], v[x[i + 2]], v[x[i + 3]]
    anomaly, flow, squeeze = v[x[i + 4]], v[x[i + 5]], v[x[i + 6]]
    if np.isnan(high) or np.isnan(low) or np.isnan(close):
        lap_clear(s, highs)
        lap_clear(s, lows)
        s[o] = 0.0
        return np.nan
    s[o] = float(n) if squeeze == 1.0 else max(0.0, s[o] - 1.0)
    full, top, bottom, squeezed = s[highs] == n, s[o + 1], s[o + 2], s[o] > 0.0
    s[o + 1], s[o + 2] = lap_max_push(s, highs, n, high), -lap_max_push(s, lows, n, -low)
    if not full or not atr > 0.0 or np.isnan(anomaly) or np.isnan(flow) or np.isnan(squeeze):
        return np.nan
    if close > top:
        return breakout_score_of(1.0, (close - top) / atr, anomaly, flow, squeezed)
    if close < bottom:
        return breakout_score_of(-1.0, (bottom - close) / atr, anomaly, flow, squeezed)
    position = (close - bottom) / (top - bottom) if top > bottom else 0.5
    return breakout_score_of(0.5 * (position - 0.5), 0.0, anomaly, flow, squeezed)


BREAKOUT = Operator(
    name="breakout",
    opcode=134,
    step=breakout_step,
    inputs=7,
    params=(Param(name="n"),),
    state=laps_of(extra=3, copies=2),
)
