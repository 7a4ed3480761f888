"""What a policy with quantiles expected of its own decisions, beside what came of them: for its coverage table.

The tasks hand both to mia.evaluation.calibration.coverage.
"""

from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from mia.algo.experience import POSITIONS, Experience, experience
from mia.algo.policy import FLAT, TrainedPolicy
from mia.algo.selection import actions_of
from mia.broker.terms import Terms
from mia.desk.tape import Tape
from mia.domain.errors import ArtefactMismatch

Array = np.ndarray

_HELD = np.array(POSITIONS, dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outlook:
    """What was expected and what came.

    Parameters
    ----------
    levels : (Q,) of the quantiles, increasing inside 0-1
    told : (n, Q) quantiles of what the decision is worth [cents]
    realised : (n,) what came of it [cents]
    rows : (n,) rows of the tape at which it was decided
    """

    levels: Array
    told: Array
    realised: Array
    rows: Array


def outlook(
    policy: TrainedPolicy, tape: Tape, terms: Terms, *, discount: float, whole_return: bool, most_rows: int = 20_000
) -> Outlook:
    """Walk fresh rows with a policy and collect what it expected at the positions it held.

    Quantiles mean what the learner's targets were. With expected-value targets (`target_quantiles` 0) they are of the
    next bar's profit plus the discounted expectation from there on, which is taken from the policy itself; so the
    table judges the spread and the middle of one bar, not the long run. With drawn targets they are of the whole
    discounted return along the policy's own path; such returns overlap, and their rows are no independent trials.

    Parameters
    ----------
    policy : with quantiles, trained on plain profit; that it would abstain does not count
    tape : fresh rows
    terms : what a tick is worth and a side costs, as while learning
    discount : worth of the next bar's value while learning
    whole_return : whether `target_quantiles` was above 0
    most_rows : at most so many rows, evenly spread

    Raises
    ------
    ArtefactMismatch : if the policy knows no quantiles.
    DataError : if the tape's prices never move.
    """
    if policy.n_quantiles == 0:
        raise ArtefactMismatch(f"policy {policy.algo} knows no quantiles; use algo=qr_dqn")
    seen = experience(tape, terms)
    speaking = replace(policy, abstains=False)
    position, action = path(actions_of(speaking, seen), seen.held)
    expected = _expected(speaking, seen)
    last = len(seen) - 1
    came = _returns(seen, position, action, expected, discount) if whole_return else np.empty(last)
    if not whole_return:
        t = np.arange(last)
        came = seen.cents[t, position[:last], action[:last]] + discount * expected[t + 1, position[1:]]
    rows = np.unique(np.linspace(0, last - 1, min(most_rows, last)).astype(np.int64))
    asked = np.column_stack([tape.obs[rows], _HELD[position[rows]]])
    told = speaking.quantiles(asked)[np.arange(len(rows)), :, action[rows]]
    levels = (np.arange(policy.n_quantiles) + 0.5) / policy.n_quantiles
    return Outlook(levels=levels, told=told, realised=came[rows].astype(np.float64), rows=rows)


def _expected(policy: TrainedPolicy, seen: Experience) -> Array:
    """(T, 3) float64, what the best action is worth at each row and position, by the mean of its quantiles [cents]."""
    by_mean = replace(policy, risk_level=1.0)
    return by_mean.values(seen.obs, _HELD).max(axis=2).astype(np.float64) * policy.value_cents


def _returns(seen: Experience, position: Array, action: Array, expected: Array, discount: float) -> Array:
    """(T - 1,) discounted return from each row on; beyond the last row stands what the policy expects there."""
    last = len(seen) - 1
    out = np.empty(last)
    after = expected[last, position[last]]
    for t in range(last - 1, -1, -1):
        after = seen.cents[t, position[t], action[t]] + discount * after
        out[t] = after
    return out


@njit(cache=True)
def path(actions: Array, held: Array) -> tuple[Array, Array]:
    """Return (T,) positions held, as places in `POSITIONS`, and (T,) actions taken, walking from flat.

    Parameters
    ----------
    actions : (T, 3) int64, action by position held
    held : (T, 3, 3) table of `Experience`
    """
    position = np.empty(len(actions), dtype=np.int64)
    action = np.empty(len(actions), dtype=np.int64)
    at = FLAT
    for t in range(len(actions)):
        position[t], action[t] = at, actions[t, at]
        at = held[t, at, actions[t, at]]
    return position, action
