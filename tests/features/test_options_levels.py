"""Levels from dealers' gamma against closed forms, brute force over Black's formulas, and hand-made tables."""

import dataclasses
import math

import numpy as np
import pytest
from option_chains import WIDE, chain, settings, taken

from mia.domain.chain import CALL, PUT
from mia.features.options import black76, open_interest
from mia.features.options import spotgamma_recalculator as levels
from mia.features.options.exposure import exposure
from mia.features.options.quotes import read
from mia.features.options.smile import fit, volatility

FLAT = 0.2


def flat(x, years):
    return FLAT


def parts(made, used):
    book = read(made, used)
    surface = fit(book, used)
    each = exposure(book, surface, used.year_days)
    return book, surface, each, levels.dealer_signs(book, used, None)


def call_above_put_below(days, strike, right):
    """Open interest in one call above and one put below the forward."""
    return 1000.0 * ((strike, right) in ((6100.0, CALL), (5800.0, PUT)))


def test_gamma_of_one_strike_is_the_formula_in_usd_per_percent():
    made = chain(days=(37.0,), vol=flat, spread=0.0, interest=call_above_put_below)
    strikes, usd = levels.gex_by_strike(made, settings())
    years, forward = 37 / 365, 6000.0
    for strike, sign in ((6100.0, 1), (5800.0, -1)):
        d1 = (math.log(forward / strike) + FLAT**2 * years / 2) / (FLAT * math.sqrt(years))
        density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
        gamma = math.exp(-0.04 * years) * density / (forward * FLAT * math.sqrt(years))
        expected = sign * gamma * 1000 * 50 * forward**2 * 0.01
        assert usd[strikes == strike][0] == pytest.approx(expected, rel=1e-9)
    assert np.count_nonzero(usd) == 2


def test_dealer_sign_is_a_choice_that_turns_calls():
    made = chain(days=(37.0,), interest=call_above_put_below)
    strikes, naive = levels.gex_by_strike(made, settings())
    _, short = levels.gex_by_strike(made, settings(dealer_sign="short_all"))
    np.testing.assert_array_equal(short[strikes < 6000], naive[strikes < 6000])
    np.testing.assert_array_equal(short[strikes > 6000], -naive[strikes > 6000])


def test_zero_gamma_of_a_call_and_a_put_lies_where_both_are_equally_far():
    """Equal contracts, time and volatility: gammas are equal where the two d1 are opposite."""
    used = settings()
    book, surface, each, signs = parts(chain(days=(37.0,), vol=flat, spread=0.0, interest=call_above_put_below), used)
    profile = levels.gamma_profile(book, surface, each, signs, used)
    expected = math.sqrt(6100.0 * 5800.0) * math.exp(-(FLAT**2) * book.years[0] / 2)
    assert levels.nearest_root(profile.price, profile.gamma, 6000.0) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("dynamics", ["sticky_strike", "sticky_moneyness"])
def test_profile_is_the_sum_of_gammas_at_every_price(dynamics):
    used = settings(vol_dynamics=dynamics)
    made = chain(days=(0.2, 9.0, 37.0), strikes=WIDE[::5], interest=lambda d, k, c: (k * (2 + c)) % 700)
    book, surface, each, signs = parts(made, used)
    profile = levels.gamma_profile(book, surface, each, signs, used)
    assert len(profile.price) == 301
    np.testing.assert_allclose(profile.price[[0, 150, 300]], 6000 * np.exp([-0.15, 0, 0.15]), rtol=1e-12)
    for j in (0, 77, 140, 150, 163, 300):
        gamma, trigger = brute_force(used, book, surface, each, signs, profile.price[j] / 6000)
        assert profile.gamma[j] == pytest.approx(gamma, rel=1e-9, abs=1e-6)
        assert profile.trigger[j] == pytest.approx(trigger, rel=1e-7, abs=1e-6)


def brute_force(used, book, surface, each, signs, growth):
    """Gamma and trigger option by option from `black76.greeks`."""
    gamma = trigger = 0.0
    for i in range(len(book.strike)):
        e = book.of[i]
        price, years = book.forward[e] * growth, book.years[e]
        smile = surface.smiles[e]
        x = math.log(book.strike[i] / price) / math.sqrt(years)
        vol = each.vol[i] if used.vol_dynamics == "sticky_strike" else volatility(smile, x)
        greeks = black76.greeks(price, book.strike[i], years, vol, book.rate, book.right[i])
        contracts = signs[i] * book.open_interest[i] * book.multiplier * price * price * 0.01
        step = 1e-5
        slope = (volatility(smile, step) - volatility(smile, -step)) / (2 * step) / math.sqrt(years) / price
        gamma += contracts * greeks[black76.GREEKS.index("gamma")]
        trigger += contracts * (greeks[black76.GREEKS.index("gamma")] + greeks[black76.GREEKS.index("vanna")] * slope)
    return gamma, trigger


def test_the_chosen_root_is_the_one_nearest_spot():
    price = np.linspace(90.0, 110.0, 21)
    value = np.where(price < 94.5, 1.0, -1.0) * np.where(price > 102.5, -1.0, 1.0)
    assert levels.nearest_root(price, value, 100.0) == pytest.approx(102.5)
    assert levels.nearest_root(price, value, 97.0) == pytest.approx(94.5)


def test_there_is_no_zero_gamma_where_the_sign_never_changes():
    used = settings(dealer_sign="short_all")
    book, surface, each, signs = parts(chain(days=(37.0,)), used)
    profile = levels.gamma_profile(book, surface, each, signs, used)
    assert math.isnan(levels.nearest_root(profile.price, profile.gamma, 6000.0))
    assert math.isnan(levels.nearest_root(profile.price, np.zeros(301), 6000.0))


def test_rounding_where_no_option_is_near_makes_no_root():
    value = np.array([-1e-12, 1e-12, -1e-12, 1.0, 2.0, 1.0])
    assert math.isnan(levels.nearest_root(np.arange(6.0), value, 1.0))


def test_max_pain_of_the_golden_example_is_100():
    strike = np.repeat([95.0, 100.0, 105.0], 2)
    right = np.tile([PUT, CALL], 3)
    contracts = np.array([10.0, 1.0, 5.0, 5.0, 1.0, 10.0])
    ends, value = open_interest.pain(strike, right, contracts)
    np.testing.assert_array_equal(ends, [95.0, 100.0, 105.0])
    np.testing.assert_array_equal(value, [35.0, 10.0, 35.0])
    assert open_interest.max_pain(strike, right, contracts) == 100.0
    assert math.isnan(open_interest.max_pain(strike, right, np.zeros(6)))


def test_concentration_is_one_at_one_strike_and_a_tenth_over_ten():
    strike = np.repeat(np.arange(10.0), 2)
    assert open_interest.herfindahl(strike, np.ones(20)) == pytest.approx(0.1)
    assert open_interest.herfindahl(strike, np.where(strike == 3, 5.0, 0.0)) == 1.0
    assert math.isnan(open_interest.herfindahl(strike, np.zeros(20)))


def test_a_wall_moves_only_when_another_strike_has_five_percent_more():
    strike, allowed = np.array([100.0, 110.0, 120.0]), np.array([False, True, True])
    wall = levels.wall
    assert wall(strike, np.array([9.0, 1.0, 2.0]), allowed, float("nan"), 0.05) == 120.0
    assert wall(strike, np.array([9.0, 1.0, 1.04]), allowed, 110.0, 0.05) == 110.0
    assert wall(strike, np.array([9.0, 1.0, 1.06]), allowed, 110.0, 0.05) == 120.0
    # The price has passed the held wall: it no longer stands on its side.
    assert wall(strike, np.array([9.0, 1.0, 1.0]), allowed, 100.0, 0.05) == 110.0
    assert math.isnan(wall(strike, np.zeros(3), allowed, 110.0, 0.05))


def test_key_strikes_are_the_largest_at_least_two_strikes_apart():
    strike = np.arange(10.0)
    size = np.array([0.0, 5.0, 9.0, 8.0, 7.0, 1.0, 0.0, 2.0, 6.0, 0.0])
    np.testing.assert_array_equal(levels.key_strikes(strike, size, 5, 2), [2.0, 4.0, 8.0, np.nan, np.nan])
    np.testing.assert_array_equal(levels.key_strikes(strike, size, 4, 1), [2.0, 3.0, 4.0, 8.0])
    np.testing.assert_array_equal(levels.key_strikes(strike, size, 3, 4), [2.0, 8.0, np.nan])


def table(net):
    strike = 100 + np.arange(len(net), dtype=float) - len(net) // 2
    zero = np.zeros(len(net))
    return levels.StrikeTable(strike=strike, net=np.array(net), size=np.abs(net), calls=zero, puts=zero)


@pytest.mark.parametrize(
    ("net", "count"),
    [
        ([1.0, 2.0, -1.0, -3.0, 2.0], 3),
        ([1.0, 0.0, 1.0, 1.0, 1.0], 1),
        ([-1.0, -1.0, 1e-3, -1.0, -1.0], 1),  # a speck is no zone
        ([0.0, 0.0, 0.0], 0),
        ([9.0, 9.0, -9.0, 1.0, 1.0, 1.0, -9.0], 3),  # 97 lies within 3 %, inclusive
    ],
)
def test_zones_are_runs_of_one_sign_near_the_price(net, count):
    assert levels.zones(table(net), 100.0, settings()) == count


def test_zones_are_capped():
    net = [(-1.0) ** k for k in range(31)]
    used = settings(zones_reach=0.2)
    assert levels.zones(table(net), 100.0, used) == 10.0


def test_pin_is_the_share_of_the_strike_nearest_the_forward():
    used = settings()
    made = chain(days=(0.2,), vol=flat, spread=0.0, strikes=(5990.0, 6000.0, 6010.0), forward=6004.0)
    book, _, each, _ = parts(made, used)
    gamma = [(each.gamma * each.contracts)[book.strike == k].sum() for k in (5990.0, 6000.0, 6010.0)]
    found = levels.pin(book, each, -np.ones(6))
    assert found.share == pytest.approx(gamma[1] / sum(gamma))
    assert found.distance == pytest.approx(4.0)
    assert found.hours == pytest.approx(4.8)


def test_walls_come_from_expiries_within_thirty_days_only():
    def interest(days, strike, right):
        return 1e6 if days == 37.0 and strike in (5700.0, 6300.0) else 100.0

    used = settings()
    book, _, each, signs = parts(chain(days=(9.0, 37.0), interest=interest), used)
    found = levels.strike_table(book, each, signs, used)
    assert found.strike[np.argmax(found.size)] in (5700.0, 6300.0)
    assert found.strike[np.argmax(found.calls)] not in (5700.0, 6300.0)


def test_open_interest_nobody_published_counts_for_nothing():
    made = chain(days=(37.0,))
    made.open_interest[made.strike != 6000.0] = np.nan
    strikes, usd = levels.gex_by_strike(made, settings(dealer_sign="short_all"))
    assert set(strikes[usd != 0]) == {6000.0}


def test_no_option_alive_draws_nothing():
    made = chain(days=(37.0,))
    strikes, usd = levels.gex_by_strike(taken(made, np.arange(0)), settings())
    assert len(strikes) == len(usd) == 0
    late = dataclasses.replace(made, ts=int(made.expiry[0]), available_at=int(made.expiry[0]))
    assert len(levels.gex_by_strike(late, settings())[0]) == 0
