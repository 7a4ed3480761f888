"""Calendar columns of closed bars: the same function for a whole table and for one live row."""

import datetime as dt
from dataclasses import replace

import numpy as np

from mia.calendar import economic, expiry
from mia.domain.bars import Bars
from mia.domain.errors import DataError
from mia.domain.market import Market
from mia.domain.series import CALENDAR, INDEX
from mia.domain.sessions import Sessions

Array = np.ndarray
_MINUTE = 60_000_000_000
_DAY = 1440 * _MINUTE
_EPOCH = dt.date(1970, 1, 1)
_BEFORE_EVENT, _AFTER_EVENT = 15, 60
_DATED = ("cal.fomc", "cal.cpi", "cal.nfp")
_EVENT_COLUMNS = (
    *_DATED,
    "cal.minutes_to_event",
    "cal.minutes_since_event",
    "cal.next_importance",
    "cal.event_count_24h",
    "cal.event_code",
    "cal.event_lag",
)


def annotate(
    bars: Bars,
    sessions: Sessions,
    market: Market,
    *,
    previous_session: int = -1,
    events: economic.Events | None = None,
) -> Bars:
    """Fill every `cal.*` column.

    Each row depends on its own close time, the schedule and the event file as known at that time; `cal.first`
    also on the session of the row before. So one row at a time gives the same bits as the whole table.

    Parameters
    ----------
    bars : T closed bars, every one inside a session
    sessions : the market's schedule, covering the bars
    previous_session : `cal.session` of the row before the first one, -1 if there is none
    events : economic events, of `economic.load`; None: the project's own file

    Returns
    -------
    Bars with new values; the input is not changed. `cal.session` is the trade date in days since 1970-01-01,
    so it does not move when data are cut or extended. Event columns are NaN outside the event file's years.

    Raises
    ------
    DataError : if bars lie outside every session; names how many and the first.
    """
    at = sessions.index(bars.ts)
    if np.any(at < 0):
        first = int(bars.ts[np.argmax(at < 0)])
        raise DataError(
            f"bars {market.name}: {int(np.sum(at < 0))} of {len(bars)} lie outside every session, first "
            f"{np.datetime64(first, 'ns')} UTC; filter them or widen the session span"
        )
    values = bars.values.copy()
    columns = {
        **_session_columns(bars, sessions, at, previous_session),
        **_date_columns(sessions, at, market),
        **_event_columns(bars.ts, sessions.trade_date[at], economic.load() if events is None else events),
    }
    if columns.keys() != set(CALENDAR):
        raise AssertionError(f"calendar columns differ: {sorted(columns.keys() ^ set(CALENDAR))}")
    for name, column in columns.items():
        values[:, INDEX[name]] = column
    return replace(bars, values=values)


def _days(trade_date: Array) -> Array:
    """(S,) days since 1970-01-01 of yyyymmdd dates."""
    return np.array([(_date(int(d)) - _EPOCH).days for d in trade_date], dtype=np.int64)


def _date(yyyymmdd: int) -> dt.date:
    return dt.date(yyyymmdd // 10_000, yyyymmdd // 100 % 100, yyyymmdd % 100)


def _session_columns(bars: Bars, sessions: Sessions, at: Array, previous: int) -> dict[str, Array]:
    ts, length = bars.ts, bars.bar_minutes
    first, last = int(at.min(initial=0)), int(at.max(initial=0))
    ordinal = np.zeros(len(sessions), dtype=np.int64)
    ordinal[first : last + 1] = _days(sessions.trade_date[first : last + 1])
    session = ordinal[at]
    before = np.concatenate([[previous], session[:-1]])[: len(session)]
    minute = (ts - sessions.open_ns[at]) / _MINUTE
    start = ts - length * _MINUTE
    rth_open, rth_close = sessions.rth_open_ns[at], sessions.rth_close_ns[at]
    return {
        "cal.session": session,
        "cal.minute": minute,
        "cal.slot": np.maximum(np.floor((minute - length) / length), 0.0),
        "cal.session_minutes": (sessions.close_ns[at] - sessions.open_ns[at]) / _MINUTE,
        "cal.first": session != before,
        "cal.rth": (start >= rth_open) & (ts <= rth_close),
        "cal.rth_minute": (ts - rth_open) / _MINUTE,
        "cal.minutes_to_rth_close": np.maximum((rth_close - ts) / _MINUTE, 0.0),
        "cal.minutes_to_close": (sessions.close_ns[at] - ts) / _MINUTE,
        "cal.dow": (session + 3) % 7,  # 1970-01-01 was a Thursday
        "cal.bar_minutes": np.full(len(ts), float(length)),
    }


def _date_columns(sessions: Sessions, at: Array, market: Market) -> dict[str, Array]:
    """Columns that follow from the trade date by rule, worked out once per date that occurs."""
    dates, where = np.unique(sessions.trade_date[at], return_inverse=True)
    table = np.empty((len(dates), 4))
    for i, stamp in enumerate(dates):
        day = _date(int(stamp))
        left = (expiry.next_expiry(market, day) - day).days
        table[i] = (
            day == expiry.third_friday(day.year, day.month),
            day == expiry.month_end(day.year, day.month),
            left <= expiry.ROLL_DAYS,
            left,
        )
    rows = table[where]
    names = ("cal.opex", "cal.month_end", "cal.roll_window", "cal.days_to_expiry")
    return {name: rows[:, k] for k, name in enumerate(names)}


def _event_columns(ts: Array, trade_date: Array, events: economic.Events) -> dict[str, Array]:
    """Event columns; rows are taken in groups between changes of what was known."""
    out = {name: np.full(len(ts), np.nan) for name in _EVENT_COLUMNS}
    year = trade_date // 10_000
    covered = (year >= events.first_year) & (year <= events.last_year)
    epoch = np.searchsorted(events.epochs(), ts, side="right")
    for group in np.unique(epoch[covered]):
        rows = np.flatnonzero(covered & (epoch == group))
        seen = events.visible(int(ts[rows[0]]))
        known = (events.ts[seen], events.day[seen], events.code[seen], events.importance[seen])
        for name, column in _known_events(ts[rows], trade_date[rows], *known).items():
            out[name][rows] = column
    return out


def _known_events(now: Array, today: Array, ts: Array, day: Array, code: Array, rank: Array) -> dict[str, Array]:
    major = ts[rank == 3]
    upcoming, past = _next(major, now), _last(major, now)
    out: dict[str, Array] = {
        name: np.isin(today, day[code == economic.CODES[name[4:].upper()]]) * 1.0 for name in _DATED
    }
    out["cal.minutes_to_event"] = (upcoming - now) / _MINUTE
    out["cal.minutes_since_event"] = (now - past) / _MINUTE
    out["cal.next_importance"] = _next_importance(now, ts, rank)
    watched = ts[rank >= 2]
    inside = np.searchsorted(watched, now, "right") - np.searchsorted(watched, now - _DAY, "right")
    out["cal.event_count_24h"] = inside * 1.0
    out["cal.event_code"], out["cal.event_lag"] = _event_window(now, ts, code, rank)
    return out


def _next(times: Array, now: Array) -> Array:
    """(T,) float64 first time after `now`, NaN if none. Whole seconds are exact in float64."""
    at = np.searchsorted(times, now, "right")
    found = at < len(times)
    return np.where(found, np.append(times, 0)[at].astype(np.float64), np.nan)


def _last(times: Array, now: Array) -> Array:
    """(T,) float64 last time at or before `now`, NaN if none."""
    at = np.searchsorted(times, now, "right") - 1
    return np.where(at >= 0, np.append(times, 0)[at].astype(np.float64), np.nan)


def _next_importance(now: Array, ts: Array, rank: Array) -> Array:
    highest = np.zeros(len(now))
    for importance in (1, 2, 3):
        until = _next(ts[rank == importance], now) - now
        highest = np.where(until <= _DAY, float(importance), highest)
    return highest


def _event_window(now: Array, ts: Array, code: Array, rank: Array) -> tuple[Array, Array]:
    """Type and lag of the event whose window holds `now`; the most important wins, then the latest."""
    best = np.full(len(now), -np.inf)
    which, lag = np.zeros(len(now)), np.full(len(now), np.nan)
    for kind in economic.CODES.values():
        times = ts[code == kind]
        if len(times) == 0:
            continue
        importance = int(rank[code == kind][0])
        since = (now - _last(times, now + _BEFORE_EVENT * _MINUTE)) / _MINUTE
        score = importance * 1e6 - since
        better = (since <= _AFTER_EVENT) & (score > best)  # NaN compares false: no such event yet
        best = np.where(better, score, best)
        which = np.where(better, float(kind), which)
        lag = np.where(better, since, lag)
    return which, lag
