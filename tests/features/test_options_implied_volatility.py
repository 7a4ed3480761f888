"""The solver against vollib and against the prices it was given; NaN where no volatility exists."""

import numpy as np
import pytest
from vollib.black.implied_volatility import implied_volatility_of_undiscounted_option_price

from mia.domain.rng import generator
from mia.features.options import black76
from mia.features.options.implied_volatility import implied_volatility

FORWARD = 6000.0


def test_agrees_with_vollib_within_1e_10_on_a_wide_grid():
    """Minutes to years, 2 % to 300 %, strikes from a third to thrice the forward, down to prices of 1e-100."""
    grid = [
        (strike, years, vol)
        for strike in FORWARD * np.exp(np.linspace(-1.1, 1.1, 45))
        for years in (5 / 525_600, 1 / 365, 7 / 365, 30 / 365, 1.0, 3.0)
        for vol in (0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 3.0)
    ]
    strike, years, vol = np.array(grid).T
    right = np.where(strike >= FORWARD, 1, -1)
    price = black76.price(FORWARD, strike, years, vol, 0.0, right)
    some = price > 1e-100
    assert some.sum() > 1000
    found = implied_volatility(price, FORWARD, strike, years, right)
    for i in np.flatnonzero(some):
        flag = "c" if right[i] > 0 else "p"
        theirs = implied_volatility_of_undiscounted_option_price(price[i], FORWARD, strike[i], years[i], flag)
        assert found[i] == pytest.approx(theirs, rel=0, abs=1e-10), grid[i]


def test_gives_back_the_volatility_of_random_out_of_the_money_prices():
    rng = generator(3, "options")
    n = 20_000
    strike = FORWARD * np.exp(rng.normal(0, 0.05, n))
    years, vol = rng.uniform(1 / 365, 0.5, n), rng.uniform(0.05, 0.8, n)
    right = np.where(strike >= FORWARD, 1, -1)
    price = black76.price(FORWARD, strike, years, vol, 0.0, right)
    some = price > 1e-8
    np.testing.assert_allclose(implied_volatility(price, FORWARD, strike, years, right)[some], vol[some], atol=1e-11)


def test_in_the_money_prices_are_inverted_as_far_as_their_digits_reach():
    price = black76.price(FORWARD, [5700.0, 6300.0], 0.1, 0.2, 0.0, [1, -1])
    np.testing.assert_allclose(implied_volatility(price, FORWARD, [5700.0, 6300.0], 0.1, [1, -1]), 0.2, atol=1e-9)


def test_a_nearly_worthless_option_minutes_before_expiry_is_inverted():
    """Found by trial: a first guess far too low, where the price underflows."""
    strike, years, vol = 1.1616694141921458 * FORWARD, 0.00021736453544406796, 1.5634797269490186
    price = black76.price(FORWARD, strike, years, vol, 0.0, 1)
    assert implied_volatility(price, FORWARD, strike, years, 1) == pytest.approx(vol, rel=1e-11)


@pytest.mark.parametrize(
    ("price", "strike", "years", "right"),
    [
        (99.0, 5900.0, 0.1, 1),  # below intrinsic value
        (100.0, 5900.0, 0.1, 1),  # at it
        (6000.0, 5900.0, 0.1, 1),  # a call is worth less than the forward
        (5900.0, 5900.0, 0.1, -1),  # a put less than its strike
        (0.0, 6100.0, 0.1, 1),
        (-1.0, 6100.0, 0.1, 1),
        (5.0, 6100.0, 0.0, 1),
        (5.0, -1.0, 0.1, 1),
        (np.nan, 6100.0, 0.1, 1),
        (5.0, np.nan, 0.1, 1),
    ],
)
def test_is_nan_where_no_volatility_gives_the_price(price, strike, years, right):
    assert np.isnan(implied_volatility(price, FORWARD, strike, years, right))


def test_one_at_a_time_gives_the_same_bits_as_all_at_once():
    strike = np.linspace(5500.0, 6500.0, 40)
    right = np.where(strike >= FORWARD, 1, -1)
    price = black76.price(FORWARD, strike, 0.05, 0.17, 0.0, right)
    together = implied_volatility(price, FORWARD, strike, 0.05, right)
    alone = [implied_volatility(p, FORWARD, k, 0.05, c)[()] for p, k, c in zip(price, strike, right, strict=True)]
    assert together.tobytes() == np.array(alone).tobytes()
