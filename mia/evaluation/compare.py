"""A policy beside its baselines, and the best of many trials beside a benchmark: is the lead more than chance?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mia.evaluation.bootstrap import block_length, mean_test

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
    excess : (n, M) daily profit of each strategy above the benchmark's, n >= 8
    rng, samples : of the stationary bootstrap

    Returns
    -------
    The consistent p-value; 1 if no strategy earned more than the benchmark.

    Source: Hansen (2005), "A Test for Superior Predictive Ability", JBES 23(4); computed by arch.
    """
    from arch.bootstrap import SPA  # seconds to import, and only a comparison needs it

    values = np.asarray(excess, np.float64)
    if len(values) < 8:
        raise ValueError(f"superior predictive ability needs at least 8 days, had {len(values)}")
    if not values.mean(axis=0).max() > 0:
        return 1.0
    # Each is divided by its own deviation, as in Hansen's statistic: a wild strategy must not drown a steady one.
    spread = values.std(axis=0)
    scaled = values / np.where(spread > 0, spread, 1.0)
    length = max(block_length(values[:, m]) for m in range(values.shape[1]))
    test = SPA(np.zeros(len(values)), -scaled, block_size=max(1, round(length)), reps=samples, seed=rng)
    test.compute()
    # One is added to both: a p-value of exactly zero cannot be known from finitely many resamples.
    return (float(test.pvalues["consistent"]) * samples + 1) / (samples + 1)
