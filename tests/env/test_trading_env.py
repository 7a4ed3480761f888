import warnings

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3.common.env_checker import check_env as sb3_check

from mia.desk import accounting as acc
from mia.desk.backtest import run_targets
from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.env.trading_env import TradingEnv
from mia.reward.pnl import PnlReward
from mia.risk.limits import Limits, unlimited

REWARD = PnlReward(scale_cents=12500.0)


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_gymnasium_and_sb3_accept_the_env(make_tape, es_terms, actions):
    def env():
        return TradingEnv(make_tape(), es_terms, unlimited(2), REWARD, actions=actions, episode_sessions=3)

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a checker that only warns has found something
        # Infinite bounds are meant: the template clips features, but beliefs and masks need no bound.
        warnings.filterwarnings("ignore", message=".*infinity.*")
        gymnasium_check(env(), skip_render_check=True)
        sb3_check(env())


def test_an_episode_earns_what_the_backtest_of_its_positions_earns(make_tape, es_terms):
    rng = generator(2, "test")
    tape = make_tape(must_flat=np.arange(2000) % 100 >= 97, may_enter=rng.random(2000) < 0.9)
    limits = Limits(
        max_contracts=1,
        account_cents=10**8,
        margin_cents=500_000,
        max_daily_loss_cents=80_000,
        max_drawdown_cents=0,
    )
    env = TradingEnv(tape, es_terms, limits, REWARD)
    chosen = rng.integers(0, 3, len(tape))
    track = run_targets(tape, chosen - 1, es_terms, limits, close_at_end=False)
    observation, info = env.reset(seed=0)
    rewards, over = [], False
    for t in range(len(tape)):
        assert observation[:-1].tobytes() == tape.obs[t].tobytes()
        assert info["position"] == track.position[t] == observation[-1]
        assert info["equity_cents"] == track.equity_cents[t]
        assert over == (t == len(tape) - 1)
        if not over:
            observation, reward, terminated, over, info = env.step(chosen[t])
            assert info["flags"] == track.flags[t]
            assert not terminated
            rewards.append(reward)
    assert np.array_equal(np.float32(rewards), np.float32(np.diff(track.equity_cents) / 12500.0))


def test_continuous_actions_hold_the_nearest_contracts(make_tape, es_terms):
    env = TradingEnv(make_tape(), es_terms, unlimited(4), REWARD, actions="continuous")
    env.reset(seed=0)
    for share, contracts in ((0.6, 2), (-1.0, -4), (0.1, 0), (-0.4, -2)):
        observation, _, _, _, info = env.step(np.array([share], dtype=np.float32))
        assert info["position"] == contracts
        assert observation[-1] == contracts / 4


def test_the_end_of_the_span_truncates_and_closes_nothing(make_tape, es_terms):
    env = TradingEnv(make_tape(rows=200), es_terms, unlimited(), REWARD, episode_sessions=1)
    _, info = env.reset(options={"episode": 1})
    assert info["row"] == 100
    over = False
    while not over:
        _, _, terminated, over, info = env.step(2)
        assert not terminated
    assert (info["row"], info["position"], info["cost_cents"]) == (199, 1, es_terms.side_cost_cents)
    with pytest.raises(ResetNeeded):
        env.step(2)


def test_an_account_that_can_never_trade_again_terminates(make_tape, es_terms):
    tape = make_tape(open=[100, 100, 100, 100], close=[100, 90, 60, 60])
    limits = Limits(
        max_contracts=1,
        account_cents=520_000,
        margin_cents=500_000,
        max_daily_loss_cents=0,
        max_drawdown_cents=0,
    )
    env = TradingEnv(tape, es_terms, limits, REWARD)
    env.reset(seed=0)
    _, _, terminated, truncated, info = env.step(2)
    assert (terminated, truncated, info["position"]) == (False, False, 1)
    _, _, terminated, truncated, info = env.step(2)
    assert (terminated, truncated) == (True, False)
    assert info["equity_cents"] == 1250 * (-10 + 10 - 40) - es_terms.side_cost_cents
    with pytest.raises(ResetNeeded):
        env.step(1)


def test_the_same_seed_begins_the_same_episodes(make_tape, es_terms):
    envs = [TradingEnv(make_tape(), es_terms, unlimited(), REWARD, episode_sessions=1) for _ in range(2)]
    rows = [[env.reset(seed=9)[1]["row"], *(env.reset()[1]["row"] for _ in range(20))] for env in envs]
    assert rows[0] == rows[1]
    assert len(set(rows[0])) > 5


def test_unknown_choices_are_refused(make_tape, es_terms):
    with pytest.raises(ConfigurationError, match="actions must be one of"):
        TradingEnv(make_tape(), es_terms, unlimited(), REWARD, actions="sizes")
    env = TradingEnv(make_tape(), es_terms, unlimited(), REWARD)
    with pytest.raises(ConfigurationError, match="episode must lie in"):
        env.reset(options={"episode": 1})


def test_forced_and_overnight_positions_are_reported(make_tape, es_terms):
    tape = make_tape(rows=30, per_session=10, must_flat=np.arange(30) == 5)
    env = TradingEnv(tape, es_terms, unlimited(), REWARD)
    env.reset(seed=0)
    for _ in range(29):
        _, _, _, _, info = env.step(2)
    assert (info["forced"], info["overnight"]) == (1, 2)
    assert info["flags"] in (0, acc.FLAT_RULE)
