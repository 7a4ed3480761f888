"""Sessions of a market from its exchange calendar; called by task and tests to lay out any span of time."""

import datetime as dt
from typing import Any

import numpy as np

from mia.domain.errors import ConfigurationError
from mia.domain.market import Market
from mia.domain.sessions import Sessions

_EQUITY = "CME Globex Equity"
# What pandas_market_calendars 5.5 gets wrong for CME equity futures. Good Friday is a short session only when
# the employment report falls on it (2021, 2023, 2026); days of mourning ended at 08:30 Chicago time. Checked
# against recorded hourly bars where those exist (2025-01-09 ends 14:30 UTC, 2025-04-18 has no bar).
_NOT_TRADED = {_EQUITY: ("2024-03-29", "2025-04-18")}
_EARLY_CLOSE = {_EQUITY: {"2018-12-05": "08:30", "2025-01-09": "08:30"}}
_NS_PER_MINUTE = 60_000_000_000


def sessions(
    market: Market, start: dt.date, end: dt.date, *, hours: str = "globex", calendar: str | None = None
) -> Sessions:
    """Lay out the market's sessions whose trade date lies in [start, end].

    Parameters
    ----------
    market : names the calendar, the time zone and the regular hours
    start, end : first and last trade date, both included
    hours : "globex" for the exchange's whole session, "rth" for regular hours only
    calendar : replaces the market's own calendar, e.g. "NYSE" (early closes at 13:00 New York time)

    Returns
    -------
    Sessions; regular hours are the declared ones cut by an early close (empty if it comes before them).

    Raises
    ------
    ConfigurationError : unknown hours or calendar, or no session in the span.
    """
    if hours not in ("globex", "rth"):
        raise ConfigurationError(f"hours must be globex or rth, was {hours!r}")
    if start > end:
        raise ConfigurationError(f"sessions of {market.name}: start {start} lies after end {end}")
    table = _schedule(calendar or market.calendar, start, end)
    if len(table) == 0:
        raise ConfigurationError(f"the calendar of {market.name} has no session from {start} to {end}")
    opens, closes = _ns(table["market_open"]), _ns(table["market_close"])
    rth_open = _local(table.index, market.rth_open, market.timezone)
    rth_close = _local(table.index, market.rth_close, market.timezone)
    # one regular day, whatever was cut: measured on the declared hours, so it never depends on the span
    full_rth = _clock_minutes(market.rth_close) - _clock_minutes(market.rth_open)
    rth_close = np.minimum(rth_close, closes)
    rth_open = np.minimum(np.maximum(rth_open, opens), rth_close)
    trade_date = np.array([d.year * 10_000 + d.month * 100 + d.day for d in table.index], dtype=np.int64)
    keep = np.ones(len(table), dtype=bool)
    full = _full_minutes(calendar or market.calendar)
    if hours == "rth":
        keep = rth_open < rth_close
        opens, closes, full = rth_open, rth_close, full_rth
    return Sessions(
        open_ns=opens[keep],
        close_ns=closes[keep],
        rth_open_ns=rth_open[keep],
        rth_close_ns=rth_close[keep],
        trade_date=trade_date[keep],
        full_minutes=full,
    )


def _calendar(name: str) -> Any:
    import pandas_market_calendars as exchanges  # 0.5 s: only when a calendar is really asked for

    if name not in exchanges.get_calendar_names():
        raise ConfigurationError(
            f"calendar {name!r} is unknown to pandas_market_calendars; correct `calendar` in conf/market"
        )
    return exchanges.get_calendar(name)


def _schedule(name: str, start: dt.date, end: dt.date) -> Any:
    """Table of market_open, market_close [UTC], indexed by trade date, with this house's corrections."""
    import pandas as pd

    table = _calendar(name).schedule(start.isoformat(), end.isoformat())[["market_open", "market_close"]].copy()
    table = table.drop([day for day in pd.to_datetime(_NOT_TRADED.get(name, ())) if day in table.index])
    for day, clock in _EARLY_CLOSE.get(name, {}).items():
        stamp = pd.Timestamp(day)
        if stamp in table.index:
            close = pd.Timestamp(f"{day} {clock}", tz="America/Chicago").tz_convert("UTC")
            table.loc[stamp, "market_close"] = close
    return table


def _full_minutes(name: str) -> int:
    """Length of an ordinary session, from the calendar's regular times and not from the span asked for."""
    calendar = _calendar(name)
    opens, closes = calendar.open_time, calendar.close_time
    start = opens.hour * 60 + opens.minute + 1440 * int(calendar.open_offset or 0)
    return closes.hour * 60 + closes.minute + 1440 * int(calendar.close_offset or 0) - start


def _clock_minutes(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)


def _local(days: Any, clock: str, zone: str) -> np.ndarray:
    """(S,) int64 [ns UTC] of a local clock time on each trade date."""
    import pandas as pd

    return _ns((days + pd.Timedelta(minutes=_clock_minutes(clock))).tz_localize(zone).tz_convert("UTC"))


def _ns(stamps: Any) -> np.ndarray:
    """(S,) int64 ns UTC of tz-aware pandas stamps, whatever their resolution."""
    import pandas as pd

    index = pd.DatetimeIndex(stamps).tz_convert("UTC").tz_localize(None)
    return index.to_numpy().astype("datetime64[ns]").astype(np.int64)
