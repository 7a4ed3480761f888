"""Point-in-time join: at each bar the newest of what was known then, unless it is too old.

The same functions serve a whole table and one live bar: a row depends on its own stamp alone.
"""

import numpy as np

Array = np.ndarray

NEVER = np.iinfo(np.int64).min


def in_order(at: Array, available: Array) -> Array:
    """Rows in the order in which they became known, without those that were old news by then.

    A row that becomes known after a row of a later time tells nothing new and is left out; one of the same
    time replaces it from then on, as a correction does.

    Parameters
    ----------
    at : (M,) int64, time a row speaks of [ns UTC]
    available : (M,) int64, when it was known [ns UTC]

    Returns
    -------
    (K,) int64 row numbers, `available` and `at` both not decreasing.
    """
    order = np.lexsort((np.arange(len(at)), at, available))
    newest = np.maximum.accumulate(at[order]) if len(order) else at[order]
    return order[at[order] == newest]


def latest(ts: Array, available: Array, max_age_ns: int) -> Array:
    """(N,) int64 number of the last row known at each stamp, -1 where there is none or it is too old.

    Parameters
    ----------
    ts : (N,) int64 stamps [ns UTC]
    available : (M,) int64, when each row was known, not decreasing [ns UTC]
    max_age_ns : greatest distance from `available` to the stamp, included [ns]
    """
    row = np.searchsorted(available, ts, side="right") - 1
    fresh = row >= 0
    fresh[fresh] = ts[fresh] - available[row[fresh]] <= max_age_ns
    return np.where(fresh, row, -1)


def carry(
    ts: Array, at: Array, rows: Array, max_age_ns: int, *, once: Array | None = None, previous: int = NEVER
) -> Array:
    """Carry rows known at some moments to the bars that follow.

    Parameters
    ----------
    ts : (N,) int64 bar closes, increasing [ns UTC]
    at : (M,) int64, when each row was known, not decreasing [ns UTC]
    rows : (M, K) float64
    max_age_ns : a row is used this long [ns]
    once : (K,) bool, columns that tell what happened since the row before: a bar holds the sum over the rows it
        is the first to know, 0 if there is none; None: no such column
    previous : close of the bar before the first one [ns UTC], for `once` only

    Returns
    -------
    (N, K) float64, NaN where nothing is known or it is too old.
    """
    row = latest(ts, at, max_age_ns)
    out = np.full((len(ts), rows.shape[1]), np.nan)
    out[row >= 0] = rows[row[row >= 0]]
    if once is not None and np.any(once):
        columns = np.flatnonzero(once)
        end = np.searchsorted(at, ts, side="right")
        begin = np.searchsorted(at, np.concatenate([[previous], ts[:-1]])[: len(ts)], side="right")
        fresh = np.flatnonzero(row >= 0)
        out[np.ix_(fresh, columns)] = 0.0
        for bar in fresh[end[fresh] > begin[fresh]]:
            out[bar, columns] = rows[begin[bar] : end[bar], columns].sum(axis=0)
    return out


class Carrier:
    """`carry` over consecutive pieces of bars: remembers what still holds and what is not known yet.

    Parameters
    ----------
    width : K, columns of a row
    max_age_ns, once : as for `carry`
    """

    def __init__(self, width: int, max_age_ns: int, *, once: Array | None = None) -> None:
        self._max_age = max_age_ns
        self._once = once
        self._at = np.zeros(0, np.int64)
        self._rows = np.zeros((0, width))
        self._previous = NEVER

    def advance(self, ts: Array, at: Array, rows: Array) -> Array:
        """Carry rows to the bars that closed since the last call.

        Parameters
        ----------
        ts : (n,) int64 closes [ns UTC]
        at, rows : (m,), (m, K) new rows in the order in which they are known; some may be known only later
        """
        at, rows = np.concatenate([self._at, at]), np.concatenate([self._rows, rows])
        out = carry(ts, at, rows, self._max_age, once=self._once, previous=self._previous)
        if len(ts):
            self._previous = int(ts[-1])
            first = max(int(np.searchsorted(at, ts[-1], side="right")) - 1, 0)
            at, rows = at[first:], rows[first:]
        self._at, self._rows = at.copy(), rows.copy()
        return out

    @property
    def state(self) -> dict[str, Array]:
        """All that a restart needs."""
        return {"at": self._at, "rows": self._rows, "previous": np.array([self._previous], np.int64)}

    @state.setter
    def state(self, state: dict[str, Array]) -> None:
        self._at, self._rows = state["at"], state["rows"]
        self._previous = int(state["previous"][0])
