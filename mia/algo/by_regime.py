"""One policy for each regime, and the base policy where the regime is in doubt; made by mia.task.finetune."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mia.algo.policy import TrainedPolicy

Array = np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class ByRegime:
    """Decides by the policy of the regime that the belief at the row holds likeliest, if it is probable enough.

    The belief is the forward filter's, which knows no later row, and is read where the observation holds it: in its
    last columns.

    Parameters
    ----------
    base : decides where no regime is probable enough, or the likeliest one has no policy of its own
    tuned : policies by number of the regime
    regimes : number K of regimes, the last K columns of the market part
    posterior : probability that has to be exceeded
    """

    base: TrainedPolicy
    tuned: Mapping[int, TrainedPolicy]
    regimes: int
    posterior: float

    def table(self, obs: Array, positions: Array) -> Array:
        """Return (T, P) float64 targets in [-1, 1] for obs (T, Dm) and every position held (P,)."""
        out = self.base.table(obs, positions)
        place = sure_regimes(obs[:, obs.shape[1] - self.regimes :], self.posterior)
        for regime, policy in self.tuned.items():
            rows = np.flatnonzero(place == regime)
            if len(rows):
                out[rows] = policy.table(obs[rows], positions)
        return out

    def decide(self, obs: Array, position: float) -> float:
        """Return the wished target in [-1, 1] for one row (Dm,)."""
        return float(self.table(obs[None, :], np.array([position], dtype=np.float32))[0, 0])


def sure_regimes(belief: Array, posterior: float) -> Array:
    """Return (T,) int64, the likeliest regime of each row of (T, K) probabilities, -1 where none is probable enough."""
    likeliest = belief.argmax(axis=1)
    return np.where(belief[np.arange(len(belief)), likeliest] > posterior, likeliest, -1)


def regime_rows(belief: Array, regime: int, posterior: float, weighting: str) -> Array:
    """Return (T,) float64 weights of rows for one regime: 1 for its sure rows, or its probability everywhere."""
    if weighting == "weights":
        return np.ascontiguousarray(belief[:, regime])
    return (sure_regimes(belief, posterior) == regime).astype(np.float64)
