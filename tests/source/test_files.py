"""Files of anybody's making: what is read, what is mended and counted, how each defect is answered."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from mia.calendar import exchange
from mia.domain.bars import Bars
from mia.domain.errors import ConfigurationError, DataError, MiaError
from mia.domain.market import Market
from mia.domain.series import INDEX
from mia.domain.sessions import Sessions
from mia.source.files import FilesSource
from mia.source.settings import ColumnSettings, FilesSettings

MINUTE = 60_000_000_000
OPEN = pd.Timestamp("2025-03-17 14:00", tz="UTC")


@pytest.fixture(scope="session")
def option(root) -> dict:
    return yaml.safe_load((root / "conf/source/files.yaml").read_text())


@pytest.fixture
def settings(option):
    """Settings made from the YAML as the command line would, with overrides; columns by name."""

    def make(path: Path | None, **changes) -> FilesSettings:
        plain = {**option, "path": path and str(path), "label": "open", **changes}
        plain["columns"] = ColumnSettings(**{**option["columns"], **changes.get("columns", {})})
        return FilesSettings(**plain)

    return make


@pytest.fixture(scope="session")
def market(root) -> Market:
    plain = yaml.safe_load((root / "conf/market/ES.yaml").read_text())
    return Market(**{**plain, "roll_months": tuple(plain["roll_months"])})


@pytest.fixture
def sessions() -> Sessions:
    """Three sessions of an hour, 14:00-15:00 UTC on 17, 18 and 19 March 2025."""
    opens = np.array([(OPEN + pd.Timedelta(days=d)).value for d in range(3)])
    return Sessions(
        open_ns=opens,
        close_ns=opens + 60 * MINUTE,
        rth_open_ns=opens,
        rth_close_ns=opens + 60 * MINUTE,
        trade_date=np.array([20250317, 20250318, 20250319]),
        full_minutes=60,
    )


def minutes(count: int = 20, start: pd.Timestamp = OPEN) -> pd.DataFrame:
    """Plain minute bars rising by a tick a minute."""
    close = 5000 + 0.25 * np.arange(count)
    return pd.DataFrame(
        {
            "ts": [start + pd.Timedelta(minutes=n) for n in range(count)],
            "open": close - 0.25,
            "high": close + 0.5,
            "low": close - 0.5,
            "close": close,
            "volume": np.arange(count) + 1,
        }
    )


@pytest.fixture
def load(tmp_path, settings, market, sessions):
    """Write a frame as CSV or Parquet and read it back as bars."""

    def run(frame: pd.DataFrame, *, kind: str = "csv", **changes) -> tuple[Bars, FilesSource]:
        path = tmp_path / f"data.{kind}"
        if kind == "csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path)
        source = FilesSource(market, settings(path, **changes), tmp_path)
        return source.table(sessions), source

    return run


# --- what is read


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_bars_are_stamped_at_their_close_with_prices_in_ticks(load, kind):
    bars, source = load(minutes(), kind=kind)
    assert bars.ts[0] == OPEN.value + MINUTE
    assert np.array_equal(bars.available_at, bars.ts)
    assert bars.column("bar.close").tolist() == [20_000 + n for n in range(20)]
    assert bars.column("bar.high").tolist() == [20_002 + n for n in range(20)]
    assert bars.column("bar.volume").tolist() == [n + 1 for n in range(20)]
    assert bars.bar_minutes == 1
    assert source.span() == (dt.date(2025, 3, 17), dt.date(2025, 3, 17))
    assert source.quality.table() == (
        {
            "name": "short sessions",
            "count": 1,
            "first": "2025-03-17 14:00:00 UTC (20250317)",
            "severity": "info",
        },
    )


def test_only_what_the_file_holds_is_used(load):
    bars, _ = load(minutes().drop(columns="volume"), columns={"volume": None})
    assert bars.sources_present() == ("bars",)
    assert np.all(np.isnan(bars.column("bar.volume")))


def test_closing_stamps_are_taken_as_they_are(load):
    frame = minutes(60)
    frame["ts"] += pd.Timedelta(minutes=1)
    bars, _ = load(frame, label="close")
    assert bars.ts[0] == OPEN.value + MINUTE
    assert len(bars) == 60


@pytest.mark.parametrize(
    "write",
    [
        lambda t: t.dt.strftime("%Y-%m-%d %H:%M:%S"),
        lambda t: t.dt.tz_convert("America/New_York").astype(str),
        lambda t: t.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        lambda t: t.dt.strftime("%m/%d/%Y %H:%M"),
        lambda t: t.astype("int64") // 10**6 if t.dt.unit == "ns" else t.dt.as_unit("ms").astype("int64"),
        lambda t: t.dt.as_unit("s").astype("int64"),
    ],
    ids=["naive", "offset", "zulu", "american", "milliseconds", "seconds"],
)
def test_stamps_of_many_makes_mean_the_same_instant(load, write):
    frame = minutes()
    frame["ts"] = write(frame["ts"])
    bars, _ = load(frame, timezone="UTC")
    assert bars.ts[0] == OPEN.value + MINUTE
    assert len(bars) == 20


def test_naive_stamps_are_read_in_the_declared_zone(load):
    frame = minutes()
    frame["ts"] = frame["ts"].dt.tz_convert("America/New_York").dt.tz_localize(None)
    bars, _ = load(frame, timezone="America/New_York", kind="parquet")
    assert bars.ts[0] == OPEN.value + MINUTE


def test_date_and_time_in_two_columns_are_joined(load):
    frame = minutes()
    frame.insert(0, "Date", frame["ts"].dt.strftime("%Y-%m-%d"))
    frame.insert(1, "Time", frame["ts"].dt.strftime("%H:%M:%S"))
    bars, _ = load(frame.drop(columns="ts"), timezone="UTC", columns={"time": "Time"})
    assert bars.ts[0] == OPEN.value + MINUTE


def test_column_names_may_differ_in_capitals_or_be_mapped(load):
    frame = minutes().rename(columns={"ts": "DateTime", "open": "Open", "close": "last_price"})
    bars, _ = load(frame, columns={"close": "last_price"})
    assert bars.column("bar.close")[0] == 20_000


def test_a_folder_and_a_pattern_are_read_as_one_table(tmp_path, settings, market, sessions):
    folder = tmp_path / "parts"
    folder.mkdir()
    whole = minutes()
    whole[:10].to_csv(folder / "b.csv", index=False)
    whole[10:].to_parquet(folder / "a.parquet")
    for path in (folder, folder / "*.[cp]*"):
        bars = FilesSource(market, settings(path), tmp_path).table(sessions)
        assert bars.column("bar.close").tolist() == [20_000 + n for n in range(20)]
    relative = FilesSource(market, settings(Path("parts")), tmp_path).table(sessions)
    assert len(relative) == 20


def test_separators_and_a_byte_order_mark_are_understood(tmp_path, settings, market, sessions):
    path = tmp_path / "odd.txt"
    path.write_text("\ufeff" + minutes().to_csv(index=False, sep=";"), encoding="utf-8")
    assert len(FilesSource(market, settings(path), tmp_path).table(sessions)) == 20


def test_filters_keep_only_the_rows_with_that_value(load):
    frame = minutes()
    frame["session"] = ["RTH"] * 10 + ["ETH"] * 10
    bars, _ = load(frame, filters={"session": "RTH"})
    assert len(bars) == 10


def test_further_series_are_taken_as_they_are(load):
    frame = minutes()
    frame["vix"] = 15.5
    bars, _ = load(frame, series={"xa.vix": "vix"})
    assert bars.column("xa.vix").tolist() == [15.5] * 20
    assert bars.sources_present() == ("bars", "cross")


def test_start_and_end_choose_trade_dates(load):
    frame = pd.concat([minutes(60, OPEN + pd.Timedelta(days=d)) for d in range(3)])
    bars, source = load(frame, start="2025-03-18", end="2025-03-18")
    assert len(bars) == 60
    assert bars.ts[0] == (OPEN + pd.Timedelta(days=1)).value + MINUTE
    assert source.span() == (dt.date(2025, 3, 18), dt.date(2025, 3, 18))


def test_a_scale_reads_a_fund_as_its_future_and_reports_the_rounding(load):
    frame = minutes()
    prices = ["open", "high", "low", "close"]
    frame[prices] = (frame[prices] / 10).round(2)
    bars, source = load(frame, price_scale=10.0)
    assert bars.column("bar.close").tolist() == np.rint(frame["close"] * 40).tolist()
    row = next(r for r in source.quality.table() if r["name"] == "off-tick prices")
    assert row["severity"] == "info"
    assert source.quality.count("off-tick prices") > 0


def test_prices_round_half_to_even(load):
    frame = minutes(2)
    frame.loc[0, ["open", "high", "low", "close"]] = [5000.125, 5000.375, 5000.125, 5000.375]
    bars, source = load(frame, bar_minutes=1)
    assert (
        bars.values[0, [INDEX[f"bar.{c}"] for c in ("open", "high", "low", "close")]].tolist() == [20_000, 20_002] * 2
    )
    assert source.quality.count("off-tick prices") == 1


# --- rolls


def rolling() -> pd.DataFrame:
    frame = minutes(20)
    frame.loc[10:, ["open", "high", "low", "close"]] += 60.0
    frame["rolled"] = [n == 10 for n in range(20)]
    frame["contract"] = ["ESH5"] * 10 + ["ESM5"] * 10
    return frame


@pytest.mark.parametrize("column", ["rolled", "contract"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_jump_of_a_roll_earns_nothing_and_the_past_does_not_change(load, column, kind):
    bars, source = load(rolling(), columns={"roll": column}, kind=kind)
    opens, closes = bars.column("bar.open"), bars.column("bar.close")
    assert opens[10] == closes[9]
    assert closes[:10].tolist() == [20_000 + n for n in range(10)]
    assert np.array_equal(np.diff(closes)[10:], np.ones(9))
    assert source.quality.measures["roll jumps [ticks]"] == {"2025-03-17 14:10:00 UTC": 240}
    assert source.quality.count("rolls removed") == 1


def test_removing_rolls_never_changes_a_row_before_them(load):
    frame = rolling()
    whole, _ = load(frame, columns={"roll": "rolled"})
    part, _ = load(frame[:10], columns={"roll": "rolled"})
    assert whole.values[:10].tobytes() == part.values.tobytes()


def test_an_unmarked_jump_in_a_roll_week_is_reported_and_left_alone(tmp_path, settings, market, sessions):
    frame = rolling()
    path = tmp_path / "data.csv"
    frame.to_csv(path, index=False)
    source = FilesSource(market, settings(path), tmp_path)
    bars = source.table(replace(sessions, full_minutes=1380))
    assert bars.column("bar.close")[10] - bars.column("bar.close")[9] == 241
    assert source.quality.count("unmarked roll jumps") == 1


# --- ticks


def ticks() -> pd.DataFrame:
    stamps = [OPEN + pd.Timedelta(seconds=s) for s in (1.5, 2.5, 30.25, 61.0, 119.0, 200.125)]
    return pd.DataFrame(
        {
            "ts": stamps,
            "price": [5000.0, 5000.25, 5000.0, 5001.0, 5000.75, 5002.0],
            "size": [1, 2, 3, 4, 5, 6],
            "aggressor": ["B", "B", "S", "buy", "sell", "?"],
            "bid": [4999.75, 5000.0, 5000.0, 5000.75, 5000.75, 5001.75],
            "ask": [5000.0, 5000.25, 5000.25, 5001.0, 5001.0, 5002.0],
            "bid_size": [10, 10, 7, 10, 10, 10],
            "ask_size": [20, 20, 20, 20, 20, 20],
        }
    )


TICKS = {"content": "ticks", "label": None, "bar_minutes": 1}
QUOTED = {n: n for n in ("bid", "ask", "bid_size", "ask_size")}


def test_ticks_become_bars_with_signed_volume(load):
    bars, _ = load(ticks(), **TICKS, columns={"side": "aggressor"})
    assert [int(t - OPEN.value) // MINUTE for t in bars.ts] == [1, 2, 3, 4]
    assert bars.column("bar.close").tolist() == [20_000, 20_003, 20_003, 20_008]
    assert bars.column("bar.volume").tolist() == [6, 9, 0, 6]
    assert bars.column("trd.buy_volume")[:3].tolist() == [3, 4, 0]
    assert bars.column("trd.sell_volume")[:3].tolist() == [3, 5, 0]
    assert bars.sources_present() == ("bars", "trades")


def test_quotes_sign_trades_and_fill_the_best_level_only(load):
    bars, _ = load(ticks(), **TICKS, columns=QUOTED)
    assert bars.column("trd.buy_volume").tolist() == [3, 4, 0, 6]
    assert bars.column("trd.sell_volume").tolist() == [3, 5, 0, 0]
    assert bars.column("qot.mid")[0] == 20_000.5
    assert bars.column("dom.bid_sz_1")[0] == 7
    assert bars.column("dom.ofi_1")[0] == 10 - 3 + 20  # bid up: +10, ask up: +20, bid size down: -3
    assert np.all(np.isnan(bars.column("dom.bid_px_2")))
    assert np.all(np.isnan(bars.column("dom.add_bid")))
    assert bars.sources_present() == ("bars", "trades", "depth")


def test_quotes_without_sizes_give_prices_but_no_sizes(load):
    bars, source = load(ticks(), **TICKS, columns={"bid": "bid", "ask": "ask"})
    assert bars.column("qot.mid")[0] == 20_000.5
    assert np.all(np.isnan(bars.column("dom.bid_sz_1")))
    assert np.all(np.isnan(bars.column("dom.ofi_1")))
    assert "dom.ofi_1" in source.quality.measures["blanked series"]


def test_rows_that_only_quote_have_an_empty_price(load):
    frame = ticks()
    frame.loc[1, ["price", "size"]] = np.nan
    bars, source = load(frame, **TICKS, columns=QUOTED)
    assert bars.column("bar.volume")[0] == 4
    assert source.quality.count("bad rows") == 0


def test_stamps_of_whole_seconds_cannot_tell_sweeps(load):
    frame = ticks()
    frame["ts"] = frame["ts"].dt.floor("s")
    bars, source = load(frame, **TICKS)
    assert np.all(np.isnan(bars.column("trd.n_sweeps")))
    assert "trd.n_sweeps" in source.quality.measures["blanked series"]


def test_ticks_of_two_sessions_do_not_share_a_book(load):
    later = ticks()
    later["ts"] += pd.Timedelta(days=1)
    both, _ = load(pd.concat([ticks(), later]), **TICKS, columns=QUOTED)
    alone, _ = load(later, **TICKS, columns=QUOTED)
    depth = [INDEX[n] for n in ("qot.mid", "dom.bid_sz_1", "dom.ofi_1", "dom.bid_depth_tw_1", "qot.n_updates")]
    assert both.values[-4:, depth].tobytes() == alone.values[:, depth].tobytes()
    assert len(both) == 60 + 4


# --- what was written by the ingest stage comes back


def test_a_table_of_base_series_comes_back_unchanged(load, tmp_path, settings, market, sessions):
    from mia.source import table

    bars, _ = load(ticks(), **TICKS, columns=QUOTED)
    path = table.write(bars, tmp_path / "bars.parquet")
    again = FilesSource(market, settings(path, content="series", label=None), tmp_path).table(sessions)
    assert again.values.tobytes() == bars.values.tobytes()
    assert np.array_equal(again.ts, bars.ts)


# --- what is mended and counted


def test_unsorted_rows_are_sorted_and_reported_or_refused(load):
    frame = minutes().iloc[[0, 2, 1, *range(3, 20)]]
    bars, source = load(frame)
    assert bars.column("bar.close").tolist() == [20_000 + n for n in range(20)]
    assert source.quality.count("unsorted") == 1
    with pytest.raises(DataError, match="1 rows run back in time, first 2025-03-17 14:01:00 UTC in row 3"):
        load(frame, allow_unsorted=False)


def test_of_repeated_stamps_the_last_is_kept(load):
    frame = minutes()
    frame["close"] = frame["close"].astype(float)
    again = frame.iloc[[4]].assign(volume=99)
    bars, source = load(pd.concat([frame, again]))
    assert len(bars) == 20
    assert bars.column("bar.volume")[4] == 99
    assert source.quality.count("duplicates") == 1
    with pytest.raises(DataError, match="duplicates: 1, allowed 0"):
        load(pd.concat([frame, again]), max_duplicates=0)


def test_rows_outside_sessions_are_dropped_and_counted(load):
    frame = minutes(20, OPEN - pd.Timedelta(minutes=5))
    bars, source = load(frame)
    assert len(bars) == 15
    assert source.quality.count("outside sessions") == 5


def test_an_open_outside_the_range_widens_it(load):
    frame = minutes()
    frame.loc[3, "open"] = frame.loc[3, "high"] + 1.0
    bars, source = load(frame)
    assert bars.column("bar.high")[3] == bars.column("bar.open")[3]
    assert source.quality.count("open or close outside high-low") == 1


def test_with_warnings_only_bad_rows_are_dropped_and_the_rest_is_used(load):
    frame = minutes()
    frame.loc[3, "close"] = np.nan
    frame.loc[7, ["open", "high", "low", "close"]] = -1.0
    bars, source = load(frame, on_quality="warn")
    assert len(bars) == 18
    assert source.quality.count("missing prices") == 1
    assert source.quality.count("zero or negative prices") == 1
    assert source.quality.count("gaps") == 2


def test_a_hour_that_clocks_skip_is_counted_not_guessed(load):
    frame = minutes()
    extra = frame.iloc[[0]].assign(ts="2025-03-09 02:30:00")  # does not exist in New York
    frame["ts"] = frame["ts"].dt.tz_convert("America/New_York").dt.strftime("%Y-%m-%d %H:%M:%S")
    bars, source = load(pd.concat([extra, frame]), timezone="America/New_York")
    assert len(bars) == 20
    assert source.quality.count("stamps missing or impossible") == 1


# --- malformed input: one clear line each


def changed(column: str, value, rows=slice(3, 4)) -> pd.DataFrame:
    frame = minutes().astype({"volume": object, "close": object})
    frame.loc[frame.index[rows], column] = value
    return frame


FRAMES = {
    "wrong column": (minutes, {"columns": {"close": "last"}}, "has no column 'last' (source.columns.close)"),
    "no stamp column": (
        lambda: minutes().rename(columns={"ts": "when"}),
        {},
        "name one in source.columns.timestamp",
    ),
    "missing price": (
        lambda: changed("close", np.nan),
        {},
        "bad rows: 1, allowed 0, first 2025-03-17 14:03:00 UTC",
    ),
    "negative price": (lambda: changed("low", -5.0), {}, "1 with zero or negative prices"),
    "zero price": (lambda: changed("open", 0.0), {}, "1 with zero or negative prices"),
    "infinite price": (lambda: changed("high", np.inf), {}, "1 with missing prices"),
    "high below low": (lambda: changed("high", 4000.0), {}, "1 with high below low"),
    "negative volume": (lambda: changed("volume", -1), {}, "1 with impossible sizes"),
    "all prices missing": (
        lambda: changed("close", np.nan, slice(None)),
        {},
        "can be used: 20 with missing prices",
    ),
    "text for a number": (
        lambda: changed("close", "n/a?"),
        {},
        "not a number in 1 rows, first 'n/a?' in row 4",
    ),
    "header only": (lambda: minutes(0), {}, "holds no row"),
    "no zone": (
        lambda: minutes().assign(ts=lambda f: f["ts"].dt.tz_localize(None)),
        {},
        "source.timezone is not declared and the stamps name none",
    ),
    "mixed zones": (
        lambda: minutes().assign(ts=lambda f: [str(t)[: 19 if n % 2 else 25] for n, t in enumerate(f["ts"])]),
        {"timezone": "UTC"},
        "some stamps name a zone and some do not",
    ),
    "stamp not a time": (
        lambda: minutes().assign(ts="noon"),
        {"timezone": "UTC"},
        "'noon' is no date and time",
    ),
    "wrong zone": (
        lambda: minutes(60).assign(ts=lambda f: f["ts"].dt.tz_localize(None)),
        {"timezone": "Asia/Tokyo"},
        "all 60 rows",
    ),
    "wrong label open": (
        lambda: minutes(60).assign(ts=lambda f: f["ts"] + pd.Timedelta(minutes=1)),
        {"label": "open"},
        "use source.label=close",
    ),
    "wrong label close": (lambda: minutes(60), {"label": "close"}, "use source.label=open"),
    "off the grid": (
        lambda: minutes().assign(ts=lambda f: f["ts"] + pd.Timedelta(seconds=30)),
        {},
        "bars lie off the 1-minute grid",
    ),
    "bars longer than declared": (
        lambda: minutes(12).iloc[::5],
        {"bar_minutes": 1},
        "lie mostly 5 minutes apart",
    ),
    "bars shorter than declared": (
        minutes,
        {"bar_minutes": 5},
        "overlap: bars of 5 minutes are stamped down to 1",
    ),
    "two instruments": (
        lambda: pd.concat([minutes(), minutes().assign(close=5001.0)]),
        {},
        "choose one instrument, e.g. +source.filters.symbol=ES",
    ),
    "two grids": (
        lambda: pd.concat([minutes(), minutes().assign(ts=lambda f: f["ts"] + pd.Timedelta(seconds=30))]),
        {"bar_minutes": 1},
        "lie mostly 0.5 minutes apart, but source.bar_minutes is 1",
    ),
    "irregular stamps": (
        lambda: minutes(6).assign(ts=[OPEN + pd.Timedelta(seconds=s) for s in (1, 18, 35, 52, 69, 86)]),
        {},
        "declare the true length in whole minutes",
    ),
    "outside sessions": (lambda: minutes(20, OPEN + pd.Timedelta(hours=5)), {}, "lie outside the sessions"),
    "filter leaves nothing": (lambda: minutes().assign(s="ETH"), {"filters": {"s": "RTH"}}, "leave no row"),
    "filter of no column": (
        minutes,
        {"filters": {"session": "RTH"}},
        "has no column 'session' (source.filters)",
    ),
    "single bar": (lambda: minutes(1), {}, "has a single bar; declare its length"),
    "gap": (
        lambda: minutes().drop(index=[5, 6, 7]),
        {"max_gap_minutes": 2},
        "longest gap [minutes]: 3, allowed 2",
    ),
    "quotes only": (
        lambda: ticks().assign(price=np.nan),
        {**TICKS, "columns": QUOTED},
        "holds no trade inside the sessions",
    ),
    "tick without size": (lambda: ticks().assign(size=0), TICKS, "6 with impossible sizes"),
    "span": (minutes, {"start": "2026-01-01"}, "leave nothing: the files run from 2025-03-17"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_defective_table_is_answered_with_one_clear_line(name, tmp_path, settings, market, sessions):
    make, changes, message = FRAMES[name]
    path = tmp_path / "data.csv"
    make().to_csv(path, index=False)
    source = FilesSource(market, settings(path, **changes), tmp_path)

    def ingest() -> None:
        source.span()
        source.table(sessions)

    with pytest.raises(MiaError) as caught:
        ingest()
    assert isinstance(caught.value, ConfigurationError | DataError)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


GOOD = minutes().to_csv(index=False)
CONTENTS = {
    "empty file": ("data.csv", b"", "data.csv is empty"),
    "binary garbage": ("data.csv", bytes(range(256)) * 20, "is no text in UTF-8"),
    "zip called csv": ("data.csv", b"PK\x03\x04\x00\x00\x08\x00junk\n\xff\xfe\n", "is no text in UTF-8"),
    "not gzip": ("data.csv.gz", b"not gzip at all", "is no text in UTF-8"),
    "repeated column": ("data.csv", b"ts,close,close\n1,2,3\n", "has two columns called 'close'"),
    "ragged rows": ("data.csv", GOOD.encode() + b"1,2,3,4,5,6,7,8,9,10\n", "is no regular CSV"),
    "no header": ("data.csv", b"\n".join(GOOD.encode().splitlines()[1:4]), "has no column"),
    "cut Parquet": ("data.parquet", b"PAR1" + b"\x00" * 100, "is no readable Parquet file"),
    "CSV called Parquet": ("data.parquet", GOOD.encode(), "is no readable Parquet file"),
    "folder without files": ("sub/readme.md", b"hello", "is a folder without .csv or .parquet files"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_damaged_file_is_answered_with_one_clear_line(name, tmp_path, settings, market):
    file, content, message = CONTENTS[name]
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    target = path.parent if path.parent != tmp_path else path
    with pytest.raises(MiaError) as caught:
        FilesSource(market, settings(target), tmp_path).span()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_parquet_file_cut_short_is_refused(tmp_path, settings, market):
    path = tmp_path / "data.parquet"
    minutes().to_parquet(path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(DataError, match="no readable Parquet file"):
        FilesSource(market, settings(path), tmp_path).span()


DECLARATIONS = {
    "missing path": ({"path": None}, "source.path is not set"),
    "undeclared label": ({"label": None}, "source.label is not declared"),
    "unknown label": ({"label": "middle"}, "source.label must be one of open, close, was 'middle'"),
    "zero scale": ({"price_scale": 0.0}, "source.price_scale must be positive, was 0"),
    "negative scale": ({"price_scale": -1.0}, "source.price_scale must be positive, was -1"),
    "unknown zone": ({"timezone": "Mars/Olympus"}, "source.timezone must be UTC or an IANA zone"),
    "zone with a path in it": ({"timezone": "../etc"}, "source.timezone must be UTC or an IANA zone"),
    "unknown content": ({"content": "candles"}, "source.content must be one of bars, ticks, series"),
    "unknown hours": ({"hours": "night"}, "source.hours must be one of globex, rth"),
    "no bar": ({"bar_minutes": 0}, "source.bar_minutes must be at least 1, was 0"),
    "ticks without a bar": ({"content": "ticks"}, "source.bar_minutes must be declared for ticks"),
    "bad date": ({"start": "10/03/2025"}, "source.start must be a date like 2025-01-31"),
    "no close column": ({"columns": {"close": None}}, "source.columns.close must name a column"),
    "bid without ask": ({"columns": {"bid": "bid"}}, "source.columns.bid and ask must be given together"),
    "unknown series": ({"series": {"bar.sparkle": "x"}}, "'bar.sparkle' is no base series"),
    "unknown policy": ({"on_quality": "ignore"}, "source.on_quality must be one of fail, warn"),
}


@pytest.mark.parametrize("name", DECLARATIONS)
def test_an_impossible_declaration_is_refused_before_anything_is_read(name, settings):
    changes, message = DECLARATIONS[name]
    with pytest.raises(ConfigurationError) as caught:
        settings(**{"path": Path("nowhere.csv"), **changes})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["nowhere.csv", "nowhere/*.csv"])
def test_a_path_that_does_not_exist_is_named(path, tmp_path, settings, market):
    with pytest.raises(ConfigurationError, match="nowhere"):
        FilesSource(market, settings(Path(path)), tmp_path).span()


def test_the_option_as_shipped_asks_for_the_path_and_the_label(option):
    plain = {**option, "columns": ColumnSettings(**option["columns"])}
    with pytest.raises(ConfigurationError, match=r"source\.path is not set"):
        FilesSettings(**plain)
    with pytest.raises(ConfigurationError, match=r"source\.label is not declared"):
        FilesSettings(**{**plain, "path": "x.csv"})


# --- real data


def real(market: Market, settings: FilesSettings) -> tuple[Bars, FilesSource, Sessions]:
    source = FilesSource(market, settings, Path.cwd())
    first, last = source.span()
    span = exchange.sessions(
        market,
        first - dt.timedelta(days=4),
        last + dt.timedelta(days=4),
        hours=settings.hours,
        calendar=settings.calendar,
    )
    return source.table(span), source, span


def test_spy_minutes_load_as_es(shared_data, settings, market):
    path = shared_data / "bars_1m/SPY_1m_2024_2025.parquet"
    bars, source, span = real(market, settings(path, price_scale=10.0, hours="rth", calendar="NYSE"))
    raw = pd.read_parquet(path)
    assert len(bars) + source.quality.count("outside sessions") == len(raw) == 99_658
    assert len(np.unique(span.index(bars.ts))) == 256
    assert bars.ts[0] == pd.Timestamp("2024-03-26 13:31", tz="UTC").value
    assert bars.ts[-1] == pd.Timestamp("2025-04-02 19:24", tz="UTC").value
    assert bars.column("bar.close")[0] == np.rint(raw["close"][0] * 40)
    assert source.quality.count("missing sessions") == 0
    assert bars.sources_present() == ("bars",)


def test_mnq_five_minutes_load_with_their_rolls_removed(root, shared_data, settings):
    plain = yaml.safe_load((root / "conf/market/MNQ.yaml").read_text())
    mnq = Market(**{**plain, "roll_months": tuple(plain["roll_months"])})
    path = shared_data / "bars_5m/MNQ_5m_2025.parquet"
    bars, source, span = real(mnq, settings(path, columns={"roll": "roll_jump"}))
    raw = pd.read_parquet(path)
    assert (len(bars), bars.bar_minutes) == (len(raw), 5)
    assert len(np.unique(span.index(bars.ts))) == 101
    assert source.quality.measures["roll jumps [ticks]"] == {
        "2025-06-22 22:00:00 UTC": -903,
        "2025-09-16 08:15:00 UTC": 975,
    }
    at = np.flatnonzero(raw["roll_jump"])
    opens, closes = bars.column("bar.open"), bars.column("bar.close")
    assert np.array_equal(opens[at], closes[at - 1])
    assert np.array_equal(closes[: at[0]], np.rint(raw["close"][: at[0]] * 4))
    unmarked, other, _ = real(mnq, settings(path))
    assert other.quality.count("unmarked roll jumps") == 2
    assert np.array_equal(unmarked.column("bar.close"), np.rint(raw["close"] * 4))


def test_real_trades_without_sides_fold_into_bars(shared_data, settings, market):
    path = shared_data / "l2/ES_20110731_trades.parquet"
    bars, _, _ = real(market, settings(path, content="ticks", label=None, bar_minutes=1))
    raw = pd.read_parquet(path)
    assert bars.column("bar.volume").sum() == raw["size"].sum()
    assert bars.column("trd.n").sum() == len(raw)
    assert np.nanmax(bars.column("bar.high")) == raw["price"].max() * 4
    assert bars.sources_present() == ("bars", "trades")
