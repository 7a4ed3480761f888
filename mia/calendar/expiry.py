"""Expiry, roll, option-expiry and month-end dates by rule; used by the clock to fill the calendar columns."""

import datetime as dt
from functools import lru_cache

from mia.domain.market import Market

ROLL_DAYS = 8
_FRIDAY = 4


@lru_cache(maxsize=64)
def good_friday(year: int) -> dt.date:
    """Friday before Easter Sunday of the Gregorian calendar.

    Source: anonymous Gregorian computus (Meeus, Astronomical Algorithms, ch. 8).
    """
    a, b, c = year % 19, year // 100, year % 100
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    weekday = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * weekday) // 451
    month, day = divmod(h + weekday - 7 * m + 114, 31)
    return dt.date(year, month, day + 1) - dt.timedelta(days=2)


def _closed(day: dt.date) -> bool:
    """Weekday on which United States shares do not trade, as far as it can hit an expiry or a month end."""
    juneteenth = day.year >= 2022 and (day.month, day.day) == (6, 19)
    memorial_day = day.month == 5 and day.weekday() == 0 and day.day >= 25
    return day == good_friday(day.year) or juneteenth or memorial_day


def _open_day_on_or_before(day: dt.date) -> dt.date:
    while day.weekday() > _FRIDAY or _closed(day):
        day -= dt.timedelta(days=1)
    return day


def third_friday(year: int, month: int) -> dt.date:
    """Monthly option expiry: the third Friday, or the trading day before it if that Friday is a holiday."""
    first = dt.date(year, month, 1)
    day = first + dt.timedelta(days=(_FRIDAY - first.weekday()) % 7 + 14)
    return _open_day_on_or_before(day)


def last_friday(year: int, month: int) -> dt.date:
    """Last Friday of a month, or the trading day before it if that Friday is a holiday."""
    day = _last_of_month(year, month)
    return _open_day_on_or_before(day - dt.timedelta(days=(day.weekday() - _FRIDAY) % 7))


def _last_of_month(year: int, month: int) -> dt.date:
    following = dt.date(year + month // 12, month % 12 + 1, 1)
    return following - dt.timedelta(days=1)


def month_end(year: int, month: int) -> dt.date:
    """Last day of a month on which United States shares trade."""
    return _open_day_on_or_before(_last_of_month(year, month))


def expiry(market: Market, year: int, month: int) -> dt.date:
    """Last trading day of a contract month.

    Index futures of CME and Eurex end on the third Friday (CME at 09:30 New York time), CME bitcoin futures
    on the last Friday of the month.
    """
    if "Crypto" in market.calendar:
        return last_friday(year, month)
    return third_friday(year, month)


def next_expiry(market: Market, day: dt.date) -> dt.date:
    """First expiry of the market's contract months on or after `day`."""
    year, month = day.year, day.month
    for _ in range(24):
        if month in market.roll_months:
            end = expiry(market, year, month)
            if end >= day:
                return end
        year, month = year + month // 12, month % 12 + 1
    raise AssertionError(f"market {market.name} has no expiry month in {market.roll_months}")
