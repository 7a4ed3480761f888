"""Option chains from files: quotes become snapshots on a grid of time; called by the ingest task.

A snapshot holds the quotes that stood at its moment and the open interest published before it, never the
day's own end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mia.domain.bars import Bars
from mia.domain.chain import CALL, PUT, Chain
from mia.domain.errors import DataError
from mia.domain.market import Market
from mia.source.joined_settings import ChainSettings
from mia.source.joined_table import JoinedTable, tables
from mia.source.publication import Publication
from mia.source.quality import stamp

Array = np.ndarray

MINUTE_NS = 60_000_000_000
DAY_NS = 1440 * MINUTE_NS
_WHERE = "source.chain"
_MORNING = "09:30 America/New_York"
_CALLS, _PUTS = frozenset({"c", "call", "1", "+1"}), frozenset({"p", "put", "-1"})
_NEVER = np.iinfo(np.int64).min // 2
_QUOTED = ("bid", "ask", "volume", "forward")


class ChainFiles:
    """Reads option quotes of anybody's making.

    Parameters
    ----------
    settings : what the files hold
    market : the market that is traded; its bars give each snapshot the price it is compared with
    root : folder that a relative path starts from
    """

    def __init__(self, settings: ChainSettings, market: Market, root: Path) -> None:
        self._settings = settings
        self._market = market
        self._root = root
        self._options = _Options()
        self._book, self._interest = _Book(self._options), _Interest(self._options)
        self._moments = self._read_on()
        self._due: int | None = None
        self._bar_ts, self._bar_close = _NEVER, float("nan")

    def snapshots(self, bars: Bars) -> Iterator[Chain]:
        """Snapshots until the last of these bars, in order of time; take them all, then call with the bars that follow.

        Moments at which the market itself has no price young enough, or no option a quote, are left out. A
        snapshot depends on rows up to its moment alone, never on how the bars are cut. One file is in memory at
        once.

        Parameters
        ----------
        bars : closed bars of the market, after those of the call before

        Raises
        ------
        ConfigurationError, DataError : one line naming the setting or row, what is wrong and the remedy.
        """
        if not len(bars):
            return
        ts = np.concatenate([[self._bar_ts], bars.ts])
        close = np.concatenate([[self._bar_close], bars.column("bar.close")])
        if self._due is None:
            self._due = next(self._moments, None)
        while self._due is not None and self._due <= ts[-1]:
            row = int(np.searchsorted(ts, self._due, side="right")) - 1
            if row >= 0 and self._due - ts[row] <= self._settings.reference_max_age_minutes * MINUTE_NS:
                chain = self._chain(self._due, float(close[row]) * self._market.tick_size)
                if chain is not None:
                    yield chain
            self._due = next(self._moments, None)
        self._bar_ts, self._bar_close = int(ts[-1]), float(close[-1])

    def _read_on(self) -> Iterator[int]:
        """Bring the book up to each moment of the grid that has new rows."""
        s, last = self._settings, -1
        if s.open_interest_path is not None:
            for table in tables(s.open_interest_path, s.filters, self._root, f"{_WHERE}.open_interest_path"):
                self._interest.add(table, _read(table, s, quotes=False), s)
        for table in tables(s.path, s.filters, self._root, _WHERE):
            rows = _read(table, s)
            if rows.taken[0] < last:
                raise DataError(
                    f"{table.file.name} begins before {stamp(last)}, the end of the file before it; "
                    "name the files of source.chain.path in order of time"
                )
            last = int(rows.taken[-1])
            if s.open_interest is not None and s.open_interest_path is None:
                self._interest.add(table, rows, s)
            slots = self._options.slots(rows)
            for moment, first, end in _cells(rows.taken, s.every_minutes * MINUTE_NS):
                self._book.update(slots[first:end], rows, slice(first, end))
                yield moment

    def _chain(self, moment: int, reference: float) -> Chain | None:
        s, book = self._settings, self._book
        standing = book.standing(moment, s.quote_max_age_minutes * MINUTE_NS)
        if not len(standing) or reference != reference:
            return None
        counts, counted_at = self._interest.at(moment, (s.open_interest_max_age_days or 0) * DAY_NS, standing)
        return Chain(
            ts=moment,
            available_at=moment + s.delay_minutes * MINUTE_NS,
            reference=reference,
            multiplier=s.multiplier,
            rate=s.rate,
            expiry=self._options.expiry[standing],
            strike=self._options.strike[standing],
            right=self._options.right[standing],
            forward=book.quoted["forward"][standing],
            bid=book.quoted["bid"][standing],
            ask=book.quoted["ask"][standing],
            open_interest=counts,
            open_interest_at=counted_at,
            volume=book.quoted["volume"][standing],
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """N rows of one file in order of time: when taken, which option, what was quoted."""

    taken: Array
    stamped: Array
    expiry: Array
    strike: Array
    right: Array
    quoted: dict[str, Array]
    order: Array


def _read(table: JoinedTable, s: ChainSettings, *, quotes: bool = True) -> _Rows:
    stamped = table.stamps(s.time, s.timezone, "time")
    order = np.argsort(stamped, kind="stable")
    strike = table.numbers(s.strike or "strike", "strike")
    wrong = ~(strike > 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{table.file.name}: strike {strike[row]:g} in row {row + 1} is not positive; correct the row")
    quoted = {name: np.full(len(table), np.nan) for name in _QUOTED}
    if quotes:
        for name in _QUOTED:
            column = getattr(s, name) or (name if name in ("bid", "ask") else None)
            if column is not None:
                quoted[name] = _not_negative(table, column, name)
    return _Rows(
        taken=stamped[order] + s.minutes * MINUTE_NS,
        stamped=stamped[order],
        expiry=_expiries(table, s)[order],
        strike=strike[order],
        right=_rights(table, s.right or "right")[order],
        quoted={name: column[order] for name, column in quoted.items()},
        order=order,
    )


def _not_negative(table: JoinedTable, column: str, option: str) -> Array:
    values = table.numbers(column, option)
    if np.any(values < 0):
        row = int(np.argmax(values < 0))
        raise DataError(f"{table.file.name}: {option} {values[row]:g} in row {row + 1} is negative; correct the row")
    return values


def _expiries(table: JoinedTable, s: ChainSettings) -> Array:
    """(N,) int64 settlement instants [ns UTC]; a date settles at `settles`, or in the morning for some classes."""
    column = s.expiry or "expiry"
    days, whole = table.days(column, "expiry")
    if not whole.any():
        return table.stamps(column, s.timezone, "expiry")
    if not whole.all():
        row = int(np.argmin(whole))
        raise DataError(f"{table.file.name}: expiry is a date in some rows and has a time in row {row + 1}; mend it")
    out = Publication.parse(s.settles, f"{_WHERE}.settles").of_days(days)
    if s.am_settled and s.root:
        early = np.isin(np.array(table.texts(s.root, "root")), s.am_settled)
        out[early] = Publication.parse(_MORNING, _WHERE).of_days(days[early])
    return out


def _rights(table: JoinedTable, column: str) -> Array:
    words = [word.lower().removesuffix(".0") for word in table.texts(column, "right")]
    known = {**dict.fromkeys(_CALLS, CALL), **dict.fromkeys(_PUTS, PUT)}
    try:
        return np.array([known[word] for word in words], dtype=np.int64)
    except KeyError:
        row = next(k for k, word in enumerate(words) if word not in known)
        raise DataError(
            f"{table.file.name}: right {words[row]!r} in row {row + 1} is neither call nor put; write C or P"
        ) from None


def _cells(taken: Array, every: int) -> Iterator[tuple[int, int, int]]:
    """Moments of snapshots with the rows that are new then: the end of each cell of the grid that has rows."""
    moments = taken if every == 0 else -(-taken // every) * every
    starts = np.flatnonzero(np.concatenate([[True], np.diff(moments) > 0]))
    for first, end in zip(starts, [*starts[1:], len(taken)], strict=True):
        yield int(moments[first]), int(first), int(end)


class _Options:
    """Every option seen so far, each with a number of its own."""

    def __init__(self) -> None:
        self._number: dict[tuple[int, float, int], int] = {}
        self.expiry = np.zeros(0, np.int64)
        self.strike = np.zeros(0)
        self.right = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.expiry)

    def slots(self, rows: _Rows) -> Array:
        """(N,) int64 number of each row's option; new options get the next ones."""
        table = pd.DataFrame({"expiry": rows.expiry, "strike": rows.strike, "right": rows.right})
        grouped = table.groupby(["expiry", "strike", "right"], sort=True)
        distinct = [(int(e), float(k), int(r)) for e, k, r in grouped.size().index]
        fresh = [key for key in distinct if key not in self._number]
        if fresh:
            self._number.update({key: len(self) + k for k, key in enumerate(fresh)})
            expiry, strike, right = zip(*fresh, strict=True)
            self.expiry = np.append(self.expiry, np.array(expiry, np.int64))
            self.strike = np.append(self.strike, strike)
            self.right = np.append(self.right, np.array(right, np.int64))
        return np.array([self._number[key] for key in distinct], dtype=np.int64)[grouped.ngroup().to_numpy()]


class _Book:
    """The last quote of every option."""

    def __init__(self, options: _Options) -> None:
        self.options = options
        self._taken = np.zeros(0, np.int64)
        self.quoted = {name: np.zeros(0) for name in _QUOTED}

    def update(self, slots: Array, rows: _Rows, span: slice) -> None:
        """Take over rows in order: of several for one option the last stands."""
        more = len(self.options) - len(self._taken)
        self._taken = np.append(self._taken, np.full(more, _NEVER))
        self.quoted = {name: np.append(old, np.full(more, np.nan)) for name, old in self.quoted.items()}
        option, last = np.unique(slots[::-1], return_index=True)
        at = span.stop - 1 - last
        self._taken[option] = rows.taken[at]
        for name, column in rows.quoted.items():
            self.quoted[name][option] = column[at]

    def standing(self, moment: int, max_age: int) -> Array:
        """Options that live and whose quote is young enough, by expiry, strike, call before put."""
        o, count = self.options, len(self._taken)
        found = np.flatnonzero((o.expiry[:count] > moment) & (moment - self._taken <= max_age))
        return found[np.lexsort((-o.right[found], o.strike[found], o.expiry[found]))]


class _Interest:
    """Open interest as published: for each publication the options it counts, sorted, and their counts."""

    def __init__(self, options: _Options) -> None:
        self._options = options
        self._published: list[int] = []
        self._tables: list[tuple[Array, Array]] = []

    def at(self, moment: int, max_age: int, options: Array) -> tuple[Array, int]:
        """(K,) counts by the last publication until `moment`, and when that was; NaN if unknown or too old."""
        counts = np.full(len(options), np.nan)
        last = int(np.searchsorted(self._published, moment, side="right")) - 1
        if last < 0 or moment - self._published[last] > max_age:
            return counts, moment
        slots, values = self._tables[last]
        where = np.minimum(np.searchsorted(slots, options), len(slots) - 1)
        found = slots[where] == options
        counts[found] = values[where[found]]
        return counts, self._published[last]

    def add(self, table: JoinedTable, rows: _Rows, s: ChainSettings) -> None:
        """Collect one file's open interest, publication by publication.

        Raises
        ------
        DataError : if rows are said to repeat the morning's numbers but change during a day.
        """
        known = Publication.parse(str(s.open_interest_published), f"{_WHERE}.open_interest_published")
        counts = _not_negative(table, str(s.open_interest), "open_interest")[rows.order]
        slots = self._options.slots(rows)
        given = np.isfinite(counts)
        published = known.of_days(known.day_of(rows.stamped))
        for moment in np.unique(published[given]):
            of_day = np.flatnonzero(given & (published == moment))
            if not known.next_day:
                self._refuse_changes(table, rows.stamped[of_day], slots[of_day], counts[of_day])
            option, last = np.unique(slots[of_day][::-1], return_index=True)
            self._store(int(moment), option, counts[of_day][::-1][last])

    def _refuse_changes(self, table: JoinedTable, stamped: Array, slots: Array, counts: Array) -> None:
        order = np.argsort(slots, kind="stable")
        changed = (np.diff(slots[order]) == 0) & (np.diff(counts[order]) != 0)
        if changed.any():
            row = order[1:][np.argmax(changed)]
            raise DataError(
                f"{table.file.name}: open interest of strike {self._options.strike[slots[row]]:g} changes within a "
                f"day, at {stamp(stamped[row])}, but it is published once a day; if rows hold the day's own end, "
                "declare source.chain.open_interest_published as next day"
            )

    def _store(self, moment: int, option: Array, counts: Array) -> None:
        if self._published and moment < self._published[-1]:
            raise DataError(
                f"{_WHERE}: open interest runs back in time at {stamp(moment)}; name its files in order of time"
            )
        if self._published and moment == self._published[-1]:
            old_option, old_counts = self._tables.pop()
            self._published.pop()
            kept = ~np.isin(old_option, option)
            option = np.append(old_option[kept], option)
            counts = np.append(old_counts[kept], counts)
            order = np.argsort(option)
            option, counts = option[order], counts[order]
        self._published.append(moment)
        self._tables.append((option, counts))
