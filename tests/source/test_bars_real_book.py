"""The bar folder on an hour of a real ten-level ES book and its trades."""

import numpy as np
import pandas as pd
import pytest

from mia.domain.events import CLEAR, DEPTH, EVENT, TRADE
from mia.domain.series import INDEX
from mia.domain.sessions import Sessions
from mia.source.bars import BarFolder

MINUTE = 60_000_000_000
OPEN = pd.Timestamp("2023-12-25 23:00", tz="UTC").value  # the exchange opened an hour late on Christmas


def depth_events(book: pd.DataFrame) -> list[tuple]:
    """Differences of consecutive snapshots as messages, vanished prices first."""
    made = []
    shown = {1: {}, -1: {}}
    for row in book.itertuples(index=False):
        for side, name in ((1, "bid"), (-1, "ask")):
            prices = (getattr(row, f"{name}_px_{k:02d}") for k in range(10))
            sizes = (getattr(row, f"{name}_sz_{k:02d}") for k in range(10))
            now = {round(p * 4): int(s) for p, s in zip(prices, sizes, strict=True) if p == p and s > 0}
            before = shown[side]
            made += [(row.ns, p, 0, DEPTH, side, 0) for p in before if p not in now]
            made += [(row.ns, p, s, DEPTH, side, 0) for p, s in now.items() if before.get(p) != s]
            shown[side] = now
    return made


@pytest.fixture(scope="module")
def folded(shared_data):
    book = pd.read_parquet(shared_data / "l2/ESH4_20231225_mbp10.parquet")
    trades = pd.read_parquet(shared_data / "l2/ESH4_20231225_trades.parquet")
    book["ns"] = book["ts_recv"].astype("int64")
    made = [(OPEN - 7200 * 10**9, 0, 0, CLEAR, 0, 0), *depth_events(book)]
    signs = {"B": 1, "A": -1, "S": -1}
    made += [
        (t.ts_recv.value, round(t.price * 4), int(t.size), TRADE, signs.get(t.aggressor, 0), 0)
        for t in trades.itertuples(index=False)
    ]
    events = np.array(made, EVENT)
    # the exchange reports a trade before the book it leaves behind; snapshots carry the later stamp
    events = events[np.lexsort((events["kind"] != TRADE, events["ts"]))]
    sessions = Sessions(
        open_ns=np.array([OPEN]),
        close_ns=np.array([OPEN + 1320 * MINUTE]),
        rth_open_ns=np.array([OPEN + 930 * MINUTE]),
        rth_close_ns=np.array([OPEN + 1320 * MINUTE]),
        trade_date=np.array([20231226]),
        full_minutes=1380,
    )
    folder = BarFolder(sessions, 1)
    rows, ts = folder.fold(events)
    return rows, ts, book, trades, folder


def test_every_trade_of_the_session_is_in_a_bar(folded):
    rows, ts, _, trades, _ = folded
    ns = trades["ts_recv"].astype("int64")
    inside = trades[(ns >= OPEN) & (ns < ts[-1])]
    assert rows[:, INDEX["bar.volume"]].sum() == inside["size"].sum()
    assert rows[:, INDEX["trd.n"]].sum() == len(inside)
    assert rows[:, INDEX["trd.poc"]][-1] == inside.groupby("price")["size"].sum().idxmax() * 4


def test_levels_at_each_close_are_those_of_the_last_snapshot(folded):
    rows, ts, book, _, _ = folded
    assert len(ts) > 30
    for k, stamp in enumerate(ts):
        last = book.iloc[np.searchsorted(book["ns"], stamp) - 1]
        for name in ("bid", "ask"):
            px = [last[f"{name}_px_{j:02d}"] * 4 for j in range(10)]
            sz = [last[f"{name}_sz_{j:02d}"] for j in range(10)]
            assert rows[k, [INDEX[f"dom.{name}_px_{j}"] for j in range(1, 11)]].tolist() == px
            assert rows[k, [INDEX[f"dom.{name}_sz_{j}"] for j in range(1, 11)]].tolist() == sz
        assert rows[k, INDEX["qot.mid"]] == (last["bid_px_00"] + last["ask_px_00"]) * 2


def test_the_opening_auction_crosses_the_book_and_the_session_does_not_suffer(folded):
    rows, _, _, _, folder = folded
    assert folder.counts()["crossed"] > 100
    spread = rows[:, INDEX["qot.spread_ticks_tw"]]
    assert np.nanmin(spread) >= 1
    assert 1 <= np.nanmedian(spread) < 1.5


def test_most_trades_take_displayed_size_at_the_best(folded):
    rows, _, _, _, _ = folded
    volume = rows[:, INDEX["bar.volume"]].sum()
    taken = rows[:, INDEX["dom.depletion"]].sum()
    assert 0.5 < taken / volume <= 1
    assert np.nansum(rows[:, INDEX["dom.replenish_5s"]]) <= taken
    eff = rows[:, INDEX["trd.eff_spread_vw"]]
    assert 0.5 < np.nanmedian(eff) < 2
