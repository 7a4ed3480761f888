"""Whole episodes as a policy would trade them, all at once: what the constrained learner measures its risk on."""

from collections.abc import Callable

import numpy as np

from mia.algo.experience import POSITIONS
from mia.env.episodes import Episodes

Array = np.ndarray

_FLAT = POSITIONS.index(0)


class EpisodeWalk:
    """Episodes of a tape that do not overlap, each from its first row and flat, as `TradingVecEnv` runs them.

    Parameters
    ----------
    obs : (T, Dm) float32, market part of the observation
    cents, held : (T, 3, 3) tables of `Experience`
    episodes : where episodes may begin and end
    risk : "loss" of an episode, or "drawdown", the largest fall of its equity from its peak, which starts at 0
    """

    def __init__(self, obs: Array, cents: Array, held: Array, episodes: Episodes, risk: str) -> None:
        self._obs, self._cents, self._held, self._risk = obs, cents, held, risk
        chosen, free = [], 0
        for i, (start, stop) in enumerate(zip(episodes.starts, episodes.stops, strict=True)):
            if start >= free:
                chosen.append(i)
                free = stop
        self._starts, self._stops = episodes.starts[chosen], episodes.stops[chosen]

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def mean_steps(self) -> float:
        """Decisions in an episode, on average."""
        return float((self._stops - self._starts - 1).mean())

    def is_scarce(self, alpha: float) -> bool:
        """Whether there are too few episodes for one to be among the worst `1 - alpha`: the worst stands for them."""
        return len(self) * (1.0 - alpha) < 1.0 - 1e-9

    def measure(self, choose: Callable[[Array], Array], which: Array | None = None) -> Array:
        """Return (n,) float64, what each episode loses [cents], negative where it gains; or its drawdown.

        Parameters
        ----------
        choose : returns the (m,) actions for (m, Dm + 1) float32 observations
        which : (n,) numbers of the episodes; None: all
        """
        return self.follow(choose, np.arange(len(self)) if which is None else which, 0)[0]

    def follow(self, choose: Callable[[Array], Array], which: Array, kept: int) -> tuple[Array, Array]:
        """Return what `measure` does, and how the first `kept` of these episodes stood on their way.

        The second is (kept, S + 1, 2) float64, by steps left: fall from the peak, and loss or drawdown so far
        [cents]; NaN where an episode is not so long.
        """
        steps = (self._stops - self._starts - 1)[which]
        # The longest first: those that go on are then always the first so many.
        order = np.argsort(-steps, kind="stable")
        starts, steps = self._starts[which][order], steps[order]
        position = np.full(len(order), _FLAT, dtype=np.int64)
        equity, peak, fall = (np.zeros(len(order), dtype=np.int64) for _ in range(3))
        seen = np.empty((len(order), self._obs.shape[1] + 1), dtype=np.float32)
        shares = np.array(POSITIONS, dtype=np.float32)
        numbers = np.flatnonzero(order < kept)
        ways = np.full((min(kept, len(order)), int(steps[0]) + 1, 2), np.nan)
        for step in range(int(steps[0])):
            n = int(np.searchsorted(-steps, -step, side="left"))
            on = numbers[: np.searchsorted(numbers, n)]
            so_far = -equity[on] if self._risk == "loss" else fall[on]
            ways[order[on], steps[on] - step] = np.stack([peak[on] - equity[on], so_far], axis=1)
            rows, before = starts[:n] + step, position[:n]
            seen[:n, :-1] = self._obs[rows]
            seen[:n, -1] = shares[before]
            action = choose(seen[:n])
            equity[:n] += self._cents[rows, before, action]
            position[:n] = self._held[rows, before, action]
            np.maximum(peak, equity, out=peak)
            np.maximum(fall, peak - equity, out=fall)
        out = np.empty(len(order), dtype=np.float64)
        out[order] = -equity if self._risk == "loss" else fall
        return out, ways
