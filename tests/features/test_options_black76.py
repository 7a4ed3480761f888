"""Black-76 against finite differences taken with fifty digits, and against vollib."""

import mpmath
import numpy as np
import pytest

from mia.features.options import black76

mpmath.mp.dps = 50
CASES = [
    (forward, strike, years, vol, rate, right)
    for right in (1, -1)
    for forward, strike in ((6000.0, 6000.0), (6000.0, 5400.0), (6000.0, 6450.0), (100.0, 130.0))
    for years, vol, rate in ((1 / 365, 0.4, 0.05), (30 / 365, 0.15, 0.0), (1.0, 0.8, -0.01))
]


def exact(forward, strike, years, vol, rate, right):
    """Black (1976) with fifty digits."""
    spread = vol * mpmath.sqrt(years)
    d1 = mpmath.log(forward / strike) / spread + spread / 2
    value = forward * mpmath.ncdf(right * d1) - strike * mpmath.ncdf(right * (d1 - spread))
    return mpmath.exp(-rate * years) * right * value


def difference(case, orders, size):
    """Central difference of the price with fifty digits; orders by forward, time and volatility."""
    forward, strike, years, vol, rate, right = (mpmath.mpf(x) for x in case)

    def price(f, t, s):
        return exact(f, strike, t, s, rate, right)

    return mpmath.diff(price, (forward, years, vol), orders, h=mpmath.mpf(size))


# Greek, derivatives by (forward, time, volatility), sign: charm and theta are per year that passes.
ORDERS = {
    "delta": ((1, 0, 0), 1),
    "gamma": ((2, 0, 0), 1),
    "vega": ((0, 0, 1), 1),
    "vanna": ((1, 0, 1), 1),
    "volga": ((0, 0, 2), 1),
    "charm": ((1, 1, 0), -1),
    "theta": ((0, 1, 0), -1),
    "speed": ((3, 0, 0), 1),
}


@pytest.mark.parametrize("greek", ORDERS)
def test_greek_is_the_finite_difference_of_the_price_within_1e_7(greek):
    orders, sign = ORDERS[greek]
    found = black76.greeks(*np.array(CASES, dtype=float).T)[:, black76.GREEKS.index(greek)]
    wanted = [sign * float(difference(case, orders, "1e-12")) for case in CASES]
    np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=0)


def test_price_is_exact_to_thirteen_digits_even_far_out_of_the_money():
    found = black76.price(*np.array(CASES, dtype=float).T)
    wanted = [float(exact(*(mpmath.mpf(x) for x in case))) for case in CASES]
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-290)


def test_price_agrees_with_vollib():
    from vollib.black import black

    for forward, strike, years, vol, rate, right in CASES:
        theirs = black("c" if right > 0 else "p", forward, strike, years, rate, vol)
        assert black76.price(forward, strike, years, vol, rate, right) == pytest.approx(theirs, rel=1e-9, abs=1e-9)


def test_call_less_put_is_the_discounted_distance_to_the_strike():
    strike = np.linspace(4000.0, 8000.0, 41)
    call, put = (black76.price(6000.0, strike, 0.25, 0.2, 0.05, right) for right in (1, -1))
    np.testing.assert_allclose(call - put, np.exp(-0.05 * 0.25) * (6000.0 - strike), rtol=0, atol=1e-9)


def test_scalars_are_spread_over_arrays_and_what_is_missing_stays_missing():
    strike = np.array([5900.0, np.nan, 6100.0])
    found = black76.price(6000.0, strike, 0.1, 0.2, 0.0, 1)
    assert found.shape == (3,)
    assert np.isnan(found[1])
    assert np.isfinite(found[[0, 2]]).all()
    assert black76.greeks(6000.0, strike, 0.1, 0.2, 0.0, 1).shape == (3, len(black76.GREEKS))
