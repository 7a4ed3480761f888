"""The best of all trials: skill only if every hurdle is cleared, and what cannot be tested is not cleared."""

from dataclasses import replace

import numpy as np
import pytest
from test_walk_forward import SETTINGS

from mia.domain.rng import generator
from mia.evaluation import luck as module
from mia.evaluation.deflated_sharpe import deflated_sharpe
from mia.evaluation.luck import Trial
from mia.evaluation.overfitting import backtest_overfitting
from mia.evaluation.settings import CompareSettings

JUDGE = replace(SETTINGS, bootstrap_samples=300)
COMPARE = CompareSettings(name="test", runs=(), by="algo", metric="auto", least_seeds=10, blocks=8, pbo_limit=0.2)


def judged(profits, counted=None, baselines=None, variance=None):
    trials = [Trial(number=m + 1, algo="ppo", seed=m, daily=profits[:, m]) for m in range(profits.shape[1])]
    counted = len(trials) if counted is None else counted
    baselines = {"flat": np.zeros(len(profits))} if baselines is None else baselines
    return module.luck(trials, counted, variance, baselines, generator(1, "luck"), JUDGE, COMPARE)


def test_the_best_of_thirty_without_skill_is_luck():
    found = [judged(generator(seed, "null").normal(0, 100, (120, 30))) for seed in range(10)]
    assert not any(each.is_skill(JUDGE, COMPARE) for each in found)
    assert max(each.best_sharpe for each in found) > 2.0  # though it looks splendid


def test_a_planted_edge_clears_every_hurdle_and_is_named():
    profits = generator(2, "planted").normal(0, 100, (250, 6))
    profits[:, 4] += 45.0
    found = judged(profits)
    assert found.best == (5, "ppo", 4)
    assert found.is_skill(JUDGE, COMPARE)
    assert found.record(JUDGE, COMPARE)["skill"] is True


@pytest.mark.parametrize("hurdle", ["spa_baseline", "dsr", "overfitting", "unknown baseline", "unknown overfitting"])
def test_one_hurdle_missed_is_not_skill(hurdle):
    profits = generator(2, "planted").normal(0, 100, (250, 6))
    profits[:, 4] += 45.0
    found = judged(profits)
    worse = {
        "spa_baseline": {"spa_baseline": 0.05},
        "dsr": {"dsr": 0.95},
        "overfitting": {"overfitting": replace(found.overfitting, probability=0.21)},
        "unknown baseline": {"spa_baseline": None},
        "unknown overfitting": {"overfitting": None},
    }[hurdle]
    assert not replace(found, **worse).is_skill(JUDGE, COMPARE)


def test_trials_no_longer_on_record_lower_the_deflated_ratio():
    profits = generator(3, "x").normal(15, 100, (120, 4))
    few, many = judged(profits), judged(profits, counted=400)
    assert many.dsr < few.dsr
    best = profits[:, int(np.argmax(profits.mean(axis=0) / profits.std(axis=0, ddof=1)))]
    assert many.dsr == deflated_sharpe(best, 400, None)


def test_repeats_neither_add_a_chance_nor_share_a_rank():
    profits = generator(4, "x").normal(5, 100, (96, 5))
    once, thrice = judged(profits), judged(np.tile(profits, 3))
    assert (thrice.entered, thrice.different) == (15, 5)
    assert thrice.overfitting == once.overfitting
    assert thrice.spa_flat == once.spa_flat
    assert once.overfitting.probability == backtest_overfitting(profits[:, ::-1], 8).probability


def test_the_benchmark_is_the_baseline_that_earned_most():
    profits = generator(5, "x").normal(0, 100, (60, 3))
    found = judged(profits, baselines={"flat": np.zeros(60), "sma": np.full(60, 7.0), "rsi": np.full(60, -7.0)})
    assert found.baseline == "sma"
    assert judged(profits, baselines={}).baseline is None


def test_too_few_days_are_not_tested():
    found = judged(generator(6, "x").normal(50, 10, (7, 3)))
    assert (found.spa_flat, found.spa_baseline, found.overfitting) == (None, None, None)
    assert not found.is_skill(JUDGE, COMPARE)


def test_a_single_trial_chose_nothing():
    found = judged(generator(7, "x").normal(60, 100, (200, 1)))
    assert found.overfitting is None
    assert found.is_skill(JUDGE, COMPARE)
