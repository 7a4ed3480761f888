"""What the desk asks of a policy: the same two calls in backtest, paper and live."""

from typing import Protocol, runtime_checkable

import numpy as np

Array = np.ndarray


@runtime_checkable
class DeskPolicy(Protocol):
    """A policy that decides one row at a time, so that an action never depends on a batch."""

    def decide(self, obs: Array, position: float) -> float:
        """Return the wished target in [-1, 1].

        Parameters
        ----------
        obs : (Dm,) float32, market part of the observation
        position : position held, as a share of the limit in [-1, 1]
        """
        ...


@runtime_checkable
class TablePolicy(DeskPolicy, Protocol):
    """A policy that can also decide for every row and every position it could hold, in one compiled call."""

    def table(self, obs: Array, positions: Array) -> Array:
        """Return the wished targets in [-1, 1], each bit-equal to `decide` of that row and position.

        Parameters
        ----------
        obs : (T, Dm) float32, market part of the observation
        positions : (P,) float64, positions held, as shares of the limit in [-1, 1]

        Returns
        -------
        (T, P) float64
        """
        ...
