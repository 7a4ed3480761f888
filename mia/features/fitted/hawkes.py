"""Arrival intensity with an exponential kernel, fitted to counts per bar and to decayed sums."""

import numpy as np

from mia.features.fitted.fold import Fold
from mia.features.fitted.parameters import TooShortError
from mia.features.operators.flow_trades import HAWKES_PARTS
from mia.features.plan import Node

Array = np.ndarray

DECAY = 1.0 / 30.0
"""beta [1/s]: the aggregator's sums decay with 30 s."""
MIN_STEPS = 500
LARGEST_BRANCHING = 0.98
GOLDEN = 0.6180339887498949


def hawkes_parameters(node: Node, fold: Fold) -> Array:
    """Return [mu, alpha, diurnal factor of each part of the session], mu and alpha in events/s.

    Each bar's trade count is taken as Poisson with the mean the process expects given the state at the
    previous close (conditional quasi-likelihood); the branching ratio alpha / beta is searched in [0, 0.98],
    mu solves its likelihood equation for each. Source: Bacry, Mastromatteo, Muzy (2015) for the moments.
    """
    session_minutes = node.params["session_minutes"]
    memory, minute = fold.inputs(node).T
    count, seconds = fold.base("trd.n"), 60.0 * fold.base("cal.bar_minutes")
    at = fold.steps()
    good = np.isfinite(memory[at] + minute[at] + count[at + 1] + minute[at + 1] + seconds[at + 1])
    at = at[good]
    if len(at) < MIN_STEPS or not count[at + 1].sum() > 0:
        raise TooShortError(f"needs {MIN_STEPS} pairs of bars with trades, the training fold has {len(at)}")
    part = session_parts(minute[at + 1], session_minutes)
    factor = diurnal_factor(count[at + 1] / seconds[at + 1], part)
    mu, alpha = most_likely(count[at + 1], memory[at], factor[part], seconds[at + 1])
    return np.concatenate([[mu, alpha], factor])


def session_parts(minute: Array, session_minutes: float) -> Array:
    """Part of the session of each bar, as the operator finds it."""
    return np.clip(((minute - 0.5) / session_minutes * HAWKES_PARTS).astype(int), 0, HAWKES_PARTS - 1)


def diurnal_factor(rate: Array, part: Array) -> Array:
    """Mean rate of each part over the mean of all rows; 1 for parts without rows, never below 0.01."""
    rows = np.bincount(part, minlength=HAWKES_PARTS)
    sums = np.bincount(part, weights=rate, minlength=HAWKES_PARTS)
    factor = np.where(rows > 0, sums / np.maximum(rows, 1) / rate.mean(), 1.0)
    return np.maximum(factor, 0.01)


def expected_parts(branching: float, memory: Array, factor: Array, seconds: Array) -> tuple[Array, Array]:
    """Expected count of the next bar = mu x first + second, given the decayed sum at its start.

    The intensity relaxes to mu / (1 - n) with rate beta (1 - n), n = branching ratio.
    """
    rate = DECAY * (1.0 - branching)
    weight = -np.expm1(-rate * seconds) / rate
    first = factor * (seconds / (1.0 - branching) + weight - weight / (1.0 - branching))
    return first, branching * DECAY * weight * memory


def best_mu(count: Array, first: Array, second: Array) -> float:
    """Solve sum(count first / (mu first + second)) = sum(first) for mu by bisection, at least 1e-9."""
    target = first.sum()
    low, high = 1e-9, max(count.sum() / target, 1e-9) * 2.0
    if (count * first / (low * first + second)).sum() <= target:
        return low
    for _ in range(60):
        middle = 0.5 * (low + high)
        if (count * first / (middle * first + second)).sum() > target:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def log_likelihood(branching: float, count: Array, memory: Array, factor: Array, seconds: Array) -> tuple[float, float]:
    """Conditional Poisson log-likelihood at the best mu, and that mu."""
    first, second = expected_parts(branching, memory, factor, seconds)
    mu = best_mu(count, first, second)
    mean = mu * first + second
    return float((count * np.log(mean) - mean).sum()), mu


def most_likely(count: Array, memory: Array, factor: Array, seconds: Array) -> tuple[float, float]:
    """Search the branching ratio by golden section; returns (mu, alpha) [events/s]."""
    low, high = 0.0, LARGEST_BRANCHING
    for _ in range(30):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if (
            log_likelihood(left, count, memory, factor, seconds)[0]
            > log_likelihood(right, count, memory, factor, seconds)[0]
        ):
            high = right
        else:
            low = left
    branching = 0.5 * (low + high)
    return log_likelihood(branching, count, memory, factor, seconds)[1], branching * DECAY
