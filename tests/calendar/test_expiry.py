"""Rules for expiries and month ends against published dates."""

import datetime as dt

import pytest

from mia.calendar import expiry

D = dt.date


@pytest.mark.parametrize(
    "day", [D(2018, 3, 30), D(2019, 4, 19), D(2020, 4, 10), D(2021, 4, 2), D(2024, 3, 29), D(2025, 4, 18)]
)
def test_good_friday_matches_the_published_date(day):
    assert expiry.good_friday(day.year) == day


@pytest.mark.parametrize(
    "day",
    [
        D(2024, 3, 15),
        D(2024, 6, 21),
        D(2025, 3, 21),
        D(2025, 4, 17),  # Good Friday on the 18th: Thursday
        D(2022, 4, 14),
        D(2020, 6, 19),  # before Juneteenth was a holiday
        D(2026, 6, 18),  # Juneteenth on the third Friday: Thursday
        D(2019, 11, 15),
    ],
)
def test_option_expiry_is_the_third_friday_or_the_day_before_a_holiday(day):
    assert expiry.third_friday(day.year, day.month) == day


@pytest.mark.parametrize("day", [D(2024, 3, 28), D(2021, 5, 28), D(2020, 2, 28), D(2024, 2, 29), D(2025, 8, 29)])
def test_month_end_is_the_last_day_shares_trade(day):
    assert expiry.month_end(day.year, day.month) == day


def test_index_futures_expire_quarterly_and_bitcoin_monthly(load_market):
    assert expiry.next_expiry(load_market("ES"), D(2025, 1, 6)) == D(2025, 3, 21)
    assert expiry.next_expiry(load_market("ES"), D(2025, 3, 21)) == D(2025, 3, 21)
    assert expiry.next_expiry(load_market("ES"), D(2025, 12, 20)) == D(2026, 3, 20)
    assert expiry.next_expiry(load_market("BTC"), D(2025, 1, 6)) == D(2025, 1, 31)
