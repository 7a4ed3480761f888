"""Sessions against a table written by hand from the exchange's holiday notices."""

import datetime as dt

import numpy as np
import pytest

from mia.calendar.exchange import sessions
from mia.domain.errors import ConfigurationError

D = dt.date

# trade date -> close in UTC; opens are the evening before
EARLY = {
    "2018-12-05": "14:30",  # day of mourning, 08:30 Chicago
    "2019-07-03": "17:15",  # day before Independence Day, daylight time
    "2019-11-28": "18:00",  # Thanksgiving
    "2019-11-29": "18:15",
    "2019-12-24": "18:15",
    "2020-01-20": "18:00",  # Martin Luther King day
    "2020-02-17": "18:00",
    "2020-05-25": "17:00",
    "2020-07-03": "17:00",
    "2020-11-27": "18:15",
    "2021-04-02": "13:15",  # Good Friday with employment report, 08:15 Chicago
    "2021-11-26": "18:15",
    "2022-06-20": "17:00",  # Juneteenth observed
    "2022-11-25": "18:15",
    "2023-04-07": "13:15",
    "2023-07-03": "17:15",
    "2024-07-03": "17:15",
    "2024-11-29": "18:15",
    "2024-12-24": "18:15",
    "2025-01-09": "14:30",  # day of mourning
    "2025-07-03": "17:15",
    "2025-11-27": "18:00",
    "2025-11-28": "18:15",
}
CLOSED = [
    "2019-01-01",
    "2019-04-19",
    "2019-12-25",
    "2020-01-01",
    "2020-04-10",
    "2020-12-25",
    "2021-01-01",
    "2022-04-15",
    "2022-12-26",
    "2023-01-02",
    "2023-12-25",
    "2024-01-01",
    "2024-03-29",
    "2024-12-25",
    "2025-01-01",
    "2025-04-18",
    "2025-12-25",
    "2026-01-01",
]
FULL = {
    "2019-03-08": ("2019-03-07T23:00", "2019-03-08T22:00"),  # winter time
    "2019-03-11": ("2019-03-10T22:00", "2019-03-11T21:00"),  # Sunday open on the day the clocks changed
    "2020-02-29": None,  # leap day on a Saturday
    "2024-02-29": ("2024-02-28T23:00", "2024-02-29T22:00"),  # leap day that trades
    "2024-11-01": ("2024-10-31T22:00", "2024-11-01T21:00"),
    "2024-11-04": ("2024-11-03T23:00", "2024-11-04T22:00"),
    "2021-12-31": ("2021-12-30T23:00", "2021-12-31T22:00"),  # New Year's Eve is a full day
    "2025-04-21": ("2025-04-20T22:00", "2025-04-21T21:00"),  # Easter Monday
}


def ns(stamp: str) -> int:
    return int(np.datetime64(stamp, "ns").astype(np.int64))


@pytest.fixture(scope="module")
def es(load_market):
    return sessions(load_market("ES"), D(2018, 12, 1), D(2026, 1, 31))


@pytest.fixture(scope="module")
def at(es):
    return {str(d): i for i, d in enumerate(es.trade_date)}


def test_early_closes_match_the_hand_made_table(es, at):
    for day, close in EARLY.items():
        assert es.close_ns[at[day.replace("-", "")]] == ns(f"{day}T{close}"), day


def test_fully_closed_days_have_no_session(at):
    for day in CLOSED:
        assert day.replace("-", "") not in at


def test_full_sessions_open_and_close_at_the_right_utc_time_around_clock_changes(es, at):
    for day, span in FULL.items():
        key = day.replace("-", "")
        if span is None:
            assert key not in at
        else:
            assert (es.open_ns[at[key]], es.close_ns[at[key]]) == (ns(span[0]), ns(span[1])), day


def test_every_session_not_in_the_table_lasts_23_hours(es):
    minutes = (es.close_ns - es.open_ns) // 60_000_000_000
    assert es.full_minutes == 1380
    assert minutes.max() == 1380
    # 2019-2025: 8 to 11 short days a year
    years = es.trade_date // 10_000
    short = np.bincount(years[minutes < 1380] - 2018)
    assert np.all((short[1:8] >= 8) & (short[1:8] <= 12)), short


def test_regular_hours_are_cut_by_the_early_close_and_empty_when_it_comes_first(es, at):
    i = at["20251128"]
    assert (es.rth_open_ns[i], es.rth_close_ns[i]) == (ns("2025-11-28T14:30"), ns("2025-11-28T18:15"))
    i = at["20230407"]
    assert es.rth_open_ns[i] == es.rth_close_ns[i] == es.close_ns[i]
    i = at["20250106"]
    assert (es.rth_open_ns[i], es.rth_close_ns[i]) == (ns("2025-01-06T14:30"), ns("2025-01-06T21:00"))


def test_rth_sessions_hold_only_regular_hours(load_market):
    days = sessions(load_market("ES"), D(2025, 11, 24), D(2025, 11, 28), hours="rth")
    minutes = (days.close_ns - days.open_ns) // 60_000_000_000
    assert days.full_minutes == 390
    assert minutes.tolist() == [390, 390, 390, 210, 225]
    assert days.open_ns.tolist() == days.rth_open_ns.tolist()


def test_the_share_calendar_replaces_the_exchange_calendar(load_market):
    days = sessions(load_market("ES"), D(2025, 11, 24), D(2025, 11, 28), hours="rth", calendar="NYSE")
    assert days.trade_date.tolist() == [20251124, 20251125, 20251126, 20251128]
    assert days.close_ns[-1] == ns("2025-11-28T18:00")
    assert days.full_minutes == 390


def test_a_session_without_regular_hours_is_left_out_of_rth_sessions(load_market):
    days = sessions(load_market("ES"), D(2023, 4, 5), D(2023, 4, 10), hours="rth")
    assert days.trade_date.tolist() == [20230405, 20230406, 20230410]


def test_eurex_is_closed_on_christmas_eve_and_new_years_eve(load_market):
    days = sessions(load_market("FDAX"), D(2024, 12, 20), D(2025, 1, 3))
    assert days.trade_date.tolist() == [20241220, 20241223, 20241227, 20241230, 20250102, 20250103]
    assert days.open_ns[0] == ns("2024-12-20T07:00")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hours": "night"}, "globex or rth"),
        ({"calendar": "Atlantis"}, "Atlantis"),
        ({"end": D(2024, 12, 1)}, "after end"),
        ({"start": D(2025, 1, 1), "end": D(2025, 1, 1)}, "no session"),
    ],
)
def test_a_wrong_request_is_refused_by_name(load_market, change, words):
    request = {"start": D(2025, 1, 6), "end": D(2025, 1, 10)} | change
    with pytest.raises(ConfigurationError, match=words):
        sessions(load_market("ES"), **request)


def test_recorded_hourly_bars_lie_inside_sessions_of_their_trade_date(load_market, shared_data):
    import pandas as pd

    bars = pd.read_parquet(shared_data / "bars_60m" / "ES_60m_2024_2026.parquet")
    days = sessions(load_market("ES"), D(2024, 3, 28), D(2026, 1, 31))
    bars = bars[bars.ts < pd.Timestamp("2026-01-30", tz="UTC")]
    ts = bars.ts.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[ns]").astype(np.int64)
    at = days.index(ts + 1)  # a bar is in a session when its first nanosecond is
    inside = at >= 0
    assert np.mean(inside) > 0.999
    stamped = bars.trade_date.dt.strftime("%Y%m%d").astype(int).to_numpy()
    labelled = days.trade_date[at[inside]]
    # the vendor rolls the label at midnight after a holiday; every other bar agrees
    assert np.mean(labelled == stamped[inside]) > 0.99
