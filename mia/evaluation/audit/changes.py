"""What changed, to the last bit: the same rows computed twice, with and without what came after them."""

from collections.abc import Sequence

import numpy as np

from mia.evaluation.audit.finding import Finding, Offence, judged

Array = np.ndarray


def differs(one: Array, other: Array) -> Array:
    """Where two arrays of one shape hold different values; two missing values are the same."""
    if one.dtype.kind == "f":
        return ~((one == other) | (np.isnan(one) & np.isnan(other)))
    return one != other


class Changes:
    """First change of every column, gathered over many cuts.

    Parameters
    ----------
    area, check : of the finding this becomes
    names : (F,) columns
    """

    def __init__(self, area: str, check: str, names: Sequence[str]) -> None:
        self.area, self.check, self.names = area, check, tuple(names)
        self._row = np.full(len(self.names), -1, np.int64)
        self._cut = np.full(len(self.names), -1, np.int64)
        self._times = np.zeros(len(self.names), np.int64)
        self._cuts: set[int] = set()
        self._rows = 0

    def see(self, whole: Array, part: Array, first: int, cut: int) -> None:
        """Compare rows (n, F) or (n,) of which the first has the number `first`; `cut` says where the future ended."""
        self._cuts.add(cut)
        self._rows += len(part)
        if whole.shape != part.shape:
            whole, part = np.zeros((1, len(self.names))), np.ones((1, len(self.names)))
        bad = differs(whole, part).reshape(len(part), -1)
        for column in np.flatnonzero(bad.any(axis=0)):
            row = first + int(bad[:, column].argmax())
            self._times[column] += 1
            if self._row[column] < 0 or row < self._row[column]:
                self._row[column], self._cut[column] = row, cut

    def finding(self, **facts: int) -> Finding:
        """The line of the table: a leak if anything changed."""
        changed = sorted(np.flatnonzero(self._times), key=lambda column: (-self._times[column], self._row[column]))
        offences = [
            Offence(
                column=self.names[column],
                row=int(self._row[column]),
                cut=int(self._cut[column]),
                detail=f"changed at {self._times[column]} of {len(self._cuts)} cuts",
            )
            for column in changed
        ]
        return judged(
            self.area,
            self.check,
            offences,
            columns=len(self.names),
            rows=self._rows,
            cuts=len(self._cuts),
            facts=dict(facts),
        )
