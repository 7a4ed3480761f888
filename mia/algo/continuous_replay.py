"""Replay for continuous targets: what any position would have earned with any target, fractions of contracts included.

Valid because a few contracts of ours do not move the market: what another position or target would have earned at a
bar is known exactly. It stops being valid when fills depend on our own orders; then use Stable-Baselines3's ordinary
replay buffer.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from mia.algo.counterfactual import CounterfactualReplay
from mia.algo.experience import Experience

Array = np.ndarray

WHOLE_SHARE = 0.5
"""Share of the positions drawn that are whole: with a limit of one contract no others are ever held."""


class Transitions(NamedTuple):
    """K transitions from each of B rows, on the buffer's device; rewards in deviations of a bar."""

    market: torch.Tensor  # (B, Dm) float32, what is seen at the row
    next_market: torch.Tensor  # (B, Dm) float32, what is seen at the next row
    position: torch.Tensor  # (B, K) float32, held before, in [-1, 1]
    target: torch.Tensor  # (B, K) float32, wished, in [-1, 1]
    reward: torch.Tensor  # (B, K) float32
    held: torch.Tensor  # (B, K) float32, held afterwards


class ContinuousReplay(CounterfactualReplay):
    """A counterfactual replay whose positions and targets are any shares of the limit.

    Parameters
    ----------
    experience : the recorded outcomes
    others : as in `CounterfactualReplay`
    """

    def __init__(self, *args: Any, experience: Experience, **kwargs: Any) -> None:
        super().__init__(*args, experience=experience, **kwargs)
        self.experience = experience

    def transitions(self, n: int, k: int) -> Transitions:
        """Return `k` transitions from each of `n` rows.

        The first targets of each row are the two ends of the range, the others lie anywhere between: a row's noise is
        common to its transitions and cancels in what the ends differ by, which is what decides.
        """
        seen = self.outcomes(n)
        position = self.positions(n, k)
        target = self._uniform(n, k)
        target[:, :2] = np.array([-1.0, 1.0], dtype=np.float32)[:k]
        reward, held = self.outcome(seen.rows.numpy(), position, target)
        own = (torch.from_numpy(array).to(self.device) for array in (position, target, reward, held))
        return Transitions(seen.market.to(self.device), seen.next_market.to(self.device), *own)

    def positions(self, n: int, k: int) -> Array:
        """Return (n, k) float32 positions: whole ones in `WHOLE_SHARE` of the places, any others elsewhere."""
        whole = self.rng.integers(-1, 2, (n, k)).astype(np.float32)
        return np.where(self.rng.random((n, k)) < WHOLE_SHARE, whole, self._uniform(n, k))

    def _uniform(self, n: int, k: int) -> Array:
        return self.rng.uniform(-1.0, 1.0, (n, k)).astype(np.float32)

    def outcome(self, rows: Array, position: Array, target: Array) -> tuple[Array, Array]:
        """Return the rewards and what is held afterwards, both (B, K) float32, for rows (B,) and pairs (B, K)."""
        learned = self.experience
        at = Corners.of(rows, position, target)
        cents, held = at.mean(learned.cents).ravel(), at.mean(learned.held).ravel() - 1.0
        context = None if learned.context is None else np.repeat(learned.context[rows], position.shape[1], axis=0)
        reward = learned.reward.of_changes(cents, held, context)
        return reward.reshape(position.shape), held.astype(np.float32).reshape(position.shape)

    def sample(self, batch_size: int, env: Any = None) -> ReplayBufferSamples:  # noqa: ARG002
        """Return ordinary transitions at random positions and targets, for any off-policy learner.

        No transition is terminal: the tape's end is not the market's.
        """
        seen = self.outcomes(batch_size)
        position, target = self.positions(batch_size, 1), self._uniform(batch_size, 1)
        reward, held = self.outcome(seen.rows.numpy(), position, target)
        put: Callable[[Array], torch.Tensor] = lambda array: torch.from_numpy(array).to(self.device)  # noqa: E731
        return ReplayBufferSamples(
            observations=torch.cat([seen.market.to(self.device), put(position)], dim=1),
            actions=put(target),
            next_observations=torch.cat([seen.next_market.to(self.device), put(held)], dim=1),
            dones=torch.zeros(batch_size, 1, device=self.device),
            rewards=put(reward),
        )


class Corners(NamedTuple):
    """Where (B, K) pairs of position and target lie in the (T, 3, 3) tables of an experience.

    Between whole contracts, money and what the rules leave of a target are linear on the triangles that the line
    target = position cuts off the tables' cells: gains are linear everywhere, the price of trading bends on that line
    alone, and the rules' clamps on it and at zero. So the mean of a triangle's corners, weighted by how near they
    are, is exact.
    """

    place: Array  # (3, B, K) int64, flat places of the corners
    weight: Array  # (3, B, K) float64, sums to one

    @classmethod
    def of(cls, rows: Array, position: Array, target: Array) -> "Corners":
        """Find the corners for rows (B,) and pairs (B, K) in [-1, 1]."""
        p, a = position.astype(np.float64) + 1.0, target.astype(np.float64) + 1.0
        i, j = np.clip(np.floor(p), 0, 1).astype(np.int64), np.clip(np.floor(a), 0, 1).astype(np.int64)
        x, y = p - i, a - j
        low = rows[:, None] * 9 + i * 3 + j
        beside = np.where(x > y, 3, 1)
        return cls(
            place=np.stack([low, low + beside, low + 4]),
            weight=np.stack([1.0 - np.maximum(x, y), np.abs(x - y), np.minimum(x, y)]),
        )

    def mean(self, table: Array) -> Array:
        """Return (B, K) float64, the weighted corners of a table (T, 3, 3)."""
        mean: Array = (self.weight * table.reshape(-1)[self.place]).sum(axis=0)
        return mean
