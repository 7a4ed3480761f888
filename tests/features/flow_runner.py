"""Runs one operator of the registry alone over plain series, through the kernel that runs them all."""

import numpy as np

from mia.features.kernel import BLOCK, walk
from mia.features.operators.table import operators

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
    # Room around every part shows when an operator forgets its offsets or its size.
    params = np.concatenate([np.full(2, np.nan), list(scalars.values()), block, np.full(2, np.nan)])
    state = np.zeros(8 + (operator.state(scalars, len(series)) if operator.state else 0))
    state[:4] = state[-4:] = np.nan
    inputs = np.concatenate([[10**6], np.arange(len(series))])
    width, answer = len(series), np.empty(rows)
    sizes = np.array([rows, width, 1, 1, width + 1])
    starts = np.array([operator.opcode, 1, 4, 2, 0])  # opcode, first input, state and parameter; column's node
    numbers = np.concatenate([[1.0], params])
    scratch = np.zeros(BLOCK * (width + 1))
    walk(sizes, np.concatenate([starts, inputs]), numbers, table.reshape(-1), state, scratch, answer)
    assert np.isnan(state[:4]).all()
    assert np.isnan(state[-4:]).all()
    return answer


def sessions_of(rows, length):
    """cal.session, cal.first for `rows` rows in sessions of `length`."""
    at = np.arange(rows)
    return (at // length).astype(float), (at % length == 0).astype(float)
