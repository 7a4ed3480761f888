"""The delay test: an honest forecast loses little when it comes one bar late, a look at the future loses all."""

from collections.abc import Sequence

import numpy as np

from mia.evaluation.audit.finding import Finding, Offence, judged

Array = np.ndarray


def next_return(open_: Array, close: Array, session: Array) -> Array:
    """(T,) log return of the next bar from its open to its close; NaN where it belongs to another session."""
    out = np.full(len(close), np.nan)
    inside = (session[1:] == session[:-1]) & (open_[1:] > 0) & (close[1:] > 0)
    out[:-1][inside] = np.log(close[1:][inside] / open_[1:][inside])
    return out


def ranks(values: Array) -> Array:
    """(n,) ranks from 0 on, ties at their mean."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    end = np.cumsum(count)
    return (end - 0.5 * (count + 1))[group]


def rank_correlation(one: Array, other: Array, least: int) -> float:
    """Spearman correlation over rows at which both are there; NaN with fewer than `least`, or no variation."""
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < max(least, 3):
        return float("nan")
    x, y = ranks(one[both]), ranks(other[both])
    x, y = x - x.mean(), y - y.mean()
    size = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / size) if size > 0 else float("nan")


def correlations(table: Array, target: Array, least: int) -> Array:
    """(F, 2) rank correlation of every column of (T, F) with the next bar's return: in time, and one bar late."""
    out = np.full((table.shape[1], 2), np.nan)
    for column in range(table.shape[1]):
        values = table[:, column]
        out[column] = (
            rank_correlation(values, target, least),
            rank_correlation(values[:-1], target[1:], least),
        )
    return out


def finding(
    names: Sequence[str], table: Array, target: Array, *, least_ic: float, least_t: float, kept: float, least_rows: int
) -> Finding:
    """Call columns leaks that know the next bar well and have forgotten it one bar later.

    Parameters
    ----------
    names : (F,) of the columns of `table` (T, F)
    target : (T,) of `next_return`
    least_ic, least_t : rank correlation, and its t, from which a column is suspected
    kept : share of the correlation that a bar's delay must leave
    least_rows : pairs needed
    """
    found = correlations(table, target, least_rows)
    pairs = np.array([(np.isfinite(table[:, f]) & np.isfinite(target)).sum() for f in range(len(names))])
    t = np.abs(found[:, 0]) * np.sqrt(np.maximum(pairs, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        # A delayed correlation of the other sign has kept nothing.
        left = np.clip(found[:, 1] / found[:, 0], 0.0, None)
    suspect = (np.abs(found[:, 0]) >= least_ic) & (t >= least_t) & (left < kept)
    order = sorted(np.flatnonzero(suspect), key=lambda f: -abs(found[f, 0]))
    offences = [
        Offence(column=names[f], detail=f"IC {found[f, 0]:+.3f} in time, {found[f, 1]:+.3f} one bar late")
        for f in order
    ]
    both = np.isfinite(found).all(axis=1)
    known = np.flatnonzero(np.isfinite(found[:, 0]))
    largest = sorted(known, key=lambda f: -abs(found[f, 0]))
    return judged(
        "features",
        "delay by one bar",
        offences,
        columns=len(known),
        rows=int(pairs.max(initial=0)),
        note=f"largest IC {found[largest[0], 0]:+.3f} ({names[largest[0]]})" if largest else "nothing varies",
        facts={"ic": {names[f]: [round(float(v), 6) for v in found[f]] for f in largest if both[f]}},
    )
