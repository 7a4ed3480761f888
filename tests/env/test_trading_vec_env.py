import numpy as np
import pytest
from stable_baselines3 import PPO

from mia.desk import accounting as acc
from mia.desk.group_columns import GroupColumns
from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.env.trading_env import TradingEnv
from mia.env.trading_vec_env import TradingVecEnv
from mia.reward.pnl import PnlReward
from mia.risk.limits import Limits, unlimited

REWARD = PnlReward(scale_cents=12500.0)
TIGHT = Limits(
    max_contracts=2,
    account_cents=1_200_000,
    margin_cents=500_000,
    max_daily_loss_cents=150_000,
    max_drawdown_cents=600_000,
)


def rough_tape(make_tape):
    rng = generator(8, "test")
    return make_tape(
        rows=1500,
        per_session=60,
        must_flat=np.arange(1500) % 60 >= 57,
        may_enter=rng.random(1500) < 0.9,
    )


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_many_at_once_equal_one_at_a_time_bit_for_bit(make_tape, es_terms, actions):
    tape = rough_tape(make_tape)
    many = TradingVecEnv(tape, es_terms, TIGHT, REWARD, n_envs=5, seed=1, actions=actions, episode_sessions=8)
    ones = [TradingEnv(tape, es_terms, TIGHT, REWARD, actions=actions, episode_sessions=8) for _ in range(5)]
    rng = generator(3, "test")

    def begin(i):
        span = int(np.flatnonzero(ones[i].episodes.starts == many.rows[i])[0])
        return ones[i].reset(options={"episode": span})[0]

    observations = many.reset()
    for i in range(5):
        assert observations[i].tobytes() == begin(i).tobytes()
    ends = set()
    for _ in range(1200):
        chosen = rng.integers(0, 3, 5) if actions == "discrete" else rng.uniform(-1, 1, (5, 1)).astype(np.float32)
        observations, rewards, dones, infos = many.step(chosen)
        for i, env in enumerate(ones):
            observation, reward, terminated, truncated, info = env.step(chosen[i])
            assert rewards[i] == np.float32(reward)
            assert dones[i] == (terminated or truncated)
            if dones[i]:
                assert infos[i]["terminal_observation"].tobytes() == observation.tobytes()
                assert infos[i]["TimeLimit.truncated"] == truncated
                assert infos[i]["equity_cents"] == info["equity_cents"]
                ends.add("truncated" if truncated else "terminated")
                observation = begin(i)
            else:
                assert infos[i] == {}
                assert many.accounts[i, acc.EQUITY] == info["equity_cents"]
            assert observations[i].tobytes() == observation.tobytes()
    assert ends == {"truncated", "terminated"}


def test_returned_arrays_are_not_written_again(make_tape, es_terms):
    env = TradingVecEnv(make_tape(), es_terms, unlimited(), REWARD, n_envs=3, seed=0)
    first = env.reset()
    second, rewards, dones, _ = env.step(np.array([0, 1, 2]))
    kept = [a.copy() for a in (first, second, rewards, dones)]
    for _ in range(3):
        env.step(np.array([2, 2, 0]))
    for kept_one, array in zip(kept, (first, second, rewards, dones), strict=True):
        assert np.array_equal(kept_one, array)


def test_spaces_shapes_and_types_are_what_sb3_expects(make_tape, es_terms):
    env = TradingVecEnv(make_tape(width=4), es_terms, unlimited(), REWARD, n_envs=3, seed=0)
    observations = env.reset()
    assert env.observation_space.shape == (5,)
    assert (observations.shape, observations.dtype) == ((3, 5), np.float32)
    _, rewards, dones, infos = env.step(np.array([0, 1, 2]))
    assert (rewards.shape, rewards.dtype, dones.shape, dones.dtype) == ((3,), np.float32, (3,), bool)
    assert len(infos) == 3


def test_the_same_seed_gives_the_same_episodes_and_another_seed_others(make_tape, es_terms):
    def starts(seed):
        env = TradingVecEnv(make_tape(), es_terms, unlimited(), REWARD, n_envs=16, seed=seed, episode_sessions=1)
        env.reset()
        return env.rows.tolist()

    assert starts(1) == starts(1)
    assert starts(1) != starts(2)


def test_seeding_before_a_reset_repeats_the_episodes(make_tape, es_terms):
    env = TradingVecEnv(make_tape(), es_terms, unlimited(), REWARD, n_envs=16, seed=0, episode_sessions=1)
    env.seed(5)
    env.reset()
    first = env.rows.tolist()
    env.reset()
    assert env.rows.tolist() != first
    env.seed(5)
    env.reset()
    assert env.rows.tolist() == first


def test_row_index_observations_name_the_row_and_the_position(make_tape, es_terms):
    tape = make_tape()
    env = TradingVecEnv(tape, es_terms, unlimited(), REWARD, n_envs=4, seed=0, episode_sessions=2, row_index=True)
    plain = TradingVecEnv(tape, es_terms, unlimited(), REWARD, n_envs=4, seed=0, episode_sessions=2)
    rng = generator(1, "test")
    indexed, full = env.reset(), plain.reset()
    for _ in range(500):
        assert np.array_equal(tape.obs[indexed[:, 0].astype(int)], full[:, :-1])
        assert np.array_equal(indexed[:, 1], full[:, -1])
        chosen = rng.integers(0, 3, 4)
        indexed, full = env.step(chosen)[0], plain.step(chosen)[0]


def test_an_ended_episode_reports_its_return_and_length(make_tape, es_terms):
    env = TradingVecEnv(
        make_tape(rows=40, per_session=10),
        es_terms,
        unlimited(),
        REWARD,
        n_envs=2,
        seed=0,
        episode_sessions=1,
    )
    env.reset()
    total = np.zeros(2)
    for _ in range(9):
        _, rewards, dones, infos = env.step(np.array([2, 0]))
        total += rewards
    assert dones.all()
    for i in range(2):
        assert infos[i]["episode"]["l"] == 9
        assert infos[i]["episode"]["r"] == pytest.approx(total[i])


def test_ppo_learns_a_rollout_on_it(make_tape, es_terms):
    env = TradingVecEnv(make_tape(), es_terms, unlimited(), REWARD, n_envs=8, seed=0, episode_sessions=2)
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=128, n_epochs=1, device="cpu", seed=0)
    model.learn(512)
    assert model.num_timesteps == 512


def test_no_accounts_are_refused(make_tape, es_terms):
    with pytest.raises(ConfigurationError, match="n_envs must be at least 1"):
        TradingVecEnv(make_tape(), es_terms, unlimited(), REWARD, n_envs=0, seed=0)


LOST = GroupColumns(
    names=("book", "news"),
    touches=np.array([[True, True, False, False], [False, False, True, False]]),
    neutral=np.array([0.0, -0.25, 0.5, 9.0], dtype=np.float32),
)


def dropping(make_tape, es_terms, dropout, **changes):
    tape = make_tape(rows=4000, width=4, per_session=20, groups=LOST)
    settings = {"n_envs": 64, "seed": 0, "episode_sessions": 1} | changes
    return TradingVecEnv(tape, es_terms, unlimited(), REWARD, dropout=dropout, **settings)


def test_a_lost_group_is_blanked_to_its_neutral_values_for_a_whole_episode(make_tape, es_terms):
    env = dropping(make_tape, es_terms, 0.3)
    observations = env.reset()
    episodes, lost_before, counts = 0, None, np.zeros(2)
    for step in range(1900):  # episodes of 19 steps each
        market = env.tape.obs[env.rows]
        blank = observations[:, :-1] != market
        lost = np.stack([blank[:, 0], blank[:, 2]], axis=1)
        expected = np.where(lost @ LOST.touches, LOST.neutral, market)
        assert observations[:, :-1].tobytes() == expected.tobytes()
        if step % 19 == 0:
            counts += lost.sum(axis=0)
            episodes += len(lost)
        else:
            assert np.array_equal(lost, lost_before)
        lost_before = lost
        observations, _, dones, infos = env.step(np.zeros(64, dtype=int))
        if dones[0]:  # an episode's last observation lacks the same
            last = infos[0]["terminal_observation"][:-1]
            assert [bool(last[k] == LOST.neutral[k]) for k in (0, 2)] == lost_before[0].tolist()
    assert counts / episodes == pytest.approx([0.3, 0.3], abs=0.03)


def test_without_dropout_nothing_is_blanked_and_the_episodes_are_those_of_a_tape_without_groups(make_tape, es_terms):
    env = dropping(make_tape, es_terms, 0.0)
    twin = TradingVecEnv(
        make_tape(rows=4000, width=4, per_session=20), es_terms, unlimited(), REWARD,
        n_envs=64, seed=0, episode_sessions=1, dropout=0.5,
    )  # fmt: skip
    assert env.reset().tobytes() == twin.reset().tobytes()
    for _ in range(100):
        one, other = env.step(np.ones(64, dtype=int)), twin.step(np.ones(64, dtype=int))
        assert one[0].tobytes() == other[0].tobytes()
        assert np.array_equal(one[1], other[1])


def test_what_is_lost_changes_no_money(make_tape, es_terms):
    """Rewards follow from prices and positions; only what is seen changes."""
    env = dropping(make_tape, es_terms, 0.9, n_envs=1, episode_sessions=None)
    twin = dropping(make_tape, es_terms, 0.0, n_envs=1, episode_sessions=None)
    env.reset(), twin.reset()
    rng = generator(2, "test")
    for _ in range(3000):
        chosen = rng.integers(0, 3, 1)
        assert env.step(chosen)[1] == twin.step(chosen)[1]


def test_rows_by_number_are_never_blanked(make_tape, es_terms):
    env = dropping(make_tape, es_terms, 0.9, row_index=True)
    observations = env.reset()
    for _ in range(50):
        assert np.array_equal(observations[:, 0], env.rows)
        observations = env.step(np.zeros(64, dtype=int))[0]


def test_the_cost_of_a_side_rises_from_nothing_to_its_own(make_tape, es_terms):
    env = TradingVecEnv(make_tape(rows=200), es_terms, unlimited(), REWARD, n_envs=2, seed=0, cost_warmup=10)
    env.reset()
    paid = [env.accounts[:, acc.COST]]
    for action in [2, 1] * 8:  # one side each step: buy one, sell it
        env.step(np.full(2, action))
        paid.append(env.accounts[:, acc.COST])
    full = es_terms.side_cost_cents
    for account in np.diff(paid, axis=0).T:
        assert list(account) == [round(full * min(1.0, step / 10)) for step in range(16)]


def test_what_is_paid_in_full_from_the_start_is_paid_as_without_a_warmup(make_tape, es_terms):
    envs = [
        TradingVecEnv(make_tape(rows=200), es_terms, unlimited(), REWARD, n_envs=2, seed=0, **more)
        for more in ({}, {"cost_warmup": 5})
    ]
    for env in envs:
        env.reset()
    rng = generator(7, "test")
    for step in range(60):
        chosen = np.ones(2, dtype=np.int64) if step < 5 else rng.integers(0, 3, 2)  # flat until all is paid
        plain, warm = (env.step(chosen)[1] for env in envs)
        assert np.array_equal(plain, warm)
