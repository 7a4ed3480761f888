"""Where to cut the future off: a few fixed places let most leaks pass, so at random and wherever something changes."""

from collections.abc import Mapping, Sequence

import numpy as np

Array = np.ndarray


def places(
    ts: Array, values: Array, session: Array, anchors: Sequence[int], count: int, rng: np.random.Generator
) -> dict[str, list[int]]:
    """Cuts by reason; a cut at row c leaves rows 0 .. c - 1.

    Parameters
    ----------
    ts : (T,) close times [ns UTC]
    values : (T, W) base series, for the rows at which one falls silent or speaks again
    session : (T,) session of each row
    anchors : rows at which something was fitted
    count : random cuts

    Returns
    -------
    random, session (at, one before and one after every edge), gap (missing bars, and the middle of every silence of
    a series), fit; each in order, within 2 .. T - 1.
    """
    rows = len(ts)
    if rows < 3:
        return {"random": [], "session": [], "gap": [], "fit": []}
    edges = np.flatnonzero(np.diff(session)) + 1
    step = np.median(np.diff(ts))
    inside = np.diff(session) == 0
    holes = np.flatnonzero((np.diff(ts) > 1.5 * step) & inside) + 1
    near = {int(edge) + k for edge in edges for k in (-1, 0, 1)}
    return {
        "random": _valid(rng.integers(2, rows, count), rows),
        "session": _valid(near, rows),
        "gap": _valid([*holes, *_silences(values)], rows),
        "fit": _valid([row + k for row in anchors for k in (0, 1)], rows),
    }


def merged(found: Mapping[str, Sequence[int]]) -> list[int]:
    """All cuts once, in order."""
    return sorted({row for rows in found.values() for row in rows})


def _valid(rows: Sequence[int] | set[int] | Array, count: int) -> list[int]:
    return sorted({int(row) for row in rows if 2 <= row < count})


def _silences(values: Array, most: int = 400) -> list[int]:
    """Start, middle and end of silences of base series; those shared by many columns once, the longest ones first."""
    missing = np.isnan(values)
    patterns = np.unique(missing, axis=1) if values.shape[1] else missing
    found: dict[tuple[int, int], int] = {}
    for column in patterns.T:
        flags = np.concatenate([[False], column, [False]]).astype(np.int8)
        change = np.flatnonzero(np.diff(flags))
        for begin, end in zip(change[::2], change[1::2], strict=True):
            found[int(begin), int(end)] = int(end - begin)
    longest = sorted(found, key=lambda span: -found[span])[: most // 3]
    return sorted({row for begin, end in longest for row in (begin, (begin + end) // 2, end)})
