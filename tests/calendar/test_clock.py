"""Calendar columns: hand-computed rows, one row at a time equals the table, and nothing known too early."""

import datetime as dt

import numpy as np
import pytest

from mia.calendar import economic
from mia.calendar.clock import annotate
from mia.calendar.exchange import sessions
from mia.domain.bars import Bars
from mia.domain.errors import DataError
from mia.domain.series import CALENDAR, INDEX, WIDTH

MINUTE = 60_000_000_000
FIELDS = [INDEX[name] for name in CALENDAR]


def ns(stamp: str) -> int:
    return int(np.datetime64(stamp, "ns").astype(np.int64))


def bars_at(ts, minutes: int = 1) -> Bars:
    ts = np.asarray(ts, dtype=np.int64)
    values = np.full((len(ts), WIDTH), np.nan)
    return Bars(market="ES", bar_minutes=minutes, ts=ts, available_at=ts, values=values)


def all_bars(days, minutes: int) -> Bars:
    step = minutes * MINUTE
    return bars_at(
        np.concatenate([np.arange(o + step, c + 1, step) for o, c in zip(days.open_ns, days.close_ns, strict=True)]),
        minutes,
    )


@pytest.fixture(scope="module")
def es(load_market):
    return load_market("ES")


def row(es, days, stamp: str, minutes: int = 1, **options) -> dict[str, float]:
    out = annotate(bars_at([ns(stamp)], minutes), days, es, **options)
    return {name[4:]: float(out.column(name)[0]) for name in CALENDAR}


def test_a_row_in_regular_hours_matches_the_hand_computed_clock(es):
    days = sessions(es, dt.date(2025, 1, 6), dt.date(2025, 1, 10))
    got = row(es, days, "2025-01-08T15:00")  # Wednesday 10:00 New York
    assert got["session"] == (dt.date(2025, 1, 8) - dt.date(1970, 1, 1)).days
    assert (got["minute"], got["slot"], got["session_minutes"]) == (960, 959, 1380)
    assert (got["rth"], got["rth_minute"], got["minutes_to_rth_close"]) == (1, 30, 360)
    assert (got["minutes_to_close"], got["dow"], got["bar_minutes"]) == (420, 2, 1)
    assert (got["first"], got["opex"], got["month_end"], got["roll_window"]) == (1, 0, 0, 0)
    assert got["days_to_expiry"] == (dt.date(2025, 3, 21) - dt.date(2025, 1, 8)).days


def test_the_sunday_evening_bar_belongs_to_monday_and_is_first(es):
    days = sessions(es, dt.date(2025, 3, 3), dt.date(2025, 3, 14))
    got = row(es, days, "2025-03-09T22:05", 5)  # Sunday 18:05, the day the clocks changed
    assert (got["dow"], got["minute"], got["slot"], got["rth"], got["first"]) == (0, 5, 0, 0, 1)
    assert got["rth_minute"] == 5 - 930


def test_regular_hours_hold_bars_that_start_and_end_inside(es):
    days = sessions(es, dt.date(2025, 1, 6), dt.date(2025, 1, 6))
    out = annotate(all_bars(days, 1), days, es)
    assert out.column("cal.rth").sum() == 390
    inside = out.ts[out.column("cal.rth") == 1]
    assert (inside[0], inside[-1]) == (ns("2025-01-06T14:31"), ns("2025-01-06T21:00"))


def test_early_close_shortens_the_planned_session_and_the_regular_hours(es):
    days = sessions(es, dt.date(2025, 11, 24), dt.date(2025, 12, 1))
    got = row(es, days, "2025-11-28T18:15", 15)
    assert (got["session_minutes"], got["minutes_to_close"], got["minutes_to_rth_close"]) == (1155, 0, 0)
    assert (got["rth"], got["month_end"]) == (1, 1)


def test_first_is_set_once_per_session_and_follows_the_previous_row(es):
    days = sessions(es, dt.date(2025, 1, 6), dt.date(2025, 1, 8))
    out = annotate(all_bars(days, 5), days, es)
    assert np.flatnonzero(out.column("cal.first")).tolist() == [0, 276, 552]
    session = int(out.column("cal.session")[0])
    assert row(es, days, "2025-01-06T00:00", 5, previous_session=session)["first"] == 0
    assert row(es, days, "2025-01-06T00:00", 5, previous_session=session - 3)["first"] == 1


@pytest.mark.parametrize("span", [((2025, 10, 6), (2025, 10, 24)), ((2020, 2, 28), (2020, 3, 18))])
def test_one_row_at_a_time_equals_the_whole_table_bit_for_bit(es, span):
    days = sessions(es, dt.date(*span[0]), dt.date(*span[1]))
    table = all_bars(days, 15)
    batch = annotate(table, days, es).values[:, FIELDS]
    previous = -1
    for i in range(len(table)):
        one = annotate(bars_at(table.ts[i : i + 1], 15), days, es, previous_session=previous)
        assert one.values[0, FIELDS].tobytes() == batch[i].tobytes(), i
        previous = int(one.column("cal.session")[0])


def test_cutting_the_schedule_or_the_bars_changes_no_earlier_row(es):
    long = sessions(es, dt.date(2025, 1, 2), dt.date(2025, 2, 14))
    short = sessions(es, dt.date(2025, 1, 13), dt.date(2025, 1, 31))
    table = all_bars(short, 30)
    a = annotate(table, short, es).values[:, FIELDS]
    b = annotate(table.head(200), long, es).values[:, FIELDS]
    assert a[:200].tobytes() == b.tobytes()


def test_event_columns_around_a_price_index_release(es):
    days = sessions(es, dt.date(2025, 2, 10), dt.date(2025, 2, 14))
    before = row(es, days, "2025-02-12T13:20")  # release at 13:30 UTC
    assert (before["cpi"], before["fomc"], before["nfp"]) == (1, 0, 0)
    assert (before["minutes_to_event"], before["next_importance"]) == (10, 3)
    assert (before["event_code"], before["event_lag"]) == (2, -10)
    at = row(es, days, "2025-02-12T13:30")
    assert (at["minutes_since_event"], at["event_lag"], at["event_count_24h"]) == (0, 0, 1)
    after = row(es, days, "2025-02-12T14:30")
    assert (after["event_code"], after["event_lag"]) == (2, 60)
    late = row(es, days, "2025-02-12T14:31")
    assert late["event_code"] == 0
    assert np.isnan(late["event_lag"])
    assert late["next_importance"] == 0


def test_emergency_meeting_is_not_foreseen(es):
    days = sessions(es, dt.date(2020, 3, 2), dt.date(2020, 3, 20))
    before, at = row(es, days, "2020-03-03T14:59"), row(es, days, "2020-03-03T15:00")
    assert (before["fomc"], at["fomc"]) == (0, 1)
    assert at["minutes_since_event"] == 0
    assert before["minutes_to_event"] > 1000  # the employment report of the 6th
    assert row(es, days, "2020-03-18T17:00")["fomc"] == 0  # withdrawn on the 15th


def test_postponed_release_is_expected_until_it_is_withdrawn(es):
    days = sessions(es, dt.date(2025, 10, 6), dt.date(2025, 10, 24))
    assert row(es, days, "2025-10-15T13:00")["cpi"] == 0
    assert row(es, days, "2025-10-24T13:00")["cpi"] == 1
    wait = (ns("2025-10-15T12:30") - ns("2025-10-09T12:00")) / MINUTE
    assert row(es, days, "2025-10-09T12:00")["minutes_to_event"] == wait


def test_expiry_and_roll_flags_on_the_march_2025_quarter(es):
    days = sessions(es, dt.date(2025, 3, 10), dt.date(2025, 3, 24))
    got = {d: row(es, days, f"2025-03-{d}T15:00") for d in (12, 13, 21, 24)}
    assert [got[d]["days_to_expiry"] for d in (12, 13, 21)] == [9, 8, 0]
    assert [got[d]["roll_window"] for d in (12, 13, 21, 24)] == [0, 1, 1, 0]
    assert [got[d]["opex"] for d in (13, 21)] == [0, 1]


def test_event_columns_are_missing_outside_the_covered_years(es):
    days = sessions(es, dt.date(2017, 3, 6), dt.date(2017, 3, 10))
    got = row(es, days, "2017-03-08T15:00")
    for name in ("fomc", "minutes_to_event", "next_importance", "event_count_24h", "event_code"):
        assert np.isnan(got[name])
    assert got["dow"] == 2


def test_bars_outside_every_session_are_refused_with_count_and_first_stamp(es):
    days = sessions(es, dt.date(2025, 1, 6), dt.date(2025, 1, 10))
    inside, outside = ns("2025-01-08T15:00"), [ns("2025-01-08T22:30"), ns("2025-01-11T12:00")]
    with pytest.raises(DataError, match=r"2 of 3 .*2025-01-08T22:30"):
        annotate(bars_at([inside, *outside]), days, es)


def test_events_of_ones_own_replace_the_projects(es, tmp_path):
    file = tmp_path / "events.csv"
    file.write_text(
        "date,time_et,name,importance,known_from,withdrawn,source\n2025-01-08,10:30,CPI,3,2024-12-01T00:00,,mine\n"
    )
    days = sessions(es, dt.date(2025, 1, 6), dt.date(2025, 1, 10))
    got = row(es, days, "2025-01-08T15:00", events=economic.load(file))
    assert (got["cpi"], got["minutes_to_event"], got["event_code"]) == (1, 30, 0)
    assert row(es, days, "2025-01-08T15:00")["cpi"] == 0
