"""Scheduled economic events as they were known at each moment; read once from the versioned event file, or from one
of the user's own in the same form.
"""

import csv
import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from mia.domain.errors import ConfigurationError, DataError

CODES = {"FOMC": 1, "CPI": 2, "NFP": 3, "ISM_MANUFACTURING": 4, "ISM_SERVICES": 5}
_FILE = Path(__file__).with_name("economic_events.csv")
_NEW_YORK = ZoneInfo("America/New_York")
_NEVER = np.iinfo(np.int64).max
_COLUMNS = ("date", "time_et", "name", "importance", "known_from", "withdrawn", "source")
_VERSION = "# version:"


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
    version : what the file calls itself, "" if it does not
    """

    ts: np.ndarray
    day: np.ndarray
    code: np.ndarray
    importance: np.ndarray
    known_from: np.ndarray
    withdrawn: np.ndarray
    first_year: int
    last_year: int
    version: str

    def visible(self, now: int) -> np.ndarray:
        """(E,) bool: events that stood in the calendar at `now` [ns UTC]."""
        return (self.known_from <= now) & (now < self.withdrawn)

    def epochs(self) -> np.ndarray:
        """Sorted stamps at which the set of visible events changes [ns UTC]."""
        changes = np.unique(np.concatenate([self.known_from, self.withdrawn]))
        return changes[changes != _NEVER]


@lru_cache(maxsize=4)
def load(path: Path = _FILE) -> Events:
    """Read an event file: the project's own, or one with the same columns (described in its header).

    Raises
    ------
    ConfigurationError : if there is no such file.
    DataError : naming the line that is wrong, what is wrong with it and what may stand there.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError:
        raise ConfigurationError(f"event file {path} cannot be read; correct its path") from None
    except UnicodeError:
        raise DataError(f"event file {path.name} is no text in UTF-8; convert it") from None
    version = next((line[len(_VERSION) :].strip() for line in lines if line.startswith(_VERSION)), "")
    told = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if len(told) < 2:
        raise DataError(f"event file {path.name} holds no event")
    header = tuple(name.strip() for name in told[0][1].split(","))
    if header != _COLUMNS:
        raise DataError(f"event file {path.name}: its columns must be {','.join(_COLUMNS)}, were {','.join(header)}")
    rows = [_row(line, f"event file {path.name}, line {number}") for number, line in told[1:]]
    if len({row[:5] for row in rows}) < len(rows):
        double = next(row for row in rows if sum(row[:5] == other[:5] for other in rows) > 1)
        raise DataError(f"event file {path.name} holds an event of {double[1]} twice; drop one of the lines")
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
        version=version,
    )


def _row(line: str, where: str) -> tuple[int, int, int, int, int, int]:
    """Time, day, code, importance, known from and withdrawn of one line."""
    cells = [cell.strip() for cell in next(csv.reader([line]))]
    if len(cells) != len(_COLUMNS):
        raise DataError(
            f"{where}: {len(cells)} cells where {len(_COLUMNS)} are wanted; an empty one needs its comma too"
        )
    date, clock, name, importance, known_text, withdrawn_text, _ = cells
    if name not in CODES:
        raise DataError(f"{where}: event {name!r} is unknown; it must be one of {', '.join(CODES)}")
    if importance not in ("1", "2", "3"):
        raise DataError(f"{where}: importance must be 1, 2 or 3, was {importance!r}")
    ts = _stamp(f"{date}T{clock}", "date and time_et", where)
    known = _stamp(known_text, "known_from", where)
    withdrawn = _stamp(withdrawn_text, "withdrawn", where) if withdrawn_text else _NEVER
    if known > ts:
        raise DataError(
            f"{where}: known_from {known_text} lies after the event; an unscheduled one is known when it comes"
        )
    if withdrawn <= known:
        raise DataError(f"{where}: withdrawn {withdrawn_text} does not lie after known_from {known_text}")
    return ts, int(date.replace("-", "")), CODES[name], int(importance), known, withdrawn


def _stamp(text: str, column: str, where: str) -> int:
    """int64 ns UTC of a local New York stamp like 2025-01-31T08:30."""
    try:
        local = dt.datetime.strptime(text, "%Y-%m-%dT%H:%M").replace(tzinfo=_NEW_YORK)
    except ValueError:
        raise DataError(f"{where}: {column} must be written like 2025-01-31T08:30, was {text!r}") from None
    return int(local.timestamp()) * 1_000_000_000
