"""Policies beside baselines and seeds beside seeds: is the difference more than chance?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mia.evaluation.bootstrap import block_length, mean_test, stationary_indices

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A policy against the best of the baselines.

    Parameters
    ----------
    baseline : name of the baseline with the largest net profit
    difference_usd : policy minus baseline, all sessions [USD]
    p_value : one-sided, that the policy is better by chance
    """

    baseline: str
    difference_usd: float
    p_value: float


def against_best(
    policy: Array, baselines: Mapping[str, Array], rng: np.random.Generator, samples: int = 2000
) -> Comparison:
    """Test a policy's daily net profit against that of the best baseline, paired by day.

    Parameters
    ----------
    policy : (n,) net profit of each session [USD]
    baselines : name -> (n,) of the same sessions, at least one
    rng : source of the stationary bootstrap
    samples : resamples

    Raises
    ------
    ValueError : if there is no baseline or its sessions differ in number.
    """
    if not baselines:
        raise ValueError("no baseline to compare with")
    policy = np.asarray(policy, np.float64)
    for name, values in baselines.items():
        if len(values) != len(policy):
            raise ValueError(f"baseline {name} has {len(values)} sessions, the policy {len(policy)}")
    best = max(sorted(baselines), key=lambda name: float(np.sum(baselines[name])))
    gap = policy - np.asarray(baselines[best], np.float64)
    return Comparison(baseline=best, difference_usd=float(gap.sum()), p_value=mean_test(gap, rng, samples))


def superior_predictive_ability(excess: Array, rng: np.random.Generator, samples: int = 2000) -> float:
    """p-value that the best of M strategies beats the benchmark only because M were tried.

    Parameters
    ----------
    excess : (n, M) daily profit of each strategy above the benchmark's
    rng, samples : of the stationary bootstrap

    Returns
    -------
    The consistent p-value.

    Source: Hansen (2005), "A Test for Superior Predictive Ability", JBES 23(4).
    """
    values = np.asarray(excess, np.float64)
    n, count = values.shape
    mean = values.mean(axis=0)
    length = max(block_length(values[:, m]) for m in range(count))
    draws = np.empty((samples, count))
    for b in range(samples):
        draws[b] = values[stationary_indices(n, 1, length, rng)[0]].mean(axis=0)
    spread = np.sqrt(n) * draws.std(axis=0)
    spread[spread <= 0] = np.inf  # a strategy that equals the benchmark can never be the best
    statistic = max(0.0, float(np.max(np.sqrt(n) * mean / spread)))
    # Strategies far below the benchmark are not recentred, else they would dilute the test.
    kept = np.where(np.sqrt(n) * mean / spread >= -np.sqrt(2 * np.log(np.log(max(n, 3)))), mean, 0.0)
    best = np.maximum((np.sqrt(n) * (draws - kept) / spread).max(axis=1), 0.0)
    return float((np.count_nonzero(best >= statistic) + 1) / (samples + 1)) if statistic > 0 else 1.0


def interquartile_mean(values: Array) -> float:
    """Mean of the middle half of the values (n,); the values on the edges count in part."""
    ordered = np.sort(np.asarray(values, np.float64))
    n = len(ordered)
    weights = np.clip(np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)) - n / 4, 0.0, 1.0)
    return float(weights @ ordered / weights.sum())


def probability_of_improvement(ours: Array, theirs: Array) -> float:
    """Probability that a random run of ours beats a random run of theirs, ties counting half."""
    gap = np.asarray(ours, np.float64)[:, None] - np.asarray(theirs, np.float64)[None, :]
    return float(np.mean(gap > 0) + 0.5 * np.mean(gap == 0))
