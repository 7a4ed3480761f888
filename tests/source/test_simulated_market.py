"""The simulated market: stylised facts, no predictability without alpha, and power to see it with alpha."""

import dataclasses
import datetime as dt
import tracemalloc

import numpy as np
import pytest
from numba import njit
from simulated_world import load_market, load_settings

from mia.calendar.exchange import sessions
from mia.domain.errors import ArtefactMissing
from mia.domain.events import CLEAR, DEPTH, TRADE
from mia.domain.rng import generator
from mia.domain.series import SERIES
from mia.source.bars import BarFolder
from mia.source.simulated import SimulatedMarket, chance

MINUTE = 60_000_000_000
START = dt.date(2025, 1, 6)


@pytest.fixture(scope="module")
def market(root):
    return lambda name: load_market(root, name)


@pytest.fixture(scope="module")
def settings(root):
    return lambda **changes: load_settings(root, **changes)


class World:
    """One simulated stretch with the columns the tests look at."""

    def __init__(self, market, settings, days, seed=11):
        self.days = days
        self.source = SimulatedMarket(market, settings, seed)
        self.bars = self.source.table(days)
        self.truth = self.source.truth
        self.inside = np.diff(self.bars.ts) == settings.bar_minutes * MINUTE

    def column(self, name):
        return self.bars.column(name)

    def returns(self):
        """Return of the mid over each bar that follows another without a gap [ticks]."""
        return np.diff(self.truth.price)[self.inside]

    def before(self, series):
        """A series as it stood at the close before each of `returns`."""
        return series[:-1][self.inside]


@pytest.fixture(scope="module")
def worlds(market, settings):
    made = {}

    def world(name: str, alpha: float, weeks: int = 6) -> World:
        key = (name, alpha, weeks)
        if key not in made:
            days = sessions(market(name), START, START + dt.timedelta(days=7 * weeks - 3))
            made[key] = World(market(name), settings(alpha=alpha), days)
        return made[key]

    return world


def autocorrelation(x, lag):
    x = x - x.mean()
    return float((x[lag:] * x[:-lag]).mean() / x.var())


def robust_t(x, y):
    """t-value of a covariance that allows for changing variance (White 1980)."""
    products = (x - x.mean()) * (y - y.mean())
    return float(products.sum() / np.sqrt((products**2).sum()))


def public_features(world):
    """What a trader could know at each close: flow, imbalances, past returns, sides."""
    c, price = world.column, world.truth.price
    volume = np.maximum(c("bar.volume"), 1)
    flow = (c("trd.buy_volume") - c("trd.sell_volume")) / volume
    added = c("dom.add_bid") - c("dom.add_ask")
    bids = sum(c(f"dom.bid_sz_{k}") for k in range(1, 6))
    asks = sum(c(f"dom.ask_sz_{k}") for k in range(1, 6))
    features = {
        "flow": flow,
        "flow_20": np.convolve(flow, np.ones(20) / 20)[: len(flow)],
        "added": added / np.maximum(c("dom.add_bid") + c("dom.add_ask"), 1),
        "best_queues": (c("dom.bid_sz_1") - c("dom.ask_sz_1")) / (c("dom.bid_sz_1") + c("dom.ask_sz_1")),
        "five_queues": (bids - asks) / (bids + asks),
        "ofi": c("dom.ofi_1") / np.maximum(c("dom.depth_tw_1"), 1),
        "return_1": np.diff(price, prepend=price[0]),
        "return_10": price - np.concatenate([np.full(10, price[0]), price[:-10]]),
        "last_side": c("bar.close") - c("qot.mid"),
        "vix": np.diff(c("xa.vix"), prepend=c("xa.vix")[0]),
        "pair": np.diff(c("xa.pair_close"), prepend=c("xa.pair_close")[0]),
    }
    return {name: np.nan_to_num(world.before(x)) for name, x in features.items()}


def ridge_r2(features, y, strength=30.0):
    """Out-of-sample R2 of a ridge fitted on the first half and judged on the second."""
    half = len(y) // 2
    mean, sd = features[:half].mean(0), features[:half].std(0)
    x = np.clip((features - mean) / sd, -5, 5)
    weights = np.linalg.solve(x[:half].T @ x[:half] + strength * np.eye(x.shape[1]), x[:half].T @ y[:half])
    return 1 - float(((y[half:] - x[half:] @ weights) ** 2).sum() / (y[half:] ** 2).sum())


@pytest.mark.parametrize(("name", "sd"), [("ES", 4.5), ("MNQ", 24.0)])
def test_one_minute_returns_look_like_an_index_future(worlds, name, sd):
    world = worlds(name, 0.0)
    returns, size = world.returns(), np.abs(world.returns())
    assert 0.65 * sd < returns.std() < 1.45 * sd  # slow variance moves a sample of weeks
    centred = returns - returns.mean()
    assert 6 < (centred**4).mean() / returns.var() ** 2 < 60
    assert abs(robust_t(returns[:-1], returns[1:])) < 4
    assert abs(autocorrelation(returns, 1)) < 0.05
    lags = [autocorrelation(size, lag) for lag in (1, 10, 60)]
    assert lags[0] > 0.2
    assert lags[0] > lags[1] > lags[2] > 0.05
    assert abs(autocorrelation(np.diff(world.column("bar.close"))[world.inside], 1)) < 0.06


@pytest.mark.parametrize("name", ["ES", "MNQ"])
def test_the_spread_is_one_tick_most_of_the_time_and_ten_levels_are_shown(worlds, name):
    world = worlds(name, 0.0)
    assert 1.0 <= np.nanmean(world.column("qot.spread_ticks_tw")) < 1.1
    wide = world.column("dom.ask_px_1") - world.column("dom.bid_px_1")
    assert 0.9 < np.mean(wide == 1) < 1.0
    assert np.isnan(world.column("dom.bid_px_10")).mean() < 0.02
    assert np.isnan(world.column("dom.ask_px_10")).mean() < 0.02


def order_flow_windows(events, begin, end, seconds):
    """Mid change [ticks] and order-flow imbalance of the best quotes per window, from a book in two dicts."""
    books = ({}, {})
    change, flow = [], []
    edge, last, total, mid = begin, None, 0.0, None
    for ts, kind, side, price, size in zip(
        events["ts"].tolist(), events["kind"].tolist(), events["side"].tolist(),
        events["price"].tolist(), events["size"].tolist(), strict=True,
    ):  # fmt: skip
        while ts >= edge and last is not None:
            if mid is not None:
                change.append((last[0] + last[2]) / 2 - mid)
                flow.append(total)
            mid, total, edge = (last[0] + last[2]) / 2, 0.0, edge + seconds * 1_000_000_000
        if ts >= end:
            break
        if kind == CLEAR:
            books = ({}, {})
        if kind != DEPTH:
            continue
        book = books[0 if side > 0 else 1]
        if size:
            book[price] = size
        else:
            book.pop(price, None)
        if not books[0] or not books[1]:
            continue
        bid, ask = max(books[0]), min(books[1])
        now = (bid, books[0][bid], ask, books[1][ask])
        if last is not None:
            total += (bid >= last[0]) * now[1] - (bid <= last[0]) * last[1]
            total += (ask >= last[2]) * last[3] - (ask <= last[2]) * now[3]
        last = now
    return np.array(change), np.array(flow)


@pytest.mark.parametrize("name", ["ES", "MNQ"])
@pytest.mark.parametrize("seconds", [10, 60])
def test_order_flow_imbalance_explains_contemporaneous_moves(worlds, name, seconds):
    # Cont, Kukanov, Stoikov (2014) find 0.35 to 0.85 in 10 s windows, 0.65 on average
    world = worlds(name, 0.0)
    _, events = next(world.source.events(world.days))
    begin, end = int(world.days.rth_open_ns[0]), int(world.days.rth_close_ns[0])
    change, flow = order_flow_windows(events, begin, end, seconds)
    assert len(change) >= 389
    assert 0.35 < np.corrcoef(change, flow)[0, 1] ** 2 < 0.88


@pytest.mark.parametrize("name", ["ES", "MNQ"])
def test_without_alpha_nothing_known_at_a_close_predicts_the_next_minute(worlds, name):
    world = worlds(name, 0.0)
    y = world.returns()
    features = public_features(world)
    hidden = {
        "signal": world.before(world.truth.signal),
        "signal_in_trend": world.before(world.truth.signal * (world.truth.regime == 0)),
        "signal_in_range": world.before(world.truth.signal * (world.truth.regime == 1)),
    }
    assert np.all(world.truth.expected == 0)
    for label, x in {**features, **hidden}.items():
        assert abs(robust_t(x, y)) < 4, label
    assert ridge_r2(np.column_stack(list(features.values())), y) < 0.002
    # what can be earned: bought at the next bar's first trade, sold at its last
    earnable = (world.column("bar.close") - world.column("bar.open"))[1:][world.inside]
    for label, x in features.items():
        assert abs(robust_t(x, earnable)) < 4, label


def test_with_alpha_the_same_checks_see_the_predictable_part(worlds):
    world = worlds("ES", 0.3)
    y = world.returns()
    trend = world.before((world.truth.regime == 0) * 1.0)
    features = public_features(world)
    assert robust_t(features["flow_20"] * trend, y) > 6
    assert robust_t(world.before(world.truth.signal) * trend, y) > 8
    assert ridge_r2(np.column_stack(list(features.values())), y) > 0.004


@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_alpha_is_the_share_of_a_minutes_deviation_that_is_expected(worlds, alpha):
    world = worlds("ES", alpha)
    expected = world.truth.expected[1:][world.inside]
    assert expected.std() / world.returns().std() == pytest.approx(alpha, rel=0.25)
    slope = (expected * world.returns()).sum() / (expected**2).sum()
    error = np.sqrt((expected**2 * world.returns() ** 2).sum()) / (expected**2).sum()
    assert abs(slope - 1) < 3.5 * error


def test_flow_leans_with_the_signal_in_trend_and_price_fades_it_in_range(worlds):
    world = worlds("ES", 0.3)
    y, signal, regime = world.returns(), world.before(world.truth.signal), world.before(world.truth.regime)
    assert robust_t(signal * (regime == 0), y) > 5
    assert robust_t(signal * (regime == 1), y) < -3
    assert abs(robust_t(signal * (regime == 2), y)) < 3.5
    added = world.column("dom.add_bid") - world.column("dom.add_ask")
    lean = added / (world.column("dom.add_bid") + world.column("dom.add_ask")).clip(1)
    for kind in range(3):
        here = world.truth.regime == kind
        assert np.corrcoef(lean[here], world.truth.signal[here])[0, 1] > 0.15


def test_defensive_minutes_are_volatile_and_thin_and_range_minutes_quiet_and_deep(worlds):
    world = worlds("ES", 0.0)
    regime = world.truth.regime[1:][world.inside]
    sd = [world.returns()[regime == k].std() for k in range(3)]
    depth = [np.nanmean(world.column("dom.depth_tw_1")[world.truth.regime == k]) for k in range(3)]
    assert sd[1] < sd[0] < sd[2]
    assert depth[1] > depth[0] > depth[2]


def test_variance_follows_the_u_shape_of_the_day(worlds):
    world = worlds("ES", 0.0)
    at = world.days.index(world.bars.ts)
    minute = ((world.bars.ts - world.days.rth_open_ns[at]) // MINUTE)[1:][world.inside]
    size = np.abs(world.returns())
    night, opening = size[minute <= -60].mean(), size[(minute > 0) & (minute <= 20)].mean()
    noon, closing = (
        size[(minute > 150) & (minute <= 240)].mean(),
        size[(minute > 375) & (minute <= 390)].mean(),
    )
    assert opening > 1.3 * noon > 1.3 * 1.3 * night
    assert closing > 1.15 * noon


def test_companions_move_with_the_market(worlds, market, settings):
    world = worlds("ES", 0.0)
    inside = world.inside
    returns = np.diff(np.log(world.truth.price))[inside]
    vix = np.diff(np.log(world.column("xa.vix")))[inside]
    pair = np.diff(np.log(world.column("xa.pair_close")))[inside]
    assert -0.9 < np.corrcoef(vix, returns)[0, 1] < -0.5
    assert np.corrcoef(pair, returns)[0, 1] == pytest.approx(0.9, abs=0.03)
    assert 8 < world.column("xa.vix").min() < world.column("xa.vix").max() < 60
    at = world.days.index(world.bars.ts)
    regular = (world.bars.ts > world.days.rth_open_ns[at]) & (world.bars.ts <= world.days.rth_close_ns[at])
    assert np.array_equal(np.isnan(world.column("xa.spy_close")), ~regular)
    # the fund follows the S&P 500 in both markets: here the partner's price, rounded to ticks and cents
    other = worlds("MNQ", 0.0)
    both = np.isfinite(other.column("xa.spy_close")[1:]) & np.isfinite(other.column("xa.spy_close")[:-1])
    fund, partner = (np.diff(np.log(other.column(n)))[both] for n in ("xa.spy_close", "xa.pair_close"))
    assert np.corrcoef(fund, partner)[0, 1] > 0.9


def test_sessions_one_by_one_are_the_table_bit_for_bit(market, settings):
    for name, length in (("ES", 1), ("MNQ", 7)):
        es, config = market(name), settings(bar_minutes=length)
        days = sessions(es, START, START + dt.timedelta(days=3))
        whole = SimulatedMarket(es, config, 4).table(days)
        pieces = list(SimulatedMarket(es, config, 4).chunks(days))
        assert len(pieces) == len(days)
        for index, piece in enumerate(pieces):
            assert np.all(days.index(piece.ts) == index)
            assert piece.ts[-1] == days.close_ns[index]  # the session's last bar is in its own piece
        assert np.concatenate([piece.ts for piece in pieces]).tobytes() == whole.ts.tobytes()
        assert np.concatenate([piece.values for piece in pieces]).tobytes() == whole.values.tobytes()


def test_bars_of_the_market_equal_those_folded_from_all_its_events_at_once(market, settings):
    # the table closes each session's last bars before the next session is drawn; a folder that waits agrees
    es, days = market("ES"), sessions(market("ES"), START, START + dt.timedelta(days=2))
    source = SimulatedMarket(es, settings(), 4)
    table = source.table(days)
    folder = BarFolder(days, 1)
    parts = [folder.fold(events)[0] for _, events in source.events(days)] + [folder.finish()[0]]
    waited = np.concatenate(parts)
    own = np.array([not name.startswith("xa.") and name != "bar.open_interest" for name in SERIES])
    assert table.values[:, own].tobytes() == waited[:, own].tobytes()


def test_open_interest_is_that_of_the_day_before_and_constant_within_a_session(market, settings):
    es, days = market("ES"), sessions(market("ES"), START, START + dt.timedelta(days=3))
    pieces = list(SimulatedMarket(es, settings(), 4).chunks(days))
    interest = [np.unique(piece.column("bar.open_interest")) for piece in pieces]
    assert np.isnan(interest[0]).all(), "before the first session's end nothing is published"
    assert all(len(values) == 1 and values[0] > 0 for values in interest[1:])
    assert interest[1][0] != interest[2][0]


def test_memory_of_a_walk_through_sessions_does_not_grow_with_them(market, settings):
    es, days = market("ES"), sessions(market("ES"), START, START + dt.timedelta(days=8))
    source = SimulatedMarket(es, settings(events_per_minute=20.0), 4)
    held = []
    tracemalloc.start()
    for piece in source.chunks(days):
        del piece
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert max(held[2:]) < 1.2 * held[1]


def test_events_are_in_order_inside_their_session_and_trades_hit_the_best_quote(worlds):
    world = worlds("MNQ", 0.0)
    for index, events in world.source.events(dataclasses.replace(world.days)):
        assert np.all(np.diff(events["ts"]) >= 0)
        assert events["ts"][0] > world.days.open_ns[index]
        assert events["ts"][-1] < world.days.close_ns[index]
        assert events["kind"][0] == CLEAR
        assert np.all(events["size"][events["kind"] == TRADE] > 0)
        assert np.all(events["size"] >= 0)
        if index == 0:
            check_book(events[:60_000])
        if index == 3:  # 9 January 2025: closed at 14:30 UTC
            assert (events["ts"][-1] - world.days.open_ns[index]) // MINUTE == 929
            break


def check_book(events):
    """Every trade is at the best price of the side it hits, and the book is never empty or crossed."""
    books = ({}, {})
    for event in events:
        if event["kind"] == CLEAR:
            books = ({}, {})
        elif event["kind"] == TRADE:
            hit = min(books[1]) if event["side"] > 0 else max(books[0])
            assert event["price"] == hit
        else:
            book = books[0 if event["side"] > 0 else 1]
            if event["size"]:
                book[int(event["price"])] = int(event["size"])
            else:
                assert book.pop(int(event["price"]), 0) > 0
            if books[0] and books[1]:
                assert max(books[0]) < min(books[1])


def test_more_sessions_change_nothing_earlier_and_the_seed_changes_everything(market, settings):
    es, config = market("ES"), settings(alpha=0.2)
    long = sessions(es, START, START + dt.timedelta(days=4))
    short = sessions(es, START, START + dt.timedelta(days=1))
    a, b = World(es, config, long), World(es, config, short)
    rows = len(b.bars)
    assert a.bars.values[:rows].tobytes() == b.bars.values.tobytes()
    assert a.truth.price[:rows].tobytes() == b.truth.price.tobytes()
    assert World(es, config, short).bars.values.tobytes() == b.bars.values.tobytes()
    assert World(es, config, short, seed=12).bars.values.tobytes() != b.bars.values.tobytes()
    again = b.source.table(short)  # a second call starts from the beginning
    assert again.values.tobytes() == b.bars.values.tobytes()


def test_alpha_leaves_regimes_signal_and_variance_as_they_are(worlds):
    null, informed = worlds("ES", 0.0), worlds("ES", 0.3)
    rows = np.intersect1d(null.bars.ts, informed.bars.ts)
    a, b = np.searchsorted(null.bars.ts, rows), np.searchsorted(informed.bars.ts, rows)
    assert np.array_equal(null.truth.regime[a], informed.truth.regime[b])
    assert np.array_equal(null.truth.signal[a], informed.truth.signal[b])


def test_longer_bars_are_made_of_the_same_events(market, settings):
    es = market("ES")
    days = sessions(es, START, START)
    one, five = World(es, settings(), days), World(es, settings(bar_minutes=5), days)
    at = np.searchsorted(one.bars.ts, five.bars.ts)
    assert np.array_equal(one.bars.ts[at], five.bars.ts)
    for name in ("bar.close", "qot.mid", "dom.bid_sz_1", "xa.vix", "xa.pair_close"):
        assert np.array_equal(one.column(name)[at], five.column(name), equal_nan=True), name
    assert five.truth.expected.sum() == pytest.approx(one.truth.expected.sum())


def test_a_market_without_its_own_scale_and_regular_hours_only_can_be_simulated(market, settings):
    dax = market("FDAX")
    world = World(dax, settings(hours="rth"), sessions(dax, START, START + dt.timedelta(days=1), hours="rth"))
    assert len(world.bars) == 2 * 510
    assert 1 < world.returns().std() < 40
    assert np.isnan(world.column("cal.session")).all()


def test_truth_before_a_table_and_progress_are_as_documented(market, settings):
    es = market("ES")
    source = SimulatedMarket(es, settings(), 1)
    with pytest.raises(ArtefactMissing, match="call it first"):
        source.truth  # noqa: B018
    seen = []
    source.table(sessions(es, START, START), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 1)]


@njit
def draw_many(s, n, mean):
    plain, long = np.empty(n), np.empty(n)
    for k in range(n):
        plain[k] = chance.uniform(s)
    for k in range(n):
        long[k] = chance.geometric(s, mean)
    return plain, long


def test_random_numbers_follow_the_published_generator_and_the_asked_distribution():
    words = chance.seeded(generator(5, "test"))
    s, mask = [int(w) for w in words], 2**64 - 1
    expected = []
    for _ in range(1000):
        expected.append((((s[0] + s[3]) & mask) >> 11) / 2**53)
        t = (s[1] << 17) & mask
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = ((s[3] << 45) | (s[3] >> 19)) & mask
    plain, long = draw_many(words.copy(), 200_000, 4.0)
    assert np.array_equal(plain[:1000], expected)
    assert plain.mean() == pytest.approx(0.5, abs=0.004)
    assert long.min() == 1
    assert long.mean() == pytest.approx(4.0, abs=0.05)
    assert long.var() == pytest.approx(12.0, rel=0.05)  # mean (mean - 1)
