"""What a policy thinks of a row, beyond what it does: action probabilities and quantiles of the outcome.

Read by sentinel, so that the next bar's features can say how sure the policy was.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from mia.algo.compiled_policy import CompiledNetwork, insert, pack, squash
from mia.algo.experience import POSITIONS
from mia.algo.policy import FLAT, TrainedPolicy
from mia.algo.vote import Policy, VotePolicy, check_width, leanings_of
from mia.desk.awareness import LEVELS

Array = np.ndarray

TEMPERATURE = 0.1
"""A lead of so many mean interquartile ranges makes an action e times as likely. On the yardstick the likeliest
action then has 0.57 to 0.996 (5 and 95 %), half of the rows above 0.95; a weaker market leaves more doubt."""

ACTIONS = len(POSITIONS)
WIDTH = 1 + ACTIONS + len(LEVELS)
"""Target, probabilities of short, flat and long, quantiles."""
_PROBABILITIES = slice(1, 1 + ACTIONS)
# What a member of an ensemble says: target, probabilities, leaning.
LEANING = 1 + ACTIONS
SPOKEN = LEANING + 1


inner = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reader:
    """A policy, made ready once for many questions.

    Parameters
    ----------
    policy : whose opinion it is
    atoms : the network of all quantiles; None if the learner has none
    members : readers of an ensemble's members; without them one mind decides
    """

    policy: Policy
    atoms: CompiledNetwork | None
    members: tuple["Reader", ...]

    @classmethod
    def of(cls, policy: Policy) -> "Reader":
        """Make a policy ready."""
        if isinstance(policy, VotePolicy):
            return cls(policy=policy, atoms=None, members=tuple(cls.of(part) for part in policy.members.values()))
        atoms = pack(list(policy.layers), policy.activation) if policy.n_quantiles else None
        return cls(policy=policy, atoms=atoms, members=())

    def table(self, obs: Array, positions: Array) -> Array:
        """Return (n, P, 9) float64: target, probabilities and quantiles [cents] for every row and position held.

        Row by row, so that one row gives the same bits as many. A learner with quantiles: probabilities are a
        softmax of the values, its temperature `TEMPERATURE` x the mean interquartile range over the actions;
        quantiles are the chosen action's, from its sorted quantiles by linear interpolation. A learner without:
        its own softmax, no quantiles (NaN). One with continuous actions: a target of 0.7 is long with probability
        0.7 and else flat, no quantiles. An ensemble: its members' probabilities, each with its weight, no quantiles.
        A policy that abstains is sure of flat, and that flat earns 0.

        Parameters
        ----------
        obs : (n, Dm) float32, market part of the observation
        positions : (P,) positions held, as shares of the limit in [-1, 1]

        Raises
        ------
        ArtefactMismatch : if the observation has another width than the policy reads.
        """
        policy = self.policy
        check_width(policy, obs)
        out = np.zeros((len(obs), len(positions), WIDTH))
        if policy.abstains:
            out[:, :, 1 + FLAT] = 1.0
        elif isinstance(policy, VotePolicy):
            out[:, :, 0] = policy.table(obs, positions)
            _pool(self.spoken(obs, positions), np.array(policy.weights), out)
        elif policy.actions == "continuous":
            _lean(squash(policy.values(obs, positions)), out)
        else:
            values = policy.values(obs, positions)
            atoms = self.atoms.forward(obs, positions) if self.atoms else np.empty((*values.shape[:2], 0), np.float32)
            _opinions(values, atoms, policy.n_quantiles, policy.value_cents, np.array(LEVELS), np.array(POSITIONS), out)
        return out

    def spoken(self, obs: Array, positions: Array) -> Array:
        """Return (K, n, P, 5) float64: target, probabilities and leaning of each member of an ensemble.

        All NaN where a number it decides by is none.
        """
        said = np.empty((len(self.members), len(obs), len(positions), SPOKEN))
        for k, part in enumerate(self.members):
            assert isinstance(part.policy, TrainedPolicy)  # noqa: S101 - ensembles do not nest
            said[k, ..., :LEANING] = part.table(obs, positions)[..., :LEANING]
            said[k, ..., LEANING] = leanings_of(part.policy, obs, positions)
            said[k][np.isnan(said[k, ..., LEANING])] = np.nan
        return said


def opinions(policy: Policy, obs: Array, held: Array) -> Array:
    """Return (n, 8) float64, `Reader.table` without the target, at the one position held at each row.

    Parameters
    ----------
    policy : whose opinion is asked
    obs : (n, Dm) float32, market part of the observation
    held : (n,) position held at each row, as a share of the limit in [-1, 1]
    """
    positions, place = np.unique(held, return_inverse=True)
    return Reader.of(policy).table(obs, positions)[np.arange(len(obs)), place, 1:]


@njit(cache=True)
def pool(said: Array, weights: Array, out: Array) -> None:
    """Write the members' probabilities (K, 3), each with its weight (K,), to `out` (3,); sure of flat without any."""
    total = 0.0
    for a in range(ACTIONS):
        out[a] = 0.0
    for k in range(len(said)):
        if weights[k] > 0.0 and not np.isnan(said[k, 0]):
            total += weights[k]
            for a in range(ACTIONS):
                out[a] += weights[k] * said[k, a]
    for a in range(ACTIONS):
        if total > 0.0:
            out[a] /= total
        else:
            out[a] = 1.0 if a == FLAT else 0.0


@njit(cache=True)
def _pool(said: Array, weights: Array, out: Array) -> None:
    heard = np.empty((said.shape[0], ACTIONS))
    for t in range(out.shape[0]):
        for p in range(out.shape[1]):
            for k in range(said.shape[0]):
                heard[k] = said[k, t, p, 1:LEANING]
            pool(heard, weights, out[t, p, 1 : 1 + ACTIONS])
            out[t, p, 1 + ACTIONS :] = np.nan


def _lean(targets: Array, out: Array) -> None:
    out[:, :, 0] = targets
    out[:, :, _PROBABILITIES] = np.stack(
        [np.maximum(-targets, 0.0), 1.0 - np.abs(targets), np.maximum(targets, 0.0)], axis=2
    )
    out[:, :, 1 + ACTIONS :] = np.nan


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
                        insert(ordered[a], i, atoms[t, p, i * ACTIONS + a])
                    spread += _interpolated(ordered[a], 0.75) - _interpolated(ordered[a], 0.25)
                temperature = TEMPERATURE * spread / ACTIONS
            out[t, p, 0] = targets[best]
            _softmax(values[t, p], best, temperature, out[t, p, 1 : 1 + ACTIONS])
            for k in range(len(levels)):
                out[t, p, 1 + ACTIONS + k] = _interpolated(ordered[best], levels[k]) * value_cents if n > 0 else np.nan
