"""Replay without exploration: every recorded bar gives all transitions of all positions and actions.

Valid because a few contracts of ours do not move the market: what another position or action would have
earned at a bar is known exactly. It stops being valid when fills depend on our own orders; then use
Stable-Baselines3's ordinary replay buffer.

Targets between the whole positions: for one contract and plain profit, money is linear between neighbouring whole
actions at a whole position, so interpolating `reward` by the action's distance to both is exact there. At a position
between whole ones as well it is exact if the cell is cut along action = position and interpolated on the triangle,
not bilinearly, because the cost |action - position| has its kink on that line. Other rewards bend with the money:
interpolate the experience's cents instead and ask its `reward` (see `mia.algo.experience`).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from mia.algo.experience import POSITIONS, Experience
from mia.desk.group_columns import GroupColumns
from mia.domain.errors import ArtefactMismatch

Array = np.ndarray


class Outcomes(NamedTuple):
    """Everything B rows tell."""

    market: torch.Tensor  # (B, Dm) float32, what is seen at the row
    next_market: torch.Tensor  # (B, Dm) float32, what is seen at the next row
    reward: torch.Tensor  # (B, 3, 3) float32, by position held and action [deviations of a bar]
    held: torch.Tensor  # (B, 3, 3) int64, index of the position held at the next row
    rows: torch.Tensor  # (B,) int64, numbers of the rows


class CounterfactualReplay(ReplayBuffer):
    """A replay buffer that is full from the start and stores nothing of its own.

    Rows come in random order, each once before any comes again. Rows without a next bar are never drawn, so no
    transition leads out of the tape or over a seam of it.

    Parameters
    ----------
    experience : the recorded outcomes
    rng : draws the order
    groups, dropout : each group of the observation is blanked in this share of the rows drawn, so that the policy
        learns to do without it; a row and its successor lose the same
    others : as in `ReplayBuffer`; `buffer_size` is not used
    """

    def __init__(
        self,
        buffer_size: int,  # noqa: ARG002
        observation_space: spaces.Space,
        action_space: spaces.Space,
        device: torch.device | str = "cpu",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        *,
        experience: Experience,
        rng: np.random.Generator,
        groups: GroupColumns | None = None,
        dropout: float = 0.0,
    ) -> None:
        # Not ReplayBuffer's constructor: it would allocate room for copies of what is already in memory.
        self._followed = np.flatnonzero(experience.followed)
        BaseBuffer.__init__(self, len(self._followed), observation_space, action_space, device, n_envs)
        self.optimize_memory_usage = optimize_memory_usage
        self.full = True
        self.pos = 0
        self.rng = rng
        self.market = torch.from_numpy(experience.obs)
        self.reward = torch.from_numpy(experience.rewards)
        self.held = torch.from_numpy(experience.held)
        self._order = np.empty(0, dtype=np.int64)
        self._groups, self._dropout = groups, dropout

    def add(self, *args: Any, **kwargs: Any) -> None:
        """Keep nothing: the bar that was just walked is in the buffer already, with all its outcomes."""

    def size(self) -> int:
        """Return the number of rows that can be drawn."""
        return self.buffer_size

    def draw(self, n: int) -> Array:
        """Return (n,) int64 rows, none twice before all have come once."""
        while len(self._order) < n:
            self._order = np.concatenate([self._order, self._followed[self.rng.permutation(self.buffer_size)]])
        rows, self._order = self._order[:n], self._order[n:]
        return rows

    def outcomes(self, n: int) -> Outcomes:
        """Return all outcomes of `n` rows."""
        rows = torch.from_numpy(self.draw(n))
        market, next_market = self.market.index_select(0, rows), self.market.index_select(0, rows + 1)
        if self._groups is not None and self._dropout > 0:
            lost = torch.from_numpy(self._groups.draw(self.rng, n, self._dropout))
            neutral = torch.from_numpy(self._groups.neutral)
            market, next_market = torch.where(lost, neutral, market), torch.where(lost, neutral, next_market)
        return Outcomes(
            market=market,
            next_market=next_market,
            reward=self.reward.index_select(0, rows),
            held=self.held.index_select(0, rows),
            rows=rows,
        )

    def state(self) -> dict[str, Any]:
        """Return what decides the rows to come: an array and a JSON-able value, by name."""
        return {"order": self._order.copy(), "rng": self.rng.bit_generator.state}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on drawing as the buffer `state` was taken of; ArtefactMismatch if it held other rows."""
        order = np.array(state["order"]) if set(state) == {"order", "rng"} else None
        if order is None or order.dtype != np.int64 or order.ndim != 1:
            raise ArtefactMismatch("replay state: order and rng are needed, and nothing else; train anew")
        if not np.isin(order, self._followed).all():
            raise ArtefactMismatch(
                f"replay state: draws rows this buffer of {self.buffer_size} does not hold; train anew"
            )
        self._order = order
        self.rng.bit_generator.state = state["rng"]

    def sample(self, batch_size: int, env: Any = None) -> ReplayBufferSamples:  # noqa: ARG002
        """Return ordinary transitions at random positions and actions, for any off-policy learner.

        No transition is terminal: the tape's end is not the market's.
        """
        seen = self.outcomes(batch_size)
        rows = torch.arange(batch_size)
        p, a = (torch.from_numpy(self.rng.integers(0, len(POSITIONS), batch_size)) for _ in range(2))
        position = torch.tensor(POSITIONS, dtype=torch.float32)
        after = position[seen.held[rows, p, a]]
        return ReplayBufferSamples(
            observations=torch.cat([seen.market, position[p][:, None]], dim=1),
            actions=a[:, None],
            next_observations=torch.cat([seen.next_market, after[:, None]], dim=1),
            dones=torch.zeros(batch_size, 1),
            rewards=seen.reward[rows, p, a][:, None],
        )
