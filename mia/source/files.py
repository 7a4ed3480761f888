"""Bars or ticks from files: the source for people who bring their own data; called by the ingest task.

Only what the files hold is used: a series without a column stays missing, nothing is filled in.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mia.domain.bars import Bars
from mia.domain.errors import ConfigurationError, DataError
from mia.domain.market import Market
from mia.domain.series import DEPTH, INDEX
from mia.domain.sessions import Sessions
from mia.source.quality import Finding, QualityReport, finding, inspect_bars, stamp
from mia.source.rows import CleanRows
from mia.source.settings import FilesSettings

Array = np.ndarray

MINUTE_NS = 60_000_000_000
CHUNK_ROWS = 20_000
OHLC = ("open", "high", "low", "close")
STRAY_SHARE = 0.01  # bars off the grid beyond this share mean a wrong declaration, below it bad rows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Made:
    """T closed bars: the columns that are checked, and a way to get rows of all base series."""

    bar_minutes: int
    ts: Array
    prices: Array
    volume: Array
    rolled: Array
    values: Callable[[slice], Array]
    found: list[Finding]
    measures: dict[str, Any]


class FilesSource:
    """Reads the files of one market into closed bars.

    Parameters
    ----------
    market : tick size and roll months
    settings : what the files hold and how they are labelled
    root : folder that a relative `settings.path` starts from

    Notes
    -----
    Files are read once, at the first call; `table` leaves what it found in `quality`.
    """

    def __init__(self, market: Market, settings: FilesSettings, root: Path) -> None:
        self._market = market
        self._settings = settings
        self._root = root
        self._rows: CleanRows | None = None
        self.quality = QualityReport(findings=(), measures={})

    def span(self) -> tuple[dt.date, dt.date]:
        """First and last UTC date of the rows, inside the wanted dates.

        Raises
        ------
        ConfigurationError : if the wanted dates hold nothing.
        """
        ts = self._read().ts
        first, last = (dt.datetime.fromtimestamp(int(t) // 1_000_000_000, dt.UTC).date() for t in ts[[0, -1]])
        start, end = self._settings.start, self._settings.end
        low = max(first, dt.date.fromisoformat(start)) if start else first
        high = min(last, dt.date.fromisoformat(end)) if end else last
        if low > high:
            raise ConfigurationError(
                f"source.start {start} and source.end {end} leave nothing: the files run from {first} to {last}"
            )
        return low, high

    def table(self, sessions: Sessions) -> Bars:
        """Closed bars of the files inside `sessions`, available at their close; errors as in `chunks`."""
        pieces = list(self.chunks(sessions))
        return replace(
            pieces[0],
            ts=np.concatenate([piece.ts for piece in pieces]),
            available_at=np.concatenate([piece.available_at for piece in pieces]),
            values=np.concatenate([piece.values for piece in pieces]),
        )

    def chunks(self, sessions: Sessions, rows: int = CHUNK_ROWS) -> Iterator[Bars]:
        """Closed bars of the files inside `sessions` in pieces of at most `rows`, available at their close.

        Only the columns the files hold are kept whole; rows of all base series exist one piece at a time. The
        checks are over before the first piece comes.

        Raises
        ------
        DataError : if nothing is left, stamps contradict the declaration, or a limit is passed.
        """
        clean = self._read()
        make = self._from_ticks if self._settings.content == "ticks" else self._from_bars
        made = make(clean, sessions)
        more, figures = inspect_bars(
            made.ts, made.prices, made.volume, made.bar_minutes, sessions, self._market, made.rolled
        )
        self.quality = QualityReport(
            findings=(*clean.findings, *made.found, *more), measures={**clean.measures, **made.measures, **figures}
        )
        self._judge()
        return self._pieces(made, rows)

    def _pieces(self, made: "_Made", rows: int) -> Iterator[Bars]:
        for start in range(0, len(made.ts), rows):
            span = slice(start, start + rows)
            yield Bars(
                market=self._market.name,
                bar_minutes=made.bar_minutes,
                ts=made.ts[span],
                available_at=made.ts[span],
                values=made.values(span),
            )

    def _read(self) -> CleanRows:
        if self._rows is None:
            self._rows = CleanRows(self._market, self._settings, self._root)
        return self._rows

    def _judge(self) -> None:
        s = self._settings
        failures = self.quality.failures(
            {
                "bad rows": s.max_bad_rows,
                "duplicates": s.max_duplicates,
                "outliers": s.max_outliers,
                "missing sessions": s.max_missing_sessions,
                "longest gap [minutes]": s.max_gap_minutes,
            }
        )
        if failures and s.on_quality == "fail":
            raise DataError(
                f"{s.path}: {'; '.join(failures)}; mend the file, raise the limit or use source.on_quality=warn"
            )

    def _wanted(self, sessions: Sessions, at: Array) -> Array:
        """Rows whose session exists and lies inside the wanted trade dates."""
        date = sessions.trade_date[np.maximum(at, 0)]
        wanted = at >= 0
        if self._settings.start is not None:
            wanted &= date >= int(self._settings.start.replace("-", ""))
        if self._settings.end is not None:
            wanted &= date <= int(self._settings.end.replace("-", ""))
        if not wanted.any():
            raise DataError(
                f"all {len(at)} rows of {self._settings.path} lie outside the sessions; "
                "check source.timezone, source.hours, source.calendar, source.start and source.end"
            )
        return wanted

    def _from_bars(self, rows: CleanRows, sessions: Sessions) -> "_Made":
        minutes = bar_length(rows.ts, self._settings)
        close = rows.ts
        if self._settings.content == "bars":
            check_label(rows.ts, str(self._settings.label), sessions)
            close = rows.ts + (minutes * MINUTE_NS if self._settings.label == "open" else 0)
        at = sessions.index(close)
        wanted = self._wanted(sessions, at)
        step = minutes * MINUTE_NS
        off = (at >= 0) & ((close - sessions.open_ns[at]) % step != 0) & (close != sessions.close_ns[at])
        if off.sum() > STRAY_SHARE * (at >= 0).sum():
            raise DataError(
                f"{off.sum()} of {len(close)} bars lie off the {minutes}-minute grid of the sessions, first "
                f"closing {stamp(close[off][0])}; "
                "check source.timezone, source.bar_minutes, source.calendar and source.label"
            )
        keep = np.flatnonzero(wanted & ~off)
        return _Made(
            bar_minutes=minutes,
            ts=close[keep],
            prices=np.column_stack([rows.series(f"bar.{name}")[keep] for name in OHLC]),
            volume=rows.series("bar.volume")[keep],
            rolled=rows.rolled[keep],
            values=lambda span: rows.base_series(keep[span]),
            found=[
                finding("outside sessions", at < 0, close, "info"),
                finding("off the grid", off, close, "warning"),
            ],
            measures={},
        )

    def _from_ticks(self, rows: CleanRows, sessions: Sessions) -> "_Made":
        from mia.source.bars import BarFolder

        at = np.searchsorted(sessions.open_ns, rows.ts, side="right") - 1
        at = np.where((at >= 0) & (rows.ts < sessions.close_ns[at]), at, -1)
        wanted = self._wanted(sessions, at)
        minutes = int(self._settings.bar_minutes or 1)
        folder = BarFolder(sessions, minutes)
        parts = []
        for session in np.unique(at[wanted]):
            first, last = np.searchsorted(at[wanted], [session, session + 1])
            kept = np.flatnonzero(wanted)
            opened = int(sessions.open_ns[session])
            span = slice(int(kept[first]), int(kept[last - 1]) + 1)
            parts.append(folder.fold(rows.events(span, opened)))
        step = minutes * MINUTE_NS
        final = opened + ((int(rows.ts[wanted][-1]) - opened) // step + 1) * step
        parts.append(folder.finish(final))
        values, ts = (np.concatenate(p) for p in zip(*parts, strict=True))
        if not len(ts):
            raise DataError(f"{self._settings.path} holds no trade inside the sessions; no bar can be made of quotes")
        measures: dict[str, Any] = dict(folder.counts())
        measures.update(self._forget(values, rows))
        return _Made(
            bar_minutes=minutes,
            ts=ts,
            prices=values[:, [INDEX[f"bar.{name}"] for name in OHLC]],
            volume=values[:, INDEX["bar.volume"]],
            rolled=np.isin(ts, rows.ts[rows.rolled] - (rows.ts[rows.rolled] - opened) % step + step),
            values=lambda span: values[span],
            found=[finding("outside sessions", at < 0, rows.ts, "info")],
            measures=measures,
        )

    def _forget(self, values: Array, rows: CleanRows) -> dict[str, Any]:
        """Blank the series that these files are too coarse to tell."""
        columns = self._settings.columns
        blank: set[str] = set()
        if np.all(rows.ts % 1_000_000_000 == 0):
            blank |= {"trd.through_volume", "trd.n_sweeps", "trd.runs_100ms", "qot.update_burst_p99"}
        if columns.size is None:
            blank |= {n for n in INDEX if n.startswith(("trd.max", "trd.large", "trd.size_bin", "trd.refill"))}
        if columns.bid is not None and columns.bid_size is None:
            blank |= {"trd.refill_volume", *DEPTH} - {"dom.bid_px_1", "dom.ask_px_1"}
        values[:, sorted(INDEX[n] for n in blank)] = np.nan
        return {"blanked series": sorted(blank)} if blank else {}


def bar_length(ts: Array, settings: FilesSettings) -> int:
    """Length of a bar [minutes], declared or the commonest distance between stamps, and checked.

    Raises
    ------
    DataError : if stamps contradict the declaration or give no length.
    """
    steps, counts = np.unique(np.diff(ts), return_counts=True)
    declared = settings.bar_minutes
    if not len(steps):
        if declared is None:
            raise DataError(f"{settings.path} has a single bar; declare its length, e.g. source.bar_minutes=1")
        return declared
    common = int(steps[np.argmax(counts)])
    step = common if declared is None else declared * MINUTE_NS
    if common % MINUTE_NS or (declared is not None and common > step):
        length = f"{common / MINUTE_NS:g} minutes"
        raise DataError(
            f"the stamps of {settings.path} lie mostly {length} apart, but source.bar_minutes is "
            f"{declared or 'null'}; "
            "declare the true length in whole minutes, or source.content=ticks for irregular rows"
        )
    overlapping = counts[steps < step].sum()
    if overlapping > STRAY_SHARE * counts.sum():
        raise DataError(
            f"{overlapping} bars of {settings.path} overlap: bars of {step // MINUTE_NS} minutes are stamped "
            f"down to {steps[0] / MINUTE_NS:g} minutes apart; "
            "correct source.bar_minutes or keep one instrument, e.g. +source.filters.symbol=ES"
        )
    return step // MINUTE_NS


def check_label(ts: Array, label: str, sessions: Sessions) -> None:
    """Refuse a label that the first and last stamps of the sessions contradict.

    Bars stamped at their open have one at the session's open and none at its close, and the other way round.

    Raises
    ------
    DataError : if most sessions say the opposite of `label`.
    """
    reached = np.searchsorted(ts, sessions.close_ns, side="right") > np.searchsorted(ts, sessions.open_ns)
    at_open = np.isin(sessions.open_ns, ts) & reached
    at_close = np.isin(sessions.close_ns, ts) & reached
    says_open, says_close = int((at_open & ~at_close).sum()), int((at_close & ~at_open).sum())
    against, other = (says_close, "close") if label == "open" else (says_open, "open")
    if against * 2 > reached.sum():
        raise DataError(
            f"source.label is {label}, but in {against} of {int(reached.sum())} sessions a bar is stamped "
            f"at the session's {other} and none at its {label}; use source.label={other}"
        )
