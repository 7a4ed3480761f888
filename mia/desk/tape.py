"""The tape: everything env and backtest walk along, row by row; made once per market and fold."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from mia.desk.group_columns import GroupColumns
from mia.domain.bars import Bars
from mia.domain.errors import DataError
from mia.domain.market import Market
from mia.reward.context import CONTEXT

Array = np.ndarray

_DTYPES = {
    "ts": np.int64,
    "open": np.int64,
    "high": np.int64,
    "low": np.int64,
    "close": np.int64,
    "session": np.int64,
    "must_flat": np.bool_,
    "may_enter": np.bool_,
    "obs": np.float32,
    "belief": np.float64,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tape:
    """T decision rows of one market.

    Parameters
    ----------
    market : the contract
    ts : (T,) int64, close time of each bar [ns UTC], strictly increasing
    open, high, low, close : (T,) int64 prices [ticks]
    session : (T,) int64, ordinal of the session each bar belongs to, never decreasing
    must_flat : (T,) bool, the target decided at this row must be 0
    may_enter : (T,) bool, new exposure may be taken at this row
    obs : (T, Dm) float32, market part of the observation, finite
    belief : (T, K) float64, filtered regime probabilities
    groups : which entries of `obs` go when a source is lost, None if nobody asks
    context : (T, C) float64, what rewards may know at each row's close, columns `mia.reward.context.CONTEXT`, NaN
        where unknown; None: all unknown
    seams : rows, ascending, that do not follow the row before them because rows between were left out

    Raises
    ------
    DataError : if shapes or types disagree, time does not increase or a price lies outside its bar.
    """

    market: Market
    ts: Array
    open: Array
    high: Array
    low: Array
    close: Array
    session: Array
    must_flat: Array
    may_enter: Array
    obs: Array
    belief: Array
    groups: GroupColumns | None = None
    context: Array | None = None
    seams: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        rows, name = len(self.ts), self.market.name
        if rows < 1:
            raise DataError(f"tape {name}: has no row; widen the span or lower the warm-up")
        for field, dtype in _DTYPES.items():
            array = getattr(self, field)
            if array.dtype != dtype:
                raise DataError(f"tape {name}: {field} must be {np.dtype(dtype).name}, was {array.dtype.name}")
            if array.ndim != (2 if field in ("obs", "belief") else 1) or len(array) != rows:
                raise DataError(f"tape {name}: {field} has shape {array.shape} but there are {rows} rows")
            if not array.flags.c_contiguous:
                raise DataError(f"tape {name}: {field} must be contiguous in memory; pass a copy")
        if np.any(np.diff(self.ts) <= 0):
            raise DataError(f"tape {name}: close times must increase strictly; sort and deduplicate first")
        if np.any(np.diff(self.session) < 0):
            raise DataError(f"tape {name}: sessions must not go back")
        lowest, highest = np.minimum(self.open, self.close), np.maximum(self.open, self.close)
        if np.any(self.low > lowest) or np.any(self.high < highest):
            row = int(np.argmax((self.low > lowest) | (self.high < highest)))
            raise DataError(f"tape {name}: row {row} opens or closes outside its high and low; repair the source")
        # A sum is finite exactly when no term is NaN or infinite: cheaper than a mask as large as `obs`.
        if not np.isfinite(self.obs.sum(dtype=np.float64)) or not np.isfinite(self.belief.sum()):
            raise DataError(f"tape {name}: obs and belief must be finite; missing values need a neutral value")
        if any(not 0 < seam < rows for seam in self.seams) or np.any(np.diff(self.seams) <= 0):
            raise DataError(f"tape {name}: seams must be rows after the first, ascending, were {self.seams}")
        if self.context is not None:
            self._check_context(self.context)

    def _check_context(self, context: Array) -> None:
        shape, name = (len(self.ts), len(CONTEXT)), self.market.name
        if context.dtype != np.float64 or context.shape != shape:
            raise DataError(f"tape {name}: context must be {shape} float64, was {context.shape} {context.dtype.name}")
        if np.isinf(context).any():
            raise DataError(f"tape {name}: context must not be infinite; what is unknown is NaN")

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def width(self) -> int:
        """Width Dm of the market part of the observation."""
        return int(self.obs.shape[1])

    @property
    def followed(self) -> Array:
        """(T,) bool, whether the next row is the market's next bar: not so before a seam, nor at the last row."""
        followed = np.ones(len(self), dtype=np.bool_)
        followed[[*(seam - 1 for seam in self.seams), len(self) - 1]] = False
        return followed

    def slice(self, start: int, stop: int) -> "Tape":
        """Rows ``start`` to ``stop - 1`` as a tape of their own, sharing memory."""
        if not 0 <= start < stop <= len(self):
            raise DataError(f"tape {self.market.name}: rows {start} to {stop} lie outside its {len(self)} rows")
        return self._part(slice(start, stop), tuple(seam - start for seam in self.seams if start < seam < stop))

    def take(self, rows: Array) -> "Tape":
        """Numbered rows, ascending, as a tape of their own that remembers where rows were left out."""
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) == 0 or rows[0] < 0 or rows[-1] >= len(self) or np.any(np.diff(rows) <= 0):
            raise DataError(f"tape {self.market.name}: rows to take must ascend within its {len(self)} rows")
        apart = (np.diff(rows) > 1) | np.isin(rows[1:], self.seams)
        return self._part(rows, tuple((np.flatnonzero(apart) + 1).tolist()))

    def _part(self, rows: Any, seams: tuple[int, ...]) -> "Tape":
        parts = {field.name: getattr(self, field.name)[rows] for field in fields(self) if field.name in _DTYPES}
        context = None if self.context is None else self.context[rows]
        return replace(self, **parts, context=context, seams=seams)


def ticks(prices: Array, what: str) -> Array:
    """Return prices held in float64 as int64 [ticks]; DataError if one is missing or between ticks."""
    whole = np.rint(prices)
    if not np.array_equal(whole, prices):  # NaN is unequal to itself, so missing prices are found as well
        row = int(np.argmax(whole != prices))
        raise DataError(f"{what}: row {row} holds {prices[row]:g}, not a whole number of ticks; repair the source")
    integers: Array = whole.astype(np.int64)
    return integers


def from_bars(
    market: Market,
    bars: Bars,
    *,
    must_flat: Array,
    may_enter: Array,
    obs: Array,
    belief: Array,
    groups: GroupColumns | None = None,
    context: Array | None = None,
) -> Tape:
    """Return the tape of annotated `bars`; prices become whole ticks, sessions come from ``cal.session``."""
    columns = {
        name: ticks(bars.column(f"bar.{name}"), f"bars {bars.market} {name}")
        for name in ("open", "high", "low", "close")
    }
    return Tape(
        market=market,
        ts=np.ascontiguousarray(bars.ts, dtype=np.int64),
        session=ticks(bars.column("cal.session"), f"bars {bars.market} cal.session"),
        must_flat=np.ascontiguousarray(must_flat, dtype=np.bool_),
        may_enter=np.ascontiguousarray(may_enter, dtype=np.bool_),
        obs=np.ascontiguousarray(obs, dtype=np.float32),
        belief=np.ascontiguousarray(belief, dtype=np.float64),
        groups=groups,
        context=context,
        seams=(),
        **columns,
    )
