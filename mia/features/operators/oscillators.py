"""Windowed price indicators: channel position, CCI, MFI, efficiency, Bollinger bands."""

import math

import numpy as np

from mia.features.operators.registry import Operator, Param, laps_of, window_of
from mia.features.operators.window import (
    inner,
    lap_clear,
    lap_max_push,
    lap_push,
    ring_clear,
    ring_get,
    ring_mean,
    ring_push,
    window_moments,
)


@inner
def channel_position_step(v, x, i, s, o, p, q):
    """Where the close lies between lowest low and highest high of n bars: 0 to `scale`, middle if flat."""
    n, scale = int(p[q]), p[q + 1]
    high, low, close, second = v[x[i]], v[x[i + 1]], v[x[i + 2]], o + int(p[q]) + 3
    if high != high or low != low or close != close:
        lap_clear(s, o)
        lap_clear(s, second)
        return np.nan
    high, low = lap_max_push(s, o, n, high), -lap_max_push(s, second, n, -low)
    if s[o] < n:
        return np.nan
    return scale * (close - low) / (high - low) if high > low else 0.5 * scale


@inner
def cci_step(v, x, i, s, o, p, q):
    """Commodity channel index over n bars of high, low, close; 0 if nothing varies."""
    n = int(p[q])
    typical = (v[x[i]] + v[x[i + 1]] + v[x[i + 2]]) / 3.0
    if typical != typical:
        ring_clear(s, o)
        return np.nan
    ring_push(s, o, n, typical)
    if s[o] < n:
        return np.nan
    mean = ring_mean(s, o, n)
    d0 = d1 = 0.0
    for k in range(o + 2, o + 1 + n, 2):
        d0 += abs(s[k] - mean)
        d1 += abs(s[k + 1] - mean)
    if n % 2 == 1:
        d0 += abs(s[o + 1 + n] - mean)
    deviation = (d0 + d1) / n
    # Thirds of equal prices differ in the last digit; such a window is flat.
    return (typical - mean) / (0.015 * deviation) if deviation > 1e-9 else 0.0


@inner
def mfi_step(v, x, i, s, o, p, q):
    """Money flow index 0..100 over n bars of high, low, close, volume; 50 if no money flowed.

    State [has previous, previous typical price, lap of what flowed in, lap of what flowed out].
    """
    n = int(p[q])
    total = v[x[i]] + v[x[i + 1]] + v[x[i + 2]]  # three times the typical price: exact in ticks
    volume, second = v[x[i + 3]], o + 2 + n + 3
    if total != total or volume != volume:
        s[o] = 0.0
        lap_clear(s, o + 2)
        lap_clear(s, second)
        return np.nan
    had, previous = s[o] > 0.0, s[o + 1]
    s[o], s[o + 1] = 1.0, total
    if not had:
        return np.nan
    flow = total / 3.0 * volume
    gained = lap_push(s, o + 2, n, flow if total > previous else 0.0)
    lost = lap_push(s, second, n, flow if total < previous else 0.0)
    if s[second] < n:
        return np.nan
    return 100.0 * gained / (gained + lost) if gained + lost > 0.0 else 50.0


@inner
def efficiency_ratio_step(v, x, i, s, o, p, q):
    """Net move over n bars by the length of the path, 0..1; 0 if nothing moved."""
    n = int(p[q])
    value = v[x[i]]
    if value != value:
        ring_clear(s, o)
        lap_clear(s, o + n + 2)
        return np.nan
    before = ring_get(s, o, n, 0)  # if there was one
    first = ring_push(s, o, n, value)
    if s[o] == 1.0:
        return np.nan
    path = lap_push(s, o + n + 2, n, abs(value - before))
    if first != first:
        return np.nan
    return abs(value - first) / path if path > 0.0 else 0.0


@inner
def bollinger_step(v, x, i, s, o, p, q):
    """Bands mean +- k standard deviations over n bars: width relative to the mean, or position in the bands.

    Position is 0 at the lower and 1 at the upper band, 0.5 if nothing varies.
    """
    n, k, ddof, out = int(p[q]), p[q + 1], p[q + 2], int(p[q + 3])
    value = v[x[i]]
    if value != value:
        ring_clear(s, o)
        return np.nan
    ring_push(s, o, n, value)
    if s[o] < n:
        return np.nan
    total, squares = window_moments(s, o + 2, n, value)
    mean = value + total / n
    half = k * math.sqrt(max(0.0, squares - total * total / n) / (n - ddof))
    if out == 0:
        return 2.0 * half / mean if mean != 0.0 else np.nan
    return (value - mean + half) / (2.0 * half) if half > 0.0 else 0.5


N = Param(name="n")

OPERATORS = (
    Operator(
        name="channel_position",
        opcode=40,
        step=channel_position_step,
        inputs=3,
        params=(N, Param(name="scale", default=1)),
        state=laps_of(copies=2),
    ),
    Operator(name="cci", opcode=41, step=cci_step, inputs=3, params=(N,), state=window_of("n")),
    Operator(name="mfi", opcode=42, step=mfi_step, inputs=4, params=(N,), state=laps_of(extra=2, copies=2)),
    Operator(
        name="efficiency_ratio",
        opcode=43,
        step=efficiency_ratio_step,
        params=(N,),
        state=laps_of(rings=1),
    ),
    Operator(
        name="bollinger",
        opcode=44,
        step=bollinger_step,
        params=(
            N,
            Param(name="k", default=2),
            Param(name="ddof", default=0),
            Param(name="out", choices=("width", "pctb")),
        ),
        state=window_of("n"),
    ),
)
