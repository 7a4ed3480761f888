"""Which rows of a fold are fitted on and which judge: purged blocks of sessions, resampled as whole sessions."""

import numpy as np

from mia.features.selection_settings import SelectionSettings

Array = np.ndarray


def purge_gap(settings: SelectionSettings) -> int:
    """Bars kept free on both sides of a validation block: the longest label, then the embargo."""
    return max(*settings.horizons, settings.barrier_bars) + settings.embargo_bars


def purged_splits(session: Array, settings: SelectionSettings) -> list[tuple[Array, Array]]:
    """Rows to fit on and rows to judge on, once per block of consecutive sessions.

    Parameters
    ----------
    session : (T,) session of each row of the fold, never decreasing
    settings : `splits` blocks, and the gap around each (see `purge_gap`)
    """
    gap = purge_gap(settings)
    out = []
    for block in np.array_split(np.unique(session), settings.splits):
        valid = np.flatnonzero((session >= block[0]) & (session <= block[-1]))
        before, after = np.arange(max(valid[0] - gap, 0)), np.arange(valid[-1] + 1 + gap, len(session))
        out.append((np.concatenate([before, after]), valid))
    return out


def resampled(rows: Array, session: Array, most: int, rng: np.random.Generator) -> Array:
    """Positions in `rows` of whole sessions drawn with replacement, in time order, thinned evenly to `most`."""
    days, first = np.unique(session[rows], return_index=True)
    pieces = np.split(np.arange(len(rows)), first[1:])
    drawn = np.sort(rng.choice(len(days), len(days)))
    return thinned(np.concatenate([pieces[day] for day in drawn]), most)


def thinned(rows: Array, most: int) -> Array:
    """At most `most` of the rows, evenly spread."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
