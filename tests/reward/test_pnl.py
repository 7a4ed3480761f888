import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mia.domain.errors import ConfigurationError
from mia.reward.pnl import PnlReward


def test_a_reward_is_the_net_change_in_units_of_the_scale():
    assert PnlReward(scale_cents=12500.0)(before=100, after=100 + 6250) == 0.5


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1), st.floats(0.01, 1e6))
def test_many_rewards_equal_one_at_a_time(changes, scale):
    reward = PnlReward(scale_cents=scale)
    many = reward.of_changes(np.array(changes, dtype=np.int64))
    assert many.dtype == np.float32
    assert many.tolist() == [reward(7, 7 + change) for change in changes]


def test_position_and_context_do_not_matter_to_plain_profit():
    reward, changes = PnlReward(scale_cents=100.0), np.array([-300, 0, 500])
    context = np.full((3, 5), 1000.0)
    assert reward.of_changes(changes, np.ones(3), context).tolist() == [-3.0, 0.0, 5.0]


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_a_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ConfigurationError, match="scale_cents"):
        PnlReward(scale_cents=scale)
