"""What the regime filter reads: scaled features, missing ones as NaN. The desk calls it per row, tasks in batch."""

import numpy as np

Array = np.ndarray


def regime_inputs(features: Array, view: Array, columns: Array) -> Array:
    """Return (..., Fx) columns of the view, NaN where the raw feature is missing.

    In the view itself a missing value is neutral, which a filter would take for evidence; told that it is
    missing, the filter keeps what it predicted.

    Parameters
    ----------
    features : (..., C) raw features, the F published columns first
    view : (..., F) scaled features
    columns : (Fx,) columns to read
    """
    return np.where(np.isfinite(features[..., columns]), view[..., columns], np.nan)
