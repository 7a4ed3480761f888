"""Method 5 as published, its worked example, and what was wrong with it put right: no loss is made cheaper."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.reward.adaptive import AdaptiveReward, atr_threshold
from mia.reward.context import CONTEXT

NOTHING = float("nan")
USD = 100  # cents


@pytest.fixture(scope="module")
def reward(adaptive_settings):
    """Rewards in USD; bars above 10 points of atr_dynamic are wide."""
    return AdaptiveReward(settings=adaptive_settings, atr_threshold=10.0, scale_cents=float(USD))


def context(**known):
    """One row, unknown where nothing is given."""
    return np.array([known.get(name, NOTHING) for name in CONTEXT])


def test_the_published_worked_example_gives_132(reward):
    seen = context(news_impact_score=0.6, vix=18.0, atr_dynamic=9.0, orderflow_imbalance=0.3, cvar_loss=0.05)
    assert reward(0, 100 * USD, position=1, context=seen) == 132.0


def test_the_same_loss_in_the_worked_example_counts_as_the_gain_does(reward):
    seen = context(news_impact_score=0.6, vix=18.0, atr_dynamic=9.0, orderflow_imbalance=0.3, cvar_loss=0.05)
    assert reward(0, -100 * USD, position=1, context=seen) == -132.0


@pytest.mark.parametrize(
    ("known", "position", "gain", "loss"),
    [
        ({"news_impact_score": 0.51}, 1, 120.0, -120.0),
        ({"news_impact_score": 0.5}, 1, 100.0, -100.0),
        ({"news_impact_score": -0.51}, 1, 80.0, -100.0),
        ({"news_impact_score": -0.5}, 1, 100.0, -100.0),
        ({"vix": 20.01}, 1, 90.0, -100.0),
        ({"vix": 20.0}, 1, 100.0, -100.0),
        ({"atr_dynamic": 10.1}, 1, 85.0, -100.0),
        ({"atr_dynamic": 10.0}, 1, 100.0, -100.0),
        ({"orderflow_imbalance": 0.2}, 1, 110.0, -110.0),
        ({"orderflow_imbalance": -0.2}, -1, 110.0, -110.0),
        ({"orderflow_imbalance": 0.2}, -1, 100.0, -100.0),
        ({"orderflow_imbalance": -0.2}, 1, 100.0, -100.0),
        ({"orderflow_imbalance": 0.0}, 1, 100.0, -100.0),
        ({"orderflow_imbalance": 0.2}, 0, 100.0, -100.0),
        ({"orderflow_imbalance": 0.2}, None, 100.0, -100.0),
        ({"cvar_loss": 0.11}, 1, 90.0, -100.0),
        ({"cvar_loss": 0.1}, 1, 100.0, -100.0),
        ({}, 1, 100.0, -100.0),
        # 0.8 x 0.9 x 0.85 x 0.9 = 0.5508, and a loss is a whole one
        (
            {"news_impact_score": -0.9, "vix": 35.0, "atr_dynamic": 50.0, "cvar_loss": 2.0},
            1,
            55.08,
            -100.0,
        ),
        # 1.2 x 0.9 = 1.08: good news make up for nerves
        ({"news_impact_score": 0.9, "vix": 35.0}, -1, 108.0, -108.0),
        # 0.85 x 1.1 = 0.935
        ({"atr_dynamic": 11.0, "orderflow_imbalance": -1.0}, -1, 93.5, -100.0),
    ],
)
def test_each_situation_counts_as_published_for_gains_and_never_shrinks_a_loss(reward, known, position, gain, loss):
    seen = context(**known)
    assert reward(0, 100 * USD, position=position, context=seen) == pytest.approx(gain, rel=1e-6)
    assert reward(0, -100 * USD, position=position, context=seen) == pytest.approx(loss, rel=1e-6)


anything = st.one_of(st.just(NOTHING), st.floats(-100, 100))
rows = st.lists(
    st.tuples(st.integers(-(10**7), 10**7), st.sampled_from([-1, 0, 1]), *[anything] * len(CONTEXT)), min_size=1
)


@given(rows)
def test_no_loss_is_cheaper_than_it_was_and_no_gain_becomes_a_loss(reward, rows):
    table = np.array(rows, dtype=np.float64)
    change = table[:, 0].astype(np.int64)
    found = reward.of_changes(change, table[:, 1], table[:, 2:])
    plain = np.float32(change / USD)
    assert (found[change < 0] <= plain[change < 0]).all()
    assert (found[change > 0] > 0).all()
    assert (found[change == 0] == 0).all()


@given(rows)
def test_many_rewards_are_the_bits_of_one_at_a_time(reward, rows):
    table = np.array(rows, dtype=np.float64)
    change, position, seen = table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2:]
    many = reward.of_changes(change, position, seen)
    assert many.dtype == np.float32
    ones = [reward(11, 11 + int(c), position=int(p), context=x) for c, p, x in zip(change, position, seen, strict=True)]
    assert many.tolist() == ones


def test_without_any_context_it_is_plain_profit(reward):
    change = np.array([-12345, 0, 777])
    expected = np.float32(change / 100.0)
    assert reward.of_changes(change, np.ones(3), None).tobytes() == expected.tobytes()
    assert reward.of_changes(change, np.ones(3), np.full((3, 5), NOTHING)).tobytes() == expected.tobytes()


def test_a_configured_atr_threshold_is_kept(adaptive_settings):
    seen = np.tile(context(atr_dynamic=3.0), (10, 1))
    assert atr_threshold(replace(adaptive_settings, atr_threshold=7.5), seen) == 7.5


def test_the_fitted_atr_threshold_leaves_a_fifth_of_the_known_rows_above_it(adaptive_settings):
    seen = np.full((150, len(CONTEXT)), NOTHING)
    seen[:100, CONTEXT.index("atr_dynamic")] = np.arange(1, 101)[::-1]
    threshold = atr_threshold(adaptive_settings, seen)
    assert 80 <= threshold < 81  # 1 ... 80 stay, 81 ... 100 are wide


def test_no_bar_is_wide_where_atr_was_never_known(adaptive_settings):
    for seen in (None, np.full((10, len(CONTEXT)), NOTHING)):
        assert math.isinf(atr_threshold(adaptive_settings, seen))
