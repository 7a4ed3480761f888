"""What encoders learn to foresee, against values worked out by hand."""

import math

import encoder_cases as cases
import numpy as np
import pytest

from mia.domain.errors import ConfigurationError
from mia.encoder import labels
from mia.encoder.rows import split, targets

SESSION = np.array([0, 0, 0, 0, 1, 1, 1])
PRICE = np.array([100.0, 101.0, 99.0, 100.0, 200.0, 202.0, 198.0])


def test_a_return_ahead_is_in_basis_points_and_never_leaves_its_session():
    found = labels.return_ahead(PRICE, SESSION, 2)
    expected = [1e4 * math.log(99 / 100), 1e4 * math.log(100 / 101), math.nan, math.nan, 1e4 * math.log(198 / 200)]
    np.testing.assert_allclose(found[:5], expected, rtol=1e-12)
    assert np.isnan(found[5:]).all()


def test_volatility_ahead_annualises_squared_returns_over_the_trading_year():
    found = labels.volatility_ahead(PRICE, SESSION, 2, bar_minutes=1.0)
    squares = math.log(101 / 100) ** 2 + math.log(99 / 101) ** 2
    assert found[0] == pytest.approx(math.sqrt(252 * 1380 / 2 * squares), rel=1e-12)
    assert np.isnan(found[2:4]).all()


def test_the_same_path_in_longer_bars_is_less_volatile():
    ones = labels.volatility_ahead(PRICE, SESSION, 2, bar_minutes=1.0)
    fives = labels.volatility_ahead(PRICE, SESSION, 2, bar_minutes=5.0)
    assert fives[0] == pytest.approx(ones[0] / math.sqrt(5), rel=1e-12)


def test_the_index_ahead_is_a_log_ratio_and_unknown_where_the_index_is():
    level = np.array([16.0, math.nan, 18.0, 20.0])
    found = labels.ratio_ahead(level, np.zeros(4, int), 2)
    assert found[0] == pytest.approx(math.log(18 / 16))
    assert np.isnan(found[1:]).all()


def test_the_first_barrier_met_counts_and_not_the_last_close():
    # one tick up and down first, so that the running deviation is about 1 % before the judged row
    price = np.array([100.0, 101.0, 100.0, 103.0, 95.0, 100.0, 100.0, 100.0])
    session = np.zeros(8, int)
    deviation = labels.running_deviation(price, session, 1000.0)[2]
    assert deviation == pytest.approx(math.log(1.01), rel=1e-6)
    found = labels.barrier_ahead(price, session, 3, 1.0, 1000.0)  # width 1.72 % at row 2
    assert found[2] == labels.UP  # 103 comes before 95
    assert found[3] == labels.DOWN
    assert found[0] == labels.UNKNOWN  # no deviation yet
    assert (found[5:] == labels.UNKNOWN).all()  # the horizon leaves the rows


def test_a_path_between_the_barriers_is_flat():
    price = np.array([100.0, 101.0, 100.0, 100.5, 99.5, 100.0])
    assert labels.barrier_ahead(price, np.zeros(6, int), 3, 1.0, 1000.0)[2] == labels.FLAT


def test_the_jump_between_sessions_is_no_deviation():
    price = np.array([100.0, 101.0, 200.0, 201.0])
    found = labels.running_deviation(price, np.array([0, 0, 1, 1]), 1000.0)
    assert found[3] < 0.011


@pytest.mark.parametrize("cut", [450, 899, 613])
def test_cutting_the_rows_changes_no_label_that_was_already_known(cut):
    settings, rows = cases.settings(), cases.rows()
    whole, part = targets(rows, settings, 1.0), targets(rows.part(0, cut), settings, 1.0)
    for name in ("returns", "volatility", "vix"):
        before, after = getattr(part, name), getattr(whole, name)[:cut]
        known = np.isfinite(before)
        np.testing.assert_array_equal(before[known], after[known])
        # and what the cut made unknown had needed rows beyond it
        assert not (~known & np.isfinite(after))[: cut - part.longest].any()
    known = part.barrier != labels.UNKNOWN
    np.testing.assert_array_equal(part.barrier[known], whole.barrier[:cut][known])


def test_noise_in_place_of_the_future_changes_no_label_whose_horizon_is_over():
    settings, rows = cases.settings(), cases.rows()
    whole = targets(rows, settings, 1.0)
    price = rows.price.copy()
    price[500:] = np.random.default_rng(1).uniform(1, 1e5, 400)
    from dataclasses import replace

    other = targets(replace(rows, price=price), settings, 1.0)
    np.testing.assert_array_equal(other.returns[: 500 - whole.longest], whole.returns[: 500 - whole.longest])
    np.testing.assert_array_equal(other.barrier[: 500 - whole.longest], whole.barrier[: 500 - whole.longest])
    assert not np.array_equal(other.returns[490:500], whole.returns[490:500], equal_nan=True)


def test_no_label_of_the_learning_part_reaches_the_validation_part():
    settings = cases.settings()
    found = targets(cases.rows(), settings, 1.0)
    parted = split(900, settings, found.longest)
    assert found.longest == 10
    assert parted.learn - 1 + found.longest + settings.embargo < parted.validate
    assert parted.validate == 675


def test_too_few_rows_are_refused():
    with pytest.raises(ConfigurationError, match="120 rows leave 75 to learn from"):
        split(120, cases.settings(), 10)


def test_rows_that_may_not_be_learned_from_have_no_labels():
    rows = cases.rows()
    rows.present[100:110] = False
    found = targets(rows, cases.settings(), 1.0)
    assert np.isnan(found.returns[100:110]).all()
    assert (found.barrier[100:110] == labels.UNKNOWN).all()


def test_rows_of_unequal_length_are_refused():
    from dataclasses import replace

    rows = cases.rows()
    with pytest.raises(ConfigurationError, match="depth must have shape"):
        replace(rows, depth=rows.depth[:-1])
