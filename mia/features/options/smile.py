"""Volatility smiles: one per expiry, interpolated between expiries in total variance.

A smile is five numbers: variance v(x) = a + b x + c x^2 [1/year] in x = ln(K/F) / sqrt(T), and the range of x it was
fitted on; outside it is held flat. Total variance is T v(x). `options_metrics` and `spotgamma_recalculator` read it.
"""

import math
from dataclasses import dataclass

import numpy as np

from mia.features.options.black76 import compiled, inner, log_ratio
from mia.features.options.implied_volatility import implied
from mia.features.options.quotes import Book, median_in_place
from mia.features.options.settings import OptionsSettings

Array = np.ndarray

WIDTH = 5
LEVEL, SLOPE, CURVE, LOW, HIGH = range(WIDTH)

_ANYWHERE = 1e6
_ROUNDS = 4
_HUBER = 2.0
_FLOOR = 0.04
"""No strike has less than this share of the variance at the forward: a fifth of its volatility."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """What a chain's quotes say about volatility.

    Parameters
    ----------
    quoted : (N,) implied volatility of each strike from its out-of-the-money quote, NaN where that is no good
    smiles : (E, 5) a, b, c, lowest and highest x; NaN where an expiry has no good quote
    sides : (E, 2) volatility at the forward from calls alone and from puts alone
    """

    quoted: Array
    smiles: Array
    sides: Array


@inner
def smile_variance(a, b, c, low, high, x):
    """Variance per year at x."""
    x = min(max(x, low), high)
    return max(a + x * (b + x * c), _FLOOR * a)


@inner
def usable(price, intrinsic, growth, tick):
    """Whether a mid is worth at least one price step more than exercise."""
    return growth * price - intrinsic >= tick * (1.0 - 1e-9)


@inner
def side_vol(first, last, strike, right, mid, forward, years, growth, tick, side):
    """Volatility at the forward from one right: between its nearest usable strikes on either side."""
    low, high = -1, -1
    for i in range(first, last):
        if right[i] == side and usable(mid[i], max(side * (forward - strike[i]), 0.0), growth, tick):
            if strike[i] <= forward:
                low = i
            elif high < 0:
                high = i
    if low >= 0 and strike[low] == forward:
        high = low
    if low < 0 or high < 0:
        return np.nan
    below = implied(growth * mid[low], forward, strike[low], years, side)
    above = implied(growth * mid[high], forward, strike[high], years, side)
    if low == high:
        return below
    return below + (above - below) * (forward - strike[low]) / (strike[high] - strike[low])


@inner
def solve_normal(n, x, y, w, scale, degree, out):
    """Weighted least squares of y on 1, x, x^2 up to `degree`; x is scaled first. False if singular."""
    s0, s1, s2, s3, s4, t0, t1, t2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        z, u = x[i] / scale, w[i]
        s0 += u
        s1 += u * z
        s2 += u * z * z
        s3 += u * z * z * z
        s4 += u * z * z * z * z
        t0 += u * y[i]
        t1 += u * z * y[i]
        t2 += u * z * z * y[i]
    if not s0 > 0.0:
        return False
    out[0], out[1], out[2] = t0 / s0, 0.0, 0.0
    if degree == 0:
        return True
    # Centred moments: the elimination of the constant.
    m11, m12, m22 = s2 - s1 * s1 / s0, s3 - s1 * s2 / s0, s4 - s2 * s2 / s0
    r1, r2 = t1 - s1 * t0 / s0, t2 - s2 * t0 / s0
    if not m11 > 1e-9 * s0:
        return False
    if degree == 1:
        slope, curve = r1 / m11, 0.0
    else:
        rest = m22 - m12 * m12 / m11
        if not rest > 1e-9 * s0:
            return False
        curve = (r2 - m12 * r1 / m11) / rest
        slope = (r1 - m12 * curve) / m11
    out[0] = (t0 - s1 * slope - s2 * curve) / s0
    out[1], out[2] = slope / scale, curve / (scale * scale)
    return True


@inner
def fit_one(n, x, y, reach, least, px, py, w, rest, out):
    """Robust smile through n variances y at x; out gets the five numbers, NaN if n is 0.

    Weights fall as vega does, exp(-z^2/2) at z deviations; strikes beyond `reach` deviations do not count.
    Outliers are weighted down as Huber's rule says, their scale from the median. Few strikes make a line, fewer a
    constant.
    """
    for k in range(WIDTH):
        out[k] = np.nan
    if n == 0:
        return
    nearest = 0
    for i in range(1, n):
        if abs(x[i]) < abs(x[nearest]):
            nearest = i
    centre = y[nearest]
    for turn in range(_ROUNDS):
        sd, m = math.sqrt(centre), 0
        scale = 0.0
        if turn > 0:
            for i in range(n):
                if abs(x[i]) <= reach * sd:
                    rest[m] = abs(y[i] - smile_variance(out[0], out[1], out[2], out[3], out[4], x[i]))
                    m += 1
            scale = max(_HUBER * 1.4826 * median_in_place(rest, m), 1e-3 * centre) if m > 0 else 0.0
        m = 0
        for i in range(n):
            if abs(x[i]) <= reach * sd or i == nearest:
                px[m], py[m] = x[i], y[i]
                w[m] = math.exp(-0.5 * x[i] * x[i] / centre) + 1e-12
                if turn > 0:
                    miss = abs(y[i] - smile_variance(out[0], out[1], out[2], out[3], out[4], x[i]))
                    if miss > scale > 0.0:
                        w[m] *= scale / miss
                m += 1
        degree = 2 if m >= least else (1 if m >= 3 else 0)
        while not solve_normal(m, px, py, w, sd, degree, out) or not out[0] > 0.0:
            if degree == 0:
                return
            degree -= 1
        out[LOW], out[HIGH] = px[0], px[m - 1]
        centre = smile_variance(out[0], out[1], out[2], out[3], out[4], 0.0)
        if degree == 0:
            return


@compiled
def _fit(first, years, forward, rate, strike, right, mid, tick, reach, least, quoted, smiles, sides):
    n_most = len(strike)
    x, y, px, py, w, rest = (
        np.empty(n_most),
        np.empty(n_most),
        np.empty(n_most),
        np.empty(n_most),
        np.empty(n_most),
        np.empty(n_most),
    )
    for e in range(len(years)):
        f, t, n = forward[e], years[e], 0
        growth, root = math.exp(rate * t), math.sqrt(t)
        for i in range(first[e], first[e + 1]):
            quoted[i] = np.nan
            # A strike on the forward is both out and at the money; the call stands for it.
            out_of_money = strike[i] >= f if right[i] > 0 else strike[i] < f
            if out_of_money and usable(mid[i], 0.0, growth, tick):
                quoted[i] = implied(growth * mid[i], f, strike[i], t, right[i])
                if quoted[i] == quoted[i]:
                    x[n], y[n] = -log_ratio(f, strike[i]) / root, quoted[i] * quoted[i]
                    n += 1
        fit_one(n, x, y, reach, least, px, py, w, rest, smiles[e])
        for side in range(2):
            c = 1 - 2 * side
            sides[e, side] = side_vol(first[e], first[e + 1], strike, right, mid, f, t, growth, tick, c)


def fit(book: Book, settings: OptionsSettings) -> Surface:
    """Invert the quotes of a book and draw a smile through each expiry."""
    n, expiries = len(book.strike), len(book.years)
    surface = Surface(quoted=np.empty(n), smiles=np.empty((expiries, WIDTH)), sides=np.empty((expiries, 2)))
    _fit(
        book.first,
        book.years,
        book.forward,
        book.rate,
        book.strike,
        book.right,
        book.mid,
        float(settings.quote_tick),
        float(settings.smile_reach_sd),
        settings.smile_min_strikes,
        surface.quoted,
        surface.smiles,
        surface.sides,
    )
    return surface


def at_tenor(years: Array, smiles: Array, target: float, settings: OptionsSettings) -> Array:
    """Smile at a tenor between the listed expiries: total variance is a straight line in time at each x.

    Outside them the nearest smile is held flat, as far as `extrapolation_days` and `extrapolation_ratio` allow.

    Parameters
    ----------
    years : (E,) rising [years]
    smiles : (E, 5); rows of NaN are not there
    target : tenor [years]

    Returns
    -------
    (5,) smile; NaN where no expiry is near enough.
    """
    have = np.flatnonzero(smiles[:, 0] == smiles[:, 0])
    if not len(have):
        return np.full(WIDTH, np.nan)
    at = int(np.searchsorted(years[have], target))
    if 0 < at < len(have):
        i, j = have[at - 1], have[at]
        share = (target - years[i]) / (years[j] - years[i])
        out = ((1 - share) * years[i] * smiles[i] + share * years[j] * smiles[j]) / target
        out[LOW] = max(smiles[i, LOW], smiles[j, LOW])
        out[HIGH] = min(smiles[i, HIGH], smiles[j, HIGH])
        return out
    nearest = have[min(at, len(have) - 1)]
    listed = float(years[nearest])
    near = abs(listed - target) * settings.year_days <= settings.extrapolation_days
    if near or max(listed, target) <= settings.extrapolation_ratio * min(listed, target):
        return smiles[nearest].copy()
    return np.full(WIDTH, np.nan)


def constant_smiles(vol: Array) -> Array:
    """(E, 5) flat smiles of volatilities (E,), so that they interpolate by the same rule."""
    out = np.zeros((len(vol), WIDTH))
    out[:, LEVEL] = vol * vol
    out[:, LOW], out[:, HIGH] = -_ANYWHERE, _ANYWHERE
    return out


def volatility(smile: Array, x: float) -> float:
    """Volatility of one smile at x = ln(K/F) / sqrt(T) [annual, decimal]; NaN if the smile is."""
    return math.sqrt(_variance(smile, x))


@compiled
def _variance(smile, x):
    return smile_variance(smile[0], smile[1], smile[2], smile[3], smile[4], x)


@compiled
def wing(smile, years, d1):
    """Volatility where Black's d1 has the given value: |forward delta| = N(+-d1), solved on the smile.

    d1 falls as the strike rises; between eight deviations either side its root is found by bisection.
    """
    root = math.sqrt(years)
    a, b, c, lowest, highest = smile[0], smile[1], smile[2], smile[3], smile[4]
    low, high = -8.0 * math.sqrt(a), 8.0 * math.sqrt(a)
    vol = np.nan
    for _ in range(60):
        x = 0.5 * (low + high)
        vol = math.sqrt(smile_variance(a, b, c, lowest, highest, x))
        if -x / vol + 0.5 * vol * root > d1:
            low = x
        else:
            high = x
    return vol
