"""How a learner tells how far it is: task/ passes a callable that draws bars and feeds the tracker."""

from collections.abc import Mapping
from typing import Protocol

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Levels of the quantiles told at a checkpoint, in the order of their values."""


class Progress(Protocol):
    """Called at the start, at every checkpoint and at the end of training."""

    def __call__(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """Hear that `done` of `total` steps are taken, and the figures of the last checkpoint."""
        ...


def silent(done: int, total: int, figures: Mapping[str, float]) -> None:
    """Hear nothing."""
