"""Does choosing the best of many trials choose anything? Probability of backtest overfitting. For task=compare.

Source: Bailey, Borwein, Lopez de Prado & Zhu (2015), "The Probability of Backtest Overfitting", J. Computational
Finance: combinatorially symmetric cross-validation.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

Array = np.ndarray
_LEAST_DAYS = 4  # per block; with fewer a ratio is noise
_CHUNK = 1024  # splits per step, so that memory stays bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Overfitting:
    """What became of the trials that were best on one half of the days.

    Parameters
    ----------
    probability : share of the splits in which the best of one half is in the lower half of the other: PBO
    loss : share of the splits in which it loses money on the other half
    splits : ways the blocks were halved
    blocks : blocks of days
    """

    probability: float
    loss: float
    splits: int
    blocks: int


def fitting_blocks(days: int, blocks: int) -> int:
    """Largest even number of blocks, at most `blocks`, of at least four days each; 0 if fewer than four fit."""
    fitting = min(blocks, days // _LEAST_DAYS) // 2 * 2
    return fitting if fitting >= 4 else 0


def backtest_overfitting(profits: Array, blocks: int = 16) -> Overfitting:
    """Choose the best trial on every half of the days and see where it ranks on the other half.

    Parameters
    ----------
    profits : (n, M) daily net profit of M >= 2 trials on the same days
    blocks : contiguous blocks the days are cut into, even; every half is made of blocks / 2 of them

    Raises
    ------
    ValueError : if there are fewer than two trials, or the blocks are odd or more than the days.
    """
    values = np.asarray(profits, np.float64)
    n, count = values.shape
    if count < 2:
        raise ValueError(f"overfitting needs at least two trials, had {count}")
    if blocks < 2 or blocks % 2 or blocks > n:
        raise ValueError(f"blocks must be even and lie between 2 and the {n} days, was {blocks}")
    starts = np.arange(blocks) * n // blocks
    days = np.diff(np.append(starts, n)).astype(np.float64)
    total = np.add.reduceat(values, starts, axis=0)
    squares = np.add.reduceat(values**2, starts, axis=0)
    halves = np.array(list(combinations(range(blocks), blocks // 2)))
    below = lost = 0
    for begin in range(0, len(halves), _CHUNK):
        chosen = np.zeros((len(halves[begin : begin + _CHUNK]), blocks))
        np.put_along_axis(chosen, halves[begin : begin + _CHUNK], 1.0, axis=1)
        other = 1.0 - chosen
        inside = _sharpe(chosen @ days, chosen @ total, chosen @ squares)
        outside = _sharpe(other @ days, other @ total, other @ squares)
        best = inside.argmax(axis=1)[:, None]
        reached = np.take_along_axis(outside, best, axis=1)
        # Ties share their ranks; the middle itself counts as overfitted, as the paper's integral up to zero does.
        rank = (outside < reached).sum(axis=1) + ((outside == reached).sum(axis=1) + 1) / 2
        below += int(np.count_nonzero(rank / (count + 1) <= 0.5))
        lost += int(np.count_nonzero(np.take_along_axis(other @ total, best, axis=1) < 0))
    return Overfitting(probability=below / len(halves), loss=lost / len(halves), splits=len(halves), blocks=blocks)


def _sharpe(days: Array, total: Array, squares: Array) -> Array:
    """Daily Sharpe ratios (B, M) from sums; 0 where nothing varies."""
    n = days[:, None]
    mean = total / n
    variance = (squares - n * mean**2) / np.maximum(n - 1, 1)
    still = variance <= 1e-12 * squares / n
    return np.where(still, 0.0, mean / np.sqrt(np.where(still, 1.0, variance)))
