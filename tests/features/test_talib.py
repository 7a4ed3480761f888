"""Every column that names a TA-Lib function is compared with it; one without an oracle here fails."""

import numpy as np
import pytest
from feature_bench import catalogue, option
from synthetic_rows import MARKET, SESSION_MINUTES, synthetic_rows

from mia.domain.series import INDEX
from mia.features.catalogue import expand
from mia.features.engine import FeatureEngine
from mia.features.plan import compile_plan, split

talib = pytest.importorskip("talib")

TICK = MARKET.tick_size
BARS_A_YEAR = 252 * SESSION_MINUTES
TOLERANCE = 1e-8
TOLERANCES = {"pair_beta_120": 1e-6}  # of TA-Lib's own running sums


def market_plan(name, session_minutes):
    """Plan of the columns of an option that read market series."""
    specs = split(expand(option(name)["groups"]))["market"]
    return compile_plan(specs, MARKET, bar_minutes=1, session_minutes=session_minutes)


@pytest.fixture(scope="module")
def table():
    """Catalogue values by name, and the base series in points."""
    values = synthetic_rows(42, name="oracle")
    plan = market_plan("full350", session_minutes=SESSION_MINUTES)
    out = FeatureEngine(plan).batch(values)
    base = {name: values[:, INDEX[f"bar.{name}"]] * TICK for name in ("open", "high", "low", "close")}
    base["volume"] = values[:, INDEX["bar.volume"]]
    base |= {
        name: values[:, INDEX[f"xa.{name}"]] for name in ("pair_close", "rty_close", "zn_close", "vix", "nyse_tick")
    }
    base["rth_begins"] = np.diff(values[:, INDEX["cal.rth"]], prepend=0.0) > 0
    return plan, dict(zip(plan.columns, out.T, strict=True)), base


def _macd(at):
    return lambda b, _: talib.MACD(b["close"], 12, 26, 9)[at]


def _bands(b, k=2):
    return talib.BBANDS(b["close"], 20, k, k)


def _width(b, _):
    upper, middle, lower = _bands(b)
    return (upper - lower) / middle


def _pctb(b, _):
    upper, _, lower = _bands(b)
    return (b["close"] - lower) / (upper - lower)


def _hlc(function, n, factor=1.0):
    return lambda b, _: factor * function(b["high"], b["low"], b["close"], n)


def _atr(b, n=14):
    return talib.ATR(b["high"], b["low"], b["close"], n)


def _keltner(b, _):
    return (b["close"] - talib.EMA(b["close"], 20)) / (2 * _atr(b))


def _squeeze(b, _):
    narrow = 2 * 1.5 * _atr(b) / talib.EMA(b["close"], 20)
    return np.where(np.isnan(narrow) | np.isnan(_width(b, _)), np.nan, (_width(b, _) < narrow).astype(float))


def _distance(n):
    return lambda b, _: (b["close"] - talib.EMA(b["close"], n)) / _atr(b)


def _fit(n):
    def correlation_squared(b, _):
        time = np.arange(len(b["close"]), dtype=float)
        # Small numbers: TA-Lib's running sums of squares lose digits on prices and on large counters.
        return talib.CORREL(b["close"] - b["close"][0], time - time.mean(), n) ** 2

    return correlation_squared


def _rolling(b, _):
    returns = np.log(b["close"][1:] / b["close"][:-1])
    # In units of a basis point, so that TA-Lib does not take the variance for zero.
    deviation = talib.STDDEV(returns * 1e4, 20) / 1e4
    return np.concatenate(([np.nan], deviation * np.sqrt(20 / 19 * BARS_A_YEAR)))


def _by_stretch(function, n, *series):
    """A TA-Lib function applied to each stretch without missing values, since it never recovers from one."""
    out = np.full(len(series[0]), np.nan)
    good = np.flatnonzero(np.isfinite(np.sum(series, axis=0)))
    for stretch in np.split(good, np.flatnonzero(np.diff(good) > 1) + 1):
        if len(stretch) >= n:
            out[stretch] = function(*(column[stretch] for column in series), n)
    return out


def _change(series, logs=True):
    return np.diff(np.log(series) if logs else series, prepend=np.nan)


def _correlation(name, n):
    # In basis points, so that TA-Lib does not take the product of two small variances for zero.
    return lambda b, _: _by_stretch(talib.CORREL, n, 1e4 * _change(b[name]), 1e4 * _change(b["close"]))


def _index_correlation(b, _):
    """With the index's changes instead of its returns, and nothing where more than half of them are zero."""
    change = _change(b["vix"], logs=False)
    dead = np.convolve(change == 0, np.ones(60))[: len(change)] > 30
    return np.where(dead, np.nan, _by_stretch(talib.CORREL, 60, 1e4 * change, 1e4 * _change(b["close"])))


ORACLES = {
    **{f"rsi_{n}": (lambda b, _, n=n: talib.RSI(b["close"], n)) for n in (7, 14, 21)},
    **{f"adx_{n}": _hlc(talib.ADX, n) for n in (7, 14, 21)},
    "plus_di_14": _hlc(talib.PLUS_DI, 14),
    "minus_di_14": _hlc(talib.MINUS_DI, 14),
    "macd_line": _macd(0),
    "macd_signal": _macd(1),
    "macd_histogram": _macd(2),
    **{f"momentum_{n}": (lambda b, _, n=n: talib.MOM(b["close"], n)) for n in (5, 10, 20)},
    "stochastic_k_14": lambda b, _: talib.STOCHF(b["high"], b["low"], b["close"], 14, 1)[0],
    "cci_20": _hlc(talib.CCI, 20),
    "mfi_14": lambda b, _: talib.MFI(b["high"], b["low"], b["close"], b["volume"], 14),
    **{f"linreg_slope_{n}": (lambda b, _, n=n: talib.LINEARREG_SLOPE(b["close"], n)) for n in (20, 60)},
    **{f"linreg_r2_{n}": _fit(n) for n in (20, 60)},
    "donchian_position_20": lambda b, _: 1 + talib.WILLR(b["high"], b["low"], b["close"], 20) / 100,
    "keltner_position_20": _keltner,
    "ema_distance_20": _distance(20),
    "ema_distance_50": _distance(50),
    "atr_14": _hlc(talib.ATR, 14),
    "atr_normalized": _hlc(talib.NATR, 14, 100),
    "atr_ratio_7_42": lambda b, _: _atr(b, 7) / _atr(b, 42),
    "bollinger_width_20": _width,
    "bollinger_pctb_20": _pctb,
    "volatility_rolling_20": _rolling,
    "keltner_squeeze": _squeeze,
    "hft_score": lambda _, f: _by_stretch(talib.EMA, 15, f["hft_activity_score"]),
    # The first argument is the regressor; n + 1 prices make n simple returns.
    "pair_beta_120": lambda b, _: _by_stretch(talib.BETA, 120, b["close"], b["pair_close"]),
    "ndx_es_correlation": _correlation("pair_close", 60),
    "rty_es_correlation": _correlation("rty_close", 60),
    "zn_es_correlation": _correlation("zn_close", 120),
    "vix_es_correlation": _index_correlation,
    "nyse_tick_ema_5": lambda b, _: _by_stretch(talib.EMA, 5, b["nyse_tick"]),
    # The anchor moves on the first bar of regular hours: no slope across it.
    "vwap_slope_20": lambda b, f: _by_stretch(talib.LINEARREG_SLOPE, 20, np.where(b["rth_begins"], np.nan, f["vwap"])),
}


def test_every_column_that_names_talib_has_an_oracle_here(table):
    plan, _, _ = table
    assert {spec.name for spec in plan.specs if spec.talib} == set(ORACLES)
    assert len(ORACLES) == 40


@pytest.mark.parametrize("name", sorted(ORACLES))
def test_column_equals_talib(table, name):
    _, features, base = table
    expected = ORACLES[name](base, features)
    got = features[name]
    assert np.array_equal(np.isnan(got), np.isnan(expected)), "warm-up or gaps differ"
    good = np.isfinite(expected)
    assert good.sum() > 1000
    assert np.abs(got - expected)[good].max() <= TOLERANCES.get(name, TOLERANCE)


def test_rsi_comes_back_after_a_missing_bar_where_talib_stays_dead():
    values = synthetic_rows(5, name="dead")
    values[200, INDEX["bar.close"]] = np.nan
    plan = catalogue("bars_only", session_minutes=SESSION_MINUTES)
    rsi = FeatureEngine(plan).batch(values)[:, plan.names.index("rsi_14")]
    close = values[:, INDEX["bar.close"]]
    assert np.all(talib.RSI(close, 14)[201:] == 0.0)
    assert np.allclose(rsi[215:], talib.RSI(close[201:], 14)[14:], atol=TOLERANCE)
    assert np.isnan(rsi[200:215]).all()
