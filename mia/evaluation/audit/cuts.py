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
    values : (T, W) series and columns, for the rows at which one falls silent or speaks again
    session : (T,) session of each row
    anchors : rows at which something was fitted
    count : random cuts

    Returns
    -------
    random, session (at, one before and one after every edge), gap (missing bars, and silences of a series), fit; each
    in order, within 2 .. T - 1.
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


def _silences(values: Array, most: int = 150) -> list[int]:
    """Cuts inside and at the end of times without a value: whatever fills one from behind shows there.

    Of every column the first, the longest and two other silences; columns that fall silent together count once.
    """
    found: set[tuple[int, int]] = set()
    for column in np.unique(np.isnan(values), axis=1).T:
        change = np.flatnonzero(np.diff(np.concatenate([[False], column, [False]]).astype(np.int8)))
        spans = list(zip(change[::2].tolist(), change[1::2].tolist(), strict=True))
        if spans:
            longest = max(spans, key=lambda span: span[1] - span[0])
            found |= {spans[0], longest, spans[len(spans) // 3], spans[2 * len(spans) // 3]}
    inner = sorted(span for span in found if span[1] < len(values))
    chosen = np.unique(np.linspace(0, len(inner) - 1, min(most, len(inner))).astype(np.int64)) if inner else []
    return sorted({row for at in chosen for row in (inner[at][1], (sum(inner[at]) + 1) // 2)})
