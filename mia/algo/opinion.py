"""What a trained policy thinks of a row, beyond what it does: action probabilities and quantiles of the outcome.

Read by sentinel, so that the next bar's features can say how sure the policy was.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from mia.algo.compiled_policy import CompiledNetwork, pack, scores
from mia.algo.experience import POSITIONS
from mia.algo.policy import FLAT, TrainedPolicy
from mia.desk.awareness import LEVELS
from mia.domain.errors import ArtefactMismatch

Array = np.ndarray

TEMPERATURE = 0.1
"""A lead of so many mean interquartile ranges makes an action e times as likely. On the yardstick the likeliest
action then has 0.57 to 0.996 (5 and 95 %), half of the rows above 0.95; a weaker market leaves more doubt."""

ACTIONS = len(POSITIONS)
WIDTH = 1 + ACTIONS + len(LEVELS)
"""Target, probabilities of short, flat and long, quantiles."""


inner = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reader:
    """A policy's weights, packed once for many questions.

    Parameters
    ----------
    policy : whose opinion it is
    values : the network of one value per action, as the policy decides by it
    atoms : the network of all quantiles; None if the learner has none
    """

    policy: TrainedPolicy
    values: CompiledNetwork
    atoms: CompiledNetwork | None

    @classmethod
    def of(cls, policy: TrainedPolicy) -> "Reader":
        """Pack a policy."""
        layers = list(policy.layers)
        return cls(
            policy=policy,
            values=scores(layers, policy.activation, policy.n_quantiles),
            atoms=pack(layers, policy.activation) if policy.n_quantiles else None,
        )

    def table(self, obs: Array, positions: Array) -> Array:
        """Return (n, P, 9) float64: target, probabilities and quantiles [cents] for every row and position held.

        Row by row, so that one row gives the same bits as many. A learner with quantiles: probabilities are a
        softmax of the values, its temperature `TEMPERATURE` x the mean interquartile range over the actions;
        quantiles are the chosen action's, from its sorted quantiles by linear interpolation. A learner without:
        its own softmax, no quantiles (NaN). A policy that abstains is sure of flat, and that flat earns 0.

        Parameters
        ----------
        obs : (n, Dm) float32, market part of the observation
        positions : (P,) positions held, as shares of the limit in [-1, 1]

        Raises
        ------
        ArtefactMismatch : if the observation has another width than the policy reads.
        """
        policy = self.policy
        if obs.ndim != 2 or obs.shape[1] != policy.width:
            raise ArtefactMismatch(f"opinion: policy {policy.algo} reads {policy.width} columns, was given {obs.shape}")
        out = np.zeros((len(obs), len(positions), WIDTH))
        if policy.abstains:
            out[:, :, 1 + FLAT] = 1.0
            return out
        values = self.values.forward(obs, positions)
        atoms = self.atoms.forward(obs, positions) if self.atoms else np.empty((*values.shape[:2], 0), np.float32)
        _opinions(values, atoms, policy.n_quantiles, policy.value_cents, np.array(LEVELS), np.array(POSITIONS), out)
        return out


def opinions(policy: TrainedPolicy, obs: Array, held: Array) -> Array:
    """Return (n, 8) float64, `Reader.table` without the target, at the one position held at each row.

    Parameters
    ----------
    policy : whose opinion is asked
    obs : (n, Dm) float32, market part of the observation
    held : (n,) position held at each row, as a share of the limit in [-1, 1]
    """
    positions, place = np.unique(held, return_inverse=True)
    return Reader.of(policy).table(obs, positions)[np.arange(len(obs)), place, 1:]


@inner
def _interpolated(ordered: Array, level: float) -> float:
    """Return the quantile at a level, linear between the middles (i + 0.5) / n of n ordered quantiles.

    Beyond the outermost it is theirs.
    """
    n = len(ordered)
    place = min(n - 1.0, max(0.0, level * n - 0.5))
    i = min(int(place), n - 2) if n > 1 else 0
    part = place - i
    return ordered[i] if part == 0.0 else ordered[i] + part * (ordered[i + 1] - ordered[i])


@inner
def _insert(ordered: Array, n: int, value: float) -> None:
    """Insert a value into the first n, which are ordered, as quantiles nearly are already."""
    k = n
    while k > 0 and ordered[k - 1] > value:
        ordered[k] = ordered[k - 1]
        k -= 1
    ordered[k] = value


@inner
def _softmax(values: Array, best: int, temperature: float, out: Array) -> None:
    """Write the probabilities to `out`; without a temperature the best has them all."""
    total = 0.0
    for a in range(ACTIONS):
        if temperature > 0.0:
            out[a] = np.exp((np.float64(values[a]) - np.float64(values[best])) / temperature)
        else:
            out[a] = 1.0 if a == best else 0.0
        total += out[a]
    for a in range(ACTIONS):
        out[a] /= total


@njit(cache=True)
def _opinions(
    values: Array, atoms: Array, n: int, value_cents: float, levels: Array, targets: Array, out: Array
) -> None:
    ordered = np.empty((ACTIONS, n))
    for t in range(values.shape[0]):
        for p in range(values.shape[1]):
            best = 0  # of equal values the first, as the policy has it
            for a in range(ACTIONS):
                if values[t, p, a] > values[t, p, best]:
                    best = a
            temperature = 1.0
            if n > 0:
                spread = 0.0
                for a in range(ACTIONS):
                    for i in range(n):
                        _insert(ordered[a], i, atoms[t, p, i * ACTIONS + a])
                    spread += _interpolated(ordered[a], 0.75) - _interpolated(ordered[a], 0.25)
                temperature = TEMPERATURE * spread / ACTIONS
            out[t, p, 0] = targets[best]
            _softmax(values[t, p], best, temperature, out[t, p, 1 : 1 + ACTIONS])
            for k in range(len(levels)):
                out[t, p, 1 + ACTIONS + k] = _interpolated(ordered[best], levels[k]) * value_cents if n > 0 else np.nan
