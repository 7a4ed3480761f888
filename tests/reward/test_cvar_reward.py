"""The tail's price: worked by hand, and in the mean what the definition of CVaR says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.reward.cvar import CvarReward, value_at_risk
from mia.reward.settings import CvarSettings


def charging(weight, threshold=5000.0, alpha=0.95):
    settings = CvarSettings(name="cvar", alpha=alpha, weight=weight)
    return CvarReward(settings=settings, threshold_cents=threshold, scale_cents=100.0)


@pytest.mark.parametrize(
    ("usd", "expected"),
    [
        (70, 70.0),  # gains are left alone
        (-30, -30.0),  # losses within the threshold of 50 USD as well
        (-50, -50.0),
        (-60, -60.0 - 0.1 * 10 / 0.05),  # 10 USD beyond it, times 20, a tenth of it
        (-150, -150.0 - 0.1 * 100 / 0.05),
    ],
)
def test_only_what_is_lost_beyond_the_threshold_costs_more(usd, expected):
    assert charging(0.1)(0, usd * 100) == pytest.approx(expected, rel=1e-6)


def test_without_weight_it_is_plain_profit():
    change = np.array([-(10**6), -3, 0, 5])
    assert charging(0.0).of_changes(change).tobytes() == np.float32(change / 100.0).tobytes()


def test_value_at_risk_is_a_loss_that_one_in_twenty_exceeds():
    change = -np.arange(1, 101)  # losses 1 ... 100
    assert value_at_risk(change, 0.95) == 95
    assert value_at_risk(np.arange(1, 101), 0.95) == 0  # only gains


def test_its_mean_charges_the_weighted_distance_of_cvar_from_var():
    change = np.rint(generator(1, "test").standard_t(3, 20_000) * 5000).astype(np.int64)
    losses = np.sort(-change)
    var, cvar = losses[18_999], losses[19_000:].mean()  # the worst thousand of 20,000
    threshold = value_at_risk(change, 0.95)
    assert threshold == var
    mean = float(charging(0.3, threshold).of_changes(change).astype(np.float64).mean())
    assert mean == pytest.approx((change.mean() - 0.3 * (cvar - var)) / 100.0, rel=1e-5)


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1))
def test_many_are_the_bits_of_one_at_a_time_and_never_above_plain_profit(changes):
    reward = charging(0.7)
    many = reward.of_changes(np.array(changes, dtype=np.int64))
    assert many.dtype == np.float32
    assert many.tolist() == [reward(-4, -4 + change, position=1) for change in changes]
    assert (many <= np.float32(np.array(changes) / 100.0)).all()


@pytest.mark.parametrize("threshold", [-1.0, float("nan"), float("inf")])
def test_a_threshold_that_is_no_loss_is_refused(threshold):
    with pytest.raises(ConfigurationError, match="threshold"):
        charging(1.0, threshold)
