"""Probability of backtest overfitting: a slow second implementation, closed forms, noise and skill."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from mia.domain.rng import generator
from mia.evaluation.overfitting import backtest_overfitting, fitting_blocks


def by_hand(profits, blocks):
    """The recipe step by step with scipy's ranks: cut, choose, rank, logit."""
    pieces = np.array_split(np.arange(len(profits)), blocks)
    logits, losses = [], []
    for picked in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([pieces[k] for k in picked])
        outside = np.concatenate([pieces[k] for k in range(blocks) if k not in picked])

        def ratio(rows):
            return profits[rows].mean(axis=0) / profits[rows].std(axis=0, ddof=1)

        best = int(np.argmax(ratio(inside)))
        omega = stats.rankdata(ratio(outside))[best] / (profits.shape[1] + 1)
        logits.append(np.log(omega / (1 - omega)))
        losses.append(profits[outside, best].sum() < 0)
    return np.mean(np.array(logits) <= 1e-12), np.mean(losses), len(logits)


@pytest.mark.parametrize(("days", "trials", "blocks"), [(64, 9, 4), (80, 20, 8), (60, 2, 6)])
def test_probability_is_that_of_the_recipe_step_by_step(days, trials, blocks):
    profits = generator(days, "pbo").normal(3.0, 100.0, (days, trials))
    found = backtest_overfitting(profits, blocks)
    expected = by_hand(profits, blocks)
    assert (found.probability, found.loss, found.splits) == pytest.approx(expected)


def test_sixteen_blocks_make_the_papers_12870_splits():
    found = backtest_overfitting(generator(1, "pbo").standard_normal((160, 5)), 16)
    assert (found.splits, found.blocks) == (12870, 16)


def test_a_trial_that_leads_on_every_half_is_not_overfitted():
    profits = generator(2, "pbo").standard_normal((120, 30))
    profits[:, 7] += 2.0
    found = backtest_overfitting(profits, 10)
    assert (found.probability, found.loss) == (0.0, 0.0)


def test_trials_that_give_back_on_one_half_what_they_took_on_the_other_are_all_overfitted():
    # Every trial ends at zero, so whoever leads on one half trails by as much on the other; a large seesaw that all
    # share keeps the spreads equal, so that ratios rank as profits do.
    profits = generator(3, "pbo").standard_normal((96, 25))
    profits += np.tile([[1000.0], [-1000.0]], (48, 1)) - profits.mean(axis=0)
    found = backtest_overfitting(profits, 8)
    assert (found.probability, found.loss) == (1.0, 1.0)


def test_on_noise_it_is_one_half_on_average_over_worlds():
    found = [
        backtest_overfitting(generator(seed, "noise").standard_normal((96, 25)), 8).probability for seed in range(60)
    ]
    # Single worlds scatter widely, which is why it is no gate of its own; the mean's error is about 0.025.
    assert np.mean(found) == pytest.approx(0.5, abs=0.08)
    assert np.std(found) > 0.1


def test_idle_trials_tie_and_cost_no_division():
    profits = np.zeros((48, 6))
    profits[:, 0] = generator(5, "pbo").standard_normal(48) - 3.0
    found = backtest_overfitting(profits, 4)
    # The first idle one is chosen and shares the middle of ranks 2 to 6 out of 6.
    assert (found.probability, found.loss) == (0.0, 0.0)
    assert backtest_overfitting(np.zeros((48, 6)), 4).probability == 1.0


def test_blocks_are_even_and_hold_four_days():
    assert [fitting_blocks(days, 16) for days in (15, 16, 23, 24, 63, 64, 500)] == [0, 4, 4, 6, 14, 16, 16]
    for wrong in (3, 0, 62):
        with pytest.raises(ValueError, match="blocks must be even"):
            backtest_overfitting(np.ones((60, 2)), wrong)
    with pytest.raises(ValueError, match="at least two trials"):
        backtest_overfitting(np.ones((60, 1)), 4)
