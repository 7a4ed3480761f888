"""A market whose drift hangs on a hidden state of a known chain, its exact filter and its best policy.

The state shows noisily in a few columns. Whoever knows the chain holds a belief over its states, which is all
that counts (Astrom 1965), so dynamic programming over beliefs gives the best policy. Called by
evaluation.known_world_regime.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit

from mia.domain.rng import generator
from mia.source.regime_world_settings import RegimeWorldSettings

Array = np.ndarray

POSITIONS = np.array([-1, 0, 1])
DRAWS = 256
"""Draws from each state that stand for what can be shown; each is used with both signs."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """T rows of the regime market.

    Parameters
    ----------
    settings : what the market is like
    state : (T,) int64, the hidden state at each row
    shown : (T, F) float64, what it shows there
    returns : (T,) float64, return of the bar after each row [units]
    """

    settings: RegimeWorldSettings
    state: Array
    shown: Array
    returns: Array

    def __len__(self) -> int:
        return len(self.state)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BeliefPlan:
    """The best policy of somebody who knows the market.

    Parameters
    ----------
    per_bar : profit per bar after costs in the long run [units]
    steps : steps of the belief on each side of the simplex
    worth : (G, 3) what holding -1, 0, 1 from a belief on is worth, before the cost of getting there [units]
    cost : price of trading one contract on one side [units]
    """

    per_bar: float
    steps: int
    worth: Array
    cost: float

    def targets(self, belief: Array) -> Array:
        """(T, 3) int64 best target by belief (T, 3) and position held."""
        corners, weights = locate(belief, self.steps)
        worth = np.einsum("tc,tca->ta", weights, self.worth[corners])
        traded = np.abs(POSITIONS[:, None] - POSITIONS[None, :])
        return POSITIONS[(worth[:, None, :] - self.cost * traded[None]).argmax(axis=2)]


def world(settings: RegimeWorldSettings, seed: int, purpose: str) -> World:
    """Draw rows for one `purpose`, "train" or "judge"."""
    rows = settings.train_rows if purpose == "train" else settings.judge_rows
    rng = generator(seed, "regime_market", purpose)
    cumulative = np.cumsum(np.array(settings.transition), axis=1)
    state = _chain(rng.random(rows), np.cumsum(stationary(settings)), cumulative)
    means, deviations = np.array(settings.means), np.array(settings.deviations)
    shown = means[state] + deviations[state] * rng.standard_normal((rows, settings.columns))
    returns = np.array(settings.drift)[state] + settings.noise * rng.standard_normal(rows)
    return World(settings=settings, state=state, shown=shown, returns=returns)


def stationary(settings: RegimeWorldSettings) -> Array:
    """(3,) share of the time spent in each state."""
    values, vectors = np.linalg.eig(np.array(settings.transition).T)
    found = np.real(vectors[:, np.argmax(np.real(values))])
    return found / found.sum()


def likelihoods(settings: RegimeWorldSettings, shown: Array) -> Array:
    """(T, 3) density of what is shown (T, F) in each state, relative to the greatest of them."""
    means, deviations = np.array(settings.means), np.array(settings.deviations)
    distance = (shown[:, None, :] - means[None]) / deviations[None]
    logs = -0.5 * (distance**2).sum(axis=2) - np.log(deviations).sum(axis=1)
    return np.exp(logs - logs.max(axis=1, keepdims=True))


def true_filter(settings: RegimeWorldSettings, shown: Array) -> Array:
    """(T, 3) probabilities of the states given everything shown so far, by Bayes' rule with the true numbers."""
    return _bayes(likelihoods(settings, shown), stationary(settings), np.array(settings.transition))


@cache
def plan(settings: RegimeWorldSettings, tolerance: float = 1e-7) -> BeliefPlan:
    """Find the best policy by relative value iteration over a triangular grid of beliefs.

    The value between grid points is interpolated linearly; what is shown next is made discrete by fixed draws.

    Source: Lovejoy (1991), Computationally feasible bounds for partially observed Markov decision processes;
    Puterman (1994), section 8.5.
    """
    beliefs = _simplex(settings.grid)
    moves = _moves(settings, beliefs)
    gain = (beliefs @ np.array(settings.drift))[:, None] * POSITIONS[None, :]
    toll = settings.cost * np.abs(POSITIONS[:, None] - POSITIONS[None, :])
    value, middle = np.zeros((len(beliefs), 3)), len(beliefs) // 2
    while True:
        worth = gain + moves @ value
        updated = (worth[:, None, :] - toll[None]).max(axis=2)
        change = updated - value
        if change.max() - change.min() < tolerance:
            break
        value = updated - updated[middle, 1]
    return BeliefPlan(per_bar=float(change.mean()), steps=settings.grid, worth=worth, cost=settings.cost)


def locate(belief: Array, steps: int) -> tuple[Array, Array]:
    """Grid points (T, 3) around beliefs (T, 3), and their weights (T, 3), which give the belief back."""
    x, y = belief[:, 0] * steps, belief[:, 1] * steps
    i = np.minimum(x.astype(np.int64), steps)
    j = np.minimum(y.astype(np.int64), steps - i)
    at_edge = i + j == steps
    u, v = np.where(at_edge, 0.0, x - i), np.where(at_edge, 0.0, y - j)
    beyond = u + v > 1.0
    first = np.where(beyond, _number(i + 1, j + 1, steps), _number(i, j, steps))
    right = np.where(at_edge, first, _number(i + 1, j, steps))
    above = np.where(at_edge, first, _number(i, j + 1, steps))
    weights = np.stack(
        [np.where(beyond, u + v - 1.0, 1.0 - u - v), np.where(beyond, 1.0 - v, u), np.where(beyond, 1.0 - u, v)], axis=1
    )
    return np.stack([first, right, above], axis=1), weights


def _number(i: Array, j: Array, steps: int) -> Array:
    """Position of (i, j, steps - i - j) / steps in `_simplex`; clipped where outside, which only weight 0 asks for."""
    found = i * (steps + 1) - i * (i - 1) // 2 + j
    return np.clip(found, 0, (steps + 1) * (steps + 2) // 2 - 1)


def _simplex(steps: int) -> Array:
    """(G, 3) all beliefs in whole steps."""
    grid = [(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]
    return np.array(grid, dtype=np.float64) / steps


def _moves(settings: RegimeWorldSettings, beliefs: Array) -> Array:
    """(G, G) probability of each next belief after each, spread over the grid points around it."""
    odds = _signals(settings)
    predicted = beliefs @ np.array(settings.transition)
    moves = np.zeros((len(beliefs), len(beliefs)))
    for g in range(len(beliefs)):
        joint = predicted[g] * odds
        chance = joint.sum(axis=1)
        corners, weights = locate(joint / chance[:, None], settings.grid)
        moves[g] = np.bincount(corners.ravel(), (weights * chance[:, None]).ravel(), minlength=len(beliefs))
    return moves


def _signals(settings: RegimeWorldSettings) -> Array:
    """(N, 3) probability of each of N signals in each state: what is shown, made discrete.

    Signals are draws from the three states alike, weighted by each state's density. Columns are made to sum to
    one, so that this is a market of its own in which beliefs are exactly as often right as they say: a plain mean
    over draws is not, and its error each bar would be as large as the chain's own drift.
    """
    rng = generator(0, "regime_market", "plan")
    half = rng.standard_normal((DRAWS, settings.columns))
    noise = np.concatenate([half, -half])
    means, deviations = np.array(settings.means), np.array(settings.deviations)
    shown = (means[:, None] + deviations[:, None] * noise[None]).reshape(-1, settings.columns)
    density = likelihoods(settings, shown)
    odds = density / density.sum(axis=1, keepdims=True)
    return odds / odds.sum(axis=0)


@njit(cache=True)
def _chain(uniforms: Array, first: Array, cumulative: Array) -> Array:
    """(T,) int64 states of a chain, driven by uniform draws (T,)."""
    states = np.empty(len(uniforms), dtype=np.int64)
    row = first
    for t in range(len(uniforms)):
        state = 0
        while state < len(row) - 1 and uniforms[t] >= row[state]:
            state += 1
        states[t] = state
        row = cumulative[state]
    return states


@njit(cache=True)
def _bayes(density: Array, start: Array, transition: Array) -> Array:
    """(T, K) beliefs after each row of densities (T, K)."""
    states = len(start)
    out = np.empty_like(density)
    before = start.copy()
    for t in range(len(density)):
        total = 0.0
        for k in range(states):
            predicted = 0.0
            for j in range(states):
                predicted += before[j] * transition[j, k]
            out[t, k] = predicted * density[t, k]
            total += out[t, k]
        for k in range(states):
            out[t, k] /= total
            before[k] = out[t, k]
    return out
