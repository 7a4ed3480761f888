"""Drift: how far the features' last session lies from the fold their scaler was fitted on.

desk.feature_pipeline advances it row by row; the mean population stability index is `model_drift_score`.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from mia.domain import digest
from mia.domain.errors import ArtefactMismatch, DataError

Array = np.ndarray
State = dict[str, Array]

BINS = 10
ROWS = 1380
"""Rows a distribution is taken over: a full session of one-minute bars (catalogue: model_drift_score)."""
EMPTY = 0.5
"""Rows an empty bin counts as: the index has a logarithm, and one row more or less must not decide it."""
_LEAST_ROWS = 100

_ABSENT = 255
_HELD, _AT = range(2)

inner = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DriftReference:
    """Deciles of each column on a training fold, and the share of its rows in each bin.

    Parameters
    ----------
    names : (F,) columns
    edges : (F, 9) float64, upper edges of all bins but the last, rising; inf where equal deciles became one
    shares : (F, 10) float64, share of the fold in each bin; 0 in bins that do not exist
    live : (F,) bool, whether the column varies enough to drift: at least two bins
    rows : rows of the fold
    """

    names: tuple[str, ...]
    edges: Array
    shares: Array
    live: Array
    rows: int

    @classmethod
    def fit(cls, view: Array, names: Sequence[str]) -> "DriftReference":
        """Take the deciles of training rows.

        An edge is a value that occurred, so no bin of the fold is empty; a column that takes few values has
        fewer bins, one that takes a single value, or is missing in half of the rows, none.

        Parameters
        ----------
        view : (T, F) scaled features of training rows, NaN where missing
        names : (F,) their names

        Raises
        ------
        DataError : if there are fewer than 100 rows.
        """
        if view.ndim != 2 or view.shape[1] != len(names):
            raise DataError(f"drift: {len(names)} names need as many columns, had {view.shape}")
        if len(view) < _LEAST_ROWS:
            raise DataError(f"drift: {len(view)} training rows, {_LEAST_ROWS} are needed; give it a longer fold")
        values = view.astype(np.float32)
        edges = np.full((len(names), BINS - 1), np.inf)
        shares = np.zeros((len(names), BINS))
        live = np.zeros(len(names), dtype=bool)
        for f in range(len(names)):
            present = values[np.isfinite(values[:, f]), f].astype(np.float64)
            if 2 * len(present) < len(values):
                continue
            deciles = np.quantile(present, np.arange(1, BINS) / BINS, method="inverted_cdf")
            found = np.unique(deciles[deciles < present.max()])
            edges[f, : len(found)] = found
            counts = np.bincount(np.searchsorted(found, present, side="left"), minlength=BINS)
            shares[f] = counts / len(present)
            live[f] = len(found) > 0
        return cls(names=tuple(names), edges=edges, shares=shares, live=live, rows=len(view))

    @property
    def digest(self) -> str:
        """SHA-256 of its numbers."""
        return digest.of_arrays(self.edges, self.shares, self.live)

    def to_json(self) -> str:
        """Text form; reading it back gives the same bits. Edges that do not exist are null."""
        edges = [[None if math.isinf(edge) else edge for edge in row] for row in self.edges.tolist()]
        body = {
            "names": list(self.names),
            "edges": edges,
            "shares": self.shares.tolist(),
            "live": self.live.tolist(),
            "rows": self.rows,
        }
        return json.dumps(body, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "DriftReference":
        """Read what `to_json` wrote; ArtefactMismatch if it is not a reference."""
        try:
            body = json.loads(text)
            edges = [[math.inf if edge is None else edge for edge in row] for row in body.pop("edges")]
            reference = cls(
                names=tuple(body.pop("names")),
                edges=np.array(edges, dtype=np.float64).reshape(-1, BINS - 1),
                shares=np.array(body.pop("shares"), dtype=np.float64).reshape(-1, BINS),
                live=np.array(body.pop("live"), dtype=bool),
                **body,
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ArtefactMismatch(f"drift reference is not readable ({error}); fit it again") from error
        if not len(reference.names) == len(reference.edges) == len(reference.shares) == len(reference.live):
            raise ArtefactMismatch("drift reference has columns of different number; fit it again")
        return reference


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DriftMonitor:
    """Mean population stability index of the last rows against a reference.

    Parameters
    ----------
    reference : what the columns looked like when the policy was fitted
    rows : rows a distribution is taken over [bars]
    """

    reference: DriftReference
    rows: int = ROWS

    def new_state(self) -> State:
        """Return the state before the first row: arrays of fixed size, whatever follows."""
        width = len(self.reference.names)
        return {
            "rows": np.full((self.rows, width), np.nan, dtype=np.float32),
            "bins": np.full((self.rows, width), _ABSENT, dtype=np.uint8),
            "counts": np.zeros((width, BINS), dtype=np.int64),
            "index": np.full(width, np.nan),
            "at": np.zeros(2, dtype=np.int64),
        }

    def advance(self, state: State, view: Array) -> Array:
        """Return the drift after each of n rows.

        Parameters
        ----------
        state : from `new_state`, a restart or the call before; changed in place
        view : (n, F) scaled features, NaN where missing

        Returns
        -------
        (n,) float64 [PSI], >= 0: mean over the columns that are live in the reference and present in half of
        the window. NaN until `rows` rows were seen, or where no column is left.

        Raises
        ------
        ArtefactMismatch : if the state or the view have other columns than the reference.

        Source: population stability index, sum of (a - e) ln(a / e) over bins with shares a now and e then.
        """
        ref, width = self.reference, len(self.reference.names)
        if view.ndim != 2 or view.shape[1] != width:
            raise ArtefactMismatch(f"drift watches {width} columns, was given {view.shape}; use the fold's columns")
        if state["rows"].shape != (self.rows, width):
            raise ArtefactMismatch(
                f"drift state holds {state['rows'].shape}, {(self.rows, width)} is needed; start from a new state"
            )
        out = np.empty(len(view))
        _advance(
            np.ascontiguousarray(view, dtype=np.float32),
            ref.edges,
            ref.shares,
            _logs(ref.shares, ref.rows),
            ref.live,
            np.log(np.maximum(np.arange(self.rows + 1), EMPTY)),
            state["rows"],
            state["bins"],
            state["counts"],
            state["index"],
            state["at"],
            out,
        )
        return out

    def rebase(self, state: State) -> State:
        """Return a copy of a state of another reference, its rows sorted into the bins of this one.

        Raises
        ------
        ArtefactMismatch : if the columns differ in number, or the window in length.
        """
        fresh = self.new_state()
        if state["rows"].shape != fresh["rows"].shape:
            raise ArtefactMismatch(f"drift state holds {state['rows'].shape}, {fresh['rows'].shape} is needed")
        held, at = int(state["at"][_HELD]), int(state["at"][_AT])
        self.advance(fresh, np.roll(state["rows"], -at, axis=0)[self.rows - held :])
        return fresh


def _logs(shares: Array, rows: int) -> Array:
    """Natural logarithm of shares; an empty bin counts as half a row, as it does in the window."""
    return np.log(np.maximum(shares, EMPTY / rows))


@inner
def _bin(x, edges):
    """First bin whose upper edge is not below x; `_ABSENT` if x is missing."""
    if x != x:
        return _ABSENT
    low, high = 0, edges.shape[0]
    while low < high:
        middle = (low + high) // 2
        if edges[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


@inner
def _index(counts, shares, logs, log_of, window):
    """PSI of one column from the counts of its bins; NaN if less than half of the window is present."""
    n = 0
    for b in range(BINS):
        n += counts[b]
    if 2 * n < window:
        return np.nan
    total = 0.0
    for b in range(BINS):
        if shares[b] > 0.0:
            share = max(float(counts[b]), EMPTY) / n
            total += (share - shares[b]) * (log_of[counts[b]] - log_of[n] - logs[b])
    return total


@njit(cache=True, error_model="numpy")
def _advance(view, edges, shares, logs, live, log_of, rows, bins, counts, index, at, out):
    window, width = bins.shape
    for t in range(view.shape[0]):
        place = at[_AT]
        filled = at[_HELD] == window
        now_full = at[_HELD] + 1 >= window
        total, columns = 0.0, 0
        for f in range(width):
            rows[place, f] = view[t, f]
            if not live[f]:
                continue
            new, old = _bin(view[t, f], edges[f]), bins[place, f]
            changed = not filled or new != old
            if changed:
                if filled and old != _ABSENT:
                    counts[f, old] -= 1
                if new != _ABSENT:
                    counts[f, new] += 1
                bins[place, f] = new
            if not now_full:
                continue
            if changed:
                # Afresh from whole numbers: nothing to drift in the drift.
                index[f] = _index(counts[f], shares[f], logs[f], log_of, window)
            if index[f] == index[f]:
                total += index[f]
                columns += 1
        at[_AT] = (place + 1) % window
        at[_HELD] = min(at[_HELD] + 1, window)
        out[t] = total / columns if columns > 0 else np.nan
