"""Implied volatility from undiscounted option prices: safeguarded Newton in two transformed problems.

With y = -|ln(F/K)|, total deviation s = vol sqrt(T) and the time value over sqrt(F K) as price b, out of the money
always: b(s) = e^(y/2) N(y/s + s/2) - e^(-y/2) N(y/s - s/2). Below its inflexion at s = sqrt(2 |y|) the equation is
solved for 1/sqrt(-ln b), which is nearly a straight line in s; above it for b itself, or for what b lacks to its
bound. Every step stays inside a bracket, or halves it. Source: own; the split point as in Jaeckel (2015).
"""

import math

import numpy as np

from mia.features.options.black76 import _columns, compiled, inner, log_ratio, normal_cdf

Array = np.ndarray

_MOST_STEPS = 80
_CLOSE = 1e-6
"""A step this small [ratio] leaves, converging cubically, an error below rounding."""
_TINY = 1e-300
_ROOT_2PI = math.sqrt(2.0 * math.pi)
_ROOT_8 = math.sqrt(8.0)


@inner
def otm_value(y, up, down, s):
    """Normalised out-of-the-money value b(s); up = exp(y/2), down = exp(-y/2)."""
    if y == 0.0:
        return math.erf(s / _ROOT_8)
    return up * normal_cdf(y / s + 0.5 * s) - down * normal_cdf(y / s - 0.5 * s)


@inner
def otm_slope(y, s):
    """Derivative of b(s)."""
    z = y / s
    return math.exp(-0.5 * (z * z + 0.25 * s * s)) / _ROOT_2PI


@inner
def low_start(log_beta, y, turn, at_turn):
    """First guess below the inflexion: -ln b = y^2 / (2 s^2) - 3 ln s + a constant, met at the inflexion."""
    constant = -math.log(at_turn) + 0.25 * y
    s = -y / math.sqrt(2.0 * max(-log_beta - constant, -0.25 * y))
    return -y / math.sqrt(2.0 * max(-log_beta - constant - 3.0 * math.log(turn / s), -0.25 * y))


@inner
def total_deviation(beta, y):
    """Solve b(s) = beta for s; NaN if there is none."""
    up = math.exp(0.5 * y)
    if not 0.0 < beta < up:
        return np.nan
    down = 1.0 / up
    turn = math.sqrt(-2.0 * y)
    at_turn = otm_value(y, up, down, turn) if turn > 0.0 else 0.0
    low, high = 0.0, np.inf
    below = beta < at_turn
    top = not below and beta > 0.5 * (at_turn + up)
    if below:
        high = turn
        aim = math.log(beta)
        s = low_start(aim, y, turn, at_turn)
        root_aim = math.sqrt(-aim)
    elif turn > 0.0:
        low = turn
        ahead = (beta - at_turn) / otm_slope(y, turn)
        s = turn + min(ahead * (1.0 + ahead * ahead / 6.0), 2.0)
    else:
        s = beta * _ROOT_2PI
    for _ in range(_MOST_STEPS):
        value, slope = otm_value(y, up, down, s), otm_slope(y, s)
        if value < beta:
            low = max(low, s)
        else:
            high = min(high, s)
        z = y / s
        curve = z * z / s - 0.25 * s  # b'' / b', and below that of the transformed problem
        newton = np.nan
        if below and value > _TINY:
            depth = -math.log(value)
            newton = (math.sqrt(depth) / root_aim - 1.0) * 2.0 * depth * value / slope
            curve += slope / value * (1.5 / depth - 1.0)
        elif top and value < up:
            gap = up - value
            newton = (math.log(gap) - math.log(up - beta)) * gap / slope
            curve += slope / gap
        elif not below:
            newton = (beta - value) / slope
        bend = 1.0 + 0.5 * newton * curve
        step = newton / bend if 0.5 < bend < 2.0 else newton
        following = s + step
        if abs(newton) <= _CLOSE * s:
            return following
        if not low < following < high:
            following = 0.5 * (low + high) if high < np.inf else 2.0 * s
            if following in (low, high):
                return following
        s = following
    return s


@inner
def implied(price, forward, strike, years, right):
    """Volatility of one undiscounted price; NaN where none exists."""
    bound = forward if right > 0 else strike
    if not (forward > 0.0 and strike > 0.0 and years > 0.0 and price < bound):
        return np.nan
    intrinsic = max(right * (forward - strike), 0.0)
    beta = (price - intrinsic) / math.sqrt(forward * strike)
    return total_deviation(beta, -abs(log_ratio(forward, strike))) / math.sqrt(years)


@compiled
def _solve(price, forward, strike, years, right, out):
    for i in range(len(out)):
        out[i] = implied(price[i], forward[i], strike[i], years[i], right[i])


def implied_volatility(undiscounted: Array, forward: Array, strike: Array, years: Array, right: Array) -> Array:
    """Invert Black-76.

    Parameters
    ----------
    undiscounted : (N,) price x exp(r T) [points]; any argument may be a scalar
    forward, strike : (N,) [points]
    years : (N,) time to expiry [years]
    right : (N,) +1 call, -1 put

    Returns
    -------
    (N,) float64 [annual, decimal]; NaN where no volatility gives the price: not above intrinsic value, not below
    the forward (call) or strike (put), no time left, or an argument missing. In the money the price's own rounding
    limits accuracy: give out-of-the-money prices where you can.
    """
    columns = _columns(undiscounted, forward, strike, years, right)
    out = np.empty(columns[0].shape)
    _solve(*(x.reshape(-1) for x in columns), out.reshape(-1))
    return out
