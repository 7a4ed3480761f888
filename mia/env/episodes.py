"""Where episodes begin and end on a tape: some whole sessions from a session's first row, never over a seam."""

import numpy as np

from mia.desk.tape import Tape
from mia.domain.errors import ConfigurationError

Array = np.ndarray


class Episodes:
    """The spans of a tape an episode may cover.

    Parameters
    ----------
    tape : T rows
    sessions : length of an episode [sessions], >= 1; None: the whole tape from its first row, or each piece of it
        between seams

    Attributes
    ----------
    starts, stops : (N,) int64, first row of each span and the row after its last; at least two rows each

    Raises
    ------
    ConfigurationError : if the tape is shorter than an episode.
    """

    def __init__(self, tape: Tape, sessions: int | None) -> None:
        if sessions is None:
            firsts, length = np.array([0, *tape.seams], dtype=np.int64), 1
        else:
            changes = np.flatnonzero(np.diff(tape.session)) + 1
            firsts, length = np.union1d([0, *tape.seams], changes).astype(np.int64), sessions
        if length < 1 or length > len(firsts):
            raise ConfigurationError(
                f"env {tape.market.name}: {length} sessions an episode do not fit a tape of {len(firsts)}; "
                "choose between 1 and that many"
            )
        ends = np.append(firsts, len(tape))[length:]
        starts = firsts[: len(ends)]
        inside = np.searchsorted(tape.seams, ends) - np.searchsorted(tape.seams, starts, side="right")
        usable = (ends - starts >= 2) & (inside == 0)
        if not np.any(usable):
            raise ConfigurationError(
                f"env {tape.market.name}: no episode has two rows that follow one another; lengthen the tape"
                + (" or shorten the episodes" if tape.seams else "")
            )
        self.starts: Array = starts[usable]
        self.stops: Array = ends[usable].astype(np.int64)

    def __len__(self) -> int:
        return len(self.starts)

    def draw(self, rng: np.random.Generator) -> int:
        """Return the number of a span, every one as likely."""
        return int(rng.integers(len(self.starts)))
