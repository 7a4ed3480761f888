"""An env that is stopped and goes on elsewhere is the env that was never stopped, bit for bit."""

import json

import numpy as np
import pytest

from mia.desk.group_columns import GroupColumns
from mia.domain.errors import ArtefactMismatch
from mia.domain.rng import generator
from mia.env.trading_vec_env import TradingVecEnv
from mia.reward.pnl import PnlReward
from mia.risk.limits import Limits, unlimited

LOST = GroupColumns(
    names=("book", "news"),
    touches=np.array([[True, True, False], [False, False, True]]),
    neutral=np.array([7.0, -8.0, 9.0], dtype=np.float32),
)
TIGHT = Limits(
    max_contracts=2, account_cents=1_200_000, margin_cents=500_000, max_daily_loss_cents=150_000,
    max_drawdown_cents=600_000,
)  # fmt: skip


def make_env(make_tape, terms, **changes):
    tape = changes.pop("tape", None) or make_tape(rows=2000, per_session=40, groups=LOST)
    limits = changes.pop("limits", TIGHT)
    settings = {"n_envs": 6, "seed": 1, "episode_sessions": 2, "dropout": 0.4, "cost_warmup": 500} | changes
    return TradingVecEnv(tape, terms, limits, PnlReward(scale_cents=12500.0), **settings)


def through_text(state):
    """As a checkpoint keeps it: arrays as arrays, everything else as JSON."""
    arrays = {name: value.copy() for name, value in state.items() if isinstance(value, np.ndarray)}
    rest = {name: value for name, value in state.items() if not isinstance(value, np.ndarray)}
    return arrays | json.loads(json.dumps(rest))


def walk(env, actions):
    """All that a learner gets to see, as bytes."""
    seen = []
    for chosen in actions:
        observations, rewards, dones, infos = env.step(chosen)
        parts = [observations, rewards, dones, env.losses(), env.drawdowns(), env.rows, env.accounts]
        ends = [(i, infos[i].pop("terminal_observation").tobytes(), infos[i]) for i in np.flatnonzero(dones)]
        seen.append((b"".join(part.tobytes() for part in parts), ends))
    return seen


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_an_env_restored_elsewhere_goes_on_bit_for_bit(make_tape, es_terms, kind):
    rng = generator(4, "test")
    whole = make_env(make_tape, es_terms, actions=kind)
    whole.reset()
    shape = (700, 6) if kind == "discrete" else (700, 6, 1)
    actions = rng.integers(0, 3, shape) if kind == "discrete" else rng.uniform(-1, 1, shape)
    walk(whole, actions[:333])
    kept = through_text(whole.state())
    expected = walk(whole, actions[333:])
    assert sum(len(ends) for _, ends in expected) > 20  # episodes ended and began, losing sources anew

    other = make_env(make_tape, es_terms, actions=kind, seed=99)
    other.reset()
    walk(other, actions[:50])
    other.restore(kept)
    assert walk(other, actions[333:]) == expected


def test_a_state_is_a_copy_that_later_steps_leave_alone(make_tape, es_terms):
    env = make_env(make_tape, es_terms)
    env.reset()
    kept = env.state()
    first = walk(env, np.full((200, 6), 2))
    env.restore(kept)
    assert walk(env, np.full((200, 6), 2)) == first
    env.restore(kept)
    assert walk(env, np.full((200, 6), 2)) == first


def test_a_seed_that_waits_for_the_next_reset_is_kept(make_tape, es_terms):
    env, other = make_env(make_tape, es_terms), make_env(make_tape, es_terms, seed=7)
    env.reset()
    env.seed(5)
    other.restore(through_text(env.state()))
    assert other.reset().tobytes() == env.reset().tobytes()
    assert other.rows.tolist() == env.rows.tolist()


def test_a_state_of_another_env_is_refused_and_changes_nothing(make_tape, es_terms):
    env = make_env(make_tape, es_terms)
    env.reset()
    before = env.state()
    few, long = make_env(make_tape, es_terms, n_envs=3), make_env(make_tape, es_terms, tape=make_tape(rows=9000))
    for other in (few, long):
        other.reset()
    lacking = {name: value for name, value in before.items() if name != "rng"}
    past_the_end = before | {"stops": before["stops"] + 5000}
    for state, message in (
        (few.state(), "accounts is"),
        (lacking, "another version"),
        (past_the_end, "walks a tape"),
    ):
        with pytest.raises(ArtefactMismatch, match=message):
            env.restore(state)
    for name, value in env.state().items():
        assert np.array_equal(value, before[name]) if isinstance(value, np.ndarray) else value == before[name]


def test_losses_and_drawdowns_are_those_of_equity_written_out(make_tape, es_terms):
    env = make_env(make_tape, es_terms, dropout=0.0, limits=unlimited(2))
    env.reset()
    rng = generator(6, "test")
    paths = [[0] for _ in range(6)]  # equity since each episode began
    ended = 0
    assert env.losses().tolist() == env.drawdowns().tolist() == [0.0] * 6
    for _ in range(600):
        before = env.rows
        _, rewards, dones, infos = env.step(rng.integers(0, 3, 6))
        losses, drawdowns = env.losses(), env.drawdowns()
        assert (losses.dtype, drawdowns.dtype) == (np.float64, np.float64)
        for i in range(6):
            paths[i].append(paths[i][-1] + round(float(rewards[i]) * 12500.0))
            path = np.array(paths[i])
            assert losses[i] == -path[-1]
            assert drawdowns[i] == max(path[: k + 1].max() - path[k] for k in range(len(path)))
            if dones[i]:
                assert infos[i]["equity_cents"] == path[-1]
                assert infos[i]["drawdown_cents"] == drawdowns[i]
                paths[i] = [0]
                ended += 1
            else:
                assert env.rows[i] == before[i] + 1
    assert ended >= 40
    env.reset()
    assert env.losses().tolist() == env.drawdowns().tolist() == [0.0] * 6
