"""Trend and plain operators against closed forms, hand-computed bars and independent numpy."""

import math

import numpy as np
import pytest
from feature_bench import rows, run, walk_ticks

from mia.domain.rng import generator
from mia.features.operators.long_memory import fractional_weights

NAN = float("nan")


def closes(*values):
    return rows(bar__close=np.array(values, dtype=float))


def one(op, values, into="bar.close", **params):
    return run({"op": op, "in": into, "p": params}, values)


def test_points_are_ticks_times_tick_size():
    assert run({"op": "take", "in": "bar.close", "scale": "tick"}, closes(20000, 20001)).tolist() == [
        5000.0,
        5000.25,
    ]
    values = rows(bar__close=np.array([20000.0]), bar__volume=np.array([3.0]))
    usd = run({"op": "product", "in": ["bar.volume", "bar.close"], "scale": "usd"}, values)
    assert usd[0] == 3 * 5000.0 * 50.0


def test_take_with_lag_is_the_value_that_many_bars_ago():
    assert np.array_equal(one("take", closes(1, 2, NAN, 4, 5), lag=2), [NAN, NAN, 1, 2, NAN], equal_nan=True)


def test_diff_starts_afresh_after_a_missing_bar():
    assert np.array_equal(one("diff", closes(1, 2, 4, NAN, 8, 16, 32), n=2), [NAN] * 2 + [3] + [NAN] * 3 + [24], True)


def test_log_return_is_the_log_of_the_price_ratio():
    assert one("log_return", closes(100, 110, 121), n=2)[2] == pytest.approx(math.log(1.21), rel=1e-15)


def test_ratio_is_of_sums_and_missing_where_the_divisor_is_zero():
    values = rows(bar__close=np.array([1.0, 2.0, 3.0, 5.0]), bar__volume=np.array([2.0, 4.0, -4.0, 4.0]))
    got = run({"op": "ratio", "in": ["bar.close", "bar.volume"], "p": {"n": 2}}, values)
    assert np.array_equal(got, [NAN, 0.5, NAN, NAN], equal_nan=True)
    logged = run({"op": "ratio", "in": ["bar.close", "bar.volume"], "p": {"log": 1}}, values)
    assert logged[0] == pytest.approx(math.log(0.5))


def test_roll_sum_zscore_and_rank_of_a_hand_computed_window():
    values = closes(4, 1, 3, 2, 2)
    assert one("roll_sum", values, n=3)[2:].tolist() == [8, 6, 7]
    assert one("zscore", values, n=3)[2] == pytest.approx((3 - 8 / 3) / np.std([4, 1, 3], ddof=1))
    assert one("pct_rank", values, n=4)[3:].tolist() == [
        1 / 3,
        0.5,
    ]  # {4,1,3,2}: one below; {1,3,2,2}: one below, one tie


def test_threshold_sign_and_rel_distance():
    values = rows(
        bar__close=np.array([1.0, 2.0, 3.0]),
        bar__high=np.array([2.0, 2.0, 2.0]),
        bar__low=np.array([4.0, 0.0, NAN]),
    )
    assert run({"op": "threshold", "in": ["bar.close", "bar.high"]}, values).tolist() == [1, 0, 0]
    distance = run({"op": "rel_distance", "in": ["bar.close", "bar.high", "bar.low"]}, values)
    assert np.array_equal(distance, [-0.25, NAN, NAN], equal_nan=True)
    assert one("sign", closes(-3, 0, 7)).tolist() == [-1, 0, 1]


def test_bars_since_counts_from_the_last_change_of_any_input():
    values = rows(bar__close=np.array([NAN, 1, 1, 1, 2, 2.0]), bar__high=np.array([NAN, NAN, 5, 5, 5, NAN]))
    got = run({"op": "bars_since", "in": ["bar.close", "bar.high"]}, values)
    assert np.array_equal(got, [NAN, 0, 0, 1, 0, 1], equal_nan=True)


def test_ema_seeds_with_the_mean_and_then_weighs_two_by_n_plus_one():
    got = one("ema", closes(1, 2, 6, 7), n=3)
    assert np.array_equal(got, [NAN, NAN, 3, 5], equal_nan=True)


def test_rsi_is_fifty_in_a_dead_market_and_a_hundred_in_a_rising_one():
    assert one("rsi", closes(*[7] * 10), n=3)[3:].tolist() == [50] * 7
    assert one("rsi", closes(*range(10)), n=3)[3:].tolist() == [100] * 7


def test_pandas_style_seeding_would_differ_from_wilder_until_bar_83():
    """The published trap: an exponential mean from the first value is off by more than 0.01 for 83 bars."""
    close = walk_ticks(generator(1, "seed"), 400)[3]
    ours = one("rsi", rows(bar__close=close), n=14)
    gain, loss, other = 0.0, 0.0, np.full(len(close), np.nan)
    for t, change in enumerate(np.diff(close), start=1):
        gain += (max(change, 0) - gain) / 14 if t > 1 else max(change, 0)
        loss += (max(-change, 0) - loss) / 14 if t > 1 else max(-change, 0)
        other[t] = 100 * gain / (gain + loss) if gain + loss else 50
    gap = np.abs(ours - other)
    assert gap[14:30].max() > 0.01
    assert gap[300:].max() < 1e-6


def test_linreg_of_a_line_is_its_slope_with_full_r_squared():
    line = closes(*(3 + 0.5 * t for t in range(30)))
    assert one("linreg", line, n=20, out="slope")[19:] == pytest.approx(np.full(11, 0.5), abs=1e-12)
    assert one("linreg", line, n=20, out="r2")[19:] == pytest.approx(np.ones(11), abs=1e-12)
    assert one("linreg", closes(*[5] * 30), n=20, out="r2")[29] == 0.0


def test_corr_and_slope_equal_numpy():
    rng = generator(2, "pairs")
    a, b = rng.normal(size=200), rng.normal(size=200)
    values = rows(bar__close=a, bar__volume=b)
    corr = run({"op": "corr", "in": ["bar.close", "bar.volume"], "p": {"n": 40}}, values)
    beta = run({"op": "roll_ols", "in": ["bar.close", "bar.volume"], "p": {"n": 40}}, values)
    for t in (39, 120, 199):
        y, x = a[t - 39 : t + 1], b[t - 39 : t + 1]
        assert corr[t] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-13)
        assert beta[t] == pytest.approx(np.polyfit(x, y, 1)[0], abs=1e-13)


def test_autocorr_uses_n_pairs():
    values = generator(4, "ar").normal(size=120)
    got = one("autocorr", rows(bar__close=values), n=60, lag=1)
    assert np.isnan(got[:60]).all()
    assert got[60] == pytest.approx(np.corrcoef(values[1:61], values[:60])[0, 1], abs=1e-13)
    assert one("autocorr", closes(*[1, -1] * 40), n=60, lag=1)[70] == pytest.approx(-1.0)


def test_efficiency_is_one_on_a_straight_path_and_small_on_a_zigzag():
    assert one("efficiency_ratio", closes(*range(12)), n=10)[10:].tolist() == [1, 1]
    assert one("efficiency_ratio", closes(*[0, 3] * 6), n=10)[10] == 0.0
    assert one("efficiency_ratio", closes(0, 2, 1, 3), n=3)[3] == pytest.approx(3 / 5)
    assert one("efficiency_ratio", closes(*[5] * 12), n=10)[11] == 0.0


def test_channel_position_is_zero_at_the_low_and_one_at_the_high():
    values = rows(
        bar__high=np.array([10.0, 12, 11, 12]),
        bar__low=np.array([8.0, 9, 4, 8]),
        bar__close=np.array([9.0, 12, 4, 10]),
    )
    got = run({"op": "channel_position", "in": "bar.hlc", "p": {"n": 3}}, values)
    assert np.array_equal(got, [NAN, NAN, 0.0, 0.75], equal_nan=True)


def test_fractional_weights_are_as_many_as_published():
    assert len(fractional_weights(0.4, 1e-4)) == 282
    assert len(fractional_weights(0.3, 1e-4)) == 388
    assert len(fractional_weights(0.4, 1e-5)) == 1458
    # (1 - B)^0.5 = 1 - B/2 - B^2/8 - B^3/16 - ...
    assert fractional_weights(0.5, 0.05).tolist() == [1, -0.5, -0.125, -0.0625]


def test_fracdiff_is_the_weighted_sum_of_log_points():
    close = walk_ticks(generator(6, "frac"), 400)[3]
    got = one("fracdiff", rows(bar__close=close), d=0.4, tau=1e-4)
    expected = np.convolve(np.log(close * 0.25), fractional_weights(0.4, 1e-4), mode="valid")
    assert np.isnan(got[:281]).all()
    assert np.abs(got[281:] - expected).max() < 1e-12


def lo_mackinlay(prices, q):
    """Heteroskedasticity-robust z of the variance ratio, straight from the paper's definitions."""
    x = np.log(prices)
    n = len(x) - 1
    mu = (x[-1] - x[0]) / n
    deviations = np.diff(x) - mu
    short = np.sum(deviations**2) / (n - 1)
    long = np.sum((x[q:] - x[:-q] - q * mu) ** 2) / (q * (n - q + 1) * (1 - q / n))
    theta = 0.0
    for j in range(1, q):
        delta = n * np.sum(deviations[j:] ** 2 * deviations[:-j] ** 2) / np.sum(deviations**2) ** 2
        theta += (2 * (q - j) / q) ** 2 * delta
    return math.sqrt(n) * (long / short - 1) / math.sqrt(theta)


@pytest.mark.parametrize("q", [2, 10])
def test_variance_ratio_z_equals_the_definition(q):
    close = walk_ticks(generator(7, "vr"), 600)[3]
    got = one("variance_ratio", rows(bar__close=close), n=256, q=q)
    for t in (256, 400, 599):
        assert got[t] == pytest.approx(lo_mackinlay(close[t - 256 : t + 1], q), abs=1e-9)


def test_variance_ratio_tells_a_walk_from_a_bouncing_and_a_trending_price():
    rng = generator(8, "vr2")
    shocks = rng.normal(scale=1e-3, size=257 * 120)
    walk = one("variance_ratio", rows(bar__close=2e4 * np.exp(np.cumsum(shocks))), n=256, q=2)[256::257]
    assert abs(walk.mean()) < 0.35
    assert 0.8 < walk.std() < 1.2
    bounce = 2e4 * np.exp(np.cumsum(shocks[:600]) + 2e-3 * rng.choice([-1, 1], 600))
    assert one("variance_ratio", rows(bar__close=bounce), n=256, q=2)[300] < -3
    smooth = np.convolve(shocks[:800], np.ones(5) / 5, mode="valid")
    assert one("variance_ratio", rows(bar__close=2e4 * np.exp(np.cumsum(smooth))), n=256, q=2)[300] > 3


def dfa(prices):
    """Detrended fluctuation analysis with polyfit in each box."""
    r = np.diff(np.log(prices))
    profile = np.cumsum(r - r.mean())
    sizes, spreads = [], []
    size = 8
    while size <= len(r) // 4:
        t = np.arange(size)
        residuals = [b - np.polyval(np.polyfit(t, b, 1), t) for b in profile.reshape(-1, size)]
        sizes.append(math.log(size))
        spreads.append(0.5 * math.log(np.mean(np.square(residuals))))
        size *= 2
    return np.polyfit(sizes, spreads, 1)[0]


def test_hurst_equals_detrended_fluctuation_analysis_by_polyfit():
    close = walk_ticks(generator(9, "dfa"), 600)[3]
    got = one("hurst", rows(bar__close=close), n=256)
    for t in (256, 411, 599):
        assert got[t] == pytest.approx(min(1, max(0, dfa(close[t - 256 : t + 1]))), abs=1e-9)


def test_hurst_orders_reverting_random_and_persistent_prices():
    rng = generator(10, "hurst")
    shocks = rng.normal(scale=1e-3, size=6000)
    walk = np.exp(np.cumsum(shocks))
    revert = np.exp(shocks)
    persist = np.exp(np.cumsum(np.convolve(shocks, np.ones(60) / 8, mode="same")))
    means = [np.nanmean(one("hurst", rows(bar__close=2e4 * p), n=256)) for p in (revert, walk, persist)]
    assert means[0] < 0.2
    assert 0.45 < means[1] < 0.65
    assert means[2] > 0.9
    assert one("hurst", closes(*[7.0] * 300), n=256)[299] == 0.5
