"""The continuous replay pays for fractions of a contract what the accounting kernel pays for whole ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DDPG, SAC

from mia.algo.continuous_replay import ContinuousReplay, Corners
from mia.algo.experience import POSITIONS, experience
from mia.desk.accounting import outcome_tables
from mia.desk.group_columns import GroupColumns
from mia.domain.rng import generator
from mia.env.trading_vec_env import TradingVecEnv
from mia.reward.settings import AdaptiveSettings, CvarSettings
from mia.risk.limits import unlimited

CVAR = CvarSettings(name="cvar", alpha=0.9, weight=0.5)
ADAPTIVE = AdaptiveSettings(
    name="adaptive", good_news=0.5, good_news_factor=1.2, bad_news=-0.5, bad_news_factor=0.8, vix_threshold=20.0,
    vix_factor=0.9, atr_threshold=None, atr_quantile=0.8, atr_factor=0.85, flow_factor=1.1, cvar_threshold=0.1,
    cvar_factor=0.9,
)  # fmt: skip
MANY = 8
"""Contracts whose eighths the fractions are."""


@pytest.fixture
def ruled(tape):
    """300 rows: bars open away from the close before, some must be flat, some may not be entered, all are known."""
    part = tape.slice(0, 300)
    rows = np.arange(300)
    open_ = part.open + generator(3, "gap").integers(-300, 300, 300)
    context = generator(4, "context").uniform([-1, 5, 0, -1, 0], [1, 40, 2, 1, 0.3], (300, 5))
    return replace(
        part,
        open=open_,
        high=np.maximum(part.high, open_),
        low=np.minimum(part.low, open_),
        must_flat=rows % 40 == 39,
        may_enter=rows % 7 > 1,
        context=context,
    )


def replay(learned, **more):
    box = spaces.Box(-np.inf, np.inf, (learned.obs.shape[1] + 1,), np.float32)
    target = spaces.Box(-1, 1, (1,), np.float32)
    return ContinuousReplay(1, box, target, "cpu", experience=learned, rng=generator(0, "test"), **more)


def every_pair(rows):
    """Positions and targets (rows, 289) in all eighths."""
    eighths = np.arange(-MANY, MANY + 1, dtype=np.float32) / MANY
    p, a = np.meshgrid(eighths, eighths, indexing="ij")
    return np.tile(p.ravel(), (rows, 1)), np.tile(a.ravel(), (rows, 1))


def test_an_eighth_of_a_contract_earns_an_eighth_of_what_the_kernel_gives_eight(ruled, terms):
    learned = experience(ruled, terms)
    position, target = every_pair(299)
    at = Corners.of(np.arange(299), position, target)
    many = range(-MANY, MANY + 1)
    cents, held = outcome_tables(ruled, terms, many)
    assert np.array_equal(at.mean(learned.cents), cents[:-1].reshape(299, -1) / MANY)
    assert np.array_equal(at.mean(learned.held) - 1, held[:-1].reshape(299, -1) / MANY)
    assert (held[:-1] != np.array(many)).any(), "no rule changed a target: the test shows less than it says"


def test_rewards_are_asked_of_the_exact_money_not_interpolated(ruled, terms):
    for settings in (None, CVAR, ADAPTIVE):
        learned = experience(ruled, terms, settings)
        position, target = every_pair(299)
        reward, held = replay(learned).outcome(np.arange(299), position, target)
        cents, after = outcome_tables(ruled, terms, range(-MANY, MANY + 1))
        context = np.repeat(ruled.context[:-1], position.shape[1], axis=0)
        wanted = learned.reward.of_changes(cents[:-1].ravel() / MANY, after[:-1].ravel() / MANY, context)
        assert reward.ravel().tobytes() == wanted.tobytes()
        assert np.array_equal(held, after[:-1].reshape(299, -1) / MANY)


def test_whole_contracts_are_rewarded_as_the_table_says_bit_for_bit(ruled, terms):
    learned = experience(ruled, terms, CVAR)
    whole = np.array(POSITIONS, dtype=np.float32)
    position, target = np.tile(np.repeat(whole, 3), (299, 1)), np.tile(np.tile(whole, 3), (299, 1))
    reward, _ = replay(learned).outcome(np.arange(299), position, target)
    assert reward.tobytes() == np.ascontiguousarray(learned.rewards[:-1].reshape(299, 9)).tobytes()


def test_transitions_follow_the_tape_and_span_the_range(ruled, terms):
    learned = experience(ruled, terms)
    place = {row.tobytes(): t for t, row in enumerate(learned.obs)}
    seen = replay(learned).transitions(250, 6)
    for b in range(250):
        t = place[seen.market[b].numpy().tobytes()]
        assert place[seen.next_market[b].numpy().tobytes()] == t + 1
        gap, move = ruled.open[t + 1] - ruled.close[t], ruled.close[t + 1] - ruled.open[t + 1]
        p, h = seen.position[b].double(), seen.held[b].double()
        cents = p * float(gap) + h * float(move) - terms.side_cost_cents * (h - p).abs()
        assert torch.allclose(seen.reward[b].double(), cents / learned.bar_cents, atol=1e-5)
        if ruled.must_flat[t]:
            assert not h.any()
        elif ruled.may_enter[t]:
            assert torch.allclose(h, seen.target[b].double(), atol=1e-6)
    assert (seen.target[:, 0] == -1).all()
    assert (seen.target[:, 1] == 1).all()
    others = seen.target[:, 2:].flatten()
    assert others.min() < -0.95
    assert others.max() > 0.95
    assert abs(others.mean()) < 0.1
    whole = (seen.position == seen.position.round()).float().mean()
    assert 0.42 < whole < 0.58
    assert seen.position.abs().max() <= 1


def test_a_group_that_is_lost_is_lost_at_the_row_and_the_next(ruled, terms):
    learned = experience(ruled, terms)
    width = learned.obs.shape[1]
    touches = np.zeros((1, width), dtype=bool)
    touches[0, 2:5] = True
    groups = GroupColumns(names=("a",), touches=touches, neutral=np.full(width, -7, dtype=np.float32))
    seen = replay(learned, groups=groups, dropout=0.4).transitions(250, 3)
    lost = (seen.market[:, 2:5] == -7).all(dim=1)
    assert torch.equal(lost, (seen.next_market[:, 2:5] == -7).all(dim=1))
    assert 0.3 < lost.float().mean() < 0.5


def test_a_restored_replay_draws_what_the_other_would_have(ruled, terms):
    learned = experience(ruled, terms)
    first, second = replay(learned), replay(learned)
    first.transitions(33, 4)
    second.restore(first.state())
    for _ in range(12):
        assert all(torch.equal(a, b) for a, b in zip(first.transitions(33, 4), second.transitions(33, 4), strict=True))


@pytest.mark.parametrize("library", [SAC, DDPG])
def test_the_librarys_own_learners_can_use_the_replay(library, ruled, terms):
    learned = experience(ruled, terms)
    env = TradingVecEnv(ruled, terms, unlimited(), learned.reward, n_envs=1, seed=0, actions="continuous")
    model = library(
        "MlpPolicy",
        env,
        learning_starts=0,
        replay_buffer_class=ContinuousReplay,
        replay_buffer_kwargs={"experience": learned, "rng": generator(0, "test")},
        policy_kwargs={"net_arch": [16]},
        seed=0,
        device="cpu",
    )
    before = [p.detach().clone() for p in model.actor.parameters()]
    model.learn(20, log_interval=None)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.actor.parameters(), strict=True))
