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
