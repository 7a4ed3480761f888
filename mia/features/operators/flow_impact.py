"""Operators on price impact and bars-only liquidity proxies."""

import math

import numpy as np

from mia.features.operators.registry import Operator, Param, laps_of
from mia.features.operators.window import (
    inner,
    lap_clear,
    lap_max_push,
    lap_push,
    ring_clear,
    ring_get,
    ring_push,
)

# var_impulse keeps a ring of the last lags + 1 bars' sums over the window, behind it the sums' laps. Rows of the
# regression are lags of each other, so the cross product of lags i and j is that of lags 0 and j - i, i bars ago.
# Places of the sums in a bar: r, x, then for k = 0..lags r r_k, x x_k, r x_k and x r_k (_k: k bars before).


@inner
def lagged_sums(s, rings, size, laps, n, lags, row):
    """Take the newest bar into all sums and write them to s[row:]; not a number while their windows fill."""
    r, x = ring_get(s, rings, size, 0), ring_get(s, rings + size + 2, size, 0)
    s[row], s[row + 1] = lap_push(s, laps, n, r), lap_push(s, laps + n + 3, n, x)
    for k in range(min(lags + 1, int(s[rings]))):
        at, lap = row + 2 + 4 * k, laps + (2 + 4 * k) * (n + 3)
        past_r, past_x = ring_get(s, rings, size, k), ring_get(s, rings + size + 2, size, k)
        s[at] = lap_push(s, lap, n, r * past_r)
        s[at + 1] = lap_push(s, lap + n + 3, n, x * past_x)
        s[at + 2] = lap_push(s, lap + 2 * (n + 3), n, r * past_x)
        s[at + 3] = lap_push(s, lap + 3 * (n + 3), n, x * past_r)


@inner
def gram_of(s, sums, bars, newest, lags, n, g, width):
    """Cross products of 1, lagged r, lagged x, x, r in the lower triangle at s[g:], from the last bars' sums."""
    count = 4 * lags + 6
    s[g] = float(n)
    for i in range(lags + 1):
        bar = newest - i
        at = sums + (bar if bar >= 0 else bar + bars) * count
        row_r = width - 1 if i == 0 else i
        row_x = width - 2 if i == 0 else i + lags
        s[g + row_r * width], s[g + row_x * width] = s[at], s[at + 1]
        for k in range(lags + 1 - i):
            j, term = i + k, at + 2 + 4 * k  # lag j = lag i, k bars before
            place_r, place_x = width - 1 if j == 0 else j, width - 2 if j == 0 else j + lags
            put(s, g, width, row_r, place_r, s[term])
            put(s, g, width, row_x, place_x, s[term + 1])
            put(s, g, width, row_r, place_x, s[term + 2])
            put(s, g, width, row_x, place_r, s[term + 3])


@inner
def put(s, g, width, row, column, value):
    """Write an element of a symmetric matrix to the lower triangle."""
    s[g + max(row, column) * width + min(row, column)] = value


@inner
def cholesky(s, g, f, width):
    """Lower factor of the matrix at s[g:] into s[f:], column by column; False if it is singular.

    Diagonal places hold 1 / pivot; the last pivot is not needed.
    """
    for b in range(width - 1):
        row = f + b * width
        pivot = s[g + b * width + b]
        for k in range(b):
            pivot -= s[row + k] * s[row + k]
        if not pivot > 1e-10 * s[g + b * width + b]:
            return False
        scale = 1.0 / math.sqrt(pivot)
        s[row + b] = scale
        for a in range(b + 1, width):
            below = f + a * width
            even, odd = s[g + a * width + b], 0.0
            for k in range(0, b - 1, 2):
                even -= s[below + k] * s[row + k]
                odd -= s[below + k + 1] * s[row + k + 1]
            if b % 2 == 1:
                even -= s[below + b - 1] * s[row + b - 1]
            s[below + b] = (even + odd) * scale
    return True


@inner
def back_solve(s, f, width, row, c):
    """Regression of variable `row` on the ones before it, from the factor: coefficients to s[c : c + row]."""
    for a in range(row - 1, -1, -1):
        value = s[f + row * width + a]
        for k in range(a + 1, row):
            value -= s[f + k * width + a] * s[c + k]
        s[c + a] = value * s[f + a * width + a]


@inner
def var_response(s, cr, cx, h, lags, steps):
    """Cumulative r after `steps` steps of the fitted system hit by x = 1 at step 0; path kept behind s[h:]."""
    for k in range(2 * lags):
        s[h + k] = 0.0  # nothing moved before
    total, impact = 0.0, s[cr + 1 + 2 * lags]
    for t in range(steps + 1):
        flow, move, at = 1.0 if t == 0 else 0.0, 0.0, h + 2 * (lags + t)
        for k in range(1, lags + 1):
            r, x = s[at - 2 * k], s[at - 2 * k + 1]
            flow += s[cx + k] * r + s[cx + lags + k] * x
            move += s[cr + k] * r + s[cr + lags + k] * x
        move += impact * flow
        s[at], s[at + 1] = move, flow
        total += move
    return total


@inner
def var_impulse_step(v, x, i, s, o, p, q):
    """Price response after `steps` bars to one more contract bought, from a VAR on the last n bars [ticks].

    r_t on lags of r and x and on x_t; x_t on lags of both; least squares with a constant. One Cholesky
    factor of the joint cross products solves both.
    Inputs: mid change [ticks], signed volume. Source: Hasbrouck (1991).
    """
    n, lags, steps = int(p[q]), int(p[q + 1]), int(p[q + 2])
    width, bars, count = 2 * lags + 3, lags + 1, 4 * lags + 6
    rings, sums = o + 1, o + 1 + 2 * (bars + 2)
    laps = sums + bars * count
    gram = laps + count * (n + 3)
    factor = gram + width * width
    coef_r = factor + width * width
    coef_x = coef_r + width
    if np.isnan(v[x[i]]) or np.isnan(v[x[i + 1]]):
        s[o] = 0.0
        ring_clear(s, rings)
        ring_clear(s, rings + bars + 2)
        for k in range(count):
            lap_clear(s, laps + k * (n + 3))
        return np.nan
    ring_push(s, rings, bars, v[x[i]])
    ring_push(s, rings + bars + 2, bars, v[x[i + 1]])
    newest = int(s[o]) % bars
    s[o] += 1.0
    lagged_sums(s, rings, bars, laps, n, lags, sums + newest * count)
    if s[o] < n + lags:
        return np.nan
    gram_of(s, sums, bars, newest, lags, n, gram, width)
    if not cholesky(s, gram, factor, width):
        return np.nan
    back_solve(s, factor, width, width - 1, coef_r)
    back_solve(s, factor, width, width - 2, coef_x)
    return var_response(s, coef_r, coef_x, coef_x + width, lags, steps)


def _var_state(p, _inputs):
    n, lags = int(p["n"]), int(p["lags"])
    width, bars, count = 2 * lags + 3, lags + 1, 4 * lags + 6
    return 1 + 2 * (bars + 2) + count * (bars + n + 3) + width * (2 * width + 2) + 2 * (lags + int(p["steps"]) + 1)


VAR_IMPULSE = Operator(
    name="var_impulse",
    opcode=120,
    step=var_impulse_step,
    inputs=2,
    params=(Param(name="n"), Param(name="lags", default=5), Param(name="steps", default=10)),
    state=_var_state,
)


@inner
def amihud_step(v, x, i, s, o, p, q):
    """Mean of |log return| / USD volume x 1e9 over the last n bars that traded; session gaps are left out.

    Inputs: close, volume, cal.first. Source: Amihud (2002).
    """
    n, usd = int(p[q]), p[q + 1] * p[q + 2]
    close, volume, first = v[x[i]], v[x[i + 1]], v[x[i + 2]]
    had, before = s[o] > 0.0, s[o + 1]
    if np.isnan(close) or np.isnan(volume) or np.isnan(first) or close <= 0.0:
        s[o] = 0.0
        lap_clear(s, o + 2)
        lap_clear(s, o + 2 + n + 3)
        return np.nan
    s[o], s[o + 1] = 1.0, close
    if not had:
        return np.nan
    turnover = volume * close * usd
    counts = first != 1.0 and turnover > 0.0
    total = lap_push(s, o + 2, n, abs(math.log(close / before)) / turnover if counts else 0.0)
    present = lap_push(s, o + 2 + n + 3, n, 1.0 if counts else 0.0)
    return total / present * 1e9 if s[o + 2] == n and present > 0.0 else np.nan


AMIHUD = Operator(
    name="amihud",
    opcode=121,
    step=amihud_step,
    inputs=3,
    params=(Param(name="n"), Param(name="tick_size"), Param(name="multiplier")),
    state=laps_of(extra=2, copies=2),
)


@inner
def roll_spread_step(v, x, i, s, o, p, q):
    """2 sqrt(max(0, -cov(dp_t, dp_{t-1}))) over n pairs of price changes; 0 where the covariance is positive.

    Input: price change [ticks]. State [changes held, last change, last sum, laps of changes and of products].
    Source: Roll (1984).
    """
    n = int(p[q])
    change, pairs = v[x[i]], o + 3 + n + 3
    if np.isnan(change):
        s[o] = 0.0
        lap_clear(s, o + 3)
        lap_clear(s, pairs)
        return np.nan
    had, before, sum_before = s[o] > 0.0, s[o + 1], s[o + 2]
    sum_now = lap_push(s, o + 3, n, change)
    s[o], s[o + 1], s[o + 2] = 1.0, change, sum_now
    if not had:
        return np.nan
    covariance = (lap_push(s, pairs, n, change * before) - sum_now * sum_before / n) / (n - 1)
    return 2.0 * math.sqrt(max(0.0, -covariance)) if s[pairs] == n else np.nan


ROLL_SPREAD = Operator(
    name="roll_spread",
    opcode=122,
    step=roll_spread_step,
    inputs=1,
    params=(Param(name="n"),),
    state=laps_of(extra=3, copies=2),
)


@inner
def corwin_schultz_step(v, x, i, s, o, p, q):
    """Mean over n bars of the high-low spread of the two adjacent blocks ending there; share of the price.

    Negative estimates count as 0. Inputs: high, low.
    State: laps of a block's highs and lows, rings of past blocks' highs and lows, lap of spreads.
    Source: Corwin, Schultz (2012).
    """
    n, block = int(p[q]), int(p[q + 1])
    lows, tops = o + block + 3, o + 2 * (block + 3)
    bottoms = tops + block + 2
    spreads = bottoms + block + 2
    high, low = v[x[i]], v[x[i + 1]]
    if np.isnan(high) or np.isnan(low) or low <= 0.0 or high < low:
        lap_clear(s, o)
        lap_clear(s, lows)
        ring_clear(s, tops)
        ring_clear(s, bottoms)
        lap_clear(s, spreads)
        return np.nan
    top, bottom = lap_max_push(s, o, block, high), -lap_max_push(s, lows, block, -low)
    if s[o] < block:
        return np.nan
    old_top, old_bottom = ring_push(s, tops, block, top), ring_push(s, bottoms, block, bottom)
    if old_top != old_top:
        return np.nan
    new, old = math.log(top / bottom), math.log(old_top / old_bottom)
    joined = math.log(max(top, old_top) / min(bottom, old_bottom))
    beta, gamma, k = new * new + old * old, joined * joined, 3.0 - 2.0 * math.sqrt(2.0)
    alpha = (math.sqrt(2.0 * beta) - math.sqrt(beta)) / k - math.sqrt(gamma / k)
    grown = math.exp(min(alpha, 50.0))
    return lap_push(s, spreads, n, max(0.0, 2.0 * (grown - 1.0) / (1.0 + grown))) / n


CORWIN_SCHULTZ = Operator(
    name="corwin_schultz",
    opcode=123,
    step=corwin_schultz_step,
    inputs=2,
    params=(Param(name="n"), Param(name="block", default=5)),
    state=lambda p, _: 2 * (2 * int(p["block"]) + 5) + int(p["n"]) + 3,
)
