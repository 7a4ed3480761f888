import numpy as np
import pytest
from flow_runner import run_operator

from mia.domain.rng import generator

talib = pytest.importorskip("talib", reason="TA-Lib is the oracle of linear regression slopes")


def close_to(got, want, tolerance=1e-10):
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance, equal_nan=True)


def traded_bars(rows, length, open_at, seed=3):
    """Bars made of single trades (5 each), so that volume-weighted moments have an exact oracle."""
    rng = generator(seed, "tests", "vwap")
    prices = 20000 + np.cumsum(rng.integers(-3, 4, (rows, 5)).ravel()).reshape(rows, 5)
    sizes = rng.integers(1, 20, (rows, 5))
    at = np.arange(rows)
    session, minute = at // length, at % length
    ref = prices[session * length, 0].astype(float)
    away = prices - ref[:, None]
    inputs = [
        (away * sizes).sum(1),
        (away**2 * sizes).sum(1),
        ref,
        sizes.sum(1),
        prices[:, -1],
        session,
        minute >= open_at,
    ]
    return prices, sizes, [np.asarray(column, dtype=float) for column in inputs]


def anchor_of(t, length, open_at):
    """First row of the regular hours that row t's average starts from."""
    start = t // length * length + open_at
    return start if start <= t else start - length


def test_vwap_equals_the_moments_of_every_trade_since_the_open():
    length, open_at = 50, 20
    prices, sizes, inputs = traded_bars(150, length, open_at)
    level = run_operator("vwap", *inputs)
    z = run_operator("vwap", *inputs, out="z")
    path = run_operator("vwap", *inputs, out="path")
    for t in range(150):
        a = anchor_of(t, length, open_at)
        if a < 0:
            assert np.isnan([level[t], z[t], path[t]]).all()
            continue
        p, w = prices[a : t + 1].ravel(), sizes[a : t + 1].ravel()
        mean = np.average(p, weights=w)
        close_to(level[t], mean)
        close_to(path[t], mean if t > a else np.nan)
        sd = np.sqrt(np.average((p - mean) ** 2, weights=w))
        close_to(z[t], (prices[t, -1] - mean) / sd if t - a >= 15 else np.nan, 1e-7)


def test_vwap_can_be_anchored_at_the_session_open():
    prices, sizes, inputs = traded_bars(100, 50, 20)
    got = run_operator("vwap", *inputs, anchor="globex_open")
    close_to(got[10], np.average(prices[:11].ravel(), weights=sizes[:11].ravel()))
    close_to(got[60], np.average(prices[50:61].ravel(), weights=sizes[50:61].ravel()))


def test_vwap_without_trades_is_missing_and_never_guessed():
    _, _, inputs = traded_bars(100, 50, 20)
    inputs[0][30] = np.nan
    got = run_operator("vwap", *inputs)
    assert np.isnan(got[30:70]).all()
    assert np.isfinite(got[70:]).all()


def test_vwap_slope_equals_talib_and_never_reaches_across_the_anchor():
    _, _, inputs = traded_bars(150, 50, 20)
    path = run_operator("vwap", *inputs, out="path")
    got = run_operator("linreg", path, n=20, out="slope")
    for start, stop in ((21, 70), (71, 120)):
        want = talib.LINEARREG_SLOPE(path[start:stop], 20)
        close_to(got[start:stop], want, 1e-8)


def zigzag(high, low, reversal):
    """Swings as (bar confirmed, price, is high), written independently, scanning forward."""
    found, direction, top, bottom = [], 0, (high[0], 0), (low[0], 0)
    for t in range(1, len(high)):
        if direction >= 0 and high[t] > top[0]:
            top = (high[t], t)
            new_top = True
        else:
            new_top = False
        if direction <= 0 and low[t] < bottom[0]:
            bottom = (low[t], t)
            new_bottom = True
        else:
            new_bottom = False
        if direction == 0:
            # The extreme against which a reversal counts is that of the bars before this one.
            low_before = min(low[:t])
            high_before = max(high[:t])
            if high[t] - low_before >= reversal:
                found.append((t, low_before, False))
                direction, top = 1, (max(high[: t + 1]), t)
            elif high_before - low[t] >= reversal:
                found.append((t, high_before, True))
                direction, bottom = -1, (min(low[: t + 1]), t)
        elif direction == 1 and not new_top and top[0] - low[t] >= reversal:
            found.append((t, top[0], True))
            direction, bottom = -1, (low[t], t)
        elif direction == -1 and not new_bottom and high[t] - bottom[0] >= reversal:
            found.append((t, bottom[0], False))
            direction, top = 1, (high[t], t)
    return found


def test_swings_are_written_when_confirmed_and_not_before():
    rng = generator(8, "tests", "swing")
    close = 500 + np.cumsum(rng.integers(-4, 5, 400))
    high, low = close + rng.integers(0, 4, 400), close - rng.integers(0, 4, 400)
    high, low = high.astype(float), low.astype(float)
    found = zigzag(high, low, 15.0)
    assert len(found) > 12
    tops = run_operator("swing", high, low, 5.0, out="high")
    bottoms = run_operator("swing", high, low, 5.0, out="low")
    age = run_operator("swing", high, low, 5.0, out="age")
    for t in range(400):
        known = [swing for swing in found if swing[0] <= t]
        for got, kind in ((tops, True), (bottoms, False)):
            of_kind = [swing for swing in known if swing[2] == kind]
            close_to(got[t], of_kind[-1][1] if of_kind else np.nan)
        close_to(age[t], t - known[-1][0] if known else np.nan)


def test_swing_structure_is_one_in_a_staircase_up_and_minus_one_down():
    steps = np.cumsum(np.tile([4.0, 4, 4, 4, -4, -4], 20))
    up = run_operator("swing", 1000 + steps, 1000 + steps, 2.0, out="structure")
    assert up[-1] == 1.0
    assert np.isnan(up[10])
    assert run_operator("swing", 1000 - steps, 1000 - steps, 2.0, out="structure")[-1] == -1.0
    flat = np.tile([0.0, 5, 10, 5], 20)
    assert run_operator("swing", flat, flat, 2.0, out="structure")[-1] == 0.0


def test_the_bar_of_an_extreme_never_confirms_it():
    high, low = np.array([10.0, 12, 30, 29]), np.array([9.0, 11, 12, 14])
    # Bar 2 spans 18 ticks, more than the reversal of 15; its own low must not confirm its own high.
    got = run_operator("swing", high, low, 5.0, out="high")
    assert np.isnan(got[2])
    assert got[3] == 30


def test_position_between_levels():
    close_to(run_operator("between", [5.0, 12, 3], [0.0, 0, 3], [10.0, 10, 3]), [0.5, 1.2, 0.5])


def test_round_numbers_are_25_points_apart_for_this_market():
    # 25 points are 100 ticks: 20010 is 10 ticks above 20000, 20060 is 40 below 20100.
    close_to(run_operator("round_distance", [20010.0, 20060, 20050], [10.0, 10, 10]), [1.0, -4.0, -5.0])


def breakout_of(close, *, anomaly=0.0, flow=0.0, squeeze=0.0, atr=10.0):
    high = np.r_[np.full(20, 110.0), close]
    low = np.r_[np.full(20, 90.0), close]
    middle = np.r_[np.full(20, 100.0), close]
    squeezes = np.r_[np.zeros(10), squeeze, np.zeros(10)]
    got = run_operator("breakout", high, low, middle, atr, anomaly, flow, squeezes, n=20)
    assert np.isnan(got[:20]).all()
    return got[20]


def test_breakout_adds_penetration_volume_flow_and_squeeze():
    close_to(breakout_of(115.0), 0.6 * 0.5 + 0.8 * 0.5)
    close_to(breakout_of(115.0, anomaly=2.0, flow=0.5, squeeze=1.0), 0.3 + 0.8 / (1 + np.exp(-2)) + 0.8 + 0.8)
    close_to(breakout_of(85.0, flow=-0.5), -(0.3 + 0.4 + 0.8))
    close_to(breakout_of(85.0, flow=0.5), -(0.3 + 0.4))
    close_to(breakout_of(105.0), 0.125 * 0.4)
    close_to(breakout_of(100.0, anomaly=5.0, squeeze=1.0), 0.0)


def test_breakout_stays_within_three():
    assert breakout_of(1e6, anomaly=5.0, flow=1.0, squeeze=1.0) == 3.0
    assert breakout_of(1.0, anomaly=5.0, flow=-1.0, squeeze=1.0) == -3.0


def test_breakout_without_volume_history_is_missing():
    assert np.isnan(breakout_of(115.0, anomaly=np.nan))
