"""How far the lists of several folds agree beyond chance: lists that change with every fold were made of noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mia.features.shap_weighting.artefact import Selection

LEAST = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Agreement of the columns that were free to choose.

    Mandatory ones agree by rule and are left out; members held by inertia count as the newcomers they keep out.

    Parameters
    ----------
    pairs : (first, second, Jaccard, Kuncheva) of every pair of folds
    jaccard : mean share of columns common to two lists
    kuncheva : mean agreement beyond chance: 1 equal lists, 0 as by lot
    warning : one line if the lists look like noise, else ""
    """

    pairs: tuple[tuple[int, int, float, float], ...]
    jaccard: float
    kuncheva: float
    warning: str


def agreement(selections: Sequence[Selection]) -> Agreement:
    """Compare every two folds' lists.

    Folds that grow from one beginning share most of their rows, so even noise agrees a little there.

    Source: Kuncheva (2007), A stability index for feature selection; for lists of different length the expected
    overlap is taken of both lengths, which is the same for equal ones.
    """
    pairs = []
    for (i, a), (j, b) in combinations(enumerate(selections), 2):
        one, other = _wished(a), _wished(b)
        pairs.append((i, j, _jaccard(one, other), _kuncheva(one, other, len(_pool(a) | _pool(b)))))
    if not pairs:
        return Agreement(pairs=(), jaccard=1.0, kuncheva=1.0, warning="")
    jaccard, kuncheva = (float(np.mean([pair[k] for pair in pairs])) for k in (2, 3))
    warning = ""
    if kuncheva < LEAST:
        warning = (
            f"the folds' lists agree only {kuncheva:.2f} beyond chance (Jaccard {jaccard:.2f}; below {LEAST} is "
            "noise): the choice itself tells little, compare selection=all and selection=random"
        )
    return Agreement(pairs=tuple(pairs), jaccard=jaccard, kuncheva=kuncheva, warning=warning)


def _wished(selection: Selection) -> set[str]:
    """What this fold alone would have chosen freely."""
    return (set(selection.names) - set(selection.mandatory) - set(selection.held)) | set(selection.held.values())


def _pool(selection: Selection) -> set[str]:
    """Columns that could have been chosen freely."""
    return (set(selection.pi) | set(selection.names)) - set(selection.mandatory)


def _jaccard(one: set[str], other: set[str]) -> float:
    either = one | other
    return len(one & other) / len(either) if either else 1.0


def _kuncheva(one: set[str], other: set[str], pool: int) -> float:
    if not one or not other:
        return 1.0 if one == other else 0.0
    by_lot = len(one) * len(other) / pool
    most = min(len(one), len(other))
    if most - by_lot < 1e-9:
        return 1.0  # one list holds all there is: nothing was left to choose
    return (len(one & other) - by_lot) / (most - by_lot)
