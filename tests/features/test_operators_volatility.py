"""Volatility, session and seasonal operators against closed forms, hand-made sessions and numpy."""

import math

import numpy as np
import pytest
from feature_bench import plan_of, rows, run, sessions_of, walk_ticks

from mia.domain.rng import generator
from mia.features.engine import FeatureEngine

NAN = float("nan")
YEAR = 252 * 1380  # minutes


def ohlc(opening, high, low, close):
    return rows(bar__open=opening, bar__high=high, bar__low=low, bar__close=close)


def one(op, values, into, session_minutes=1380, bar_minutes=1, **params):
    line = {"op": op, "in": into, "p": params}
    return run(line, values, session_minutes=session_minutes, bar_minutes=bar_minutes)


# ---- ranges


@pytest.mark.parametrize(
    ("estimator", "variance"),
    [
        ("parkinson", math.log(102 / 99) ** 2 / (4 * math.log(2))),
        ("gk", 0.5 * math.log(102 / 99) ** 2 - (2 * math.log(2) - 1) * math.log(101 / 100) ** 2),
        (
            "rs",
            math.log(102 / 101) * math.log(102 / 100) + math.log(99 / 101) * math.log(99 / 100),
        ),
    ],
)
def test_range_estimator_of_one_bar_repeated_is_its_formula_annualised(estimator, variance):
    bar = [np.full(25, value) for value in (100.0, 102.0, 99.0, 101.0)]
    got = one("range_vol", ohlc(*bar), "bar.ohlc", n=20, estimator=estimator)
    assert np.isnan(got[:19]).all()
    assert got[19:] == pytest.approx(np.full(6, math.sqrt(YEAR * variance)), rel=1e-12)


def test_annualisation_scales_with_the_bars_of_a_session():
    bar = [np.full(3, value) for value in (100.0, 102.0, 99.0, 101.0)]
    minute = one("range_vol", ohlc(*bar), "bar.ohlc", n=2, estimator="rs")[2]
    five = one("range_vol", ohlc(*bar), "bar.ohlc", bar_minutes=5, n=2, estimator="rs")[2]
    regular = one("range_vol", ohlc(*bar), "bar.ohlc", session_minutes=390, n=2, estimator="rs")[2]
    assert minute / five == pytest.approx(math.sqrt(5))
    assert minute / regular == pytest.approx(math.sqrt(1380 / 390))


def test_rogers_satchell_does_not_see_pure_drift():
    up = ohlc(*(np.array(x) for x in ([100.0, 105.0], [105.0, 110.0], [100.0, 105.0], [105.0, 110.0])))
    assert one("range_vol", up, "bar.ohlc", n=2, estimator="rs")[1] == 0.0


# ---- returns


def test_realised_statistics_of_a_hand_computed_window():
    r = np.array([0.01, -0.02, 0.03, -0.01])
    values = rows(bar__close=r)
    squares = np.sum(r**2)
    assert one("realised", values, "bar.close", n=4, out="vol")[3] == pytest.approx(math.sqrt(YEAR / 4 * squares))
    bipower = math.pi / 2 * 4 / 3 * (0.01 * 0.02 + 0.02 * 0.03 + 0.03 * 0.01)
    assert one("realised", values, "bar.close", n=4, out="bipower")[3] == pytest.approx(bipower)
    share = max(0.0, squares - bipower) / squares
    assert one("realised", values, "bar.close", n=4, out="jump_share")[3] == pytest.approx(share)
    down = (0.02**2 + 0.01**2) / squares
    assert one("realised", values, "bar.close", n=4, out="down_share")[3] == pytest.approx(down)
    skew = 2 * np.sum(r**3) / squares**1.5
    assert one("realised", values, "bar.close", n=4, out="moment", order=3)[3] == pytest.approx(skew)


def test_a_single_jump_takes_the_whole_jump_share_and_steady_noise_nearly_none():
    jump = np.zeros(60)
    jump[30] = 0.01
    assert one("realised", rows(bar__close=jump), "bar.close", n=60, out="jump_share")[59] == 1.0
    noise = generator(1, "noise").normal(size=(40 * 60))
    shares = one("realised", rows(bar__close=noise), "bar.close", n=60, out="jump_share")[59::60]
    assert shares.mean() < 0.15


def test_a_dead_market_has_neutral_shares():
    dead = rows(bar__close=np.zeros(5))
    values = [one("realised", dead, "bar.close", n=4, out=o)[4] for o in ("jump_share", "down_share", "moment")]
    assert values == [0.0, 0.5, 0.0]


def test_ewma_is_the_normalised_exponential_mean_of_squares():
    r = generator(2, "ewma").normal(scale=1e-3, size=300)
    got = one("realised", rows(bar__close=r), "bar.close", n=59, out="ewma", lam=0.94)
    assert np.isnan(got[:57]).all()
    for t in (58, 150, 299):
        weights = 0.94 ** np.arange(t, -1, -1)
        assert got[t] == pytest.approx(math.sqrt(YEAR * np.average(r[: t + 1] ** 2, weights=weights)), rel=1e-12)


def test_deviation_annual_plain_and_relative():
    x = generator(3, "dev").uniform(1, 2, 100)
    values = rows(bar__close=x)
    sd = np.std(x[-20:], ddof=1)
    assert one("deviation", values, "bar.close", n=20, out="plain")[-1] == pytest.approx(sd, rel=1e-13)
    assert one("deviation", values, "bar.close", n=20)[-1] == pytest.approx(sd * math.sqrt(YEAR), rel=1e-13)
    relative = one("deviation", values, "bar.close", n=20, out="relative")[-1]
    assert relative == pytest.approx(sd / x[-20:].mean(), rel=1e-13)


# ---- sessions


def daily(count=30, length=24, seed=5):
    """A walk of `count` sessions, and each session's open, high, low, close."""
    opening, high, low, close = walk_ticks(generator(seed, "daily"), count * length)
    session, slot = sessions_of(count, length)
    first = (slot == 0).astype(float)
    values = rows(
        bar__open=opening,
        bar__high=high,
        bar__low=low,
        bar__close=close,
        cal__session=session,
        cal__slot=slot,
        cal__first=first,
    )
    by = [series.reshape(count, length) for series in (opening, high, low, close)]
    return values, by[0][:, 0], by[1].max(axis=1), by[2].min(axis=1), by[3][:, -1]


def test_yang_zhang_over_sessions_equals_the_definition():
    values, o, h, low, c = daily()
    got = one("yang_zhang", values, ["bar.ohlc", "cal.session"], session_minutes=24, n=20)
    overnight, body = np.log(o[1:] / c[:-1])[:20], np.log(c / o)[1:21]
    inside = np.log(h / c) * np.log(h / o) + np.log(low / c) * np.log(low / o)
    k = 0.34 / (1.34 + 21 / 19)
    variance = np.var(overnight, ddof=1) + k * np.var(body, ddof=1) + (1 - k) * inside[1:21].mean()
    assert np.isnan(got[: 21 * 24]).all()
    assert got[21 * 24 : 22 * 24] == pytest.approx(np.full(24, math.sqrt(252 * variance)), rel=1e-10)


def test_har_levels_use_completed_sessions_only():
    values, *_ = daily()
    opening, close = values[:, 0].reshape(30, 24), values[:, 3].reshape(30, 24)
    path = np.concatenate([opening[:, :1], close], axis=1)
    variance = np.sum(np.diff(np.log(path), axis=1) ** 2, axis=1)
    into = ["bar.open", "bar.close", "cal.session"]
    for days in (1, 5, 22):
        got = one("har", values, into, session_minutes=24, days=days)
        assert np.isnan(got[: days * 24]).all()
        for session in (days, 25):
            expected = math.log(variance[session - days : session].mean())
            assert got[session * 24 : (session + 1) * 24] == pytest.approx(np.full(24, expected), abs=1e-11)


def test_har_forecast_is_the_fitted_regression_and_missing_until_fitted():
    values, *_ = daily()
    into = ["bar.open", "bar.close", "cal.session"]
    plan = plan_of(
        {
            "f": {"op": "har", "in": into, "p": {"out": "forecast"}},
            **{f"h{d}": {"op": "har", "in": into, "p": {"days": d}} for d in (1, 5, 22)},
        },
        session_minutes=24,
    )
    assert np.isnan(FeatureEngine(plan).batch(values)[:, 0]).all()
    b = np.array([-0.5, 0.4, 0.3, 0.2, 0.1])
    out = FeatureEngine(plan.with_parameters({"f": b})).batch(values)[-1]
    expected = math.sqrt(252 * math.exp(b[0] + b[1:4] @ out[1:4] + 0.5 * b[4]))
    assert out[0] == pytest.approx(expected, rel=1e-13)


def test_a_session_of_which_less_than_half_was_seen_does_not_count_for_har():
    values, *_ = daily(4)
    short = values[14:]  # the first session has 10 of 24 bars
    got = one("har", short, ["bar.open", "bar.close", "cal.session"], session_minutes=24, days=1)
    assert np.isnan(got[: 10 + 24]).all()
    assert np.isfinite(got[34:]).all()


def test_daily_atr_is_wilder_on_sessions():
    values, _, h, low, c = daily()
    got = one("daily_atr", values, ["bar.hlc", "cal.session", "cal.first"], session_minutes=24, n=14)
    ranges = np.maximum(h[1:], c[:-1]) - np.minimum(low[1:], c[:-1])
    average = ranges[:14].mean()
    assert np.isnan(got[: 15 * 24]).all()
    assert got[15 * 24] == pytest.approx(average)
    assert got[16 * 24] == pytest.approx((average * 13 + ranges[14]) / 14)


def test_session_last_and_range_and_sum_restart_with_the_session():
    values = rows(
        bar__close=np.array([5.0, 7, NAN, 9, 4, 6]),
        bar__high=np.array([6.0, 8, NAN, 9, 9, 7]),
        bar__low=np.array([5.0, 3, NAN, 8, 4, 4]),
        cal__session=np.array([0.0, 0, 0, 1, 1, 2]),
        cal__first=np.array([1.0, 0, 0, 1, 0, 1]),
        cal__rth=np.array([0.0, 1, 1, 0, 1, 0]),
    )
    assert np.array_equal(
        run({"op": "session_last", "in": ["bar.close", "cal.session"]}, values), [NAN] * 3 + [7, 7, 4], True
    )
    ranges = run({"op": "range_so_far", "in": ["bar.high", "bar.low", "cal.session"]}, values)
    assert np.array_equal(ranges, [1, 5, NAN, 1, 5, 3], equal_nan=True)
    total = run({"op": "session_cumsum", "in": ["bar.close", "cal.first"]}, values)
    assert np.array_equal(total, [5, 12, NAN, 9, 13, 6], equal_nan=True)
    line = {"op": "session_cumsum", "in": ["bar.close", "cal.first", "cal.rth"], "p": {"anchor": "rth"}}
    assert np.array_equal(run(line, values), [NAN, 7, NAN, NAN, 4, NAN], equal_nan=True)


def test_session_levels_appear_when_they_are_known_and_not_before():
    """Two sessions of 3 overnight bars, 4 regular bars of 15 minutes, 1 evening bar."""
    minute = np.tile([-30.0, -15, 0, 15, 30, 45, 60, 75], 2)
    rth = np.tile([0.0, 0, 0, 1, 1, 1, 1, 0], 2)
    high = np.array([10.0, 14, 11, 13, 12, 20, 15, 30, 9, 8, 7, 25, 26, 27, 22, 40])
    low = high - 4
    values = rows(
        bar__high=high,
        bar__low=low,
        bar__open=low + 1,
        bar__close=low + 2,
        cal__session=np.repeat([0.0, 1.0], 8),
        cal__first=np.tile([1.0, 0, 0, 0, 0, 0, 0, 0], 2),
        cal__rth=rth,
        cal__rth_minute=minute,
    )
    into = [
        "bar.high",
        "bar.low",
        "bar.open",
        "bar.close",
        "cal.session",
        "cal.first",
        "cal.rth",
        "cal.rth_minute",
    ]

    def level(which):
        return run({"op": "session_level", "in": into, "p": {"which": which}}, values)

    def same(which, *expected):
        assert np.array_equal(level(which), expected, equal_nan=True), which

    same("overnight_high", 10, 14, 14, 14, 14, 14, 14, 14, 9, 9, 9, 9, 9, 9, 9, 9)
    same("overnight_low", 6, 6, 6, 6, 6, 6, 6, 6, 5, 4, 3, 3, 3, 3, 3, 3)
    same("or30_high", *[NAN] * 4, 13, 13, 13, 13, *[NAN] * 4, 26, 26, 26, 26)
    same("or30_low", *[NAN] * 4, 8, 8, 8, 8, *[NAN] * 4, 21, 21, 21, 21)
    same("prior_rth_high", *[NAN] * 8, *[20] * 8)
    same("prior_rth_low", *[NAN] * 8, *[8] * 8)
    same("prior_rth_close", *[NAN] * 8, *[13] * 8)
    same("prior_close", *[NAN] * 8, *[28] * 8)
    same("rth_open", *[NAN] * 3, *[10] * 5, *[NAN] * 3, *[22] * 5)
    same("session_high", 10, 14, 14, 14, 14, 20, 20, 30, 9, 9, 9, 25, 26, 27, 27, 40)
    same("session_low", 6, 6, 6, 6, 6, 6, 6, 6, 5, 4, 3, 3, 3, 3, 3, 3)


# ---- time of day


def seasonal_rows(history, today):
    """One slot per session: `history` sessions, then `today`."""
    x = np.array([*history, today], dtype=float)
    return rows(bar__volume=x, cal__session=np.arange(float(len(x))), cal__slot=np.zeros(len(x)))


SEASON = ["bar.volume", "cal.session", "cal.slot"]


def test_seasonal_z_is_the_distance_from_the_median_in_mad_of_prior_sessions():
    values = seasonal_rows([1, 2, 3, 4, 9], 5)
    got = one("seasonal", values, SEASON, session_minutes=1, out="z")
    assert np.isnan(got[:5]).all()
    assert got[5] == pytest.approx((5 - 3) / (1.4826 * 1))
    ratio = one("seasonal", values, SEASON, session_minutes=1, out="ratio")
    assert ratio[5] == pytest.approx(5 / 3)
    plain = one("seasonal", values, SEASON, session_minutes=1, out="z", robust="sd")
    assert plain[5] == pytest.approx((5 - 3.8) / np.std([1, 2, 3, 4, 9], ddof=1))
    logs = one("seasonal", values, SEASON, session_minutes=1, out="z", transform="log1p")
    history = np.log1p([1, 2, 3, 4, 9])
    mad = np.median(np.abs(history - np.median(history)))
    assert logs[5] == pytest.approx((math.log1p(5) - math.log1p(3)) / (1.4826 * mad))


def test_seasonal_forgets_sessions_beyond_its_memory_and_clips():
    values = seasonal_rows([1000] * 7 + [1, 2, 3, 4, 9], 500)
    got = one("seasonal", values, SEASON, session_minutes=1, out="ratio", sessions=5)
    assert got[-1] == pytest.approx(500 / 3)
    z = one("seasonal", values, SEASON, session_minutes=1, out="z", sessions=5)
    assert z[-1] == 5.0


def test_a_constant_history_gives_zero_for_its_own_value_and_the_clip_for_another():
    same = one("seasonal", seasonal_rows([3] * 6, 3), SEASON, session_minutes=1, out="z")
    other = one("seasonal", seasonal_rows([3] * 6, 2), SEASON, session_minutes=1, out="z")
    assert (same[-1], other[-1]) == (0.0, -5.0)


def test_seasonal_compares_only_the_same_slot_and_sums_over_its_window():
    session, slot = sessions_of(8, 4)
    x = 10 * (slot + 1) + session
    values = rows(bar__volume=x, cal__session=session, cal__slot=slot)
    got = one("seasonal", values, SEASON, session_minutes=4, n=2, out="ratio")
    # slot 2 of session 7: (30 + 20) + 2 * 7 against the median of (50 + 2 s), s = 0..6
    assert got[7 * 4 + 2] == pytest.approx(64 / 56)
    mean = one("seasonal", values, SEASON, session_minutes=4, n=2, out="ratio", agg="mean")
    assert mean[7 * 4 + 2] == pytest.approx(64 / 56)


def atr_dynamic_of(ranges, sessions, length):
    """Published atr_dynamic [ticks] of bars whose true range is given, at a constant close."""
    session, slot = sessions_of(sessions, length)
    close = np.full(len(session), 20000.0)
    values = rows(
        bar__high=close + ranges / 2,
        bar__low=close - ranges / 2,
        bar__close=close,
        cal__session=session,
        cal__slot=slot,
    )
    return one("atr_dynamic", values, ["bar.hlc", "cal.session", "cal.slot"], session_minutes=length)


def first(condition):
    return int(np.argmax(condition)) + 1


def test_atr_dynamic_rises_quickly_and_falls_slowly_as_its_two_averages_say():
    """Closed form: after k bars at double range the averages are 2 - (6/7)^k and 2 - (41/42)^k."""
    length = 200
    ranges = np.full(7 * length, 10.0)
    ranges[6 * length :] = 20.0
    up = atr_dynamic_of(ranges, 7, length)
    assert up[6 * length - 1] == pytest.approx(10.0)
    k = np.arange(1, length + 1)
    fast, slow = 2 - (6 / 7) ** k, 2 - (41 / 42) ** k
    weight = np.clip((fast / slow - 1) / 0.5, 0, 1)
    assert up[6 * length :] == pytest.approx(10 * ((1 - weight) * slow + weight * fast), rel=1e-9)
    assert first(up[6 * length :] >= 18) == 12
    down = atr_dynamic_of(np.concatenate((np.full(6 * length, 20.0), np.full(length, 10.0))), 7, length)
    assert down[6 * length :] == pytest.approx(10 * (1 + (41 / 42) ** k), rel=1e-9)
    assert first(down[6 * length :] < 12) == 67


def test_atr_dynamic_on_simulated_bars_reacts_as_published():
    """1.8 times after 13 bars (ATR 14: 22), below 1.2 times after 62 (ATR 14: 21), calm level 1.4 % high."""
    length, paths = 600, 60
    rng = generator(12, "two-speed")
    rising, falling, plain_rising, plain_falling, calm = (np.zeros(length) for _ in range(5))
    plan_lines = {
        "dynamic": {
            "op": "atr_dynamic",
            "in": ["bar.hlc", "cal.session", "cal.slot"],
            "p": {"floor_ticks": 0},
        },
        "plain": {"op": "atr", "in": "bar.hlc", "p": {"n": 14}},
    }
    engine = FeatureEngine(plan_of(plan_lines, session_minutes=1))
    history = rows(
        bar__high=np.full(6, 20001.0),
        bar__low=np.full(6, 20000.0),
        bar__close=np.full(6, 20000.5),
        cal__session=np.arange(6.0),
        cal__slot=np.zeros(6),
    )
    for _ in range(paths):
        volatility = np.concatenate((np.ones(length), np.full(length, 2.0), np.ones(length)))
        steps = rng.normal(size=(len(volatility), 30)) * volatility[:, None] / math.sqrt(30)
        path = 20000 + np.cumsum(steps.ravel()).reshape(steps.shape)
        start = np.concatenate(([20000.0], path[:-1, -1]))
        values = rows(
            bar__high=np.maximum(path.max(axis=1), start),
            bar__low=np.minimum(path.min(axis=1), start),
            bar__close=path[:, -1],
            cal__session=np.full(len(path), 6.0),
            cal__slot=np.zeros(len(path)),
        )
        engine.reset()
        engine.advance(history)
        out = engine.advance(values)
        true_range = values[:length, 1] - values[:length, 2]
        calm += out[:length, 0] / true_range[100:].mean() / paths
        rising += out[length : 2 * length, 0] / paths
        plain_rising += out[length : 2 * length, 1] / paths
        falling += out[2 * length :, 0] / paths
        plain_falling += out[2 * length :, 1] / paths
    level = plain_falling[200:].mean()
    assert abs(first(rising >= 1.8 * level) - 13) <= 2
    assert abs(first(plain_rising >= 1.8 * level) - 22) <= 2
    assert abs(first(falling < 1.2 * level) - 62) <= 6
    assert abs(first(plain_falling < 1.2 * level) - 21) <= 3
    assert abs(calm[200:].mean() - 1.014) < 0.02


def test_atr_dynamic_knows_the_time_of_day_of_the_next_bar():
    """Range 10 in even slots, 30 in odd ones: before a loud bar it is loud, before a quiet bar quiet."""
    length = 50
    ranges = np.tile([10.0, 30.0], 30 * length // 2)
    got = atr_dynamic_of(ranges, 30, length)[29 * length :]
    assert got[0:48:2] == pytest.approx(np.full(24, 30.0))
    assert got[1:48:2] == pytest.approx(np.full(24, 10.0))


def test_atr_dynamic_never_falls_below_its_floor():
    assert atr_dynamic_of(np.full(350, 1.0), 7, 50)[-1] == 2.0


def test_keltner_squeeze_is_on_when_the_bands_lie_inside_the_channel():
    lines = {
        "squeeze": {"op": "threshold", "in": ["@_bands", "@_channel"]},
        "_bands": {"op": "bollinger", "in": "bar.close", "p": {"n": 20, "out": "width"}},
        "_channel": {"op": "keltner", "in": "bar.hlc", "p": {"n": 20, "mult": 1.5, "out": "width"}},
    }
    close = np.concatenate((20000 + np.tile([0.0, 1.0], 20), 20000 + 40 * np.arange(1.0, 21)))
    values = ohlc(close, close + 5, close - 5, close)
    squeeze = FeatureEngine(plan_of(lines)).batch(values)[:, 0]
    assert squeeze[39] == 1.0
    assert squeeze[-1] == 0.0
