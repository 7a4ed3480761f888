"""Scheduled economic events as they were known at each moment; read once from the versioned event file."""

import csv
import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from mia.domain.errors import DataError

CODES = {"FOMC": 1, "CPI": 2, "NFP": 3, "ISM_MANUFACTURING": 4, "ISM_SERVICES": 5}
_FILE = Path(__file__).with_name("economic_events.csv")
_NEW_YORK = ZoneInfo("America/New_York")
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Events:
    """E events in order of time.

    Parameters
    ----------
    ts : (E,) int64, time of the event [ns UTC]
    day : (E,) int64, its New York date as yyyymmdd
    code : (E,) int64, value of `CODES`
    importance : (E,) int64, 1-3
    known_from, withdrawn : (E,) int64, visible for known_from <= now < withdrawn [ns UTC]
    first_year, last_year : covered years, both included
    """

    ts: np.ndarray
    day: np.ndarray
    code: np.ndarray
    importance: np.ndarray
    known_from: np.ndarray
    withdrawn: np.ndarray
    first_year: int
    last_year: int

    def visible(self, now: int) -> np.ndarray:
        """(E,) bool: events that stood in the calendar at `now` [ns UTC]."""
        return (self.known_from <= now) & (now < self.withdrawn)

    def epochs(self) -> np.ndarray:
        """Sorted stamps at which the set of visible events changes [ns UTC]."""
        changes = np.unique(np.concatenate([self.known_from, self.withdrawn]))
        return changes[changes != _NEVER]


def _new_york(text: str) -> int:
    """int64 ns UTC of a local New York stamp "YYYY-MM-DDTHH:MM"."""
    local = dt.datetime.fromisoformat(text).replace(tzinfo=_NEW_YORK)
    return int(local.timestamp()) * 1_000_000_000


@lru_cache(maxsize=4)
def load(path: Path = _FILE) -> Events:
    """Read an event file (format in its own header).

    Raises
    ------
    DataError : naming the line that has an unknown name, importance or stamp.
    """
    rows = []
    with path.open(encoding="utf-8") as lines:
        for line in csv.DictReader(row for row in lines if not row.startswith("#")):
            try:
                ts = _new_york(f"{line['date']}T{line['time_et']}")
                known = _new_york(line["known_from"])
                withdrawn = _new_york(line["withdrawn"]) if line["withdrawn"] else _NEVER
                day = int(line["date"].replace("-", ""))
                row = (ts, day, CODES[line["name"]], int(line["importance"]), known, withdrawn)
            except (KeyError, ValueError, TypeError) as error:
                raise DataError(f"event file {path.name}: bad line {line}; correct it ({error})") from error
            if not 1 <= row[3] <= 3 or known > ts:
                raise DataError(
                    f"event file {path.name}: bad importance or known_from in {line['date']} {line['name']}"
                )
            rows.append(row)
    if not rows:
        raise DataError(f"event file {path.name} holds no event")
    table = np.array(sorted(rows), dtype=np.int64)
    ts, day, code, importance, known, withdrawn = (np.ascontiguousarray(c) for c in table.T)
    return Events(
        ts=ts,
        day=day,
        code=code,
        importance=importance,
        known_from=known,
        withdrawn=withdrawn,
        first_year=int(day[0]) // 10_000,
        last_year=int(day[-1]) // 10_000,
    )
