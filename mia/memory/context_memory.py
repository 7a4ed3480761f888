"""The context memory: stored situations, what followed each, and the nearest of them for every new bar.

desk.feature_pipeline advances it, n rows in batch, one live: the same compiled loop. An outcome is asked only
after it has ended and an embargo has passed; it ends after `horizon_bars` or with its session, whichever is first.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from mia.domain.errors import ArtefactMismatch
from mia.domain.series import MEMORY
from mia.memory.context_basis import ContextBasis
from mia.memory.nearest import (
    ADVERSE,
    END,
    FAVOURABLE,
    HOUR,
    LANES,
    OUTCOME,
    REGIME,
    STAMP,
    distances,
    inner,
    nearest,
    rank,
    summarise,
    whiten,
)
from mia.memory.settings import MemorySettings

Array = np.ndarray
State = dict[str, Array]

_MINUTE_NS = 60_000_000_000
_HOUR_NS = 60 * _MINUTE_NS

# What is kept of the last horizon_bars + 1 rows, and in whole numbers.
_CLOSE, _HIGH, _LOW, _ATR, _SCORE = range(5)
_SESSION, _TS, _LIKELIEST, _STORED = range(4)
# Counters.
_ROWS, _OLDEST, _HELD, _KNOWN, _LAST_TS, _ANY, _RANKED, _RANK_AT = range(8)
# Places in an output row that `summarise` leaves open.
_DISTANCE, _NOVELTY, _PAST_SCORE, _REALISED = 3, 4, 9, 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ContextMemory:
    """A basis and its settings; what is remembered lies in a state of its own.

    Parameters
    ----------
    basis : the space contexts are compared in
    settings : what is remembered, for how long, and how the nearest are asked
    """

    basis: ContextBasis
    settings: MemorySettings

    def new_state(self) -> State:
        """Return the state before the first row: arrays of fixed size, whatever follows."""
        return {name: np.full(shape, empty) for name, (shape, empty) in self._layout().items()}

    def _layout(self) -> dict[str, tuple[tuple[int, ...], float | int]]:
        """Shape of each array of a state and what it holds before the first row."""
        s, width = self.settings, len(self.basis.inputs)
        capacity, kept = s.capacity, s.horizon_bars + 1
        return {
            "contexts": ((capacity, width), np.nan),
            "white": ((_lanes(width), capacity), 0.0),
            "facts": ((capacity, 3), np.nan),
            "keys": ((capacity, 4), 0),
            "distances": ((capacity,), np.nan),
            "past_contexts": ((kept, width), np.nan),
            "past": ((kept, 5), np.nan),
            "past_keys": ((kept, 4), 0),
            "counts": ((8,), 0),
        }

    def advance(
        self,
        state: State,
        contexts: Array,
        close: Array,
        high: Array,
        low: Array,
        atr: Array,
        belief: Array,
        session: Array,
        ts: Array,
    ) -> Array:
        """Answer n rows in order, and remember them.

        Parameters
        ----------
        state : from `new_state`, a restart or the call before; changed in place
        contexts : (n, C) float64, the basis' inputs in the scaled view: 0 where a value is missing; a NaN
            gives no answer for the row, and the row is not stored
        close, high, low : (n,) prices of each bar [ticks]
        atr : (n,) true range of a bar [ticks]; the unit of an outcome is atr x sqrt(bars)
        belief : (n, K) filtered regime probabilities
        session : (n,) ordinal of each row's session
        ts : (n,) int64, close times [ns UTC], increasing

        Returns
        -------
        (n, 11) float64 in the order of `series.MEMORY`, outcomes in R of a long position. NaN until
        `min_contexts` outcomes are known (novelty: and `min_distances` past distances; the last two columns:
        one horizon later).

        Raises
        ------
        ArtefactMismatch : if the state or the contexts do not fit the basis and the settings.
        """
        s, basis = self.settings, self.basis
        rows = np.ascontiguousarray(contexts, dtype=np.float64)
        self._check(state, rows)
        out = np.full((len(rows), len(MEMORY)), np.nan)
        _advance(
            rows,
            np.ascontiguousarray(np.column_stack([close, high, low, atr]), dtype=np.float64),
            np.ascontiguousarray(belief, dtype=np.float64),
            np.ascontiguousarray(session, dtype=np.int64),
            np.ascontiguousarray(ts, dtype=np.int64),
            basis.mean,
            basis.directions,
            np.array([s.horizon_bars, s.embargo_bars, s.k, s.per_hour, s.min_contexts, s.min_distances]),
            np.array([s.every_minutes * _MINUTE_NS, s.retention_days * 24 * _HOUR_NS]),
            s.clip,
            state["contexts"],
            state["white"],
            state["facts"],
            state["keys"],
            state["distances"],
            state["past_contexts"],
            state["past"],
            state["past_keys"],
            state["counts"],
            out,
        )
        return out

    def _check(self, state: State, rows: Array) -> None:
        for name, (shape, empty) in self._layout().items():
            kind = np.int64 if isinstance(empty, int) else np.float64
            if name not in state or state[name].shape != shape or state[name].dtype != kind:
                had = state[name].shape if name in state else "none"
                raise ArtefactMismatch(f"memory state: {name} must have the shape {shape}, had {had}; start anew")
        if rows.ndim != 2 or rows.shape[1] != len(self.basis.inputs):
            raise ArtefactMismatch(
                f"memory reads {len(self.basis.inputs)} inputs, was given {rows.shape}; use the basis' inputs"
            )


def rebase(state: State, basis: ContextBasis) -> State:
    """Return a copy of a state whose stored contexts are read in another basis of the same inputs.

    Outcomes do not depend on the basis. Past distances are kept: deviations are their unit in every basis.

    Raises
    ------
    ArtefactMismatch : if the basis has another number of inputs.
    """
    if state["contexts"].shape[1] != len(basis.inputs):
        raise ArtefactMismatch(
            f"memory state holds {state['contexts'].shape[1]} inputs, the basis has {len(basis.inputs)}; "
            "start from a new state"
        )
    copy = {name: array.copy() for name, array in state.items()}
    copy["white"][:] = 0.0
    _whiten_all(copy["contexts"], basis.mean, basis.directions, copy["white"])
    return copy


def _lanes(width: int) -> int:
    return -(-width // LANES) * LANES


@njit(cache=True)
def _whiten_all(contexts, mean, directions, white):
    point = np.zeros(white.shape[0])
    for j in range(contexts.shape[0]):
        if contexts[j, 0] == contexts[j, 0]:
            whiten(contexts[j], mean, directions, point)
            for d in range(point.shape[0]):
                white[d, j] = point[d]


@inner
def _copied(values, to):
    """Copy numbers to the first places of `to`; returns whether none is missing. Loops compile sooner than slices."""
    complete = True
    for c in range(values.shape[0]):
        to[c] = values[c]
        complete = complete and values[c] == values[c]
    return complete


@inner
def _whole(outcome):
    """Whether no part of an outcome is missing."""
    total = outcome[OUTCOME] + outcome[ADVERSE] + outcome[FAVOURABLE]
    return total == total


@inner
def _likeliest(belief):
    """Place of the largest probability, -1 if one is missing."""
    best = 0
    for k in range(belief.shape[0]):
        if belief[k] != belief[k]:
            return -1
        if belief[k] > belief[best]:
            best = k
    return best


@inner
def _outcome(past, past_keys, row, horizon, out):
    """Write outcome, adverse and favourable excursion [R] of what followed `row`; return its bars.

    0 bars: the row was its session's last, and nothing followed within it. NaN if its range is unknown.
    """
    kept = horizon + 1
    start = row % kept
    bars = 0
    high = low = last = past[start, _CLOSE]
    for k in range(1, kept):
        at = (row + k) % kept
        if past_keys[at, _SESSION] != past_keys[start, _SESSION]:
            break
        bars = k
        last = past[at, _CLOSE]
        high = max(high, past[at, _HIGH])
        low = min(low, past[at, _LOW])
    unit = past[start, _ATR] * math.sqrt(bars) if bars > 0 else past[start, _ATR]
    if not unit > 0.0:
        unit = np.nan
    out[OUTCOME] = (last - past[start, _CLOSE]) / unit
    out[ADVERSE] = (past[start, _CLOSE] - low) / unit
    out[FAVOURABLE] = (high - past[start, _CLOSE]) / unit
    return bars


@inner
def _forget(keys, counts, before):
    """Drop contexts stamped at or before a moment, oldest first."""
    while counts[_HELD] > 0 and keys[counts[_OLDEST], STAMP] <= before:
        _drop(keys, counts)


@inner
def _drop(keys, counts):
    counts[_OLDEST] = (counts[_OLDEST] + 1) % keys.shape[0]
    counts[_HELD] -= 1
    counts[_KNOWN] = max(0, counts[_KNOWN] - 1)


@inner
def _keep(context, point, outcome, end, key, contexts, white, facts, keys, counts):
    """Store a context whose outcome has ended."""
    if counts[_HELD] == keys.shape[0]:
        _drop(keys, counts)
    at = (counts[_OLDEST] + counts[_HELD]) % keys.shape[0]
    _copied(context, contexts[at])
    _copied(outcome, facts[at])
    for d in range(point.shape[0]):
        white[d, at] = point[d]
    keys[at, HOUR] = key[_TS] // _HOUR_NS
    keys[at, REGIME] = key[_LIKELIEST]
    keys[at, END] = end
    keys[at, STAMP] = key[_TS]
    counts[_HELD] += 1


@inner
def _ask(point, white, facts, keys, counts, gaps, chosen, square, per_hour, regime, clip, out):
    """Answer one context from what is known."""
    oldest, known, capacity = counts[_OLDEST], counts[_KNOWN], keys.shape[0]
    distances(white, point, oldest, min(oldest + known, capacity), gaps)
    if oldest + known > capacity:
        distances(white, point, 0, oldest + known - capacity, gaps)
    m = nearest(gaps, keys, oldest, known, per_hour, chosen, square)
    summarise(chosen, square, m, facts, keys, regime, clip, out)


@njit(cache=True, error_model="numpy")
def _advance(
    rows,
    prices,
    belief,
    session,
    ts,
    mean,
    directions,
    sizes,
    times,
    clip,
    contexts,
    white,
    facts,
    keys,
    ranked,
    past_contexts,
    past,
    past_keys,
    counts,
    out,
):
    horizon, embargo, k, per_hour, min_contexts, min_distances = sizes
    kept, capacity = horizon + 1, keys.shape[0]
    gaps = np.empty(capacity)
    chosen = np.empty(k, dtype=np.int64)
    square = np.empty(k)
    outcome = np.empty(3)
    point = np.zeros(white.shape[0])
    for t in range(rows.shape[0]):
        row = counts[_ROWS]
        counts[_ROWS] += 1
        at = row % kept
        complete = _copied(rows[t], past_contexts[at])
        _copied(prices[t], past[at])
        past[at, _SCORE] = np.nan
        past_keys[at, _SESSION], past_keys[at, _TS] = session[t], ts[t]
        past_keys[at, _LIKELIEST] = _likeliest(belief[t])
        stored = complete and prices[t, _ATR] > 0.0 and (counts[_ANY] == 0 or ts[t] - counts[_LAST_TS] >= times[0])
        past_keys[at, _STORED] = stored
        if stored:
            counts[_ANY], counts[_LAST_TS] = 1, ts[t]
        _forget(keys, counts, ts[t] - times[1])
        if row >= horizon:
            # What the row one horizon ago led to is known now, and only now.
            then = (row - horizon) % kept
            bars = _outcome(past, past_keys, row - horizon, horizon, outcome)
            if past[then, _SCORE] == past[then, _SCORE]:
                out[t, _PAST_SCORE], out[t, _REALISED] = past[then, _SCORE], outcome[OUTCOME]
            fresh = past_keys[then, _TS] > ts[t] - times[1]
            if past_keys[then, _STORED] == 1 and bars > 0 and fresh and _whole(outcome):
                whiten(past_contexts[then], mean, directions, point)
                _keep(past_contexts[then], point, outcome, row, past_keys[then], contexts, white, facts, keys, counts)
        while counts[_KNOWN] < counts[_HELD] and (
            keys[(counts[_OLDEST] + counts[_KNOWN]) % capacity, END] + embargo <= row
        ):
            counts[_KNOWN] += 1
        if not complete or counts[_KNOWN] < min_contexts:
            continue
        whiten(rows[t], mean, directions, point)
        _ask(point, white, facts, keys, counts, gaps, chosen, square, per_hour, past_keys[at, _LIKELIEST], clip, out[t])
        past[at, _SCORE] = out[t, 0]
        if counts[_RANKED] >= min_distances:
            out[t, _NOVELTY] = rank(ranked, counts[_RANKED], out[t, _DISTANCE])
        if stored:
            # One distance per stored context: sixty near-equal ones an hour would rank time, not novelty.
            ranked[counts[_RANK_AT]] = out[t, _DISTANCE]
            counts[_RANK_AT] = (counts[_RANK_AT] + 1) % capacity
            counts[_RANKED] = min(counts[_RANKED] + 1, capacity)
