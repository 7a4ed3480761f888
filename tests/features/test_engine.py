"""One walk for batch and live: the same bits, no look at the future, no drift, back after a gap."""

import numpy as np
import pytest
from feature_bench import catalogue, plan_of, rows
from synthetic_rows import SESSION_MINUTES, synthetic_rows

from mia.domain.errors import DataError
from mia.domain.rng import generator
from mia.domain.series import INDEX, SERIES
from mia.features.engine import FeatureEngine

MARKET_DATA = [INDEX[name] for name in SERIES if not name.startswith("cal.")]


@pytest.fixture(scope="module")
def engine():
    return FeatureEngine(catalogue("bars_trades_depth", session_minutes=SESSION_MINUTES))


@pytest.fixture(scope="module")
def holed():
    """Rows of 30 sessions in which single values and whole bars are missing at random."""
    values = synthetic_rows(30, name="holed")
    rng = generator(5, "holes")
    values[np.ix_(rng.choice(len(values), 15, replace=False), MARKET_DATA)] = np.nan
    cells = rng.random((len(values), len(MARKET_DATA))) < 0.0005
    part = values[:, MARKET_DATA]
    part[cells] = np.nan
    values[:, MARKET_DATA] = part
    return values


@pytest.fixture(scope="module")
def table(engine, holed):
    return engine.batch(holed)


def test_batch_equals_live_bit_for_bit_with_gaps(engine, holed, table):
    engine.reset()
    live = np.array([engine.step(row) for row in holed])
    assert np.array_equal(live, table, equal_nan=True)


def test_a_row_never_depends_on_later_rows(engine, holed, table):
    for cut in (1, 700, 2001, 3333):
        assert np.array_equal(engine.batch(holed[:cut]), table[:cut], equal_nan=True)
        poisoned = holed.copy()
        poisoned[cut:, MARKET_DATA] = 1e6
        assert np.array_equal(engine.batch(poisoned)[:cut], table[:cut], equal_nan=True)


def test_a_snapshot_of_the_state_resumes_where_it_was_taken(engine, holed, table):
    engine.reset()
    engine.advance(holed[:1500])
    other = FeatureEngine(engine.plan)
    other.state = engine.state
    assert np.array_equal(other.advance(holed[1500:]), table[1500:], equal_nan=True)


def test_no_value_is_ever_infinite(table):
    assert not np.isinf(table).any()


def test_the_catalogue_is_almost_complete_once_warm(engine):
    clean = engine.batch(synthetic_rows(40))
    late = np.isfinite(clean[35 * SESSION_MINUTES :]).mean(axis=0)
    fitted = set(engine.plan.fitted_nodes)
    empty = [name for name, share in zip(engine.plan.columns, late, strict=True) if share < 0.25]
    assert set(empty) <= fitted, empty


def test_values_stay_within_the_declared_ranges(engine):
    clean = engine.batch(synthetic_rows(40))
    for at, spec in enumerate(engine.plan.specs):
        column = clean[:, at]
        column = column[np.isfinite(column)]
        if len(column) and spec.low is not None:
            assert column.min() >= spec.low - 1e-9, (spec.name, column.min())
        if len(column) and spec.high is not None:
            assert column.max() <= spec.high + 1e-9, (spec.name, column.max())


SESSION_WARM = {"raw_data", "trend", "volatility"}
# Needed bars may be fewer than declared: 282 weights need 282 prices, 60 five-bar values need 65 bars.
EARLIER = {"fracdiff_close": 1, "vol_of_vol_60": 1}


def test_windows_are_warm_exactly_when_declared(engine):
    clean = engine.batch(synthetic_rows(40))
    for at, spec in enumerate(engine.plan.specs):
        if spec.family in SESSION_WARM and spec.warm_bars < 1000 and spec.name not in engine.plan.fitted_nodes:
            first = int(np.argmax(np.isfinite(clean[:, at])))
            assert first == spec.warm_bars - 1 - EARLIER.get(spec.name, 0), (spec.name, first)


# Declared in bars of 1380-minute sessions; here a session has 120.
@pytest.mark.parametrize(
    ("name", "sessions", "bars"),
    [
        ("prior_settlement", 1, 0),
        ("atr_dynamic", 5, 41),
        ("range_expansion_20", 5, 0),
        ("yang_zhang_20d", 21, 0),
        ("har_daily", 1, 0),
        ("har_weekly", 5, 0),
        ("har_monthly", 22, 0),
        ("_atr_daily", 15, 0),
    ],
)
def test_session_features_are_warm_after_their_sessions(engine, name, sessions, bars):
    clean = engine.batch(synthetic_rows(40))[:, engine.plan.columns.index(name)]
    assert int(np.argmax(np.isfinite(clean))) == sessions * SESSION_MINUTES + bars


def test_every_window_is_back_after_one_missing_bar(engine):
    """After a missing bar a window feature is as if the data began there."""
    values = synthetic_rows(12, name="gap")
    at = 500
    values[at, MARKET_DATA] = np.nan
    whole, fresh = engine.batch(values), engine.batch(values[at + 1 :])
    for column, spec in enumerate(engine.plan.specs):
        if spec.family == "trend":
            assert np.isnan(whole[at, column]), spec.name
            assert np.array_equal(whole[at + 1 :, column], fresh[:, column], equal_nan=True), spec.name


def test_rows_of_another_width_are_refused(engine):
    with pytest.raises(DataError, match="base series"):
        engine.batch(np.zeros((3, 7)))
    with pytest.raises(DataError, match="engine state"):
        engine.state = np.zeros(3)


def test_a_million_rows_leave_no_drift():
    n, chunk, chunks = 50, 20_000, 50
    plan = plan_of(
        {
            "deviation": {"op": "deviation", "in": "bar.close", "p": {"n": n, "out": "plain"}},
            "corr": {"op": "corr", "in": ["bar.close", "bar.volume"], "p": {"n": n}},
            "sum": {"op": "roll_sum", "in": "bar.volume", "p": {"n": n}},
            "slope": {"op": "linreg", "in": "bar.close", "p": {"n": n, "out": "slope"}},
            "total": {"op": "session_cumsum", "in": ["bar.volume", "cal.first"]},
        }
    )
    engine, rng = FeatureEngine(plan), generator(3, "drift")
    last, out, grand = 24000.0, None, 0.0
    for _ in range(chunks):
        close = last + np.cumsum(rng.integers(-8, 9, chunk))
        volume = rng.integers(1, 10_000, chunk).astype(float)
        out, last, grand = (
            engine.advance(rows(bar__close=close, bar__volume=volume)),
            close[-1],
            grand + volume.sum(),
        )
    price, size = close[-n:], volume[-n:]
    expected = [
        np.std(price, ddof=1),
        np.corrcoef(price, size)[0, 1],
        size.sum(),
        np.polyfit(np.arange(n), price - price.mean(), 1)[0],
        grand,
    ]
    assert np.allclose(out[-1], expected, rtol=1e-12, atol=1e-13)
