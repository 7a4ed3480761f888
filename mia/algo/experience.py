"""What a tape teaches: the outcome of every position and every target at every row. Read by the learners."""

from dataclasses import dataclass

import numpy as np

from mia.broker.terms import Terms
from mia.desk.accounting import outcome_tables
from mia.desk.tape import Tape
from mia.domain.errors import DataError
from mia.reward.build import build
from mia.reward.reward import Reward
from mia.reward.settings import RewardSettings

Array = np.ndarray

POSITIONS = (-1, 0, 1)
"""Positions and targets of the discrete learners, as shares of the limit; action i means POSITIONS[i]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Experience:
    """T rows; those without a next bar (the last, and those before a seam of the tape) teach nothing.

    Parameters
    ----------
    obs : (T, Dm) float32, market part of the observation
    cents : (T, 3, 3) int64, net change by position held and action, for one contract [cents]
    held : (T, 3, 3) int64, index into `POSITIONS` of the position afterwards, as the accounting kernel permits
    bar_cents : deviation of what one contract gains from open to close of a bar [cents], > 0
    reward : what a step is worth to a learner, in units of `bar_cents`; fitted on these rows
    rewards : (T, 3, 3) float32, that of `cents`, `held` and `context`: the bits an environment pays
    context : (T, C) float64, what the reward may know of each row; None: nothing
    followed : (T,) bool, whether the next row is the market's next bar
    """

    obs: Array
    cents: Array
    held: Array
    bar_cents: float
    reward: Reward
    rewards: Array
    context: Array | None
    followed: Array

    def __len__(self) -> int:
        return len(self.obs)


def experience(tape: Tape, terms: Terms, reward_settings: RewardSettings | None = None) -> Experience:
    """Ask the accounting kernel for every outcome on `tape`.

    Parameters
    ----------
    tape : rows of training, or of choosing
    terms : what a tick is worth and a side costs
    reward_settings : how outcomes are rewarded, fitted on `tape`; None: plain profit

    Raises
    ------
    DataError : if the tape's prices never move.
    """
    cents, held = outcome_tables(tape, terms, POSITIONS)
    bar_cents = terms.tick_value_cents * float(np.std(tape.close[1:] - tape.open[1:])) if len(tape) > 1 else 0.0
    if not bar_cents > 0:
        raise DataError(f"tape {tape.market.name}: {len(tape)} rows on which the price never moves; nothing to learn")
    followed = tape.followed
    staying = np.concatenate([cents[followed, 0, 0], cents[followed, 2, 2]])
    reward = build(reward_settings, scale_cents=bar_cents, change_cents=staying, context=tape.context)
    return Experience(
        obs=tape.obs,
        cents=cents,
        held=held + 1,
        bar_cents=bar_cents,
        reward=reward,
        rewards=_rewards(reward, cents, held, tape.context),
        context=tape.context,
        followed=followed,
    )


def alike(tape: Tape, terms: Terms, of: Experience) -> Experience:
    """Return the experience of other rows in the unit, and by the reward, fitted on those of `of`.

    What goes on learning from newer rows must find values in the unit it learned.
    """
    cents, held = outcome_tables(tape, terms, POSITIONS)
    return Experience(
        obs=tape.obs,
        cents=cents,
        held=held + 1,
        bar_cents=of.bar_cents,
        reward=of.reward,
        rewards=_rewards(of.reward, cents, held, tape.context),
        context=tape.context,
        followed=tape.followed,
    )


def _rewards(reward: Reward, cents: Array, held: Array, context: Array | None) -> Array:
    """(T, 3, 3) float32, one pair of position and action at a time: the context is not copied nine times."""
    out = np.empty(cents.shape, dtype=np.float32)
    for p in range(cents.shape[1]):
        for a in range(cents.shape[2]):
            out[:, p, a] = reward.of_changes(cents[:, p, a], held[:, p, a], context)
    return out
