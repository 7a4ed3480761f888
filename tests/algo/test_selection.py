"""The choice inside the training fold: later checkpoints by default, better ones if clearly so, none if luck."""

from dataclasses import replace

import numpy as np
import pytest

from mia.algo.experience import Experience
from mia.algo.selection import Candidate, Validation, split, walk
from mia.domain.errors import DataError
from mia.domain.rng import generator
from mia.reward.pnl import PnlReward


@pytest.fixture
def settings(qr_dqn):
    return replace(qr_dqn.validation, blocks=60, resamples=500, level=0.05, margin=1.0, patience=2)


def validation(settings, *rows, seed=0):
    obs = np.zeros((2, 1), dtype=np.float32)
    tables = np.zeros((2, 3, 3), dtype=np.int64)
    seen = Experience(
        obs=obs,
        cents=tables,
        held=tables,
        bar_cents=1.0,
        reward=PnlReward(scale_cents=1.0),
        rewards=tables.astype(np.float32),
        context=None,
        followed=np.array([True, False]),
    )
    found = Validation(seen, settings, generator(seed, "test"))
    for step, blocks in enumerate(rows):
        found.candidates.append(
            Candidate(step=step, policy=None, blocks=np.asarray(blocks, dtype=np.float64), trades=1)
        )
    return found


def noise(seed, rows=1):
    return generator(seed, "noise").standard_normal((rows, 60))


def test_parts_do_not_overlap_and_leave_the_purged_gap(tape, settings):
    learn, choose = split(tape, replace(settings, share=0.25, purge_rows=70))
    assert len(choose) == len(tape) // 4
    assert choose.ts[-1] == tape.ts[-1]
    assert learn.ts[0] == tape.ts[0]
    assert np.searchsorted(tape.ts, choose.ts[0]) - np.searchsorted(tape.ts, learn.ts[-1]) == 71


def test_tape_too_short_to_choose_on_is_refused(tape, settings):
    with pytest.raises(DataError, match="too few"):
        split(tape.slice(0, 100), settings)


def test_walk_is_the_hand_computed_money():
    cents = np.arange(27, dtype=np.int64).reshape(3, 3, 3)
    held = np.broadcast_to(np.arange(3), (3, 3, 3)).copy()
    held[2] = 1
    actions = np.array([[0, 2, 0], [0, 0, 1], [2, 2, 2]])
    profit, trades = walk(actions, cents, held)
    # flat -> long (row 0), long -> keeps long? action 1 means flat (row 1), flat -> wishes long, forced flat.
    assert profit.tolist() == [cents[0, 1, 2], cents[1, 2, 1], cents[2, 1, 2]]
    assert trades == 2


def test_last_checkpoint_is_kept_unless_an_earlier_one_is_clearly_better(settings):
    base = noise(1)[0] + 1.0
    assert validation(settings, base + 0.01 * noise(2)[0], base).choose().candidate.step == 1
    assert validation(settings, base + 1.0 + 0.01 * noise(2)[0], base).choose().candidate.step == 0


def test_real_profit_trades_and_luck_abstains(settings):
    real = validation(settings, *(noise(3, 4) + 1.0)).choose()
    assert not real.abstains
    assert real.chance < 0.01
    assert validation(settings, *(noise(3, 4) - 1.0)).choose().abstains
    assert validation(settings, np.zeros(60), np.zeros(60)).choose().abstains


def test_chance_of_trading_without_skill_is_about_the_level(settings):
    # 400 markets without skill, five independent checkpoints each, the best of them chosen.
    quick = replace(settings, level=0.1, resamples=200, margin=0.0)
    traded = [not validation(quick, *noise(100 + i, 5), seed=i).choose().abstains for i in range(400)]
    # Binomial deviation 0.015; without the correction for choosing it would be 0.41.
    assert 0.04 < np.mean(traded) < 0.16


def test_training_is_stale_after_patience_checkpoints_without_a_new_best(settings):
    ones = np.ones(60)
    assert not validation(settings, ones, 2 * ones).is_stale()
    assert not validation(settings, 2 * ones, ones).is_stale()
    assert validation(settings, 2 * ones, ones, ones).is_stale()
