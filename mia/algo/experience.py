"""What a tape teaches: the outcome of every position and every target at every row. Read by the learners."""

from dataclasses import dataclass

import numpy as np

from mia.broker.terms import Terms
from mia.desk.accounting import outcome_tables
from mia.desk.tape import Tape
from mia.domain.errors import DataError

Array = np.ndarray

POSITIONS = (-1, 0, 1)
"""Positions and targets of the discrete learners, as shares of the limit; action i means POSITIONS[i]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Experience:
    """T rows, of which the last has no next bar and teaches nothing.

    Parameters
    ----------
    obs : (T, Dm) float32, market part of the observation
    cents : (T, 3, 3) int64, net change by position held and action, for one contract [cents]
    held : (T, 3, 3) int64, index into `POSITIONS` of the position afterwards, as the accounting kernel permits
    bar_cents : deviation of what one contract gains from open to close of a bar [cents], > 0
    """

    obs: Array
    cents: Array
    held: Array
    bar_cents: float

    def __len__(self) -> int:
        return len(self.obs)


def experience(tape: Tape, terms: Terms) -> Experience:
    """Ask the accounting kernel for every outcome on `tape`; DataError if its prices never move."""
    cents, held = outcome_tables(tape, terms, POSITIONS)
    bar_cents = terms.tick_value_cents * float(np.std(tape.close[1:] - tape.open[1:])) if len(tape) > 1 else 0.0
    if not bar_cents > 0:
        raise DataError(f"tape {tape.market.name}: {len(tape)} rows on which the price never moves; nothing to learn")
    return Experience(obs=tape.obs, cents=cents, held=held + 1, bar_cents=bar_cents)
