"""A market with a limit on the risk of an episode, whose best policy linear programming knows.

A session is an episode: it starts flat and must end flat. One of its bars carries risk of an observed kind, the
others gain a little for certain, and every trade costs. A few of the kinds are worth their gain but not their
place among the worst sessions; which, is what has to be learned. Called by evaluation.known_world_cmdp.
"""

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from mia.domain.rng import generator
from mia.source.cmdp_settings import CmdpSettings

Array = np.ndarray

BARS = 4
"""Bars of a session that can be held, decided at its first four rows."""
ROWS = BARS + 2
"""Rows of a session: its first has no exposure, at the last but one everything is closed, and the last shows it."""
RISKY = 1
"""Which of the four bars carries the risk."""
POSITIONS = np.array([-1, 0, 1])

PHASE = slice(0, BARS)
COLUMNS = BARS + 3
"""Observed: which of the four bars is next (one-hot), then the certain gain, the expected gain and the size of a
crash, each with the sign of the side that earns it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kinds:
    """All kinds of session, equally likely.

    Parameters
    ----------
    side : (N,) int64, -1 or 1, the side that earns
    drift, up, crash : (N,) int64, certain gain of a quiet bar, gain and loss of the risky bar, on that side [ticks]
    """

    side: Array
    drift: Array
    up: Array
    crash: Array

    def __len__(self) -> int:
        return len(self.side)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sessions:
    """S sessions drawn from the kinds.

    Parameters
    ----------
    kind : (S,) int64, which kind each is
    crashed : (S,) bool, whether its risky bar crashed
    """

    kind: Array
    crashed: Array

    def __len__(self) -> int:
        return len(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """What a linear program found.

    Parameters
    ----------
    reward : expected profit of a session [units]
    cvar : conditional value at risk of its loss [units]
    threshold : value at risk at which the limit was linearised [units]; NaN without a limit
    chosen : (N,) int64, the plan most of each kind's probability lies on, an index into `plans()`
    share : (N,) float64, that probability; below 1 where the optimum tosses a coin
    """

    reward: float
    cvar: float
    threshold: float
    chosen: Array
    share: Array


@cache
def kinds(settings: CmdpSettings) -> Kinds:
    """Return every combination of side, drift and risk, in whole ticks."""
    ticks, q = settings.ticks_per_unit, settings.crash_probability
    crash = np.linspace(settings.crash_low, settings.crash_high, settings.levels)
    gain = np.linspace(settings.gain_low, settings.gain_high, settings.levels)
    up = (gain + q * crash) / (1.0 - q)
    grid = [(side, drift, level) for side in (-1, 1) for drift in settings.drifts for level in range(settings.levels)]
    level = np.array([row[2] for row in grid])
    return Kinds(
        side=np.array([row[0] for row in grid]),
        drift=np.rint(np.array([row[1] for row in grid]) * ticks).astype(np.int64),
        up=np.rint(up * ticks).astype(np.int64)[level],
        crash=np.rint(crash * ticks).astype(np.int64)[level],
    )


def sessions(settings: CmdpSettings, seed: int, purpose: str) -> Sessions:
    """Draw sessions for one `purpose`, "train" or "judge"."""
    count = settings.train_sessions if purpose == "train" else settings.judge_sessions
    rng = generator(seed, "cmdp", purpose)
    kind = rng.integers(len(kinds(settings)), size=count)
    return Sessions(kind=kind, crashed=rng.random(count) < settings.crash_probability)


def changes(settings: CmdpSettings, drawn: Sessions) -> Array:
    """(S, ROWS) int64 price change of each row's own bar [ticks]."""
    found = kinds(settings)
    at, out = drawn.kind, np.zeros((len(drawn), ROWS), dtype=np.int64)
    out[:, 1 : 1 + BARS] = found.drift[at, None]
    out[:, 1 + RISKY] = np.where(drawn.crashed, -found.crash[at], found.up[at])
    return out * found.side[at, None]


def columns(settings: CmdpSettings) -> Array:
    """(N, ROWS, COLUMNS) float32 market part of the observation of every kind; it never shows the outcome."""
    found, q = kinds(settings), settings.crash_probability
    gain = (1.0 - q) * found.up - q * found.crash
    out = np.zeros((len(found), ROWS, COLUMNS), dtype=np.float32)
    out[:, :BARS, PHASE] = np.eye(BARS)
    for column, value in enumerate((found.drift, gain, found.crash), start=BARS):
        out[:, :, column] = (found.side * value / value.mean())[:, None]
    return out


@cache
def plans() -> Array:
    """(P, 2, BARS) int64 every way to hold a session: what is held in each bar, without and with a crash.

    What is held before the outcome is known is the same in both. A mixture of these plans is the same as any
    policy that sees everything that happened, the loss so far included (Kuhn's theorem).
    """
    before = list(product(POSITIONS, repeat=RISKY + 1))
    after = list(product(POSITIONS, repeat=BARS - RISKY - 1))
    return np.array([[first + calm, first + crashed] for first in before for calm in after for crashed in after])


def profits(settings: CmdpSettings, held: Array) -> Array:
    """(N, P, 2) profit without and with a crash [units] of holding `held` (N or 1, P, 2, BARS) in every kind."""
    found = kinds(settings)
    risky = np.stack([found.up, -found.crash], axis=-1)[:, None, :]
    quiet = held.sum(axis=-1) - held[..., RISKY]
    gross = found.side[:, None, None] * (found.drift[:, None, None] * quiet + risky * held[..., RISKY])
    traded = np.abs(np.diff(held, axis=-1, prepend=0, append=0)).sum(axis=-1)
    return gross / settings.ticks_per_unit - settings.cost * traded


def chances(settings: CmdpSettings) -> Array:
    """(2,) probability that a risky bar does not and does crash."""
    return np.array([1.0 - settings.crash_probability, settings.crash_probability])


def tail_mean(losses: Array, weights: Array, alpha: float) -> float:
    """Mean of the worst `1 - alpha` of a distribution: its conditional value at risk.

    Parameters
    ----------
    losses, weights : of one shape, values and their probabilities, which sum to one
    alpha : level, in (0, 1)

    Source: Rockafellar and Uryasev (2002), Conditional value-at-risk for general loss distributions, prop. 8.
    """
    order = np.argsort(-losses, axis=None, kind="stable")
    mass = np.cumsum(weights.ravel()[order])
    inside = np.diff(np.minimum(mass, 1.0 - alpha), prepend=0.0)
    return float(inside @ losses.ravel()[order] / (1.0 - alpha))


def unconstrained(settings: CmdpSettings) -> Solution:
    """Return the best policy of somebody who does not mind losses."""
    earned = profits(settings, plans()[None])
    chosen = (earned @ chances(settings)).argmax(axis=1)
    return _of_plans(settings, earned, chosen)


@cache
def solve(settings: CmdpSettings) -> Solution:
    """Find the best policy within the limit: linear programs over mixtures of plans, one for each value at risk.

    With the value at risk fixed at v, "v + E[(loss - v)+] / (1 - alpha) <= limit" is one linear constraint, and
    some v makes it the conditional value at risk itself. The best v is a loss that some plan can make.

    Source: Rockafellar and Uryasev (2000), Optimization of conditional value-at-risk, theorem 14; Altman (1999),
    Constrained Markov decision processes, for the linear program.
    """
    from scipy.optimize import linprog

    earned = profits(settings, plans()[None])
    kind, plan = np.nonzero(_undominated(earned))
    result, reward = earned[kind, plan], earned[kind, plan] @ chances(settings)
    each = np.zeros((len(earned), len(kind)))
    each[kind, np.arange(len(kind))] = 1.0
    best = None
    for threshold in np.unique(-result):
        if threshold > settings.limit:
            break
        over = np.maximum(-result - threshold, 0.0) @ chances(settings) / (1.0 - settings.alpha)
        found = linprog(
            -reward,
            A_ub=over[None] / len(each),
            b_ub=[settings.limit - threshold],
            A_eq=each,
            b_eq=np.ones(len(each)),
            method="highs",
        )
        if found.status == 0 and (best is None or -found.fun > best[0]):
            best = (-found.fun, threshold, found.x, over)
    value, threshold, mixture, over = best
    # Of the one kind that tosses a coin, the milder plan: what a policy that cannot toss one has to do.
    chosen, share = np.empty(len(each), dtype=np.int64), np.empty(len(each))
    for k in range(len(each)):
        mixed = np.flatnonzero((kind == k) & (mixture > 1e-9))
        mildest = mixed[over[mixed].argmin()]
        chosen[k], share[k] = plan[mildest], mixture[mildest]
    weights = mixture[:, None] * chances(settings) / len(each)
    return Solution(
        reward=value / len(each),
        cvar=tail_mean(-result, weights, settings.alpha),
        threshold=float(threshold),
        chosen=chosen,
        share=share,
    )


def without_coin(settings: CmdpSettings, solution: Solution) -> Solution:
    """Return what the optimum's plans bring when no kind tosses a coin: what a deterministic policy can reach."""
    return _of_plans(settings, profits(settings, plans()[None]), solution.chosen)


def _of_plans(settings: CmdpSettings, earned: Array, chosen: Array) -> Solution:
    result = earned[np.arange(len(earned)), chosen]
    weights = np.broadcast_to(chances(settings) / len(earned), result.shape)
    return Solution(
        reward=float((result * weights).sum()),
        cvar=tail_mean(-result, weights, settings.alpha),
        threshold=float("nan"),
        chosen=chosen,
        share=np.ones(len(earned)),
    )


def _undominated(earned: Array) -> Array:
    """(N, P) bool, plans that no other plan of their kind beats or equals in both outcomes; of equals the first."""
    keep = np.zeros(earned.shape[:2], dtype=bool)
    for k in range(len(earned)):
        order = np.lexsort((-earned[k, :, 1], -earned[k, :, 0]))
        crashed = earned[k, order, 1]
        highest = np.concatenate(([-np.inf], np.maximum.accumulate(crashed)[:-1]))
        keep[k, order[crashed > highest + 1e-12]] = True
    return keep


def held_by(targets: Array) -> Array:
    """(N, BARS) int64 what a policy holds in each bar, for its `targets` (N, ROWS, 3) by position held."""
    held, position = np.zeros((len(targets), BARS), dtype=np.int64), np.zeros(len(targets), dtype=np.int64)
    for bar in range(BARS):
        position = targets[np.arange(len(targets)), bar, position + 1]
        held[:, bar] = position
    return held
