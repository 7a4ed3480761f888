"""Smiles: what a surface is made of is read back, outliers and few strikes do no harm, time is walked in variance."""

import math

import numpy as np
import pytest
from option_chains import DAY, NOON, WIDE, black, chain, normal_cdf, settings, surface

from mia.domain.chain import CALL
from mia.features.options.quotes import read
from mia.features.options.smile import (
    CURVE,
    HIGH,
    LEVEL,
    LOW,
    SLOPE,
    WIDTH,
    at_tenor,
    constant_smiles,
    fit,
    volatility,
    wing,
)

SETTINGS = settings()


def smiles_of(made, **changes):
    used = settings(**changes)
    book = read(made, used)
    return book, fit(book, used)


def test_a_quadratic_variance_is_read_back():
    book, found = smiles_of(chain(spread=0.0, days=(9.0, 37.0)))
    for e, years in enumerate(book.years):
        np.testing.assert_allclose(
            found.smiles[e, [LEVEL, SLOPE, CURVE]], [0.02 + 0.01 * math.sqrt(years), -0.06, 0.15], rtol=1e-6
        )
        assert volatility(found.smiles[e], 0.0) == pytest.approx(surface(0.0, years), rel=1e-9)


def test_calls_alone_and_puts_alone_give_the_volatility_at_the_forward():
    book, found = smiles_of(chain(spread=0.0, days=(37.0,), forward=6003.0))
    np.testing.assert_allclose(found.sides[0], surface(0.0, book.years[0]), rtol=1e-4)


def test_one_mad_quote_moves_the_smile_by_less_than_a_twentieth_of_a_vol_point():
    made = chain(spread=0.0, days=(37.0,))
    _, clean = smiles_of(made)
    i = int(np.flatnonzero((made.strike == 6050.0) & (made.right == CALL))[0])
    made.bid[i] *= 1.4
    made.ask[i] *= 1.4
    _, hit = smiles_of(made)
    assert abs(volatility(hit.smiles[0], 0.0) - volatility(clean.smiles[0], 0.0)) < 5e-4


@pytest.mark.parametrize(
    ("strikes", "curved", "sloped"),
    [((5800.0, 5900.0, 6000.0, 6100.0, 6200.0), True, True), ((5900.0, 6010.0, 6100.0), False, True)],
)
def test_few_strikes_make_a_line(strikes, curved, sloped):
    _, found = smiles_of(chain(spread=0.0, days=(37.0,), strikes=strikes))
    assert (found.smiles[0, CURVE] != 0) == curved
    assert (found.smiles[0, SLOPE] != 0) == sloped


def test_one_strike_makes_a_constant_and_none_makes_nothing():
    _, found = smiles_of(chain(spread=0.0, days=(37.0,), strikes=(6050.0,)))
    vol = surface(math.log(6050 / 6000) / math.sqrt(37 / 365), 37 / 365)
    assert volatility(found.smiles[0], 0.0) == pytest.approx(vol, rel=1e-9)
    assert found.smiles[0, SLOPE] == 0
    made = chain(days=(37.0,))
    made.bid[:] = np.nan
    _, found = smiles_of(made)
    assert np.isnan(found.smiles).all()
    assert math.isnan(volatility(found.smiles[0], 0.0))


def test_a_smile_is_flat_beyond_the_strikes_it_was_fitted_on():
    _, found = smiles_of(chain(spread=0.0, days=(37.0,)))
    smile = found.smiles[0]
    assert volatility(smile, smile[LOW] - 1) == volatility(smile, smile[LOW])
    assert volatility(smile, smile[HIGH] + 1) == volatility(smile, smile[HIGH])
    assert smile[LOW] >= -2.51 * math.sqrt(smile[LEVEL])


def test_total_variance_is_a_straight_line_between_expiries():
    years = np.array([20.0, 50.0]) / 365
    smiles = constant_smiles(np.array([0.2, 0.3]))
    found = volatility(at_tenor(years, smiles, 30 / 365, SETTINGS), 0.0)
    assert found**2 * 30 == pytest.approx(2 / 3 * 0.04 * 20 + 1 / 3 * 0.09 * 50)


def test_an_expiry_without_a_smile_is_skipped():
    years = np.array([20.0, 29.0, 50.0]) / 365
    smiles = constant_smiles(np.array([0.2, np.nan, 0.3]))
    smiles[1] = np.nan
    without = at_tenor(years[[0, 2]], smiles[[0, 2]], 30 / 365, SETTINGS)
    np.testing.assert_array_equal(at_tenor(years, smiles, 30 / 365, SETTINGS), without)


@pytest.mark.parametrize(
    ("listed", "target", "holds"),
    [
        (23.9, 30.0, True),  # within a ratio of 1.35
        (20.0, 30.0, False),
        (4.9, 1.0, True),  # within four days
        (5.1, 1.0, False),
        (3.1, 7.0, True),
        (2.9, 7.0, False),
        (40.0, 30.0, True),
        (41.0, 30.0, False),
    ],
)
def test_outside_the_listed_expiries_the_nearest_smile_holds_only_so_far(listed, target, holds):
    smile = at_tenor(np.array([listed]) / 365, constant_smiles(np.array([0.2])), target / 365, SETTINGS)
    assert smile.shape == (WIDTH,)
    found = volatility(smile, 0.0)
    assert found == pytest.approx(0.2) if holds else math.isnan(found)


@pytest.mark.parametrize("right", [1, -1])
@pytest.mark.parametrize("delta", [0.1, 0.25, 0.4])
def test_the_option_at_a_wing_has_that_delta(right, delta):
    """Oracle: find the strike whose own delta on the surface is the one wanted, by a fine search."""
    book, found = smiles_of(chain(spread=0.0, days=(37.0,)))
    years = float(book.years[0])
    x = np.linspace(-0.4, 0.4, 40_001)
    vols = np.array([surface(point, years) for point in x])
    d1 = -x / vols + 0.5 * vols * math.sqrt(years)
    deltas = np.array([normal_cdf(right * point) for point in d1])
    wanted = vols[np.argmin(np.abs(deltas - delta))]
    from statistics import NormalDist

    assert wing(found.smiles[0], years, right * NormalDist().inv_cdf(delta)) == pytest.approx(wanted, abs=2e-5)


def test_quotes_that_carry_no_volatility_are_left_out():
    made = chain(days=(37.0,), strikes=WIDE)
    at = {
        k: int(np.flatnonzero((made.strike == k) & (made.right == CALL))[0]) for k in (6050.0, 6060.0, 6070.0, 6080.0)
    }
    made.bid[at[6050.0]] = 0.0  # nobody bids
    made.bid[at[6060.0]], made.ask[at[6060.0]] = made.ask[at[6060.0]], made.bid[at[6060.0]]  # crossed
    made.bid[at[6070.0]] *= 0.5  # too wide
    made.ask[at[6070.0]] *= 1.5
    made.bid[at[6080.0]], made.ask[at[6080.0]] = 0.03, 0.04  # less than a tick above intrinsic value
    book, found = smiles_of(made)
    for strike in at:
        assert np.isnan(found.quoted[(book.strike == strike) & (book.right == CALL)]).all(), strike
    assert np.isfinite(found.quoted[(book.strike == 6090.0) & (book.right == CALL)]).all()


def test_a_forward_nobody_names_comes_from_put_call_parity():
    made = chain(given=False, carry=0.03, spread=0.0)
    book = read(made, SETTINGS)
    np.testing.assert_allclose(book.forward, 6000 * np.exp(0.03 * book.days / 365), rtol=1e-9)


def test_one_wrong_quote_does_not_move_the_forward_of_parity():
    made = chain(given=False, spread=0.0, days=(37.0,))
    i = int(np.flatnonzero((made.strike == 6000.0) & (made.right == CALL))[0])
    made.bid[i] += 30.0
    made.ask[i] += 30.0
    assert read(made, SETTINGS).forward[0] == pytest.approx(6000.0, abs=1e-6)


def test_an_expiry_without_pairs_takes_its_forward_from_its_neighbours():
    made = chain(given=False, carry=0.05, spread=0.0, days=(10.0, 20.0, 40.0))
    made.bid[(made.expiry == NOON + 20 * DAY) & (made.right == CALL)] = np.nan
    book = read(made, SETTINGS)
    assert book.forward[1] == pytest.approx(6000 * math.exp(0.05 * 20 / 365), rel=1e-9)


def test_time_to_expiry_has_a_floor_of_five_minutes():
    made = chain(days=(1 / 1440, 37.0), vol=lambda x, years: 0.2)
    book = read(made, SETTINGS)
    assert book.years[0] == pytest.approx(5 / 1440 / 365)
    assert book.days[0] == pytest.approx(1 / 1440)


def test_prices_of_the_helper_are_those_of_a_published_example():
    """Hull, Options, Futures, and Other Derivatives: put on a future, F = K = 20, r = 9 %, 4 months, 25 %: 1.12."""
    assert black(20.0, 20.0, 4 / 12, 0.25, 0.09, -1) == pytest.approx(1.12, abs=0.005)
