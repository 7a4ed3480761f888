"""Told quantiles are counted against what came on fresh rows; what cannot be checked says why, or nothing."""

from types import SimpleNamespace

import numpy as np
import pytest

from mia.algo.policy import TrainedPolicy
from mia.broker.terms import Terms
from mia.domain.rng import generator
from mia.evaluation.known_world import of_changes
from mia.task import quantiles

LEVELS = (np.arange(20) + 0.5) / 20
TERMS = Terms(tick_value_cents=1, side_cost_cents=0)


def policy(n=20, **changes):
    """Stays long whatever it sees and tells the quantiles of a uniform bar between -100 and 100 cents for it."""
    told = np.column_stack([np.full(n, -500.0), np.full(n, -500.0), 200 * (np.arange(n) + 0.5) / n - 100])
    fields = {
        "algo": "qr_dqn",
        "layers": ((np.zeros((3 * n, 2), np.float32), told.ravel().astype(np.float32)),),
        "activation": "relu",
        "n_quantiles": n,
        "value_cents": 1.0,
        "abstains": False,
        "card": {},
    }
    return TrainedPolicy(**fields | changes)


def tape(rows=4001, seed=1, width=1.0):
    """Bars that change by anything from -100 to 100 ticks times `width`, each as likely."""
    change = np.rint(width * generator(seed, "uniform").uniform(-100, 100, rows)).astype(np.int64)
    return of_changes(
        change,
        np.zeros((rows, 1), np.float32),
        session=np.zeros(rows, np.int64),
        must_flat=np.zeros(rows, np.bool_),
        belief=np.ones((rows, 1)),
    )


def settings(reward="pnl", **algo):
    return SimpleNamespace(
        reward=SimpleNamespace(name=reward), algo=SimpleNamespace(**{"discount": 0.0, "target_quantiles": 0} | algo)
    )


def test_quantiles_of_the_true_law_come_true_on_the_rows_of_all_folds():
    found = quantiles.check(settings(), [(policy(), tape(seed=seed)) for seed in (1, 2)], TERMS)
    assert found["rows"] == 8000
    assert [row["level"] for row in found["levels"]] == pytest.approx(quantiles.READ, abs=0.02501)
    assert found["mean_absolute_error"] < 0.01
    assert (found["levels_in_all"], found["overlapping"], found["of"]) == (20, False, quantiles.A_BAR)


def test_quantiles_of_half_the_spread_cover_what_arithmetic_says():
    found = quantiles.check(settings(), [(policy(), tape(40_001, width=2.0))], TERMS)
    assert found["rows"] == quantiles.MOST_ROWS
    # A uniform outcome twice as wide lies below the quantile told for q with probability q / 2 + 1 / 4.
    for row in found["levels"]:
        assert row["covered"] == pytest.approx(row["level"] / 2 + 0.25, abs=0.015)
        assert not (row["within"] and abs(row["level"] - 0.5) > 0.05)
    assert found["mean_absolute_error"] == pytest.approx(np.abs(LEVELS / 2 - 0.25).mean(), abs=0.01)


def test_a_policy_that_stays_flat_is_asked_what_it_would_have_done():
    speaking, silent = (quantiles.check(settings(), [(policy(abstains=flat), tape())], TERMS) for flat in (False, True))
    assert speaking == silent


def test_whole_returns_are_said_to_overlap():
    found = quantiles.check(settings(target_quantiles=5, discount=0.5), [(policy(), tape(500))], TERMS)
    assert (found["overlapping"], found["of"]) == (True, quantiles.ALL)


def test_quantiles_of_a_shaped_reward_are_left_out_in_one_sentence():
    found = quantiles.check(settings(reward="cvar"), [(policy(), tape(500))], TERMS)
    assert set(found) == {"absent"}
    assert "reward=pnl" in quantiles.sentence(found)


def test_a_learner_without_quantiles_has_nothing_to_check():
    layers = ((np.zeros((3, 2), np.float32), np.zeros(3, np.float32)),)
    assert quantiles.check(settings(), [(policy(n_quantiles=0, layers=layers), tape(500))], TERMS) is None


def test_the_line_for_the_terminal_holds_every_level_shown():
    found = quantiles.check(settings(), [(policy(), tape())], TERMS)
    line = quantiles.sentence(found)
    assert "\n" not in line
    for row in found["levels"]:
        assert f"{row['level']:.1%} told {row['covered']:.1%} came" in line
