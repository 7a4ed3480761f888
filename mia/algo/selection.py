"""Honest choice inside the training fold: which checkpoint, and whether to trade at all.

The last rows of the fold are kept from the gradients. Every checkpoint trades them; the chosen one must beat
doing nothing by more than the luck of having been chosen, or the policy abstains. Called by the learners.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from mia.algo.experience import POSITIONS, Experience
from mia.algo.settings import ValidationSettings
from mia.desk.accounting import contracts_of
from mia.desk.policy import TablePolicy
from mia.desk.tape import Tape
from mia.domain.errors import DataError

Array = np.ndarray


def split(tape: Tape, settings: ValidationSettings) -> tuple[Tape, Tape]:
    """Cut a training fold into rows to learn from and, after a purged gap, rows to choose on.

    Raises
    ------
    DataError : if a part would be shorter than ten rows, or the rows to choose on than `blocks`.
    """
    stop = round(len(tape) * (1.0 - settings.share)) - settings.purge_rows
    start = stop + settings.purge_rows
    if stop < 10 or len(tape) - start < max(10, settings.blocks + 1):
        raise DataError(
            f"tape {tape.market.name}: {len(tape)} rows are too few to learn on all but the last "
            f"{settings.share:g} of them; train on more sessions"
        )
    return tape.slice(0, stop), tape.slice(start, len(tape))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """One checkpoint and how it traded the validation rows.

    Parameters
    ----------
    step : steps taken when it was looked at
    policy : what decided
    blocks : (N,) float64, net profit of each block of rows [cents]
    trades : contracts traded
    breach : by how much it breaks a limit that was asked for, at most 0 if it keeps it
    """

    step: int
    policy: TablePolicy
    blocks: Array
    trades: int
    breach: float = 0.0

    @property
    def profit(self) -> float:
        """Net profit over the validation rows [cents]."""
        return float(self.blocks.sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """What was chosen.

    Parameters
    ----------
    candidate : the checkpoint
    chance : probability that a choice among checkpoints without any skill looks at least as good
    abstains : whether that is too likely, so that the policy stays flat
    """

    candidate: Candidate
    chance: float
    abstains: bool


class Validation:
    """Collects checkpoints and chooses among them.

    Parameters
    ----------
    experience : outcomes of the validation rows
    settings : how to choose
    rng : draws the resamples
    """

    def __init__(self, experience: Experience, settings: ValidationSettings, rng: np.random.Generator) -> None:
        self.experience, self.settings, self.rng = experience, settings, rng
        self.candidates: list[Candidate] = []

    def see(self, step: int, policy: TablePolicy, breach: float = 0.0) -> Candidate:
        """Let a checkpoint's decisions trade the validation rows, and keep it and by how much it breaks a limit."""
        profit, trades = walk(actions_of(policy, self.experience), self.experience.cents, self.experience.held)
        blocks = np.add.reduceat(profit, self._edges(len(profit)))
        self.candidates.append(Candidate(step=step, policy=policy, blocks=blocks, trades=trades, breach=breach))
        return self.candidates[-1]

    def _edges(self, rows: int) -> Array:
        return (np.arange(self.settings.blocks) * rows) // self.settings.blocks

    def is_stale(self) -> bool:
        """Whether the last `patience` checkpoints brought no new best of those that keep the limit."""
        kept = [(i, candidate.profit) for i, candidate in enumerate(self.candidates) if candidate.breach <= 0]
        if not kept:
            return False
        best, _ = max(kept, key=lambda pair: pair[1])
        return len(self.candidates) - 1 - best >= self.settings.patience

    def choose(self) -> Choice:
        """Choose a checkpoint and test it against doing nothing.

        The last checkpoint is chosen unless the best is better by `margin` standard errors of their
        difference. Those that break a limit do not count, unless all do: then the one that breaks it least
        is chosen. The test resamples blocks and asks how often the best of as many checkpoints, each
        shifted to earn nothing, would look as good (one-sided, studentised).

        Source: White (2000), A reality check for data snooping; Hansen (2005) for the studentised form.
        """
        able = [candidate for candidate in self.candidates if candidate.breach <= 0]
        able = able or [min(self.candidates, key=lambda candidate: candidate.breach)]
        last = able[-1]
        best = max(able, key=lambda candidate: candidate.profit)
        gain = best.blocks - last.blocks
        chosen = best if gain.mean() > self.settings.margin * _standard_error(gain) else last
        chance = self._chance(chosen)
        return Choice(candidate=chosen, chance=chance, abstains=chance > self.settings.level)

    def _chance(self, chosen: Candidate) -> float:
        profits = np.array([candidate.blocks for candidate in self.candidates])
        errors = np.array([_standard_error(row) for row in profits])
        at_risk = errors > 0
        error = _standard_error(chosen.blocks)
        if not error > 0 or chosen.profit <= 0:
            return 1.0
        seen = chosen.blocks.mean() / error
        blocks = profits.shape[1]
        counts = self.rng.multinomial(blocks, np.full(blocks, 1.0 / blocks), size=self.settings.resamples)
        centred = profits[at_risk] - profits[at_risk].mean(axis=1, keepdims=True)
        luck = (counts @ centred.T / blocks / errors[at_risk]).max(axis=1)
        return float((1 + np.count_nonzero(luck >= seen)) / (1 + self.settings.resamples))


def _standard_error(values: Array) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def actions_of(policy: TablePolicy, experience: Experience) -> Array:
    """Return (T, 3) int64, the action at every row and position; a target counts as the nearest of the three."""
    targets = np.ascontiguousarray(policy.table(experience.obs, np.array(POSITIONS, dtype=np.float32)))
    return contracts_of(targets, 1) + POSITIONS.index(0)


@njit(cache=True)
def walk(actions: Array, cents: Array, held: Array) -> tuple[Array, int]:
    """Walk the tables from flat: net change of each row (T,) float64 [cents] and the contracts traded.

    Parameters
    ----------
    actions : (T, 3) int64, action by position held
    cents, held : (T, 3, 3) tables of `Experience`
    """
    position, trades = 1, 0
    profit = np.zeros(len(actions), dtype=np.float64)
    for t in range(len(actions)):
        action = actions[t, position]
        profit[t] = cents[t, position, action]
        after = held[t, position, action]
        trades += abs(after - position)
        position = after
    return profit, trades
