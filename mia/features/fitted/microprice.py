"""Stoikov's microprice table from bar-to-bar transitions of (imbalance, spread)."""

import numpy as np

from mia.features.fitted.fold import Fold
from mia.features.fitted.parameters import TooShortError
from mia.features.plan import Node

Array = np.ndarray

MIN_STEPS = 500
LARGEST_MOVE = 1.0
"""Published mid moves are +-1/2 and +-1 tick; between bars the mid jumps further: it counts as one tick."""
TERMS = 6
MIN_VISITS = 100
"""States seen less often keep the adjustment 0: a handful of moves would look like certainty."""


def microprice_table(node: Node, fold: Fold) -> Array:
    """Return the adjustment [ticks] for every spread and imbalance bin, spread-major, (max_spread * bins,).

    Transitions are symmetrised (imbalance mirrored, move negated), which makes the series converge.
    Source: Stoikov (2018).
    """
    bins, widest = int(node.params["bins"]), int(node.params["max_spread"])
    bid, ask, bid_size, ask_size = fold.inputs(node).T
    total = bid_size + ask_size
    good = np.isfinite(bid + ask) & (total > 0)
    share = np.where(good, bid_size / np.where(good, total, 1.0), 0.0)
    column = np.clip((share * bins).astype(int), 0, bins - 1)
    row = np.clip(np.where(good, ask - bid, 1.0), 1, widest).astype(int) - 1
    mid = 0.5 * (bid + ask)
    at = fold.steps()
    at = at[good[at] & good[at + 1]]
    if len(at) < MIN_STEPS:
        raise TooShortError(f"needs {MIN_STEPS} bar-to-bar transitions with a book, the fold has {len(at)}")
    move = np.clip(mid[at + 1] - mid[at], -LARGEST_MOVE, LARGEST_MOVE)
    before, after = row[at] * bins + column[at], row[at + 1] * bins + column[at + 1]
    mirror = np.arange(widest)[:, None] * bins + np.arange(bins)[::-1]
    mirror = mirror.ravel()
    both_before, both_after = np.concatenate([before, mirror[before]]), np.concatenate([after, mirror[after]])
    known = np.bincount(both_before, minlength=bins * widest) >= MIN_VISITS
    keep = known[both_before] & known[both_after]
    moves = np.concatenate([move, -move])
    return table_from_steps(both_before[keep], both_after[keep], moves[keep], bins * widest)


def table_from_steps(before: Array, after: Array, move: Array, states: int) -> Array:
    """Sum the adjustment g1 + B g1 + B^2 g1 + ... with g1 = (I - Q)^-1 E[move], B = (I - Q)^-1 T.

    Parameters
    ----------
    before, after : (n,) int, states of each transition
    move : (n,) mid move [ticks]; Q counts transitions without one, T those with one
    states : number of states
    """
    visits = np.bincount(before, minlength=states)
    per_visit = 1.0 / np.maximum(visits, 1)
    still = move == 0.0
    quiet, moved = np.zeros((states, states)), np.zeros((states, states))
    np.add.at(quiet, (before[still], after[still]), 1.0)
    np.add.at(moved, (before[~still], after[~still]), 1.0)
    drift = np.bincount(before, weights=move, minlength=states) * per_visit
    # A state that was never seen to leave would make the system singular; it then has no drift either.
    system = np.eye(states) - quiet * per_visit[:, None] * (1.0 - 1e-9)
    first = np.linalg.solve(system, drift)
    jump = np.linalg.solve(system, moved * per_visit[:, None])
    answer, term = np.zeros(states), first
    for _ in range(TERMS):
        answer = answer + term
        term = jump @ term
    return answer
