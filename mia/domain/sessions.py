"""The trading sessions of one market over a span of time; made by the calendar room, used by every other."""

from dataclasses import dataclass

import numpy as np

from mia.domain.errors import ConfigurationError

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sessions:
    """S sessions in order, not overlapping.

    Parameters
    ----------
    open_ns, close_ns : (S,) int64, session open and close [ns UTC]
    rth_open_ns, rth_close_ns : (S,) int64, regular hours inside it [ns UTC]
    trade_date : (S,) int64, exchange trade date as yyyymmdd
    full_minutes : length of an ordinary full session [minutes], e.g. 1380 for Globex, 390 for regular hours
    """

    open_ns: Array
    close_ns: Array
    rth_open_ns: Array
    rth_close_ns: Array
    trade_date: Array
    full_minutes: int

    def __post_init__(self) -> None:
        if len(self.open_ns) == 0:
            raise ConfigurationError("the calendar has no session in the requested span; widen the dates")
        if not (np.all(self.open_ns < self.close_ns) and np.all(self.close_ns[:-1] <= self.open_ns[1:])):
            raise ConfigurationError("calendar sessions overlap or are empty; check the calendar's name")

    def __len__(self) -> int:
        return len(self.open_ns)

    def index(self, ts: Array) -> Array:
        """Session holding each bar-close stamp: open < ts <= close; -1 outside every session."""
        at = np.searchsorted(self.open_ns, ts, side="left") - 1
        inside = (at >= 0) & (ts <= self.close_ns[np.maximum(at, 0)])
        return np.where(inside, at, -1)
