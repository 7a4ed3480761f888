"""Runs a plan over closed bars: all rows at once in research, one at a time live, bit for bit the same."""

import numpy as np

from mia.domain.errors import DataError
from mia.features.kernel import walk
from mia.features.plan import Plan

Array = np.ndarray


class FeatureEngine:
    """A plan and its state.

    Parameters
    ----------
    plan : from `plan.compile_plan`; its fitted blocks may still be NaN (those features stay NaN)
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._state = np.zeros(plan.state_size)
        self._row = np.zeros(plan.width + len(plan.nodes))
        self._one = np.empty((1, len(plan.columns)))

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
        row = np.ascontiguousarray(row, dtype=np.float64).reshape(1, -1)
        self._walk(row, self._state, self.plan.out_node, self.plan.out_scale, self._one)
        return self._one[0].copy()

    def advance(self, values: Array) -> Array:
        """Like `batch`, but going on from the present state (to warm up a live engine)."""
        values = np.ascontiguousarray(values, dtype=np.float64)
        out = np.empty((len(values), len(self.plan.columns)))
        self._walk(values, self._state, self.plan.out_node, self.plan.out_scale, out)
        return out

    def batch(self, values: Array) -> Array:
        """(T, C) float64 values of T bars from a fresh start; leaves the engine's own state alone.

        Parameters
        ----------
        values : (T, W) float64
        """
        values = np.ascontiguousarray(values, dtype=np.float64)
        out = np.empty((len(values), len(self.plan.columns)))
        self._walk(values, np.zeros(self.plan.state_size), self.plan.out_node, self.plan.out_scale, out)
        return out

    def _walk(self, values: Array, state: Array, out_node: Array, out_scale: Array, out: Array) -> None:
        if values.ndim != 2 or values.shape[1] != self.plan.width:
            raise DataError(f"engine: rows must have {self.plan.width} base series, got shape {values.shape}")
        plan = self.plan
        walk(
            plan.code,
            plan.input_start,
            plan.inputs,
            plan.state_start,
            plan.param_start,
            plan.params,
            values,
            state,
            self._row,
            out_node,
            out_scale,
            out,
        )
