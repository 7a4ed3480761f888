"""Black-76 prices and Greeks of European options on a forward; the option metrics and tests call it.

Forward F, strike K, time T [years], volatility s [annual, decimal], rate r [1/year], right c = +1 call, -1 put;
d1 = ln(F/K)/(s sqrt T) + s sqrt T / 2, d2 = d1 - s sqrt T, e = exp(-r T). Source: Black (1976).
"""

import math

import numpy as np
from numba import njit

Array = np.ndarray

inner = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For functions called by compiled code only: numpy's division, and no wrappers for Python to compile."""
compiled = njit(cache=True, error_model="numpy")

GREEKS = ("delta", "gamma", "vega", "vanna", "volga", "charm", "theta", "speed")

_ROOT_HALF = math.sqrt(0.5)
_ROOT_2PI = math.sqrt(2.0 * math.pi)


@inner
def normal_cdf(x):
    """Standard normal distribution function, full relative accuracy in the left tail."""
    return 0.5 * math.erfc(-x * _ROOT_HALF)


@inner
def normal_pdf(x):
    """Standard normal density."""
    return math.exp(-0.5 * x * x) / _ROOT_2PI


@inner
def log_ratio(forward, strike):
    """ln(F/K) without the rounding of the ratio, which matters minutes before expiry."""
    return math.log1p((forward - strike) / strike)


@inner
def black(forward, strike, years, vol, rate, right):
    """Price of one option [points]."""
    spread = vol * math.sqrt(years)
    d1 = log_ratio(forward, strike) / spread + 0.5 * spread
    value = forward * normal_cdf(right * d1) - strike * normal_cdf(right * (d1 - spread))
    return math.exp(-rate * years) * right * value


@compiled
def _price(forward, strike, years, vol, rate, right, out):
    for i in range(len(out)):
        out[i] = black(forward[i], strike[i], years[i], vol[i], rate[i], right[i])


@compiled
def _greeks(forward, strike, years, vol, rate, right, out):
    for i in range(len(out)):
        f, t, s, r, c = forward[i], years[i], vol[i], rate[i], right[i]
        root = math.sqrt(t)
        spread = s * root
        d1 = log_ratio(f, strike[i]) / spread + 0.5 * spread
        d2 = d1 - spread
        e = math.exp(-r * t)
        density = e * normal_pdf(d1)
        n1, n2 = normal_cdf(c * d1), normal_cdf(c * d2)
        gamma = density / (f * spread)
        vega = f * density * root
        out[i, 0] = c * e * n1
        out[i, 1] = gamma
        out[i, 2] = vega
        out[i, 3] = -density * d2 / s
        out[i, 4] = vega * d1 * d2 / s
        out[i, 5] = c * r * e * n1 + density * d2 / (2.0 * t)
        out[i, 6] = r * e * c * (f * n1 - strike[i] * n2) - f * density * s / (2.0 * root)
        out[i, 7] = -gamma / f * (1.0 + d1 / spread)


def _columns(*values: Array | float) -> list[Array]:
    return [np.array(x, dtype=np.float64, order="C") for x in np.broadcast_arrays(*values)]


def price(forward: Array, strike: Array, years: Array, vol: Array, rate: Array | float, right: Array) -> Array:
    """Price options.

    Parameters
    ----------
    forward, strike : (N,) > 0 [points]; any argument may be a scalar
    years : (N,) > 0, time to expiry [years]
    vol : (N,) > 0 [annual, decimal]
    rate : (N,) continuously compounded [1/year]
    right : (N,) +1 call, -1 put

    Returns
    -------
    (N,) float64 [points]; NaN where an argument is NaN.
    """
    columns = _columns(forward, strike, years, vol, rate, right)
    out = np.empty(columns[0].shape)
    _price(*(x.reshape(-1) for x in columns), out.reshape(-1))
    return out


def greeks(forward: Array, strike: Array, years: Array, vol: Array, rate: Array | float, right: Array) -> Array:
    """Compute the Greeks of options, arguments as for `price`.

    Returns
    -------
    (N, 8) float64 in the order of `GREEKS`: delta [1]; gamma [1/point]; vega, vanna [per unit of volatility];
    volga; charm, theta [per year of calendar time that passes]; speed [1/point^2]. NaN where an argument is NaN.
    """
    columns = _columns(forward, strike, years, vol, rate, right)
    out = np.empty((*columns[0].shape, len(GREEKS)))
    _greeks(*(x.reshape(-1) for x in columns), out.reshape(-1, len(GREEKS)))
    return out
