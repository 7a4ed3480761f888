"""The yardstick: a made-up market whose best policy dynamic programming knows, to measure learners against.

The return of a bar is ``signal * alpha + noise``, alpha an AR(1) of unit variance that is observed among
distractors. Not trading on every sign change is what has to be learned. Called by evaluation.known_world.
"""

from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from mia.domain.rng import generator
from mia.source.yardstick_settings import YardstickSettings

Array = np.ndarray

POSITIONS = np.array([-1, 0, 1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """T rows of the yardstick market.

    Parameters
    ----------
    settings : what the market is like
    alpha : (T,) float64, the signal known at each row, unit variance
    returns : (T,) float64, return of the bar after each row [units]
    obs : (T, 1 + distractors) float32, alpha first
    """

    settings: YardstickSettings
    alpha: Array
    returns: Array
    obs: Array

    def __len__(self) -> int:
        return len(self.alpha)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Optimum:
    """The best policy of a yardstick market.

    Parameters
    ----------
    per_bar : profit per bar after costs that no policy exceeds in the long run [units]
    grid : (G,) float64, increasing values of alpha
    target : (3, G) int64, best target in -1, 0, 1 by position held (-1, 0, 1) and alpha
    """

    per_bar: float
    grid: Array
    target: Array

    def targets(self, alpha: Array) -> Array:
        """Best target by row and position held: (T, 3) int64 for `alpha` (T,)."""
        step = self.grid[1] - self.grid[0]
        nearest = np.rint((np.asarray(alpha) - self.grid[0]) / step).astype(np.int64)
        return self.target[:, np.clip(nearest, 0, len(self.grid) - 1)].T


def world(settings: YardstickSettings, seed: int, purpose: str) -> World:
    """Draw rows for one `purpose`: "train" and "judge" of one seed are independent rows of one market."""
    rows = settings.train_rows if purpose == "train" else settings.judge_rows
    low, high = settings.distractor_low, settings.distractor_high
    distractors = generator(seed, "yardstick", "distractors").uniform(low, high, settings.distractors)
    rng = generator(seed, "yardstick", purpose)
    coefficients = np.concatenate(([settings.persistence], distractors))
    columns = autoregressions(rng.standard_normal((rows, len(coefficients))), coefficients)
    alpha = columns[:, 0].copy()
    returns = settings.signal * alpha + settings.noise * rng.standard_normal(rows)
    return World(settings=settings, alpha=alpha, returns=returns, obs=columns.astype(np.float32))


def null(settings: YardstickSettings) -> YardstickSettings:
    """Return the same market without its signal: whoever trades there only pays."""
    return replace(settings, signal=0.0)


def optimum(settings: YardstickSettings, points: int = 801, tolerance: float = 1e-9) -> Optimum:
    """Find the best policy by relative value iteration on a fine grid of alpha.

    The expectation over the next alpha is a sum of the Gaussian density over the grid, which for a step this
    much smaller than its deviation is exact but for the kinks of the value function, O(step^2).

    Parameters
    ----------
    settings : the market
    points : grid points over six deviations of alpha on either side
    tolerance : stop once the profit per bar is bracketed this closely [units]

    Source: Puterman (1994), Markov Decision Processes, section 8.5.
    """
    grid = np.linspace(-6.0, 6.0, points)
    spread = np.sqrt(1.0 - settings.persistence**2)
    density = np.exp(-0.5 * ((grid[None, :] - settings.persistence * grid[:, None]) / spread) ** 2)
    density /= density.sum(axis=1, keepdims=True)
    traded = np.abs(POSITIONS[:, None] - POSITIONS[None, :])
    gain = settings.signal * POSITIONS[:, None] * grid[None, :]
    value = np.zeros((3, points))
    while True:
        # best[a, x]: what holding a from x on is worth, before the cost of getting there.
        best = gain + value @ density.T
        choices = best[None, :, :] - settings.cost * traded[:, :, None]
        target, updated = choices.argmax(axis=1), choices.max(axis=1)
        change = updated - value
        if change.max() - change.min() < tolerance:
            break
        value = updated - updated[1, points // 2]
    return Optimum(per_bar=float(change.mean()), grid=grid, target=POSITIONS[target])


@njit(cache=True)
def autoregressions(shocks: Array, coefficients: Array) -> Array:
    """Turn unit shocks (T, C) into C independent AR(1) columns of unit variance, stationary from row 0."""
    rows, columns = shocks.shape
    values = np.empty_like(shocks)
    spread = np.sqrt(1.0 - coefficients**2)
    for c in range(columns):
        values[0, c] = shocks[0, c]
    for t in range(1, rows):
        for c in range(columns):
            values[t, c] = coefficients[c] * values[t - 1, c] + spread[c] * shocks[t, c]
    return values


@njit(cache=True)
def hold(targets: Array) -> Array:
    """Walk a policy from flat: (T,) int64 positions held after each row, for `targets` (T, 3) by position."""
    position = 0
    held = np.empty(len(targets), dtype=np.int64)
    for t in range(len(targets)):
        position = targets[t, position + 1]
        held[t] = position
    return held


def expected_profit(world: World, held: Array) -> tuple[float, float, int]:
    """Return what positions earn in expectation and pay [units], and the contracts they trade.

    The expectation over the bars' noise given alpha is taken exactly, which leaves only the luck in alpha.
    """
    traded = int(np.abs(np.diff(held, prepend=0)).sum())
    cost = world.settings.cost * traded
    return float(world.settings.signal * (held * world.alpha).sum()) - cost, cost, traded
