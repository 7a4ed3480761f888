"""The warm-up sweep: a walk that begins later must say the same once a column's declared warm-up is over."""

from collections.abc import Sequence

import numpy as np

from mia.evaluation.audit.finding import CLEAN, WARNING, Finding, Offence

Array = np.ndarray


def settled_after(whole: Array, late: Array, tolerance: float) -> Array:
    """(F,) bars after which a late walk stays within `tolerance` of the whole one; rows + 1 where it never does.

    Parameters
    ----------
    whole, late : (n, F) the same rows, walked from the first bar on and from the first of these on
    tolerance : relative to the larger of the value and the column's mean size
    """
    rows = len(whole)
    with np.errstate(invalid="ignore"):
        known = np.isfinite(whole)
        size = np.where(known, np.abs(whole), 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        near = np.abs(whole - late) <= tolerance * np.maximum(np.abs(whole), size)
    same = near | (np.isnan(whole) & np.isnan(late))
    bad = ~same[::-1]
    return np.where(bad.any(axis=0), rows - bad.argmax(axis=0), 0) + (bad[0] if rows else 0)


def finding(names: Sequence[str], declared: Array, settled: Array, lengths: Sequence[int], shown: int) -> Finding:
    """Warn of columns that need longer than they declare; nothing here is a look at the future.

    Parameters
    ----------
    names : (F,) columns
    declared : (F,) bars of warm-up they claim
    settled : (S, F) bars they needed at each of S late starts, of `settled_after`
    lengths : (S,) rows that were left to settle in
    """
    longest = settled.max(axis=0)
    left = np.asarray(lengths)[:, None]
    never = ((settled > left) & (left > declared)).any(axis=0)
    short = (np.where(settled > left, 0, settled) > declared).any(axis=0) | never
    order = sorted(np.flatnonzero(short), key=lambda f: (not never[f], declared[f] - longest[f]))
    offences = tuple(
        Offence(
            column=names[f],
            detail=f"declares {int(declared[f])} bars, "
            + (f"had not settled after {int(max(lengths))}" if never[f] else f"needs {int(longest[f])}"),
        )
        for f in order
    )
    return Finding(
        area="features",
        check="warm-up sweep",
        verdict=WARNING if offences else CLEAN,
        columns=len(names),
        rows=int(sum(lengths)),
        cuts=len(lengths),
        offences=offences,
        facts={"settled_after": {names[f]: int(longest[f]) for f in range(len(names)) if not never[f]}},
        note=f"{len(names) - len(order)} columns settle within their declared warm-up; {shown} are shown",
    )
