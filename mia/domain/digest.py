"""Fingerprints: the same content always has the same SHA-256, on any machine."""

import hashlib
import json
from typing import Any

import numpy as np


def of_json(value: Any) -> str:
    """SHA-256 of a JSON-able value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def of_arrays(*arrays: np.ndarray) -> str:
    """SHA-256 of arrays: dtype, shape and raw little-endian bytes, in order."""
    state = hashlib.sha256()
    for array in arrays:
        data = np.ascontiguousarray(array)
        state.update(f"{data.dtype.str}{data.shape}".encode())
        state.update(data.tobytes())
    return state.hexdigest()


class Running:
    """SHA-256 of columns that arrive in pieces: the same for any way of cutting the same rows.

    Parameters
    ----------
    names : of the columns
    """

    def __init__(self, *names: str) -> None:
        self._states = {name: hashlib.sha256(name.encode()) for name in names}

    def add(self, **arrays: np.ndarray) -> None:
        """Take the next rows of every column."""
        for name, state in self._states.items():
            state.update(np.ascontiguousarray(arrays[name]).tobytes())

    def hexdigest(self) -> str:
        """Return the fingerprint of the rows so far."""
        return of_json([[name, state.hexdigest()] for name, state in self._states.items()])
