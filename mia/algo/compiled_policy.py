"""The trained network as one compiled function: one row at a time, sums in one fixed order.

An action therefore never depends on the batch it was computed in. Called by policy.TrainedPolicy, in training's
inner validation as in backtest and live.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

Array = np.ndarray

LINEAR, RELU, TANH = 0, 1, 2
ACTIVATIONS = {"linear": LINEAR, "relu": RELU, "tanh": TANH}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledNetwork:
    """A multi-layer perceptron packed into three arrays.

    Parameters
    ----------
    weights : float32, the layers' matrices one after the other, each input-major (inputs x outputs), then its bias
    shape : (L + 1,) int64, widths from the input to the output
    activation : activation of the hidden layers, one of `ACTIVATIONS`' values; the last layer is linear
    """

    weights: Array
    shape: Array
    activation: int

    @property
    def inputs(self) -> int:
        """Width of the input: market part and position."""
        return int(self.shape[0])

    @property
    def outputs(self) -> int:
        """Width of the output."""
        return int(self.shape[-1])

    def forward(self, obs: Array, positions: Array) -> Array:
        """Return (T, P, outputs) float32 for every row of obs (T, Dm) and every position (P,)."""
        return _rows(
            np.ascontiguousarray(obs, dtype=np.float32),
            np.ascontiguousarray(positions, dtype=np.float32),
            self.weights,
            self.shape,
            self.activation,
        )


def pack(layers: list[tuple[Array, Array]], activation: str) -> CompiledNetwork:
    """Pack layers of (matrix (outputs, inputs), bias (outputs,)), as torch stores them."""
    shape = [layers[0][0].shape[1], *(len(bias) for _, bias in layers)]
    parts = [part for matrix, bias in layers for part in (np.ascontiguousarray(matrix.T).ravel(), bias)]
    return CompiledNetwork(
        weights=np.concatenate(parts).astype(np.float32),
        shape=np.array(shape, dtype=np.int64),
        activation=ACTIVATIONS[activation],
    )


@njit(cache=True)
def _accumulate(x: float, row: Array, out: Array) -> None:
    # One input feeds all outputs: the compiler may use wide registers without changing the order of any sum.
    # `row` and `out` are slices of one length, because an offset inside the loop keeps it from doing so.
    for j in range(len(out)):
        out[j] += x * row[j]


@njit(cache=True)
def _activate(values: Array, activation: int) -> None:
    if activation == RELU:
        for j in range(len(values)):
            values[j] = max(values[j], np.float32(0.0))
    elif activation == TANH:
        for j in range(len(values)):
            values[j] = np.tanh(values[j])


@njit(cache=True)
def _layer(x: Array, matrix: Array, out: Array) -> None:
    """Add x @ matrix to `out`; `matrix` is flat and input-major."""
    n = len(out)
    for i in range(len(x)):
        # Half of the rectified units are zero; adding zero times a finite weight changes nothing.
        if x[i] != 0:
            _accumulate(x[i], matrix[i * n : (i + 1) * n], out)


@njit(cache=True)
def _rows(obs: Array, positions: Array, weights: Array, shape: Array, activation: int) -> Array:
    rows, market, layers = obs.shape[0], obs.shape[1], len(shape) - 1
    first, widest = shape[1], shape.max()
    shared = np.empty(first, dtype=np.float32)
    a = np.empty(widest, dtype=np.float32)
    b = np.empty(widest, dtype=np.float32)
    out = np.empty((rows, len(positions), shape[layers]), dtype=np.float32)
    bias = (market + 1) * first
    for t in range(rows):
        # The market part is the same for every position, and the position is the last input: sum it once.
        shared[:] = weights[bias : bias + first]
        _layer(obs[t], weights[: market * first], shared)
        for p in range(len(positions)):
            a[:first] = shared
            _accumulate(positions[p], weights[market * first : bias], a[:first])
            at = bias + first
            for k in range(1, layers):
                n_in, n_out = shape[k], shape[k + 1]
                _activate(a[:n_in], activation)
                b[:n_out] = weights[at + n_in * n_out : at + (n_in + 1) * n_out]
                _layer(a[:n_in], weights[at : at + n_in * n_out], b[:n_out])
                at += (n_in + 1) * n_out
                a, b = b, a
            out[t, p] = a[: shape[layers]]
    return out


@njit(cache=True)
def squash(outputs: Array) -> Array:
    """Return (T, P) float64 targets, the hyperbolic tangent of (T, P, 1) outputs, one by one."""
    out = np.empty(outputs.shape[:2])
    for t in range(outputs.shape[0]):
        for p in range(outputs.shape[1]):
            out[t, p] = math.tanh(outputs[t, p, 0])
    return out


@njit(cache=True)
def insert(ordered: Array, n: int, value: float) -> None:
    """Insert a value into the first n, which are ordered, as quantiles nearly are already."""
    k = n
    while k > 0 and ordered[k - 1] > value:
        ordered[k] = ordered[k - 1]
        k -= 1
    ordered[k] = value


@njit(cache=True)
def tail_means(atoms: Array, quantiles: int, worst: int) -> Array:
    """Return (T, P, A) float32, the mean of the `worst` lowest of each action's quantiles.

    Parameters
    ----------
    atoms : (T, P, quantiles * A) float32, quantile-major
    """
    actions = atoms.shape[2] // quantiles
    out = np.empty((atoms.shape[0], atoms.shape[1], actions), dtype=np.float32)
    ordered = np.empty(quantiles)
    for t in range(atoms.shape[0]):
        for p in range(atoms.shape[1]):
            for a in range(actions):
                for i in range(quantiles):
                    insert(ordered, i, atoms[t, p, i * actions + a])
                total = 0.0
                for i in range(worst):
                    total += ordered[i]
                out[t, p, a] = total / worst
    return out


def scores(layers: list[tuple[Array, Array]], activation: str, quantiles: int) -> CompiledNetwork:
    """Return the network of one score per action: a value's quantiles are averaged inside the last layer."""
    if quantiles == 0:
        return pack(layers, activation)
    matrix, bias = layers[-1]
    actions = len(bias) // quantiles
    mean = matrix.astype(np.float64).reshape(quantiles, actions, -1).mean(axis=0)
    mean_bias = bias.astype(np.float64).reshape(quantiles, actions).mean(axis=0)
    return pack([*layers[:-1], (mean.astype(np.float32), mean_bias.astype(np.float32))], activation)
