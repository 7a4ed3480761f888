"""Bootstrap, deflated Sharpe ratio and comparisons against closed forms and published examples."""

import numpy as np
import pytest
from scipy import stats

from mia.domain.rng import generator
from mia.evaluation import bootstrap, compare, deflated_sharpe


def ar1(n, phi, seed):
    noise = generator(seed, "ar1").standard_normal(n)
    out = np.empty(n)
    out[0] = noise[0]
    for t in range(1, n):
        out[t] = phi * out[t - 1] + noise[t]
    return out


def test_sharpe_is_the_mean_over_the_deviation_per_year():
    daily = generator(1, "d").normal(10, 100, 300)
    assert bootstrap.sharpe_ratio(daily) == pytest.approx(
        np.sqrt(252) * stats.tmean(daily) / stats.tstd(daily), rel=1e-12
    )
    assert bootstrap.sharpe_ratio(np.full(50, 3.7)) == 0.0
    assert bootstrap.sharpe_ratio(np.array([5.0])) == 0.0


@pytest.mark.parametrize("phi", [0.3, 0.6])
def test_block_length_of_an_autoregression_is_near_its_closed_form(phi):
    n = 20000
    # For AR(1): (2 phi / (1 - phi^2))^(2/3) n^(1/3), from the autocovariances summed by hand.
    expected = (2 * phi / (1 - phi**2)) ** (2 / 3) * n ** (1 / 3)
    found = np.mean([bootstrap.block_length(ar1(n, phi, seed)) for seed in range(5)])
    assert found == pytest.approx(expected, rel=0.25)


def test_block_length_of_independent_days_is_short():
    assert np.median([bootstrap.block_length(ar1(500, 0.0, s)) for s in range(20)]) < 4


def test_resampled_blocks_have_the_asked_mean_length_and_run_through_the_series():
    rows = bootstrap.stationary_indices(200, 400, 8.0, generator(3, "i"))
    joins = np.diff(rows, axis=1) % 200 == 1
    # A block ends with probability 1/8; a new one starts at the next row by chance once in 200.
    assert 1 - joins.mean() == pytest.approx(1 / 8 * (1 - 1 / 200), rel=0.03)
    assert np.bincount(rows.ravel(), minlength=200).min() > 0


def test_interval_covers_the_true_ratio_about_as_often_as_it_says():
    true = 0.1 * np.sqrt(252)
    hits = 0
    for seed in range(200):
        daily = generator(seed, "cover").normal(0.1, 1.0, 120)
        low, high = bootstrap.sharpe_interval(daily, generator(seed, "ci"), samples=300)
        hits += low <= true <= high
    assert 0.89 <= hits / 200 <= 0.99


def test_interval_widens_when_days_depend_on_each_other():
    rng = generator(1, "ci")
    independent = np.diff(bootstrap.sharpe_interval(ar1(600, 0.0, 5), rng))[0]
    dependent = np.diff(bootstrap.sharpe_interval(ar1(600, 0.6, 5), rng))[0]
    assert dependent > 1.4 * independent


def test_same_seed_gives_the_same_interval():
    daily = ar1(60, 0.2, 1)
    a, b = (bootstrap.sharpe_interval(daily, generator(9, "ci")) for _ in range(2))
    assert a == b


def test_expected_maximum_and_deflated_ratio_are_those_of_the_published_example():
    # Bailey & Lopez de Prado (2014): 100 trials, variance of annual ratios 1/2, five years of 250 days,
    # annual Sharpe 2.5, skewness -3, kurtosis 10 -> threshold 0.1132 per day, DSR 0.9004; 46 trials: 0.9505.
    best = deflated_sharpe.expected_maximum(100, 0.5 / 250)
    assert best == pytest.approx(0.1132, abs=5e-5)
    dsr = deflated_sharpe.probabilistic_sharpe(2.5 / np.sqrt(250), best, 1250, skew=-3, kurtosis=10)
    assert dsr == pytest.approx(0.9004, abs=1e-4)
    best = deflated_sharpe.expected_maximum(46, 0.5 / 250)
    dsr = deflated_sharpe.probabilistic_sharpe(2.5 / np.sqrt(250), best, 1250, skew=-3, kurtosis=10)
    assert dsr == pytest.approx(0.9505, abs=1e-4)


def test_expected_maximum_is_near_the_mean_of_simulated_maxima():
    draws = generator(4, "max").standard_normal((20000, 45)).max(axis=1)
    # The formula is an extreme-value limit: at 45 trials it lies 1.4 % above the exact value.
    assert deflated_sharpe.expected_maximum(45, 1.0) == pytest.approx(draws.mean(), rel=0.02)
    assert deflated_sharpe.expected_maximum(1, 1.0) == 0.0


def test_best_of_many_null_strategies_is_rarely_called_significant():
    significant = naive = 0
    for seed in range(60):
        worlds = generator(seed, "null").standard_normal((250, 45))
        ratios = worlds.mean(axis=0) / worlds.std(axis=0, ddof=1)
        best = worlds[:, int(np.argmax(ratios))]
        significant += deflated_sharpe.deflated_sharpe(best, 45, float(np.var(ratios, ddof=1))) > 0.95
        naive += deflated_sharpe.deflated_sharpe(best, 1, None) > 0.95
    assert significant <= 3
    assert naive >= 30  # counting one trial instead of 45 would have been fooled most of the time


def test_deflated_ratio_falls_as_trials_rise():
    daily = generator(1, "d").normal(0.15, 1.0, 250)
    values = [deflated_sharpe.deflated_sharpe(daily, n, None) for n in (1, 2, 10, 100)]
    assert values == sorted(values, reverse=True)
    assert deflated_sharpe.deflated_sharpe(np.zeros(30), 1, None) == 0.0


def test_mean_test_agrees_with_the_t_test_on_independent_days():
    daily = generator(7, "t").normal(0.12, 1.0, 250)
    expected = stats.ttest_1samp(daily, 0.0, alternative="greater").pvalue
    assert bootstrap.mean_test(daily, generator(1, "b"), 4000) == pytest.approx(expected, abs=0.02)


def test_policy_is_compared_with_the_baseline_that_earned_most():
    rng = generator(2, "cmp")
    policy = rng.normal(30, 50, 100)
    rules = {"flat": np.zeros(100), "sma_cross": rng.normal(5, 50, 100), "rsi": rng.normal(-20, 50, 100)}
    result = compare.against_best(policy, rules, generator(1, "b"))
    assert result.baseline == max(rules, key=lambda name: rules[name].sum())
    assert result.difference_usd == pytest.approx(policy.sum() - rules[result.baseline].sum())
    assert result.p_value < 0.01
    same = compare.against_best(policy, {"itself": policy}, generator(1, "b"))
    assert same.p_value == 1.0


def test_days_that_cannot_be_paired_are_refused():
    with pytest.raises(ValueError, match="99 sessions"):
        compare.against_best(np.zeros(100), {"flat": np.zeros(99)}, generator(1, "b"))


def test_superior_predictive_ability_is_claimed_of_null_strategies_about_as_often_as_its_level():
    found = 0
    for seed in range(100):
        worlds = generator(seed, "spa").standard_t(4, (120, 15))
        found += compare.superior_predictive_ability(worlds, generator(seed, "b"), 200) < 0.1
    assert 2 <= found <= 18  # a binomial count of 100 at 10 % lies in there in 99 % of such tests


def test_superior_predictive_ability_is_found_where_it_is_planted_even_beside_wilder_strategies():
    found = drowned = 0
    for seed in range(20):
        worlds = generator(seed, "planted").standard_normal((250, 15))
        worlds[:, 3] += 0.25  # t = 4 before it is paid for that fifteen were tried
        found += compare.superior_predictive_ability(worlds, generator(seed, "b"), 200) < 0.05
        worlds[:, 4:] *= 30.0  # scale is no skill and must not hide any
        drowned += compare.superior_predictive_ability(worlds, generator(seed, "b"), 200) < 0.05
    assert min(found, drowned) >= 16
    assert found == drowned


def test_strategies_that_do_not_beat_the_benchmark_are_never_superior():
    rng = generator(5, "spa")
    assert compare.superior_predictive_ability(np.zeros((50, 3)), rng) == 1.0
    assert compare.superior_predictive_ability(-np.abs(rng.standard_normal((50, 3))), rng) == 1.0
    idle_and_losing = np.column_stack([np.zeros(50), rng.standard_normal(50) - 1.0])
    assert compare.superior_predictive_ability(idle_and_losing, rng) == 1.0
    with pytest.raises(ValueError, match="at least 8 days"):
        compare.superior_predictive_ability(np.ones((5, 2)), rng)


def test_superiority_of_a_single_strategy_is_the_one_sided_t_test():
    daily = generator(11, "one").normal(0.1, 1.0, 300)
    expected = stats.ttest_1samp(daily, 0.0, alternative="greater").pvalue
    found = compare.superior_predictive_ability(daily[:, None], generator(1, "b"), 3000)
    assert found == pytest.approx(expected, abs=0.02)
