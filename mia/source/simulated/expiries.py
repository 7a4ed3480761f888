"""On which days options end: the coming days, then Fridays, then third Fridays. For the simulated chains."""

import datetime as dt
from functools import lru_cache
from zoneinfo import ZoneInfo

from mia.domain.market import Market

DAILY = 5  # expiries on the next business days, today's included
WEEKLY_DAYS = 38  # Fridays this far ahead: always one on either side of 30 days
_FRIDAY = 4


@lru_cache(maxsize=64)
def _holidays(year: int) -> frozenset[dt.date]:
    """Weekdays of a year on which no option on a United States index ends."""
    from pandas.tseries import holiday

    rules = (
        holiday.Holiday("New Year", month=1, day=1, observance=holiday.sunday_to_monday),
        holiday.USMartinLutherKingJr,
        holiday.USPresidentsDay,
        holiday.GoodFriday,
        holiday.USMemorialDay,
        holiday.Holiday("Juneteenth", month=6, day=19, start_date="2022-06-19", observance=holiday.nearest_workday),
        holiday.Holiday("Independence", month=7, day=4, observance=holiday.nearest_workday),
        holiday.USLaborDay,
        holiday.USThanksgivingDay,
        holiday.Holiday("Christmas", month=12, day=25, observance=holiday.nearest_workday),
    )
    return frozenset(day.date() for rule in rules for day in rule.dates(f"{year}-01-01", f"{year}-12-31"))


def is_business_day(day: dt.date) -> bool:
    """Whether United States index options can end on `day`."""
    return day.weekday() <= _FRIDAY and day not in _holidays(day.year)


def _on_or_before(day: dt.date) -> dt.date:
    while not is_business_day(day):
        day -= dt.timedelta(days=1)
    return day


def listed(today: dt.date, farthest_days: int) -> list[dt.date]:
    """Days on which an option that trades today ends, in order; today is always one of them.

    Parameters
    ----------
    today : trade date
    farthest_days : farthest third Friday [days]
    """
    days, day = {today}, today
    while len(days) < DAILY:
        day += dt.timedelta(days=1)
        if is_business_day(day):
            days.add(day)
    friday = today + dt.timedelta(days=(_FRIDAY - today.weekday()) % 7)
    for week in range(farthest_days // 7 + 2):
        end = friday + dt.timedelta(days=7 * week)
        third = 15 <= end.day <= 21
        reach = farthest_days if third else WEEKLY_DAYS
        if (end - today).days <= reach:
            days.add(max(_on_or_before(end), today))
    return sorted(days)


def settlement(market: Market, day: dt.date) -> int:
    """When options of an ordinary day settle: at the regular close [ns UTC]."""
    close = dt.time.fromisoformat(market.rth_close)
    return int(dt.datetime.combine(day, close, ZoneInfo(market.timezone)).timestamp()) * 1_000_000_000


def date_of(trade_date: int) -> dt.date:
    """Date of a yyyymmdd number."""
    return dt.date(trade_date // 10_000, trade_date // 100 % 100, trade_date % 100)
