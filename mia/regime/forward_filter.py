"""The forward filter p(state_t | x_1..x_t) as compiled code: one row at a time, live and in batch.

Smoothed posteriors (what libraries call `predict_proba`) use later rows and must never reach a decision.
"""

import numpy as np
from numba import njit

Array = np.ndarray


@njit("void(f8[::1], f8[::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[::1], f8[::1])", cache=True)
def step_into(belief, x, transmat, means, precisions, log_norms, out):
    """Write the belief after one row into `out` (K,); it may not be the same memory as `belief`.

    Parameters
    ----------
    belief : (K,) probabilities before the row
    x : (F,) inputs of the row; a NaN anywhere leaves the predicted belief
    transmat : (K, K) row-stochastic; means, precisions : (K, F); log_norms : (K,) -0.5 sum(log(2 pi var))
    """
    states = belief.shape[0]
    missing = False
    for f in range(x.shape[0]):
        if np.isnan(x[f]):
            missing = True
    peak = -np.inf
    for k in range(states):
        predicted = 0.0
        for j in range(states):
            predicted += belief[j] * transmat[j, k]
        if missing:
            out[k] = predicted
            continue
        distance = 0.0
        for f in range(x.shape[0]):
            gap = x[f] - means[k, f]
            distance += gap * gap * precisions[k, f]
        # Log space: ten deviations from every state would underflow as densities.
        out[k] = np.log(predicted) + log_norms[k] - 0.5 * distance
        peak = max(peak, out[k])
    if not missing:
        for k in range(states):
            out[k] = np.exp(out[k] - peak)
    total = 0.0
    for k in range(states):
        total += out[k]
    for k in range(states):
        out[k] /= total


@njit("void(f8[::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[:, ::1], f8[::1], f8[:, ::1])", cache=True)
def scan_into(belief, rows, transmat, means, precisions, log_norms, out):
    """Write the beliefs after each of T rows into `out` (T, K): `step_into`, T times."""
    before = belief.copy()
    for t in range(rows.shape[0]):
        step_into(before, rows[t], transmat, means, precisions, log_norms, out[t])
        before[:] = out[t]
