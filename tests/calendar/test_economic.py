"""The event file: known releases are in it, moved ones were moved, and nothing is known too early."""

import datetime as dt

import numpy as np
import pytest

from mia.calendar import economic
from mia.domain.errors import ConfigurationError, DataError


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


HEAD = "date,time_et,name,importance,known_from,withdrawn,source\n"
GOOD = "2025-01-15,08:30,CPI,3,2024-12-01T00:00,,mine\n"


@pytest.fixture
def own(tmp_path):
    """An event file of the user's own."""

    def write(text: str):
        file = tmp_path / "events.csv"
        file.write_text(text)
        return economic.load(file)

    return write


def test_a_file_of_ones_own_is_read_with_its_version(own):
    made = own("# version: desk 7\n# anything\n" + HEAD + GOOD)
    assert made.ts.tolist() == [ns("2025-01-15T13:30")]
    assert (made.version, made.first_year, made.last_year) == ("desk 7", 2025, 2025)
    assert economic.load().version


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("2025-01-10,08:30,GDP,3,2024-12-01T00:00,,schedule", "line 2: event 'GDP' is unknown"),
        ("2025-01-10,08:30,CPI,4,2024-12-01T00:00,,x", "importance must be 1, 2 or 3"),
        ("2025-01-32,08:30,CPI,3,2024-12-01T00:00,,x", "date and time_et must be written like"),
        ("2025-01-10,8h30,CPI,3,2024-12-01T00:00,,x", "date and time_et must be written like"),
        ("2025-01-10,08:30,CPI,3,,,x", "known_from must be written like"),
        ("2025-01-10,08:30,CPI,3,2025-01-10T08:31,,x", "lies after the event"),
        ("2025-01-10,08:30,CPI,3,2024-12-01T00:00,2024-11-01T00:00,x", "withdrawn 2024-11-01"),
        ("2025-01-10,08:30,CPI,3,2024-12-01T00:00", "5 cells where 7 are wanted"),
        (GOOD + GOOD.strip(), "twice"),
    ],
)
def test_a_bad_line_is_refused_by_number_in_one_line(own, line, says):
    with pytest.raises(DataError, match=says) as caught:
        own(HEAD + line + "\n")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"), [("", "no event"), (HEAD, "no event"), ("date,name\n" + GOOD, "columns must be")]
)
def test_a_file_that_is_no_event_file_is_refused(own, text, says):
    with pytest.raises(DataError, match=says):
        own(text)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        economic.load(tmp_path / "none.csv")
