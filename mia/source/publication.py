"""A clock time of a day at which something becomes known, e.g. "06:00 America/Chicago next day"."""

import datetime as dt
import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from mia.domain.errors import ConfigurationError

Array = np.ndarray

_FORM = re.compile(r"([01]\d|2[0-3]):([0-5]\d) ([A-Za-z_/+\-0-9]+)(?: (same|next) day)?")
_EPOCH = dt.date(1970, 1, 1).toordinal()
_SATURDAY = 5


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Publication:
    """A clock time in a zone, on the date it belongs to or on the next weekday.

    Parameters
    ----------
    hour, minute : local clock time
    zone : IANA zone
    next_day : True: on the next day from Monday to Friday
    """

    hour: int
    minute: int
    zone: str
    next_day: bool

    @classmethod
    def parse(cls, text: str, option: str) -> "Publication":
        """Read "HH:MM Zone", with "same day" (the default) or "next day" after it.

        Raises
        ------
        ConfigurationError : naming `option` and its value.
        """
        found = _FORM.fullmatch(text.strip())
        if found is None or not _is_zone(found[3]):
            raise ConfigurationError(f"{option} must be written like '06:00 America/Chicago next day', was {text!r}")
        return cls(int(found[1]), int(found[2]), found[3], found[4] == "next")

    def of_day(self, day: int) -> int:
        """Instant [ns UTC] for a date given in days since 1970-01-01."""
        date = dt.date.fromordinal(int(day) + _EPOCH)
        if self.next_day:
            date += dt.timedelta(days=1)
            while date.weekday() >= _SATURDAY:
                date += dt.timedelta(days=1)
        local = dt.datetime(date.year, date.month, date.day, self.hour, self.minute, tzinfo=ZoneInfo(self.zone))
        return int(local.timestamp()) * 1_000_000_000

    def of_days(self, days: Array) -> Array:
        """(N,) int64 instants [ns UTC] for (N,) dates in days since 1970-01-01; each date is worked out once."""
        distinct, where = np.unique(days, return_inverse=True)
        return np.array([self.of_day(day) for day in distinct], dtype=np.int64)[where]

    def day_of(self, ts: Array) -> Array:
        """(N,) int64 local dates of instants, in days since 1970-01-01."""
        import pandas as pd

        local = pd.DatetimeIndex(np.asarray(ts, "datetime64[ns]")).tz_localize("UTC").tz_convert(self.zone)
        return local.tz_localize(None).to_numpy().astype("datetime64[D]").astype(np.int64)
