"""Closed bars as a table: the only form in which market data reaches features, desk and evaluation."""

from dataclasses import dataclass, replace

import numpy as np

from mia.domain.errors import DataError
from mia.domain.series import INDEX, SOURCE_GROUPS, WIDTH

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bars:
    """T closed bars of one market.

    Parameters
    ----------
    market : market name
    bar_minutes : length of a bar [minutes]
    ts : (T,) int64, close time of each bar [ns UTC], strictly increasing
    available_at : (T,) int64, when the row could be known [ns UTC], >= ts
    values : (T, WIDTH) float64, base series in the order of `mia.domain.series.SERIES`

    Raises
    ------
    DataError : if shapes disagree or time does not increase.
    """

    market: str
    bar_minutes: int
    ts: Array
    available_at: Array
    values: Array

    def __post_init__(self) -> None:
        rows = len(self.ts)
        if self.values.shape != (rows, WIDTH) or len(self.available_at) != rows:
            raise DataError(f"bars {self.market}: {rows} stamps but values of shape {self.values.shape}")
        if rows > 1 and not np.all(np.diff(self.ts) > 0):
            raise DataError(f"bars {self.market}: close times must increase strictly; sort and deduplicate first")
        if np.any(self.available_at < self.ts):
            raise DataError(f"bars {self.market}: a row is available before its bar closes")

    def __len__(self) -> int:
        return len(self.ts)

    def column(self, name: str) -> Array:
        """(T,) view of one base series."""
        return self.values[:, INDEX[name]]

    def head(self, rows: int) -> "Bars":
        """The first `rows` bars, as if the rest had not happened yet."""
        return replace(self, ts=self.ts[:rows], available_at=self.available_at[:rows], values=self.values[:rows])

    def sources_present(self) -> tuple[str, ...]:
        """Source groups with at least one value, in the order of `SOURCE_GROUPS`."""
        found = []
        for group, names in SOURCE_GROUPS.items():
            columns = [INDEX[name] for name in names]
            if len(self) and not np.all(np.isnan(self.values[:, columns])):
                found.append(group)
        return tuple(found)
