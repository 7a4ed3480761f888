"""Events to bars: hand-made markets whose every number can be worked out on paper."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mia.domain.errors import ConfigurationError, DataError
from mia.domain.events import CLEAR, CLOCK, DEPTH, EVENT, TRADE
from mia.domain.rng import generator
from mia.domain.series import INDEX, SERIES, WIDTH
from mia.domain.sessions import Sessions
from mia.source.bars import BarFolder

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
BID, ASK = 1, -1
BUY, SELL = 1, -1


def hours(days: int = 8, minutes: int = 60) -> Sessions:
    """Sessions of an hour every two hours, regular hours from minute 20 to minute 50."""
    opens = np.arange(days, dtype=np.int64) * 2 * minutes * MINUTE
    return Sessions(
        open_ns=opens,
        close_ns=opens + minutes * MINUTE,
        rth_open_ns=opens + 20 * MINUTE,
        rth_close_ns=opens + 50 * MINUTE,
        trade_date=20240101 + np.arange(days),
        full_minutes=minutes,
    )


def events(*items: tuple) -> np.ndarray:
    """(seconds, kind, price, size, side[, order]) per event."""
    made = np.zeros(len(items), EVENT)
    for n, (seconds, kind, price, size, side, *order) in enumerate(items):
        made[n] = (round(seconds * SECOND), price, size, kind, side, order[0] if order else 0)
    return made


def fold(*items: tuple, sessions: Sessions | None = None, until: float = 60.0, bar_minutes: int = 1):
    folder = BarFolder(sessions or hours(), bar_minutes)
    rows, ts = folder.fold(events(*items, (until, CLOCK, 0, 0, 0)))
    return rows, ts, folder


def get(rows: np.ndarray, name: str, row: int = 0) -> float:
    return float(rows[row, INDEX[name]])


def market(seed: int, days: int = 7, per_day: int = 4000) -> np.ndarray:
    """A busy, sane, random market: a book that is never crossed, trades at its best prices, sweeps."""
    rng = generator(seed, "tests", "bars")
    items = []
    for day in range(days):
        start = day * 120 * 60
        bids, asks = {}, {}
        items.append((start - 30, CLEAR, 0, 0, 0))
        mid = 20_000 + 40 * day
        stamps = np.sort(rng.integers(0, 58 * 60 * 1000, per_day)) / 1000
        for t in stamps:
            if rng.random() < 0.02:
                mid += int(rng.choice([-1, 1]))
                for price in [p for p in bids if p > mid]:
                    items.append((start + t, DEPTH, price, 0, BID))
                    del bids[price]
                for price in [p for p in asks if p <= mid]:
                    items.append((start + t, DEPTH, price, 0, ASK))
                    del asks[price]
            if rng.random() < 0.2 and bids and asks:
                order = int(rng.integers(1, 60_000))
                side = int(rng.choice([BUY, SELL]))
                book = asks if side == BUY else bids
                for price in sorted(book, reverse=side == SELL)[: int(rng.integers(1, 3))]:
                    size = min(int(rng.geometric(0.2)), book[price] + 2)
                    items.append((start + t, TRADE, price, size, side, order))
                    book[price] = max(0, book[price] - size)
                    items.append((start + t, DEPTH, price, book[price], ASK if side == BUY else BID))
                    if book[price] == 0:
                        del book[price]
            side = int(rng.choice([BID, ASK]))
            away = int(rng.integers(0, 14))
            price, book = (mid - away, bids) if side == BID else (mid + 1 + away, asks)
            size = int(rng.integers(0, 40)) if rng.random() < 0.8 else 0
            items.append((start + t, DEPTH, price, size, side))
            if size:
                book[price] = size
            else:
                book.pop(price, None)
    return events(*items)


# --- the grid of bars


def test_bars_lie_on_the_grid_from_the_session_open_and_are_stamped_at_their_end():
    rows, ts, _ = fold((5, TRADE, 100, 2, BUY), (65, TRADE, 103, 1, SELL), (70, TRADE, 99, 4, SELL), until=180)
    assert ts.tolist() == [60 * SECOND, 120 * SECOND, 180 * SECOND]
    assert [get(rows, f"bar.{c}", 1) for c in ("open", "high", "low", "close", "volume")] == [
        103,
        103,
        99,
        99,
        5,
    ]


def test_an_interval_without_trades_has_volume_zero_and_the_last_price():
    rows, _, _ = fold((5, TRADE, 100, 2, BUY), (30, TRADE, 98, 2, SELL), until=120)
    assert [get(rows, f"bar.{c}", 1) for c in ("open", "high", "low", "close", "volume")] == [
        98,
        98,
        98,
        98,
        0,
    ]
    assert math.isnan(get(rows, "bar.open_interest"))


def test_no_bar_is_emitted_before_an_event_at_or_after_its_end():
    folder = BarFolder(hours(), 1)
    assert len(folder.fold(events((1, TRADE, 100, 1, BUY), (59.999, TRADE, 101, 1, BUY)))[0]) == 0
    assert len(folder.fold(events((60, CLOCK, 0, 0, 0)))[0]) == 1


def test_a_trade_at_the_end_of_an_interval_belongs_to_the_next():
    rows, _, _ = fold((1, TRADE, 100, 1, BUY), (60, TRADE, 105, 7, BUY), until=120)
    assert get(rows, "bar.close", 0) == 100
    assert get(rows, "bar.volume", 1) == 7


def test_intervals_before_the_first_trade_of_a_session_give_no_row():
    _, ts, _ = fold((1, DEPTH, 99, 5, BID), (130, TRADE, 100, 1, BUY), until=180)
    assert ts.tolist() == [180 * SECOND]


def test_the_last_bar_of_a_session_may_be_short():
    _, ts, _ = fold((1, TRADE, 100, 1, BUY), until=3600, bar_minutes=7)
    assert len(ts) == 9
    assert ts[-1] - ts[-2] == 4 * MINUTE


def test_finish_closes_the_bars_up_to_the_session_close_or_the_given_time():
    folder = BarFolder(hours(), 1)
    folder.fold(events((1, TRADE, 100, 1, BUY)))
    saved = folder.state()
    assert len(folder.finish()[0]) == 60
    folder.restore(saved)
    assert len(folder.finish(3 * MINUTE)[0]) == 3


def test_events_outside_sessions_are_counted_and_give_no_row():
    rows, _, folder = fold((3700, TRADE, 100, 1, BUY), (3800, TRADE, 100, 1, BUY), until=7100)
    assert len(rows) == 0
    assert folder.counts()["outside"] == 3


def test_nothing_of_a_session_leaks_into_the_next():
    first = [(1, TRADE, 500, 9, BUY, 1), (2, TRADE, 507, 9, BUY, 1), (3599, TRADE, 503, 5, BUY, 7)]
    second = [(7201, TRADE, 100, 3, SELL, 7), (7203, TRADE, 101, 2, BUY, 8)]
    rows, ts, _ = fold(*first, *second, until=7260)
    alone, _, _ = fold(*second, until=7260)
    names = [n for n in SERIES if not n.startswith(("trd.prior", "trd.hvn", "trd.lvn", "trd.large"))]
    columns = [INDEX[n] for n in names]
    assert ts[-1] == 7260 * SECOND
    assert rows[-1, columns].tobytes() == alone[-1, columns].tobytes()


def test_a_stamp_running_backwards_is_counted_and_taken_as_the_latest():
    rows, _, folder = fold((70, TRADE, 100, 1, BUY), (10, TRADE, 101, 1, BUY), until=120)
    assert folder.counts()["late"] == 1
    assert get(rows, "trd.n") == 2


def test_bad_events_are_counted_and_change_nothing():
    rows, _, folder = fold((1, TRADE, 100, 1, BUY), (2, TRADE, 90, 0, BUY), (3, DEPTH, 90, -1, BID), (4, 9, 0, 0, 0))
    assert folder.counts()["bad"] == 3
    assert get(rows, "bar.low") == 100


def test_bar_minutes_below_one_are_refused():
    with pytest.raises(ConfigurationError, match="bar_minutes must be at least 1, was 0"):
        BarFolder(hours(), 0)


# --- one path: chunking and snapshots


@pytest.fixture(scope="module")
def busy() -> np.ndarray:
    return market(1)


@pytest.fixture(scope="module")
def whole(busy):
    folder = BarFolder(hours(), 1)
    rows, ts = folder.fold(busy)
    last, last_ts = folder.finish()
    return np.concatenate([rows, last]), np.concatenate([ts, last_ts])


def test_the_busy_market_fills_every_column_that_events_can_fill(whole):
    rows, _ = whole
    prefixes = ("bar.", "trd.", "qot.", "dom.")
    empty = [n for n in SERIES if n.startswith(prefixes) and np.all(np.isnan(rows[:, INDEX[n]]))]
    assert empty == ["bar.open_interest"]
    assert len(rows) > 400


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_bit_identical_for_any_chunking(busy, whole, seed):
    rng = generator(seed, "chunks")
    cuts = np.sort(rng.integers(0, len(busy), 300))
    folder = BarFolder(hours(), 1)
    parts = [folder.fold(part) for part in np.split(busy, cuts)] + [folder.finish()]
    assert np.concatenate([p[0] for p in parts]).tobytes() == whole[0].tobytes()
    assert np.array_equal(np.concatenate([p[1] for p in parts]), whole[1])


def test_one_event_at_a_time_gives_the_same_bits_as_one_batch(busy):
    part = busy[:6000]
    batch = BarFolder(hours(), 1).fold(part)
    live = BarFolder(hours(), 1)
    rows = [live.fold(part[n : n + 1])[0] for n in range(len(part))]
    assert np.concatenate(rows).tobytes() == batch[0].tobytes()


def test_the_future_cannot_change_a_row(busy, whole):
    rng = generator(5, "poison")
    poisoned = busy.copy()
    half = len(busy) // 2
    poisoned["price"][half:] += rng.integers(-50, 50, len(busy) - half).astype(np.int32)
    poisoned["size"][half:] = rng.integers(1, 99, len(busy) - half)
    rows, ts = BarFolder(hours(), 1).fold(poisoned)
    safe = ts <= busy["ts"][half]
    assert safe.sum() > 100
    assert rows[safe].tobytes() == whole[0][: safe.sum()].tobytes()


def test_a_restored_snapshot_continues_with_the_same_bits(busy, whole):
    folder = BarFolder(hours(), 1)
    cut = 15_321
    first = folder.fold(busy[:cut])
    other = BarFolder(hours(days=9), 1)
    other.restore(folder.state())
    rest = [other.fold(busy[cut:]), other.finish()]
    rows = np.concatenate([first[0], *(r[0] for r in rest)])
    assert rows.tobytes() == whole[0].tobytes()


def test_a_snapshot_survives_a_calendar_that_starts_later(busy, whole):
    folder = BarFolder(hours(), 1)
    cut = np.searchsorted(busy["ts"], 3 * 7200 * SECOND + 60 * SECOND)
    first = folder.fold(busy[:cut])
    every = hours()
    names = ("open_ns", "close_ns", "rth_open_ns", "rth_close_ns", "trade_date")
    later = replace(every, **{name: getattr(every, name)[3:] for name in names})
    other = BarFolder(later, 1)
    other.restore(folder.state())
    rows = np.concatenate([first[0], other.fold(busy[cut:])[0], other.finish()[0]])
    assert rows.tobytes() == whole[0].tobytes()


def test_a_foreign_snapshot_is_refused():
    folder = BarFolder(hours(), 1)
    with pytest.raises(DataError, match="1-minute bars, expected 5"):
        BarFolder(hours(), 5).restore(folder.state())
    with pytest.raises(DataError, match="the snapshot has 3 numbers"):
        folder.restore({"ints": np.zeros(3, np.int64), "floats": np.zeros(3)})
    folder.fold(events((1, TRADE, 100, 1, BUY)))
    every = hours()
    moved = replace(every, open_ns=every.open_ns + 1, close_ns=every.close_ns + 1)
    with pytest.raises(DataError, match="no session opens at 0 ns"):
        BarFolder(moved, 1).restore(folder.state())


# --- trades


def test_counts_sums_and_size_classes_of_trades():
    sizes = [1, 2, 4, 5, 9, 10, 24, 25, 99, 100, 250]
    rows, _, _ = fold(*((n + 1, TRADE, 100 + n, s, BUY if n % 2 == 0 else SELL) for n, s in enumerate(sizes)))
    assert get(rows, "trd.n") == 11
    assert get(rows, "trd.buy_volume") == sum(sizes[0::2])
    assert get(rows, "trd.sell_volume") == sum(sizes[1::2])
    assert get(rows, "trd.max_size") == 250
    assert [get(rows, f"trd.size_bin_{k}") for k in range(1, 7)] == [1, 2, 2, 2, 2, 2]
    assert get(rows, "trd.ref") == 100
    assert get(rows, "trd.pv") == sum(n * s for n, s in enumerate(sizes))
    assert get(rows, "trd.pv2") == sum(n * n * s for n, s in enumerate(sizes))


def test_a_sweep_is_one_order_at_several_prices_and_counts_the_volume_beyond_the_first():
    rows, _, _ = fold(
        (1, TRADE, 100, 5, BUY, 7),
        (1, TRADE, 100, 2, BUY, 7),
        (1, TRADE, 101, 3, BUY, 7),
        (1, TRADE, 102, 4, BUY, 7),
        (1, TRADE, 102, 9, BUY, 8),
        (2, TRADE, 101, 6, SELL, 9),
        (2, TRADE, 100, 1, SELL, 9),
    )
    assert get(rows, "trd.n_sweeps") == 2
    assert get(rows, "trd.through_volume") == 3 + 4 + 1


def test_without_order_numbers_trades_of_one_stamp_and_side_are_one_order():
    rows, _, _ = fold((1, TRADE, 100, 5, BUY), (1, TRADE, 101, 3, BUY), (2, TRADE, 102, 3, BUY))
    assert (get(rows, "trd.n_sweeps"), get(rows, "trd.through_volume")) == (1, 3)


def test_runs_need_three_trades_of_one_side_less_than_100_ms_apart():
    rows, _, _ = fold(
        (1.00, TRADE, 100, 1, BUY),
        (1.09, TRADE, 100, 1, BUY),
        (1.18, TRADE, 100, 1, BUY),
        (1.2, TRADE, 100, 1, BUY),
        (2.00, TRADE, 100, 1, BUY),
        (2.10, TRADE, 100, 1, BUY),
        (2.15, TRADE, 100, 1, BUY),
        (3.0, TRADE, 99, 1, SELL),
        (3.01, TRADE, 99, 1, SELL),
        (3.02, TRADE, 99, 1, BUY),
        (3.03, TRADE, 99, 1, SELL),
    )
    assert get(rows, "trd.runs_100ms") == 1


def test_decaying_counts_follow_their_closed_form():
    times = {BUY: [1.0, 4.5, 31.0], SELL: [2.0, 59.0]}
    items = sorted((t, TRADE, 100, 1, side) for side, stamps in times.items() for t in stamps)
    rows, _, _ = fold(*items, until=120)
    for row, end in ((0, 60), (1, 120)):
        sums = {side: sum(math.exp(-(end - t) / 30) for t in stamps) for side, stamps in times.items()}
        assert get(rows, "trd.hawkes_buy", row) == pytest.approx(sums[BUY], rel=1e-12)
        assert get(rows, "trd.hawkes_sell", row) == pytest.approx(sums[SELL], rel=1e-12)
        assert get(rows, "trd.hawkes_all", row) == pytest.approx(sums[BUY] + sums[SELL], rel=1e-12)


def test_unknown_sides_are_signed_by_quotes_first_and_ticks_second():
    rows, _, _ = fold(
        (0.5, DEPTH, 100, 9, BID),
        (0.5, DEPTH, 102, 9, ASK),
        (1, TRADE, 102, 10, 0),  # at the ask: buy
        (2, TRADE, 100, 20, 0),  # at the bid: sell
        (3, TRADE, 101, 40, 0),  # at the mid, after an up-tick: buy
        (4, TRADE, 101, 80, 0),  # zero tick inherits: buy
    )
    assert (get(rows, "trd.buy_volume"), get(rows, "trd.sell_volume")) == (130, 20)


def test_without_any_quote_the_tick_rule_signs_and_a_bar_that_cannot_be_signed_is_missing():
    rows, _, _ = fold(
        (1, TRADE, 100, 1, 0), (2, TRADE, 100, 1, 0), (61, TRADE, 101, 3, 0), (62, TRADE, 99, 4, 0), until=120
    )
    assert math.isnan(get(rows, "trd.buy_volume", 0))
    assert (get(rows, "trd.buy_volume", 1), get(rows, "trd.sell_volume", 1)) == (3, 4)


def test_once_a_feed_tells_sides_an_unknown_one_stays_unsigned():
    rows, _, _ = fold((1, TRADE, 100, 1, BUY), (2, TRADE, 105, 7, 0))
    assert (get(rows, "trd.buy_volume"), get(rows, "trd.sell_volume"), get(rows, "bar.volume")) == (1, 0, 8)


def test_effective_and_realised_spread_use_the_mid_before_and_five_seconds_after():
    quotes = [(0, DEPTH, 100, 50, BID), (0, DEPTH, 102, 50, ASK)]
    later = [(4, DEPTH, 102, 0, ASK), (4, DEPTH, 104, 50, ASK)]  # mid 101 -> 102
    rows, _, _ = fold(
        *quotes,
        (1, TRADE, 102, 10, BUY, 1),
        (2, TRADE, 100, 30, SELL, 2),
        *later,
        (56, TRADE, 104, 5, BUY, 3),
        until=120,
    )
    # before: 2(102-101) = 2 and -2(100-101) = 2; the last: 2(104-102) = 4
    assert get(rows, "trd.eff_spread_vw", 0) == pytest.approx((10 * 2 + 30 * 2 + 5 * 4) / 45)
    # after 5 s the mid is 102: 2(102-102) = 0 and -2(100-102) = 4; the trade at 56 s is due after the close
    assert get(rows, "trd.real_spread_vw", 0) == pytest.approx(30 * 4 / 40)
    assert get(rows, "trd.real_spread_vw", 1) == pytest.approx(4.0)


def test_the_realised_spread_of_a_late_trade_ignores_the_mid_after_the_close():
    quotes = [(0, DEPTH, 100, 50, BID), (0, DEPTH, 102, 50, ASK)]
    moved = [(62, DEPTH, 102, 0, ASK), (62, DEPTH, 104, 50, ASK)]
    rows, _, _ = fold(*quotes, (58, TRADE, 102, 10, BUY), *moved, until=120)
    assert math.isnan(get(rows, "trd.real_spread_vw", 0))
    assert get(rows, "trd.real_spread_vw", 1) == pytest.approx(0.0)


def test_stacked_imbalances_compare_each_price_with_the_opposite_side_one_tick_away():
    buys = {100: 30, 101: 30, 102: 12, 103: 9}
    sells = {99: 10, 100: 10, 101: 4, 102: 1}
    items = [(1, TRADE, p, v, BUY) for p, v in buys.items()] + [(2, TRADE, p, v, SELL) for p, v in sells.items()]
    rows, _, _ = fold(*items)
    # 100: 30 >= 3x10 yes; 101: 30 >= 3x10 yes; 102: 12 >= 3x4 yes; 103: only 9 contracts
    assert get(rows, "trd.stack_buy") == 3
    assert get(rows, "trd.stack_sell") == 0


def test_stacked_imbalances_below_three_levels_count_as_none():
    rows, _, _ = fold((1, TRADE, 100, 30, SELL), (1, TRADE, 101, 30, SELL), (2, TRADE, 105, 1, BUY))
    assert get(rows, "trd.stack_sell") == 0


def test_large_trades_are_measured_by_the_five_prior_sessions():
    day = [(1 + n * 0.01, TRADE, 100, 1, BUY) for n in range(95)] + [(2, TRADE, 100, 40, BUY)] * 5
    today = [(7201, TRADE, 100, 1, BUY), (7202, TRADE, 100, 39, BUY), (7203, TRADE, 100, 50, SELL)]
    rows, ts, _ = fold(*day, *today, until=7260)
    assert math.isnan(get(rows, "trd.large_buy_volume", 0))
    last = len(ts) - 1
    # 95 of 100 trades have size 1: the 95 % size is 1, so every trade counts
    assert get(rows, "trd.large_buy_volume", last) == 40
    assert get(rows, "trd.large_sell_volume", last) == 50
    day.append((3, TRADE, 100, 40, BUY))  # 95 of 101: the 95 % size is now 40
    rows, ts, _ = fold(*day, *today, until=7260)
    assert get(rows, "trd.large_buy_volume", len(ts) - 1) == 0
    assert get(rows, "trd.large_sell_volume", len(ts) - 1) == 50


# --- volume profile


def test_point_of_control_and_value_area_follow_the_pair_rule():
    volumes = {100: 5, 101: 10, 102: 30, 103: 60, 104: 20, 105: 25, 106: 8, 107: 2}
    rows, _, _ = fold(*((1, TRADE, p, v, BUY) for p, v in volumes.items()))
    # 160 in all, 112 wanted: 60 at 103; above 20+25 beats below 30+10; then 30+10 beats 8+2: 145
    assert [get(rows, f"trd.{n}") for n in ("poc", "vah", "val")] == [103, 105, 101]


def test_a_tie_of_the_point_of_control_goes_to_the_volume_weighted_price():
    rows, _, _ = fold(*((1, TRADE, p, v, BUY) for p, v in {100: 10, 104: 10, 105: 9}.items()))
    assert get(rows, "trd.poc") == 104


def test_value_area_crosses_a_gap_without_volume():
    rows, _, _ = fold(*((1, TRADE, p, v, BUY) for p, v in {100: 10, 120: 9, 121: 9}.items()))
    assert [get(rows, f"trd.{n}") for n in ("poc", "val")] == [100, 100]
    assert get(rows, "trd.vah") >= 120


def test_profile_skewness_is_the_volume_weighted_third_moment():
    volumes = {100: 5, 101: 10, 109: 3}
    rows, _, _ = fold(*((1, TRADE, p, v, BUY) for p, v in volumes.items()))
    x = np.repeat(list(volumes), list(volumes.values())).astype(float)
    expected = np.mean((x - x.mean()) ** 3) / np.std(x) ** 3
    assert get(rows, "trd.profile_skew") == pytest.approx(expected, rel=1e-12)


def test_the_prior_profile_is_of_regular_hours_and_changes_only_when_they_are_over():
    before = (60, TRADE, 500, 99, BUY)  # minute 1: not regular
    inside = [(1500, TRADE, 100, 5, BUY), (1510, TRADE, 101, 9, BUY)]
    after = (3060, TRADE, 700, 99, BUY)  # minute 51: not regular
    rows, ts, _ = fold(before, *inside, after, (7300, TRADE, 90, 1, BUY), until=7380)
    prior = {int(t) // MINUTE: rows[k, INDEX["trd.prior_poc"]] for k, t in enumerate(ts)}
    assert math.isnan(prior[50])
    assert prior[51] == 101
    assert prior[122] == 101
    assert get(rows, "trd.prior_val", len(ts) - 1) == 100


def test_nodes_are_the_nearest_extremes_of_the_smoothed_prior_profiles():
    prices = np.arange(1000, 1200)
    shape = 40 * np.exp(-0.5 * ((prices - 1050) / 12) ** 2) + 30 * np.exp(-0.5 * ((prices - 1140) / 12) ** 2)
    day = [(1, TRADE, int(p), int(v) + 1, BUY) for p, v in zip(prices, shape, strict=True)]
    rows, ts, _ = fold(*day, (7201, TRADE, 1060, 1, BUY), (7261, TRADE, 1130, 1, BUY), until=7320)
    assert math.isnan(get(rows, "trd.hvn", 0))
    last = len(ts) - 1
    assert get(rows, "trd.hvn", last - 1) == pytest.approx(1050, abs=1)
    assert get(rows, "trd.hvn", last) == pytest.approx(1140, abs=1)
    assert get(rows, "trd.lvn", last) == pytest.approx(1096, abs=4)


# --- the book


# One price per side, as the example of Cont, Kukanov and Stoikov gives it.
SNAPSHOT = [(0, DEPTH, 20_000, 10, BID), (0, DEPTH, 20_001, 8, ASK)]
GOLDEN = [
    [(1, DEPTH, 20_000, 14, BID)],
    [
        (2, DEPTH, 20_001, 0, ASK),
        (2, DEPTH, 20_002, 9, ASK),
        (2, DEPTH, 20_000, 0, BID),
        (2, DEPTH, 20_001, 5, BID),
    ],
    [(3, DEPTH, 20_001, 2, BID), (3, DEPTH, 20_002, 12, ASK)],
    [
        (4, DEPTH, 20_001, 0, BID),
        (4, DEPTH, 20_000, 20, BID),
        (4, DEPTH, 20_002, 0, ASK),
        (4, DEPTH, 20_001, 3, ASK),
    ],
]


def test_order_flow_imbalance_of_the_published_example_is_exactly_six():
    flows = [4, 13, -6, -5]
    items = list(SNAPSHOT)
    for n, step in enumerate(GOLDEN):
        items += step
        rows, _, _ = fold(*items, (5, TRADE, 20_000, 1, BUY))
        assert get(rows, "dom.ofi_1") == sum(flows[: n + 1])
    assert get(rows, "dom.ofi_1") == 6


def test_the_example_gives_six_whether_a_feed_adds_or_deletes_first():
    for add_first in (False, True):
        items = [*SNAPSHOT, *GOLDEN[0]]
        for step in GOLDEN[1:]:
            items += sorted(step, key=lambda e: (e[3] == 0) == add_first)
        rows, _, _ = fold(*items, (5, TRADE, 20_000, 1, BUY))
        assert get(rows, "dom.ofi_1") == 6


def test_deeper_levels_compare_the_same_occupied_level():
    book = [
        (0, DEPTH, 100, 10, BID),
        (0, DEPTH, 98, 20, BID),
        (0, DEPTH, 95, 30, BID),
        (0, DEPTH, 101, 5, ASK),
    ]
    rows, _, _ = fold(*book, (1, DEPTH, 99, 7, BID), (2, TRADE, 100, 1, BUY))
    # a new second level at 99: level 2 improves (+7), level 3 improves from 95 to 98 (+20)
    assert [get(rows, f"dom.ofi_{k}") for k in (1, 2, 3, 4)] == [0, 7, 20, 0]
    assert [get(rows, f"dom.bid_px_{k}") for k in (1, 2, 3, 4)] == [100, 99, 98, 95]
    rows, _, _ = fold(*book, (1, DEPTH, 98, 0, BID), (2, TRADE, 100, 1, BUY))
    # level 2 falls back from 98x20 to 95x30: -20; level 3 is empty: no observation
    assert [get(rows, f"dom.ofi_{k}") for k in (1, 2, 3)] == [0, -20, 0]


def test_the_snapshot_after_a_clear_is_no_order_flow():
    rows, _, _ = fold(
        *SNAPSHOT,
        (1, TRADE, 20_000, 1, SELL),
        (2, CLEAR, 0, 0, 0),
        (3, DEPTH, 20_005, 50, BID),
        (3, DEPTH, 20_006, 50, BID),
        (3, DEPTH, 20_007, 60, ASK),
        (4, DEPTH, 20_006, 51, BID),
    )
    assert get(rows, "dom.ofi_1") == 1
    assert get(rows, "dom.add_bid") == 1


def test_levels_at_the_close_are_the_ten_best_occupied_prices():
    bids = {100 - 3 * k: 10 + k for k in range(13)}
    asks = {101 + 2 * k: 30 + k for k in range(4)}
    items = [(0, DEPTH, p, s, BID) for p, s in bids.items()] + [(0, DEPTH, p, s, ASK) for p, s in asks.items()]
    rows, _, _ = fold(*items, (1, TRADE, 100, 1, BUY), (2, DEPTH, 97, 0, BID))
    left = sorted((p for p in bids if p != 97), reverse=True)[:10]
    assert [get(rows, f"dom.bid_px_{k}") for k in range(1, 11)] == left
    assert [get(rows, f"dom.bid_sz_{k}") for k in range(1, 11)] == [bids[p] for p in left]
    assert [get(rows, f"dom.ask_px_{k}") for k in range(1, 5)] == sorted(asks)
    assert math.isnan(get(rows, "dom.ask_px_5"))
    assert get(rows, "qot.mid") == 100.5


def test_time_weighted_spread_and_sizes_weigh_by_how_long_they_stood():
    rows, _, _ = fold(
        (0, DEPTH, 100, 10, BID),
        (0, DEPTH, 101, 20, ASK),
        (0, DEPTH, 99, 4, BID),
        (1, TRADE, 101, 1, BUY),
        (15, DEPTH, 100, 30, BID),
        (45, DEPTH, 101, 0, ASK),
        (45, DEPTH, 103, 8, ASK),
    )
    assert get(rows, "dom.bid_depth_tw_1") == pytest.approx((15 * 10 + 45 * 30) / 60)
    assert get(rows, "dom.ask_depth_tw_1") == pytest.approx((45 * 20 + 15 * 8) / 60)
    assert get(rows, "dom.bid_depth_tw_10") == pytest.approx((15 * 10 + 45 * 30) / 60 + 4)
    assert get(rows, "dom.depth_tw_1") == pytest.approx(((15 * 10 + 45 * 30) + (45 * 20 + 15 * 8)) / 120)
    assert get(rows, "qot.spread_ticks_tw") == pytest.approx((45 * 1 + 15 * 3) / 60)


def test_without_book_messages_quote_and_book_columns_are_missing():
    rows, _, _ = fold((1, TRADE, 100, 1, BUY))
    names = [n for n in SERIES if n.startswith(("qot.", "dom.", "trd.refill", "trd.eff", "trd.real"))]
    assert all(math.isnan(get(rows, n)) for n in names)


def test_a_crossed_book_is_counted_and_has_no_mid():
    rows, _, folder = fold((0, DEPTH, 100, 1, BID), (0, DEPTH, 99, 1, ASK), (1, TRADE, 100, 1, BUY))
    assert folder.counts()["crossed"] == 1
    assert math.isnan(get(rows, "qot.mid"))
    assert math.isnan(get(rows, "qot.spread_ticks_tw"))


def test_prices_farther_than_the_ring_do_not_corrupt_the_levels():
    rows, _, folder = fold(
        (0, DEPTH, 100, 5, BID),
        (0, DEPTH, 101, 5, ASK),
        (1, DEPTH, 100 - 4096, 7, BID),
        (2, DEPTH, 99, 3, BID),
        (3, TRADE, 101, 1, BUY),
    )
    assert folder.counts()["evicted"] == 1
    assert [get(rows, f"dom.bid_px_{k}") for k in (1, 2)] == [99, 100 - 4096]


def test_decreases_are_cancellations_only_where_trades_do_not_explain_them():
    rows, _, _ = fold(
        (0, DEPTH, 100, 50, BID),
        (0, DEPTH, 101, 50, ASK),
        (0, DEPTH, 99, 50, BID),
        (1, TRADE, 101, 12, BUY),
        (1, DEPTH, 101, 38, ASK),
        (2, DEPTH, 101, 30, ASK),
        (3, DEPTH, 100, 65, BID),
        (4, TRADE, 100, 5, SELL),
        (4, DEPTH, 100, 50, BID),
    )
    assert get(rows, "dom.cancel_ask") == 8
    assert get(rows, "dom.add_bid") == 15
    assert get(rows, "dom.cancel_bid") == 10
    assert get(rows, "dom.add_ask") == 0


def test_fleeting_share_is_what_was_added_and_cancelled_within_half_a_second():
    rows, _, _ = fold(
        *SNAPSHOT,
        (1, TRADE, 20_001, 1, BUY),
        (1, DEPTH, 20_001, 7, ASK),
        (2, DEPTH, 19_999, 30, BID),
        (2.4, DEPTH, 19_999, 10, BID),  # 20 within 0.4 s
        (2.6, DEPTH, 19_999, 0, BID),  # 10 more after 0.6 s
    )
    assert get(rows, "dom.fleeting_share") == pytest.approx(20 / 30)


def test_large_adds_cancelled_untouched_within_two_seconds_are_told_from_the_rest():
    def day(start):
        return [(start, CLEAR, 0, 0, 0), (start, DEPTH, 100, 10, BID), (start, DEPTH, 101, 10, ASK)]

    first = [*day(0), (1, TRADE, 101, 1, BUY), (1, DEPTH, 101, 9, ASK)]
    first += [(2 + n, DEPTH, 100, 10 + (n + 1) % 2, BID) for n in range(40)]  # twenty adds of 1
    flash = [(7202, DEPTH, 99, 30, BID), (7203, DEPTH, 99, 0, BID)]
    touched = [(7210, DEPTH, 102, 30, ASK), (7210.5, TRADE, 102, 1, BUY), (7211, DEPTH, 102, 0, ASK)]
    slow = [(7220, DEPTH, 98, 30, BID), (7223, DEPTH, 98, 0, BID)]
    small = [(7230, DEPTH, 97, 1, BID), (7230.1, DEPTH, 97, 0, BID)]
    rows, ts, _ = fold(*first, *day(7200), (7201, TRADE, 101, 1, BUY), *flash, *touched, *slow, *small, until=7260)
    assert math.isnan(get(rows, "dom.large_cancel_bid", 0))
    last = len(ts) - 1
    assert get(rows, "dom.large_cancel_bid", last) == 30
    assert get(rows, "dom.large_cancel_ask", last) == 0


def test_depletion_is_what_trades_take_from_the_best_and_replenishment_what_returns_within_five_seconds():
    rows, _, _ = fold(
        (0, DEPTH, 100, 50, BID),
        (0, DEPTH, 101, 20, ASK),
        (0, DEPTH, 102, 20, ASK),
        (1, TRADE, 101, 15, BUY),
        (1, DEPTH, 101, 5, ASK),
        (3, DEPTH, 101, 12, ASK),
        (7, DEPTH, 101, 40, ASK),
    )
    assert get(rows, "dom.depletion") == 15
    assert get(rows, "dom.replenish_5s") == 7


def test_refill_volume_is_what_a_trade_takes_beyond_the_displayed_size():
    rows, _, _ = fold(
        (0, DEPTH, 100, 50, BID),
        (0, DEPTH, 101, 10, ASK),
        (1, TRADE, 101, 6, BUY, 1),
        (1, TRADE, 101, 9, BUY, 1),
        (1, DEPTH, 101, 0, ASK),
    )
    assert get(rows, "trd.refill_volume") == 5
    assert get(rows, "dom.depletion") == 10


def test_message_counts_rates_and_bursts():
    burst = [(1 + 0.0001 * n, DEPTH, 99, 2 + n, BID) for n in range(9)]
    single = [(2 + n, DEPTH, 98, 2 + n, BID) for n in range(20)]
    rows, _, _ = fold(*SNAPSHOT, *burst, *single, (30, TRADE, 100, 1, BUY), (31, TRADE, 100, 1, BUY))
    assert get(rows, "qot.n_updates") == 31
    assert get(rows, "qot.msg_to_trade") == 15.5
    assert get(rows, "qot.update_burst_p99") == 9


def test_best_quotes_alone_leave_deeper_columns_missing():
    rows, _, _ = fold(*SNAPSHOT, (1, TRADE, 20_001, 1, BUY), (2, DEPTH, 20_000, 0, BID), (2, DEPTH, 19_999, 4, BID))
    assert get(rows, "dom.bid_px_1") == 19_999
    for name in ("dom.bid_sz_2", "dom.ofi_2", "dom.depth_tw_2", "dom.bid_depth_tw_10", "dom.add_bid"):
        assert math.isnan(get(rows, name))


def test_the_book_built_before_the_open_is_whole_at_the_open():
    rows, _, _ = fold(
        (3600 + 10, CLEAR, 0, 0, 0),
        (7100, DEPTH, 100, 5, BID),
        (7150, DEPTH, 101, 6, ASK),
        (7201, TRADE, 101, 1, BUY),
        until=7260,
    )
    assert (get(rows, "dom.bid_sz_1"), get(rows, "dom.ask_sz_1")) == (5, 6)
    assert get(rows, "qot.n_updates") == 0
    assert get(rows, "dom.bid_depth_tw_1") == 5


def test_levels_and_flows_agree_with_a_plain_dictionary_book(busy, whole):
    rows, ts = whole
    books = {BID: {}, ASK: {}}
    n = 0
    for k in range(0, len(ts), 7):
        while n < len(busy) and busy["ts"][n] < ts[k]:
            e = busy[n]
            n += 1
            if e["kind"] == CLEAR:
                books = {BID: {}, ASK: {}}
            if e["kind"] == DEPTH:
                books[int(e["side"])][int(e["price"])] = int(e["size"])
        for side, name in ((BID, "bid"), (ASK, "ask")):
            prices = sorted((p for p, s in books[side].items() if s), reverse=side == BID)[:10]
            found = rows[k, [INDEX[f"dom.{name}_px_{j}"] for j in range(1, 11)]]
            sizes = rows[k, [INDEX[f"dom.{name}_sz_{j}"] for j in range(1, 11)]]
            assert found[~np.isnan(found)].tolist() == prices
            assert sizes[: len(prices)].tolist() == [books[side][p] for p in prices]


def test_order_flow_imbalance_agrees_with_the_formula_on_snapshots_after_each_message(busy):
    part = busy[busy["ts"] < 30 * MINUTE]
    rows, ts = BarFolder(hours(), 1).fold(part)
    sums = {}
    book, before, snap = {BID: {}, ASK: {}}, {}, None
    for e in part:
        if e["kind"] == CLEAR:
            book, before, snap = {BID: {}, ASK: {}}, {}, None
        if e["kind"] != DEPTH:
            continue
        snap = e["ts"] if snap is None else snap
        book[int(e["side"])][int(e["price"])] = int(e["size"])
        for side in (BID, ASK):
            best = sorted(((p, s) for p, s in book[side].items() if s), reverse=side == BID)[:10]
            for level, (price, size) in enumerate(best):
                if (side, level) in before and e["ts"] != snap:
                    was, was_size = before[side, level]
                    flow = side * (
                        (size if side * (price - was) >= 0 else 0) - (was_size if side * (price - was) <= 0 else 0)
                    )
                    key = (int(e["ts"]) // MINUTE, level)
                    sums[key] = sums.get(key, 0) + flow
                before[side, level] = (price, size)
    for k, t in enumerate(ts):
        for level in range(10):
            assert rows[k, INDEX[f"dom.ofi_{level + 1}"]] == sums.get((int(t) // MINUTE - 1, level), 0)


def test_rows_have_the_width_of_the_base_series(whole):
    assert whole[0].shape[1] == WIDTH
