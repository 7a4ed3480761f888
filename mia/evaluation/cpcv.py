"""Combinatorial purged cross-validation: many out-of-sample histories of the same rows instead of one.

Walk-forward gives a single history; here every choice of `chosen` of N groups is a test once, and the tests are
put together again to whole paths. Called by task=cpcv, through `cpcv_folds`.
Source: Lopez de Prado (2018), Advances in Financial Machine Learning, sections 7.4 (purging, embargo) and 12.3-12.4.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """One way to keep groups for testing.

    Parameters
    ----------
    groups : numbers of the tested groups
    train : rows to learn from, purged and embargoed
    test : rows of the tested groups
    """

    groups: tuple[int, ...]
    train: Array
    test: Array


def split_count(groups: int, chosen: int) -> int:
    """Return how many splits there are: 45 for 10 groups of which 2 are tested."""
    return comb(groups, chosen)


def path_count(groups: int, chosen: int) -> int:
    """Return how many whole paths the tests make: 9 for 10 groups of which 2 are tested."""
    return comb(groups - 1, chosen - 1)


def group_edges(rows: int, groups: int) -> Array:
    """First row of each of `groups` contiguous groups of nearly equal size, and the end: (groups + 1,)."""
    return np.arange(groups + 1) * rows // groups


def splits(edges: Array, chosen: int, purge: int, embargo: int, head: int = 0) -> Iterator[Split]:
    """Yield every split, tested groups in lexicographic order.

    Parameters
    ----------
    edges : (N + 1,) first row of each group and the end, e.g. of `group_edges` or where sessions begin
    chosen : groups tested at a time, 1 <= chosen < N
    purge : rows a label reaches ahead; training rows whose label overlaps a test label are left out, on both sides
    embargo : further rows left out after each test, whose features still remember it
    head : rows before the first group that are learned from and never tested

    Raises
    ------
    ValueError : if `chosen` or the sizes are impossible, or a split would keep no row to learn from.
    """
    groups = len(edges) - 1
    if not 1 <= chosen < groups:
        raise ValueError(f"tested groups must lie between 1 and {groups - 1}, was {chosen}")
    if min(purge, embargo, head) < 0 or np.any(np.diff(edges) < 1):
        raise ValueError("purge, embargo and head must not be negative, and no group may be empty")
    rows = np.arange(edges[0] - head, edges[-1])
    for tested in combinations(range(groups), chosen):
        test = np.zeros(len(rows), np.bool_)
        barred = np.zeros(len(rows), np.bool_)
        for group in tested:
            begin, end = edges[group] - rows[0], edges[group + 1] - rows[0]
            test[begin:end] = True
            barred[max(begin - purge, 0) : end + purge + embargo] = True
        if barred.all():
            raise ValueError(
                f"testing groups {tested} leaves no row to learn from; lower purge ({purge}) or embargo ({embargo})"
            )
        yield Split(groups=tested, train=rows[~barred], test=rows[test])


def paths(groups: int, chosen: int) -> Array:
    """Say which split supplies each group of each path: (paths, groups) numbers of splits.

    A group is tested in as many splits as there are paths; path p takes its p-th test.
    """
    tested = list(combinations(range(groups), chosen))
    return np.array([[k for k, pick in enumerate(tested) if group in pick] for group in range(groups)]).T


def assemble(edges: Array, chosen: int, outcomes: Sequence[Array]) -> Array:
    """Put the outcomes of all splits together to whole histories.

    Parameters
    ----------
    edges, chosen : as given to `splits`
    outcomes : per split, in its order: (rows tested, ...) one outcome for each row of `Split.test`

    Returns
    -------
    (paths, T, ...) every row of every path decided by a model that had not seen it.
    """
    groups = len(edges) - 1
    tested = list(combinations(range(groups), chosen))
    sizes = np.diff(edges)

    def part(split: int, group: int) -> Array:
        before = sum(sizes[other] for other in tested[split] if other < group)
        return outcomes[split][before : before + sizes[group]]

    return np.stack(
        [np.concatenate([part(split, group) for group, split in enumerate(path)]) for path in paths(groups, chosen)]
    )
