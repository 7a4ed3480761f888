"""Chains from files: snapshots on a grid, open interest never before its publication, refusals in one line."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import yaml

from mia.domain.bars import Bars
from mia.domain.chain import CALL, PUT
from mia.domain.errors import ConfigurationError, DataError, MiaError
from mia.domain.market import Market
from mia.domain.series import INDEX, WIDTH
from mia.source.chain_files import ChainFiles
from mia.source.joined_settings import ChainSettings

MINUTE = 60_000_000_000
START = pd.Timestamp("2025-03-17 14:00", tz="UTC")


@pytest.fixture(scope="module")
def market(root) -> Market:
    plain = yaml.safe_load((root / "conf/market/ES.yaml").read_text())
    return Market(**{**plain, "roll_months": tuple(plain["roll_months"])})


def settings(path, **changes) -> ChainSettings:
    plain = {
        "path": str(path),
        "minutes": 0,
        "delay_minutes": 0,
        "every_minutes": 15,
        "quote_max_age_minutes": 30,
        "reference_max_age_minutes": 60,
        "settles": "16:00 America/New_York",
        "multiplier": 100.0,
        "rate": 0.04,
    }
    return ChainSettings(**{**plain, **changes})


def bars(start: pd.Timestamp, count: int, first_tick: int = 20_000, step: int = 1) -> Bars:
    ts = start.value + MINUTE * step * np.arange(1, count + 1)
    values = np.full((count, WIDTH), np.nan)
    values[:, INDEX["bar.close"]] = first_tick + np.arange(count)
    return Bars(market="ES", bar_minutes=step, ts=ts, available_at=ts, values=values)


def quote(minute: float, strike: float, right: str, bid: float, ask: float, **more) -> dict:
    stamp = START + pd.Timedelta(minutes=minute)
    return {"ts": stamp, "expiry": "2025-03-21", "strike": strike, "right": right, "bid": bid, "ask": ask, **more}


@pytest.fixture
def read(tmp_path, market):
    def run(rows, count=60, pieces=None, **changes):
        path = tmp_path / "chain.csv"
        pd.DataFrame(rows).to_csv(path, index=False)
        files = ChainFiles(settings(path, **changes), market, tmp_path)
        table = bars(START, count)
        cuts = [0, *(pieces or []), count]
        return [
            chain
            for low, high in pairwise(cuts)
            for chain in files.snapshots(
                Bars(
                    market="ES",
                    bar_minutes=1,
                    ts=table.ts[low:high],
                    available_at=table.ts[low:high],
                    values=table.values[low:high],
                )
            )
        ]

    return run


def test_a_snapshot_holds_the_quotes_that_stand_at_its_moment(read):
    rows = [
        quote(2, 5000, "C", 10.0, 11.0),
        quote(3, 5000, "P", 9.0, 10.0),
        quote(9, 5000, "call", 12.0, 13.0),
        quote(20, 5010, "P", 14.0, 15.0),
        quote(44, 5010, "P", 20.0, 21.0),
    ]
    chains = read(rows)
    assert [(c.ts - START.value) // MINUTE for c in chains] == [15, 30, 45]
    first, second, third = chains
    assert first.right.tolist() == [CALL, PUT]
    assert first.bid.tolist() == [12.0, 9.0]
    assert first.reference == (20_000 + 14) * 0.25
    assert second.strike.tolist() == [5000.0, 5000.0, 5010.0]
    assert third.strike.tolist() == [5010.0]  # the others are older than 30 minutes
    assert third.bid.tolist() == [20.0]
    assert np.all(np.isnan(first.open_interest))
    assert np.all(np.isnan(first.forward))
    assert first.expiry[0] == pd.Timestamp("2025-03-21 20:00", tz="UTC").value


def test_quotes_of_bars_and_of_delayed_feeds_are_known_later(read):
    chains = read([quote(14, 5000, "C", 10.0, 11.0)], minutes=1, delay_minutes=15)
    assert [(c.ts - START.value) // MINUTE for c in chains] == [15]
    assert chains[0].available_at - chains[0].ts == 15 * MINUTE
    assert not read([quote(14, 5000, "C", 10.0, 11.0)], count=14)


def test_every_stamp_is_a_snapshot_where_no_grid_is_wanted(read):
    chains = read([quote(m, 5000, "C", 10.0 + m, 11.0 + m) for m in (2, 3, 7)], every_minutes=0)
    assert [c.bid[0] for c in chains] == [12.0, 13.0, 17.0]


def test_pieces_of_bars_and_rows_that_follow_change_no_snapshot(read):
    rng = np.random.Generator(np.random.PCG64(4))
    rows = [
        quote(int(m), 5000 + 5 * int(k), "CP"[int(r)], float(b), float(b) + 1)
        for m, k, r, b in zip(
            np.sort(rng.integers(0, 59, 200)),
            rng.integers(0, 9, 200),
            rng.integers(0, 2, 200),
            rng.integers(5, 50, 200),
            strict=True,
        )
    ]
    whole = read(rows)
    for other in (read(rows, pieces=[1, 14, 15, 16, 31, 59]), read(rows, pieces=[30])):
        assert len(other) == len(whole)
        for one, two in zip(whole, other, strict=True):
            for name in ("ts", "available_at", "reference", "bid", "ask", "strike", "expiry"):
                assert np.array_equal(getattr(one, name), getattr(two, name)), name
    cut = read([r for r in rows if r["ts"].value <= whole[1].ts])
    for one, two in zip(whole[:2], cut, strict=True):
        assert np.array_equal(one.bid, two.bid)


def interest(day: str, hour: str, strike: float, count: float) -> dict:
    stamp = pd.Timestamp(f"{day} {hour}", tz="UTC")
    return {
        "ts": stamp,
        "expiry": "2025-03-28",
        "strike": strike,
        "right": "C",
        "bid": 10.0,
        "ask": 11.0,
        "oi": count,
    }


def days_of_interest(tmp_path, market, published):
    rows = [
        interest(day, "15:00", 5000, n) for day, n in (("2025-03-13", 100), ("2025-03-14", 200), ("2025-03-17", 300))
    ]
    path = tmp_path / "oi.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    files = ChainFiles(
        settings(path, open_interest="oi", open_interest_published=published, open_interest_max_age_days=4),
        market,
        tmp_path,
    )
    return list(files.snapshots(bars(pd.Timestamp("2025-03-13 14:00", tz="UTC"), 140, step=60)))


def test_open_interest_of_a_days_end_is_used_from_the_next_morning_only(tmp_path, market):
    chains = days_of_interest(tmp_path, market, "06:00 America/Chicago next day")
    assert np.isnan(chains[0].open_interest[0])
    assert [float(c.open_interest[0]) for c in chains[1:]] == [100.0, 200.0]
    assert chains[1].open_interest_at == pd.Timestamp("2025-03-14 11:00", tz="UTC").value
    assert chains[2].open_interest_at == pd.Timestamp("2025-03-17 11:00", tz="UTC").value


def test_open_interest_that_rows_repeat_from_the_morning_is_used_the_same_day(tmp_path, market):
    chains = days_of_interest(tmp_path, market, "06:00 America/Chicago same day")
    assert [float(c.open_interest[0]) for c in chains] == [100.0, 200.0, 300.0]
    late = days_of_interest(tmp_path, market, "17:00 America/Chicago same day")
    assert np.isnan(late[0].open_interest[0])
    assert [float(c.open_interest[0]) for c in late[1:]] == [100.0, 200.0]


def test_open_interest_too_old_is_unknown(tmp_path, market):
    rows = [interest("2025-03-10", "15:00", 5000, 100), interest("2025-03-17", "15:00", 5000, np.nan)]
    path = tmp_path / "oi.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    declared = {"open_interest": "oi", "open_interest_published": "06:00 America/Chicago next day"}
    files = ChainFiles(settings(path, **declared, open_interest_max_age_days=4), market, tmp_path)
    (chain,) = files.snapshots(bars(pd.Timestamp("2025-03-17 14:00", tz="UTC"), 60, step=2))
    assert np.isnan(chain.open_interest[0])


def test_open_interest_that_moves_within_a_day_cannot_be_the_mornings(read):
    rows = [quote(m, 5000, "C", 10, 11, oi=n) for m, n in ((1, 100), (20, 105))]
    declared = {"open_interest": "oi", "open_interest_max_age_days": 4}
    with pytest.raises(DataError, match="published once a day"):
        read(rows, **declared, open_interest_published="06:00 America/Chicago same day")
    assert len(read(rows, **declared, open_interest_published="06:00 America/Chicago next day")) == 2


def test_options_that_settle_in_the_morning_expire_at_half_past_nine(read):
    rows = [quote(1, 5000, "C", 10, 11, root="SPX"), quote(1, 5005, "C", 10, 11, root="SPXW")]
    (chain,) = read(rows, root="root", am_settled=("SPX",))
    assert [str(pd.Timestamp(int(e), tz="America/New_York"))[11:16] for e in chain.expiry] == ["09:30", "16:00"]


def test_expired_options_and_moments_without_a_price_of_the_market_are_left_out(read):
    rows = [quote(1, 5000, "C", 10, 11), {**quote(1, 5005, "C", 10, 11), "expiry": "2025-03-14"}]
    (chain,) = read(rows)
    assert chain.strike.tolist() == [5000.0]
    assert not read([quote(200, 5000, "C", 10, 11)], count=100)
    assert not read([{**quote(1, 5000, "C", 10, 11), "ts": START - pd.Timedelta(hours=3)}])


@pytest.mark.parametrize(
    ("change", "declared", "says"),
    [
        ({"right": "X"}, {}, "neither call nor put"),
        ({"strike": -5.0}, {}, "not positive"),
        ({"bid": -1.0}, {}, "negative"),
        ({"bid": "low"}, {}, "not a number"),
        ({"expiry": "soon"}, {}, "no date"),
        ({"ts": "2025-03-17 14:01"}, {}, "timezone"),
        ({}, {"strike": "K"}, "no column 'K'"),
        ({}, {"filters": {"right": "P"}}, "leave no row"),
    ],
)
def test_an_unusable_row_is_refused_in_one_line(read, change, declared, says):
    with pytest.raises(MiaError, match=says) as caught:
        read([{**quote(1, 5000, "C", 10, 11), **change}], **declared)
    assert "\n" not in str(caught.value)


def test_files_out_of_order_are_refused(tmp_path, market):
    for name, minute in (("a", 30), ("b", 5)):
        pd.DataFrame([quote(minute, 5000, "C", 10, 11)]).to_csv(tmp_path / f"{name}.csv", index=False)
    files = ChainFiles(settings(tmp_path / "*.csv"), market, tmp_path)
    with pytest.raises(DataError, match="in order of time"):
        list(files.snapshots(bars(START, 60)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"open_interest": "oi"}, "published once a day"),
        ({"open_interest_path": "oi.csv"}, "must name the column"),
        ({"settles": "16:00"}, "06:00 America/Chicago"),
        ({"multiplier": 0.0}, "multiplier"),
        ({"rate": 4.0}, "0.04"),
        ({"every_minutes": -1}, "negative"),
        ({"am_settled": ("SPX",)}, "root"),
    ],
)
def test_an_impossible_declaration_is_refused(changes, says):
    with pytest.raises(ConfigurationError, match=says):
        settings("x.csv", **changes)


def test_the_recorded_spxw_chain_is_read_whole(shared_data, market, tmp_path):
    path = shared_data / "options/SPX_chain_cboe_20220107.parquet"
    declared = {
        "open_interest": "open_interest",
        "open_interest_published": "06:00 America/Chicago same day",
        "open_interest_max_age_days": 4,
        "volume": "volume",
        "delay_minutes": 15,
    }
    files = ChainFiles(settings(path, **declared), market, tmp_path)
    (chain,) = files.snapshots(bars(pd.Timestamp("2022-01-07 21:00", tz="UTC"), 60, first_tick=18_680))
    table = pd.read_parquet(path)
    assert len(chain) == len(table) == 5514
    assert chain.ts == pd.Timestamp("2022-01-07 21:15", tz="UTC").value
    assert chain.open_interest_at == pd.Timestamp("2022-01-07 12:00", tz="UTC").value
    for name in ("open_interest", "bid", "ask", "strike", "volume"):
        assert getattr(chain, name).sum() == pytest.approx(table[name].sum(), rel=1e-12)
    assert len(np.unique(chain.expiry)) == 10
    assert chain.reference == (18_680 + 14) * 0.25


def test_recorded_minute_quotes_with_open_interest_of_a_file_of_its_own_are_read(shared_data, market, tmp_path):
    folder = shared_data / "options"
    declared = {
        "minutes": 1,
        "open_interest": "open_interest",
        "open_interest_path": str(folder / "lean_oi_SPXW.parquet"),
        "open_interest_published": "06:32 America/New_York same day",
        "open_interest_max_age_days": 1,
    }
    files = ChainFiles(settings(folder / "lean_quotes_1m_SPXW.parquet", **declared), market, tmp_path)
    chains = list(files.snapshots(bars(pd.Timestamp("2021-01-04 14:00", tz="UTC"), 480, first_tick=15_000)))
    assert len(chains) == 27  # 14:45 to 21:15, every quarter hour
    known = {float(v) for chain in chains for v in chain.open_interest if np.isfinite(v)}
    assert known == {1732.0, 4497.0, 2480.0, 3515.0, 4587.0, 10480.0, 1949.0, 1287.0, 11208.0}
    assert all(np.all(chain.expiry > chain.ts) for chain in chains)
    table = pd.read_parquet(folder / "lean_quotes_1m_SPXW.parquet")
    noon = next(c for c in chains if c.ts == pd.Timestamp("2021-01-04 17:00", tz="UTC").value)
    before = table[(table.ts < "2021-01-04 17:00+00:00") & (table.expiry == "2021-01-08")].groupby(["strike", "right"])
    last = before.last(skipna=False).bid
    week = noon.expiry == pd.Timestamp("2021-01-08 21:00", tz="UTC").value
    assert np.allclose(noon.bid[week], [last[k, r] for k in (3700.0, 3800.0) for r in "CP"], equal_nan=True)


def test_recorded_es_options_are_read_within_seconds(shared_data, market, tmp_path):
    declared = {"minutes": 1, "settles": "09:30 America/New_York", "multiplier": 50.0}
    files = ChainFiles(settings(shared_data / "options/lean_quotes_1m_ES_202003.parquet", **declared), market, tmp_path)
    chains = list(files.snapshots(bars(pd.Timestamp("2020-01-06 14:00", tz="UTC"), 420, first_tick=12_900)))
    assert len(chains) == 28
    assert min(len(chain) for chain in chains) > 60
