"""Runs one operator of the registry alone over plain series, the way the kernel would."""

import numpy as np

from mia.features.operators.registry import operators

ENVIRONMENT = {
    "tick_size": 0.25,
    "multiplier": 50.0,
    "round_step": 25.0,
    "bar_minutes": 1.0,
    "session_minutes": 120.0,
    "n_slots": 120.0,
}


def run_operator(name, *series, fitted=None, **given):
    """(T,) values of operator `name` fed with the series, scalars being repeated."""
    operator = operators()[name]
    rows = max(np.size(column) for column in series)
    table = np.column_stack([np.broadcast_to(np.asarray(column, dtype=float), rows) for column in series])
    scalars = operator.resolve(given, {**ENVIRONMENT, "n_inputs": float(len(series))}, name)
    length = operator.fitted(scalars, len(series)) if operator.fitted else 0
    block = np.full(length, np.nan) if fitted is None else np.asarray(fitted, dtype=float)
    assert len(block) == length
    # Room in front of every part shows at once when an operator forgets its offsets.
    params = np.concatenate([np.full(2, np.nan), list(scalars.values()), block])
    state = np.zeros(3 + (operator.state(scalars, len(series)) if operator.state else 0))
    state[:3] = np.nan
    inputs = np.concatenate([[999], np.arange(len(series))]).astype(np.int64)
    answer = np.array([operator.step(row, inputs, 1, state, 3, params, 2) for row in table])
    assert np.isnan(state[:3]).all()
    return answer


def sessions_of(rows, length):
    """cal.session, cal.first for `rows` rows in sessions of `length`."""
    at = np.arange(rows)
    return (at // length).astype(float), (at % length == 0).astype(float)
