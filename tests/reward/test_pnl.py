import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.domain.errors import ConfigurationError
from mia.reward.pnl import PnlReward
from mia.reward.settings import RewardSettings


def test_a_reward_is_the_net_change_in_units_of_the_scale():
    assert PnlReward(scale_cents=12500.0)(before=100, after=100 + 6250) == 0.5


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1), st.floats(0.01, 1e6))
def test_many_rewards_equal_one_at_a_time(changes, scale):
    reward = PnlReward(scale_cents=scale)
    many = reward.of_changes(np.array(changes, dtype=np.int64))
    assert many.dtype == np.float32
    assert many.tolist() == [reward(7, 7 + change) for change in changes]


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_a_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ConfigurationError, match="scale_cents"):
        PnlReward(scale_cents=scale)


def test_a_reward_that_does_not_exist_is_refused():
    with pytest.raises(ConfigurationError, match="cvar"):
        RewardSettings(name="cvar")
