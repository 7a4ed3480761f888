"""Both envs tell the reward the position taken and what was known when it was, never later."""

import numpy as np
import pytest

from mia.desk.accounting import POSITION
from mia.domain.rng import generator
from mia.env.trading_env import TradingEnv
from mia.env.trading_vec_env import TradingVecEnv
from mia.reward.adaptive import AdaptiveReward
from mia.reward.context import CONTEXT
from mia.reward.settings import AdaptiveSettings
from mia.risk.limits import unlimited

SETTINGS = AdaptiveSettings(
    name="adaptive", good_news=0.5, good_news_factor=1.2, bad_news=-0.5, bad_news_factor=0.8, vix_threshold=20.0,
    vix_factor=0.9, atr_threshold=None, atr_quantile=0.8, atr_factor=0.85, flow_factor=1.1, cvar_threshold=0.1,
    cvar_factor=0.9,
)  # fmt: skip
REWARD = AdaptiveReward(settings=SETTINGS, atr_threshold=1.0, scale_cents=100.0)


def contexts(rows, seed=0):
    """Random rows in which every situation occurs, and every column is missing now and then."""
    rng = generator(seed, "context")
    low, high = np.array([-1, 5, 0, -1, 0]), np.array([1, 40, 2, 1, 0.3])
    out = rng.uniform(low, high, (rows, len(CONTEXT)))
    out[rng.random(out.shape) < 0.2] = np.nan
    return out


class Witness:
    """Writes down what it is told; pays nothing."""

    def __init__(self):
        self.told = []

    def of_changes(self, change_cents, position=None, context=None):
        self.told.append((change_cents.copy(), position.copy(), None if context is None else context.copy()))
        return np.zeros(len(change_cents), dtype=np.float32)


def test_the_reward_hears_of_the_row_of_the_decision_and_the_position_it_led_to(make_tape, es_terms):
    tape = make_tape(rows=1000, per_session=50, context=contexts(1000), may_enter=np.arange(1000) % 3 > 0)
    witness = Witness()
    env = TradingVecEnv(tape, es_terms, unlimited(2), witness, n_envs=4, seed=0, episode_sessions=1)
    env.reset()
    rng = generator(1, "test")
    for _ in range(120):
        decided, equity = env.rows, env.accounts
        _, _, dones, _ = env.step(rng.integers(0, 3, 4))
        change, position, context = witness.told[-1]
        assert context.tobytes() == tape.context[decided].tobytes()
        going = ~dones
        assert np.array_equal(position[going], env.accounts[going, POSITION])
        assert np.array_equal(equity[going, 1] + change[going], env.accounts[going, 1])


def test_a_tape_without_context_tells_none(make_tape, es_terms):
    witness = Witness()
    env = TradingVecEnv(make_tape(), es_terms, unlimited(), witness, n_envs=2, seed=0)
    env.reset()
    env.step(np.array([0, 2]))
    assert witness.told[0][2] is None


@pytest.mark.parametrize("known", [True, False])
def test_both_envs_pay_the_same_bits_and_report_the_same_drawdown(make_tape, es_terms, known):
    tape = make_tape(rows=900, per_session=60, context=contexts(900) if known else None)
    many = TradingVecEnv(tape, es_terms, unlimited(2), REWARD, n_envs=3, seed=2, episode_sessions=3)
    ones = [TradingEnv(tape, es_terms, unlimited(2), REWARD, episode_sessions=3) for _ in range(3)]

    def begin(i):
        return ones[i].reset(options={"episode": int(np.flatnonzero(ones[i].episodes.starts == many.rows[i])[0])})

    many.reset()
    assert [begin(i)[1]["drawdown_cents"] for i in range(3)] == [0, 0, 0]
    rng = generator(3, "test")
    ends = 0
    for _ in range(400):
        chosen = rng.integers(0, 3, 3)
        _, rewards, dones, infos = many.step(chosen)
        for i, env in enumerate(ones):
            _, reward, _, _, info = env.step(chosen[i])
            assert rewards[i] == np.float32(reward)
            assert many.drawdowns()[i] == info["drawdown_cents"]
            assert many.losses()[i] == -info["equity_cents"]
            if dones[i]:
                assert infos[i]["drawdown_cents"] == info["drawdown_cents"] > 0
                begin(i)
                ends += 1
    assert ends == 6


def test_a_loss_in_spite_of_good_news_counts_as_much_more_as_a_gain_would(make_tape, es_terms):
    """Long over a fall of four ticks after good news: 50 USD and the costs, times 1.2."""
    context = np.full((3, len(CONTEXT)), np.nan)
    context[0, CONTEXT.index("news_impact_score")] = 0.9
    tape = make_tape(open=[100, 100, 96], close=[100, 96, 96], context=context)
    env = TradingEnv(tape, es_terms, unlimited(), REWARD)
    env.reset(seed=0)
    _, reward, _, _, _ = env.step(2)
    lost = 4 * 12.5 + es_terms.side_cost_cents / 100
    assert reward == pytest.approx(-1.2 * lost, rel=1e-6)
    _, reward, _, _, _ = env.step(2)
    assert reward == 0.0
