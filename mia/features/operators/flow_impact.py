"""Operators on price impact and bars-only liquidity proxies."""

import math

import numpy as np

from mia.features.operators.registry import Operator, Param, window_of
from mia.features.operators.window import inner, ring_clear, ring_get, ring_push


@inner
def var_row(s, r, x, n, lags, age, z, width):
    """Write the regression row `age` bars ago to s[z:]: 1, lagged r, lagged x, x, r."""
    s[z] = 1.0
    for k in range(lags):
        s[z + 1 + k] = ring_get(s, r, n, age + 1 + k)
        s[z + 1 + lags + k] = ring_get(s, x, n, age + 1 + k)
    s[z + width - 2] = ring_get(s, x, n, age)
    s[z + width - 1] = ring_get(s, r, n, age)


@inner
def gram_add(s, g, z, width, sign):
    """Add sign x z z' to the lower triangle at s[g:]."""
    for a in range(width):
        for b in range(a + 1):
            s[g + a * width + b] += sign * s[z + a] * s[z + b]


@inner
def cholesky(s, g, f, width):
    """Lower factor of the matrix at s[g:] into s[f:], all but the last pivot; False if it is singular."""
    for a in range(width):
        for b in range(a + 1):
            value = s[g + a * width + b]
            for k in range(b):
                value -= s[f + a * width + k] * s[f + b * width + k]
            if a == b:
                if a < width - 1 and not value > 1e-10 * s[g + a * width + a]:
                    return False
                s[f + a * width + a] = math.sqrt(max(value, 0.0))
            else:
                s[f + a * width + b] = value / s[f + b * width + b]
    return True


@inner
def back_solve(s, f, width, row, c):
    """Regression of variable `row` on the ones before it, from the factor: coefficients to s[c : c + row]."""
    for a in range(row - 1, -1, -1):
        value = s[f + row * width + a]
        for k in range(a + 1, row):
            value -= s[f + k * width + a] * s[c + k]
        s[c + a] = value / s[f + a * width + a]


@inner
def var_response(s, cr, cx, h, lags, steps):
    """Cumulative r after `steps` steps of the fitted system hit by x = 1 at step 0; path kept at s[h:]."""
    total = 0.0
    for t in range(steps + 1):
        flow, move = 1.0 if t == 0 else 0.0, 0.0
        for k in range(lags):
            if t - 1 - k >= 0:
                r, x = s[h + 2 * (t - 1 - k)], s[h + 2 * (t - 1 - k) + 1]
                flow += s[cx + 1 + k] * r + s[cx + 1 + lags + k] * x
                move += s[cr + 1 + k] * r + s[cr + 1 + lags + k] * x
        move += s[cr + 1 + 2 * lags] * flow
        s[h + 2 * t], s[h + 2 * t + 1] = move, flow
        total += move
    return total


@inner
def var_impulse_step(v, x, i, s, o, p, q):
    """Price response after `steps` bars to one more contract bought, from a VAR on the last n bars [ticks].

    r_t on lags of r and x and on x_t; x_t on lags of both; least squares with a constant. One Cholesky
    factor of the joint cross products solves both. Sums are exact: prices are half ticks, volumes integers.
    Inputs: mid change [ticks], signed volume. Source: Hasbrouck (1991).
    """
    n, lags, steps = int(p[q]), int(p[q + 1]), int(p[q + 2])
    width, size = 2 * lags + 3, n + lags + 1
    r, flow = o, o + size + 2
    z = flow + size + 2
    gram = z + width
    factor = gram + width * width
    coef_r = factor + width * width
    coef_x = coef_r + width
    path = coef_x + width
    if np.isnan(v[x[i]]) or np.isnan(v[x[i + 1]]):
        ring_clear(s, r)
        ring_clear(s, flow)
        for k in range(width * width):
            s[gram + k] = 0.0
        return np.nan
    ring_push(s, r, size, v[x[i]])
    ring_push(s, flow, size, v[x[i + 1]])
    held = int(s[r])
    if held > lags:
        var_row(s, r, flow, size, lags, 0, z, width)
        gram_add(s, gram, z, width, 1.0)
    if held == size:
        var_row(s, r, flow, size, lags, n, z, width)
        gram_add(s, gram, z, width, -1.0)
    if held < n + lags or not cholesky(s, gram, factor, width):
        return np.nan
    back_solve(s, factor, width, width - 1, coef_r)
    back_solve(s, factor, width, width - 2, coef_x)
    return var_response(s, coef_r, coef_x, path, lags, steps)


def _var_state(p, _inputs):
    width, size = 2 * int(p["lags"]) + 3, int(p["n"]) + int(p["lags"]) + 1
    return 2 * (size + 2) + width * (2 * width + 3) + 2 * (int(p["steps"]) + 1)


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
        ring_clear(s, o + 2)
        return np.nan
    s[o], s[o + 1] = 1.0, close
    if not had:
        return np.nan
    turnover = volume * close * usd
    counts = first != 1.0 and turnover > 0.0
    ring_push(s, o + 2, n, abs(math.log(close / before)) / turnover if counts else np.nan)
    if s[o + 2] < n:
        return np.nan
    total, present = 0.0, 0.0
    for age in range(n):
        value = ring_get(s, o + 2, n, age)
        if not np.isnan(value):
            total += value
            present += 1.0
    return total / present * 1e9 if present > 0.0 else np.nan


AMIHUD = Operator(
    name="amihud",
    opcode=121,
    step=amihud_step,
    inputs=3,
    params=(Param(name="n"), Param(name="tick_size"), Param(name="multiplier")),
    state=window_of("n", extra=2),
)


@inner
def roll_spread_step(v, x, i, s, o, p, q):
    """2 sqrt(max(0, -cov(dp_t, dp_{t-1}))) over n pairs of price changes; 0 where the covariance is positive.

    Input: price change [ticks]. Source: Roll (1984).
    """
    n = int(p[q])
    change = v[x[i]]
    if np.isnan(change):
        ring_clear(s, o)
        return np.nan
    ring_push(s, o, n + 1, change)
    if s[o] < n + 1:
        return np.nan
    sum_now, sum_before, sum_both = 0.0, 0.0, 0.0
    for age in range(n):
        now, before = ring_get(s, o, n + 1, age), ring_get(s, o, n + 1, age + 1)
        sum_now += now
        sum_before += before
        sum_both += now * before
    covariance = (sum_both - sum_now * sum_before / n) / (n - 1)
    return 2.0 * math.sqrt(max(0.0, -covariance))


ROLL_SPREAD = Operator(
    name="roll_spread",
    opcode=122,
    step=roll_spread_step,
    inputs=1,
    params=(Param(name="n"),),
    state=lambda p, _: int(p["n"]) + 3,
)


@inner
def block_range(s, highs, lows, size, newest, count):
    """Log of highest high over lowest low of `count` bars, the newest of them `newest` bars ago."""
    high, low = ring_get(s, highs, size, newest), ring_get(s, lows, size, newest)
    for age in range(newest + 1, newest + count):
        high = max(high, ring_get(s, highs, size, age))
        low = min(low, ring_get(s, lows, size, age))
    return math.log(high / low)


@inner
def corwin_schultz_step(v, x, i, s, o, p, q):
    """Mean over n bars of the high-low spread of the two adjacent blocks ending there; share of the price.

    Negative estimates count as 0. Inputs: high, low. Source: Corwin, Schultz (2012).
    """
    n, block = int(p[q]), int(p[q + 1])
    size = 2 * block
    highs, lows, spreads = o, o + size + 2, o + 2 * (size + 2)
    high, low = v[x[i]], v[x[i + 1]]
    if np.isnan(high) or np.isnan(low) or low <= 0.0 or high < low:
        ring_clear(s, highs)
        ring_clear(s, lows)
        ring_clear(s, spreads)
        return np.nan
    ring_push(s, highs, size, high)
    ring_push(s, lows, size, low)
    if s[highs] < size:
        return np.nan
    new, old = block_range(s, highs, lows, size, 0, block), block_range(s, highs, lows, size, block, block)
    joined = block_range(s, highs, lows, size, 0, size)
    beta, gamma, k = new * new + old * old, joined * joined, 3.0 - 2.0 * math.sqrt(2.0)
    alpha = (math.sqrt(2.0 * beta) - math.sqrt(beta)) / k - math.sqrt(gamma / k)
    grown = math.exp(min(alpha, 50.0))
    ring_push(s, spreads, n, max(0.0, 2.0 * (grown - 1.0) / (1.0 + grown)))
    if s[spreads] < n:
        return np.nan
    total = 0.0
    for age in range(n):
        total += ring_get(s, spreads, n, age)
    return total / n


CORWIN_SCHULTZ = Operator(
    name="corwin_schultz",
    opcode=123,
    step=corwin_schultz_step,
    inputs=2,
    params=(Param(name="n"), Param(name="block", default=5)),
    state=lambda p, _: 2 * (2 * int(p["block"]) + 2) + int(p["n"]) + 2,
)
