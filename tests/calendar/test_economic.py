"""The event file: known releases are in it, moved ones were moved, and nothing is known too early."""

import datetime as dt

import numpy as np
import pytest

from mia.calendar import economic
from mia.domain.errors import DataError


def ns(stamp: str) -> int:
    return int(np.datetime64(stamp, "ns").astype(np.int64))


@pytest.fixture(scope="module")
def events():
    return economic.load()


@pytest.mark.parametrize(
    ("name", "utc"),
    [
        ("FOMC", "2020-03-15T21:00"),  # emergency cut on a Sunday, 17:00 daylight time
        ("FOMC", "2022-06-15T18:00"),
        ("FOMC", "2024-12-18T19:00"),  # winter time
        ("CPI", "2022-06-10T12:30"),
        ("CPI", "2023-01-12T13:30"),
        ("CPI", "2025-10-24T12:30"),  # moved by the shutdown
        ("NFP", "2020-07-02T12:30"),  # Thursday before Independence Day
        ("NFP", "2025-01-10T13:30"),
        ("ISM_MANUFACTURING", "2024-01-03T15:00"),
        ("ISM_SERVICES", "2021-04-05T14:00"),
    ],
)
def test_known_release_is_in_the_file_at_its_utc_time(events, name, utc):
    assert ns(utc) in events.ts[events.code == economic.CODES[name]]


def test_each_covered_year_has_eight_meetings_and_twelve_releases(events):
    kept = events.withdrawn == np.iinfo(np.int64).max
    for year in range(events.first_year, events.last_year + 1):
        for name, expected in (("FOMC", 8), ("CPI", 12), ("NFP", 12), ("ISM_SERVICES", 12)):
            count = np.sum(kept & (events.day // 10_000 == year) & (events.code == economic.CODES[name]))
            # two emergency meetings for one cancelled in 2020, one report of each kind lost in 2025
            allowed = {(2020, "FOMC"): 9, (2025, "CPI"): 11, (2025, "NFP"): 11}.get((year, name), expected)
            assert count == allowed, (year, name, count)


def test_emergency_meeting_is_invisible_until_its_minute(events):
    at = int(np.flatnonzero(events.day == 20200303)[0])
    assert not events.visible(events.ts[at] - 1)[at]
    assert events.visible(events.ts[at])[at]


def test_withdrawn_release_disappears_on_the_day_it_is_withdrawn(events):
    at = int(np.flatnonzero((events.day == 20251015) & (events.code == economic.CODES["CPI"]))[0])
    assert events.visible(ns("2025-10-09T12:00"))[at]
    assert not events.visible(ns("2025-10-13T12:00"))[at]


def test_releases_fall_on_weekdays_and_no_scheduled_event_on_a_weekend(events):
    for day, known, ts in zip(events.day, events.known_from, events.ts, strict=True):
        date = dt.date(day // 10_000, day // 100 % 100, day % 100)
        assert date.weekday() < 5 or known == ts


def test_a_bad_line_is_refused_by_name(tmp_path):
    file = tmp_path / "events.csv"
    head = "date,time_et,name,importance,known_from,withdrawn,source\n"
    file.write_text(head + "2025-01-10,08:30,GDP,3,2024-12-01T00:00,,schedule\n")
    with pytest.raises(DataError, match="GDP"):
        economic.load(file)
