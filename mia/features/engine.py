"""Runs a plan over closed bars: all rows at once in research, one at a time live, bit for bit the same."""

import numpy as np

from mia.domain.errors import DataError
from mia.features.kernel import BLOCK, walk
from mia.features.plan import Plan
from mia.features.sharing import shared

Array = np.ndarray
LINE = 8  # float64 in a cache line


def stride_of(columns: int) -> int:
    """Distance of a table's rows: an odd number of cache lines, so that neighbouring rows share no place there."""
    return LINE * (-(-columns // LINE) | 1)


class FeatureEngine:
    """A plan and its state.

    Parameters
    ----------
    plan : from `plan.compile_plan`; its fitted blocks may still be NaN (those features stay NaN)
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._width, self._columns = plan.width, len(plan.columns)
        width = plan.width + len(plan.nodes)
        code, input_start, inputs, spare = shared(plan, width)
        self._wiring = np.concatenate([code, input_start, plan.state_start, plan.param_start, plan.out_node, inputs])
        self._numbers = np.concatenate([plan.out_scale, plan.params])
        stride = stride_of(width + spare)
        self._table = np.zeros(BLOCK * stride)
        self._state = np.zeros(plan.state_size)
        self._one = np.array([1, plan.width, len(plan.nodes), self._columns, stride])

    def reset(self) -> None:
        """Forget every bar seen."""
        self._state[:] = 0.0

    @property
    def state(self) -> Array:
        """Snapshot of everything remembered: (S,) float64."""
        return self._state.copy()

    @state.setter
    def state(self, snapshot: Array) -> None:
        if np.shape(snapshot) != self._state.shape:
            raise DataError(f"engine state: expected {self._state.shape}, got {np.shape(snapshot)}; replay the bars")
        self._state[:] = snapshot

    def step(self, row: Array) -> Array:
        """Values after one more closed bar.

        Parameters
        ----------
        row : (W,) float64, base series of the bar

        Returns
        -------
        (C,) float64 in published units: the F published columns, then the service columns.
        """
        row = np.ascontiguousarray(row, dtype=np.float64)
        if row.shape != (self._width,):
            raise DataError(f"engine: a row must have {self._width} base series, got shape {row.shape}")
        out = np.empty(self._columns)
        walk(self._one, self._wiring, self._numbers, row, self._state, self._table, out)
        return out

    def advance(self, values: Array) -> Array:
        """Like `batch`, but going on from the present state (to warm up a live engine)."""
        return self._walk(values, self._state)

    def batch(self, values: Array) -> Array:
        """(T, C) float64 values of T bars from a fresh start; leaves the engine's own state alone.

        Parameters
        ----------
        values : (T, W) float64
        """
        return self._walk(values, np.zeros(self.plan.state_size))

    def _walk(self, values: Array, state: Array) -> Array:
        values = np.ascontiguousarray(values, dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != self._width:
            raise DataError(f"engine: rows must have {self._width} base series, got shape {values.shape}")
        sizes = self._one.copy()
        sizes[0] = len(values)
        out = np.empty((len(values), self._columns))
        walk(sizes, self._wiring, self._numbers, values.reshape(-1), state, self._table, out.reshape(-1))
        return out
