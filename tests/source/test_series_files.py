"""Other markets' series from files: known when declared, dropped when old, refused in one line."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
import yaml

from mia.domain.bars import Bars
from mia.domain.errors import ConfigurationError, DataError, MiaError
from mia.domain.series import WIDTH
from mia.source.joined_settings import CrossSettings, check_max_ages
from mia.source.publication import Publication
from mia.source.series_files import CrossFiles, join_series

MINUTE = 60_000_000_000
START = pd.Timestamp("2025-03-17 14:00", tz="UTC")
AGES = {"xa.vix": 15, "xa.us10y": 5760}


def bars_at(ts) -> Bars:
    ts = np.asarray(ts, np.int64)
    return Bars(market="ES", bar_minutes=1, ts=ts, available_at=ts, values=np.full((len(ts), WIDTH), np.nan))


def minute_bars(count: int = 60) -> Bars:
    return bars_at(START.value + MINUTE * np.arange(1, count + 1))


def spec(path, **changes) -> CrossSettings:
    return CrossSettings(**{"series": "xa.vix", "path": str(path), "column": "close", "label": "close", **changes})


@pytest.fixture
def write(tmp_path):
    def run(frame: pd.DataFrame, kind: str = "csv"):
        path = tmp_path / f"series.{kind}"
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
        return path

    return run


def quotes(stamps, values) -> pd.DataFrame:
    return pd.DataFrame({"ts": stamps, "close": values})


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_bar_stamped_at_its_open_is_known_at_its_close_and_no_earlier(write, tmp_path, kind):
    path = write(quotes([START, START + pd.Timedelta(minutes=5)], [15.0, 16.0]), kind)
    got = join_series(minute_bars(30), [spec(path, label="open", minutes=5)], AGES, tmp_path)["xa.vix"]
    assert np.all(np.isnan(got[:4]))
    assert got[4:9].tolist() == [15.0] * 5
    assert got[9:25].tolist() == [16.0] * 16  # known at 14:10, used until 14:25
    assert np.all(np.isnan(got[25:]))


def test_a_column_of_its_own_may_say_when_a_value_was_known(write, tmp_path):
    frame = quotes([START, START], [4.1, 4.2]).assign(known=[START, START + pd.Timedelta(minutes=3)])
    path = write(frame)
    got = join_series(minute_bars(5), [spec(path, label="available", available="known")], AGES, tmp_path)["xa.vix"]
    assert got.tolist() == [4.1, 4.1, 4.2, 4.2, 4.2]


def test_a_daily_value_is_known_at_its_publication_and_lives_over_a_long_weekend(write, tmp_path):
    frame = pd.DataFrame({"date": ["2025-03-13", "2025-03-14"], "close": [4.25, 4.30]})
    one = spec(write(frame), series="xa.us10y", label="day", published="18:00 America/New_York", scale=2.0)
    stamps = ["2025-03-13 21:59", "2025-03-13 22:00", "2025-03-14 21:59", "2025-03-18 22:00", "2025-03-18 22:01"]
    got = join_series(bars_at([pd.Timestamp(s).value for s in stamps]), [one], AGES, tmp_path)["xa.us10y"]
    assert np.array_equal(got, [np.nan, 8.5, 8.5, 8.6, np.nan], equal_nan=True)


def test_pieces_of_bars_give_what_the_whole_table_gives(write, tmp_path):
    rng = np.random.Generator(np.random.PCG64(3))
    at = [START + pd.Timedelta(seconds=int(s)) for s in np.sort(rng.choice(3600, 40, replace=False))]
    one = spec(write(quotes(at, rng.normal(size=40))))
    bars = minute_bars(60)
    whole = join_series(bars, [one], {"xa.vix": 2}, tmp_path)["xa.vix"]
    files = CrossFiles([one], {"xa.vix": 2}, tmp_path)
    pieces = [files.columns(bars.ts[k : k + 7])["xa.vix"] for k in range(0, 60, 7)]
    files.check()
    assert np.concatenate(pieces).tobytes() == whole.tobytes()


def test_later_rows_of_the_file_change_no_bar_before_them(write, tmp_path):
    frame = quotes([START + pd.Timedelta(minutes=m) for m in range(40)], np.arange(40.0))
    whole = join_series(minute_bars(20), [spec(write(frame))], AGES, tmp_path)["xa.vix"]
    cut = join_series(minute_bars(20), [spec(write(frame[:21]))], AGES, tmp_path)["xa.vix"]
    assert cut.tobytes() == whole.tobytes()


def test_empty_cells_say_nothing(write, tmp_path):
    path = write(quotes([START, START + pd.Timedelta(minutes=1)], [15.0, None]))
    got = join_series(minute_bars(3), [spec(path)], AGES, tmp_path)["xa.vix"]
    assert got.tolist() == [15.0] * 3


@pytest.mark.parametrize(
    ("frame", "changes", "says"),
    [
        (quotes([START], [1.0]), {"column": "last"}, "no column 'last'"),
        (quotes([START], ["n/a?"]), {}, "not a number"),
        (quotes(["2025-03-17 14:00"], [1.0]), {}, "timezone"),
        (quotes(["soon"], [1.0]), {}, "'soon'"),
        (quotes([START, None], [1.0, 2.0]), {}, "missing"),
        (quotes([START - pd.Timedelta(days=30)], [1.0]), {}, "no bar finds a value"),
        (quotes([START] * 4, [1.0, 2.0, 3.0, 4.0]), {}, "choose one instrument"),
        (quotes([START], [np.nan]), {}, "is empty"),
        (pd.DataFrame({"close": [1.0]}), {}, "no column is the stamp"),
        (quotes([START], [1.0]), {"filters": {"close": "9"}}, "leave no row"),
        (quotes(["2025-03-17 14:00"], [1.0]), {"label": "day", "published": "18:00 UTC"}, "time of day"),
        (
            quotes([START], [1.0]).assign(known=[START - pd.Timedelta(minutes=1)]),
            {"label": "available", "available": "known"},
            "before its own time",
        ),
    ],
)
def test_an_unusable_file_is_refused_in_one_line_that_names_the_series(write, tmp_path, frame, changes, says):
    with pytest.raises(MiaError, match=says) as caught:
        join_series(minute_bars(), [spec(write(frame), **changes)], AGES, tmp_path)
    assert "\n" not in str(caught.value)
    assert "xa.vix" in str(caught.value) or "series.csv" in str(caught.value)


def test_a_missing_or_damaged_file_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"source\.cross xa\.vix path .* does not exist"):
        join_series(minute_bars(), [spec(tmp_path / "none.csv")], AGES, tmp_path)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="no readable Parquet"):
        join_series(minute_bars(), [spec(tmp_path / "broken.parquet")], AGES, tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"series": "bar.close"}, "cannot be joined"),
        ({"series": "xa.nothing"}, "cannot be joined"),
        ({"label": "start"}, "must be one of"),
        ({"label": "open"}, "minutes belongs to label open"),
        ({"minutes": 5}, "minutes belongs to label open"),
        ({"label": "day", "published": "6 pm"}, "06:00 America/Chicago"),
        ({"label": "day", "published": "18:00 Mars/Base"}, "06:00 America/Chicago"),
        ({"timezone": "Mars/Base"}, "IANA"),
        ({"max_age_minutes": -1}, "negative"),
        ({"scale": 0.0}, "scale"),
    ],
)
def test_an_impossible_declaration_is_refused_before_anything_is_read(changes, says):
    with pytest.raises(ConfigurationError, match=says):
        spec("x.csv", **changes)


def test_every_joined_series_needs_an_age_and_comes_once():
    with pytest.raises(ConfigurationError, match="max_age_minutes is not declared"):
        check_max_ages({}, (spec("x.csv"),))
    with pytest.raises(ConfigurationError, match="twice"):
        check_max_ages(AGES, (spec("x.csv"), spec("y.csv")))
    with pytest.raises(ConfigurationError, match="no base series"):
        check_max_ages({"xa.vx": 3}, ())


def test_the_menu_declares_an_age_for_every_series_of_other_markets_that_files_can_fill(root):
    from mia.domain.series import CROSS

    ages = yaml.safe_load((root / "conf/source/files.yaml").read_text())["max_age_minutes"]
    assert set(ages) == set(CROSS) - {"xa.pair_ofi"}


@pytest.mark.parametrize(
    ("text", "day", "wanted"),
    [
        ("16:15 America/New_York", dt.date(2025, 3, 14), "2025-03-14T20:15"),  # summer time
        ("16:15 America/New_York same day", dt.date(2025, 1, 14), "2025-01-14T21:15"),
        ("06:00 America/Chicago next day", dt.date(2025, 1, 14), "2025-01-15T12:00"),
        ("06:00 America/Chicago next day", dt.date(2025, 3, 14), "2025-03-17T11:00"),  # Friday to Monday
        ("00:00 UTC next day", dt.date(2025, 3, 16), "2025-03-17T00:00"),
    ],
)
def test_publication_is_a_local_clock_time_and_the_next_day_is_a_weekday(text, day, wanted):
    got = Publication.parse(text, "option").of_day((day - dt.date(1970, 1, 1)).days)
    assert got == np.datetime64(wanted, "ns").astype(np.int64)


def test_hourly_vix_joins_hourly_es_without_knowing_the_hour_that_runs(shared_data, tmp_path):
    es = pd.read_parquet(shared_data / "bars_60m/ES_60m_2024_2026.parquet").ts.dt.as_unit("ns").astype("int64")
    closes = es.to_numpy()[2000:4000] + 60 * MINUTE
    vix = spec(shared_data / "bars_60m/VIX_60m_2024_2026.parquet", label="open", minutes=60, max_age_minutes=60)
    got = join_series(bars_at(closes), [vix], AGES, tmp_path)["xa.vix"]
    table = pd.read_parquet(shared_data / "bars_60m/VIX_60m_2024_2026.parquet").set_index("ts").close
    for k in range(0, 2000, 37):
        now = pd.Timestamp(int(closes[k]), tz="UTC")
        known = table[
            (table.index + pd.Timedelta(minutes=60) <= now) & (table.index >= now - pd.Timedelta(minutes=120))
        ]
        assert (np.isnan(got[k]) and known.empty) or got[k] == known.iloc[-1]
    assert 0.5 < np.isfinite(got).mean() < 1.0


def test_daily_vix_is_not_known_on_its_own_day_before_the_close(shared_data, tmp_path):
    daily = spec(
        shared_data / "daily/VIX_1d_cboe_pddl.parquet",
        label="day",
        published="16:15 America/New_York",
        max_age_minutes=5760,
    )
    stamps = [pd.Timestamp(s, tz="America/New_York") for s in ("2024-08-05 12:00", "2024-08-05 16:15")]
    got = join_series(bars_at([s.value for s in stamps]), [daily], AGES, tmp_path)["xa.vix"]
    assert got.tolist() == [23.39, 38.57]  # Friday's close at noon of the Monday the index jumped
