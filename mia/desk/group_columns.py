"""Which entries of an observation go when a source is lost; learners drop whole groups so that policies survive it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

ALWAYS = ("bars", "calendar", "regime")
"""Groups without which there is no row at all, or that need nothing but bars."""

FOLLOWS = {"depth": ("cnn",)}
"""Groups that are lost with another: the convolutional network sees nothing but the book."""

HALF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupColumns:
    """What losing each of G groups does to the market part of an observation.

    Parameters
    ----------
    names : (G,) groups that can be lost
    touches : (G, Dm) bool, entries that change when the group is lost
    neutral : (Dm,) float32, what they become
    """

    names: tuple[str, ...]
    touches: Array
    neutral: Array

    @classmethod
    def of(
        cls,
        groups: Sequence[str],
        members: Array,
        sources: Sequence[str],
        selected: Array,
        regimes: int,
        neutral: Array,
    ) -> "GroupColumns":
        """Read off the groups' members what the scaler and the masks leave of a row when one is lost.

        Parameters
        ----------
        groups : (M,) mask groups of the view
        members : (M, F) 1 where a column of the view belongs to a group
        sources : the groups among them that are sources; the others are families
        selected : (S,) columns of the view that are observed
        regimes : entries of the belief, which follow the masks
        neutral : (F,) what stands for a missing value in the view; taken without the weights by regime
        """
        names = tuple(name for name in groups if name in sources and name not in ALWAYS)
        touches = np.zeros((len(names), len(selected) + len(groups) + regimes), dtype=bool)
        for g, name in enumerate(names):
            going = [name, *(follower for follower in FOLLOWS.get(name, ()) if follower in groups)]
            lost: Array = np.any(members[[groups.index(group) for group in going]] > 0, axis=0)
            touches[g, : len(selected)] = lost[selected]
            for m in range(len(groups)):
                # A group's mask goes out when fewer than half of its columns are left.
                inside = members[m] > 0
                gone = (inside & lost).sum() > HALF * inside.sum()
                touches[g, len(selected) + m] = groups[m] in going or gone
        blank = np.zeros(touches.shape[1], np.float32)
        blank[: len(selected)] = neutral[selected]
        return cls(names=names, touches=touches, neutral=blank)

    def draw(self, rng: np.random.Generator, rows: int, share: float) -> Array:
        """Return (rows, Dm) bool: entries lost when each group is lost with probability `share`."""
        lost = rng.random((rows, len(self.names))) < share
        out = np.zeros((rows, self.touches.shape[1]), dtype=bool)
        for g in range(len(self.names)):
            out[lost[:, g]] |= self.touches[g]
        return out
