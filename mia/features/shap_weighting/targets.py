"""What the columns have to explain: scaled forward returns and the barrier a price touches first.

A label near others in time says little new; each is weighted by the share of its span that it has for itself.
"""

from dataclasses import dataclass

import numpy as np

from mia.features.selection_settings import SelectionSettings

Array = np.ndarray

CLASSES = 3
"""Classes of the barrier target: lower barrier first, none, upper barrier first."""

_LIMIT = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """T rows of every target.

    Parameters
    ----------
    labels : (T, N) forward returns, then the barrier's class if asked for; NaN where one is unknown
    weights : (T, N) uniqueness, mean 1 over the labelled rows of each target
    classes : (N,) number of classes of each target, 0 for a number
    """

    labels: Array
    weights: Array
    classes: tuple[int, ...]

    @property
    def known(self) -> Array:
        """Rows (T,) on which every target is known."""
        return np.isfinite(self.labels).all(axis=1)


def targets(close: Array, session: Array, settings: SelectionSettings) -> Targets:
    """Build all targets of a fold from its closes [ticks] and sessions, (T,) each."""
    row = np.arange(len(close))
    labels = list(forward_labels(close, session, settings).T)
    ends = [row + h for h in settings.horizons]
    classes = [0] * len(labels)
    if settings.barrier_bars:
        touched, end = barrier_classes(close, session, settings)
        labels.append(touched)
        ends.append(end)
        classes.append(CLASSES)
    weights = [uniqueness(np.where(np.isfinite(label), end, -1)) for label, end in zip(labels, ends, strict=True)]
    return Targets(np.column_stack(labels), np.column_stack(weights), tuple(classes))


def volatility(close: Array, session: Array, window: int) -> Array:
    """Root mean square (T,) of the last `window` changes inside sessions [ticks], known at t; NaN while short."""
    close = np.asarray(close, np.float64)
    change = np.diff(close, prepend=close[:1])
    change[1:][session[1:] != session[:-1]] = 0.0  # the gap between sessions is not a bar's change
    total = np.cumsum(change**2)
    total[window:] -= total[:-window].copy()
    scale = np.sqrt(total / window)
    scale[:window] = np.nan
    scale[scale < 1e-9] = np.nan
    return scale


def forward_labels(close: Array, session: Array, settings: SelectionSettings) -> Array:
    """Forward returns in units of their expected deviation, (T, horizons); NaN beyond session or fold."""
    close = np.asarray(close, np.float64)
    scale = volatility(close, session, settings.volatility_bars)
    labels = np.full((len(close), len(settings.horizons)), np.nan)
    for i, h in enumerate(settings.horizons):
        if h < len(close):
            inside = session[h:] == session[:-h]
            moved = np.where(inside, close[h:] - close[:-h], np.nan)
            labels[:-h, i] = np.clip(moved / (scale[:-h] * np.sqrt(h)), -_LIMIT, _LIMIT)
    return labels


def barrier_classes(close: Array, session: Array, settings: SelectionSettings) -> tuple[Array, Array]:
    """Class (T,) of the barrier touched first, and the row (T,) at which that is known.

    Barriers stand `barrier_width` expected deviations of `barrier_bars` bars above and below the close; 0 is the
    lower, 2 the upper, 1 neither within `barrier_bars`. NaN if those bars do not all lie in the session: keeping
    the ones that touched early would favour wild rows at the end of sessions.

    Source: Lopez de Prado (2018), Advances in Financial Machine Learning, ch. 3.
    """
    close, bars = np.asarray(close, np.float64), settings.barrier_bars
    rows = len(close)
    classes, ends = np.full(rows, np.nan), np.full(rows, -1)
    if bars >= rows:
        return classes, ends
    distance = settings.barrier_width * volatility(close, session, settings.volatility_bars) * np.sqrt(bars)
    start = np.flatnonzero((session[bars:] == session[:-bars]) & np.isfinite(distance[:-bars]))
    classes[start], ends[start] = 1.0, start + bars
    still = start
    for k in range(1, bars + 1):
        moved = close[still + k] - close[still]
        touched = np.abs(moved) >= distance[still]
        hit = still[touched]
        classes[hit] = np.where(moved[touched] > 0, 2.0, 0.0)
        ends[hit] = hit + k
        still = still[~touched]
    return classes, ends


def uniqueness(ends: Array) -> Array:
    """Average uniqueness (T,) of labels that span the bars (t, ends[t]], mean 1; 0 where ends is -1.

    Source: Lopez de Prado (2018), ch. 4: the mean over a label's bars of 1 / number of labels that use the bar.
    """
    rows = np.flatnonzero(ends >= 0)
    weights = np.zeros(len(ends))
    if len(rows) == 0:
        return weights
    change = np.zeros(len(ends) + 1)
    np.add.at(change, rows + 1, 1.0)
    np.add.at(change, ends[rows] + 1, -1.0)
    used = np.cumsum(change)[: len(ends)]
    share = np.concatenate(([0.0], np.cumsum(np.divide(1.0, used, out=np.zeros(len(used)), where=used > 0))))
    weights[rows] = (share[ends[rows] + 1] - share[rows + 1]) / (ends[rows] - rows)
    return weights / weights[rows].mean()
