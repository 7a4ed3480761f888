"""Near-copies among the columns: without knowing them, copies share their importance and all look weak."""

from collections.abc import Sequence

import numpy as np

Array = np.ndarray

MOST_ROWS = 2000


def clusters(data: Array, distance: float) -> Array:
    """Cluster number (F,) of each column, from 0: average linkage on 1 - |Spearman|, cut at `distance`.

    Parameters
    ----------
    data : (n, F) rows of the fold, without NaN
    distance : in 1 - |rank correlation|
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform
    from scipy.stats import rankdata

    width = data.shape[1]
    if width < 2:
        return np.zeros(width, np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        related = np.corrcoef(rankdata(data, axis=0), rowvar=False)
    apart = 1.0 - np.abs(np.nan_to_num(related))
    apart = np.clip((apart + apart.T) / 2, 0.0, 1.0)
    np.fill_diagonal(apart, 0.0)
    tree = linkage(squareform(apart, checks=False), method="average")
    return fcluster(tree, distance, criterion="distance") - 1


def named(groups: Array, names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Names of the members of every cluster of two and more."""
    members = (tuple(names[j] for j in np.flatnonzero(groups == g)) for g in range(int(groups.max(initial=-1)) + 1))
    return tuple(group for group in members if len(group) > 1)
