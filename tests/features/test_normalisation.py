"""The model view: frozen on the train rows, bounded, neutral where missing, batch equal to live."""

import json

import numpy as np
import pytest
from feature_bench import FACTS, catalogue, plan_of
from synthetic_rows import SESSION_MINUTES, synthetic_rows, without

from mia.domain.errors import ArtefactMismatch, ConfigurationError
from mia.domain.rng import generator
from mia.domain.series import INDEX
from mia.features.engine import FeatureEngine
from mia.features.normalisation import Scaler
from mia.features.settings import ScalerSettings

NAN = float("nan")
SETTINGS = ScalerSettings(clip=5.0, level_clip=10.0, slot_rows=20)
SESSIONS = 40


def stamps(count):
    return np.arange(1, count + 1, dtype=np.int64) * 60_000_000_000


def fit_one(values, line=None, slots=None, session_minutes=1380, rows=slice(None), settings=SETTINGS):
    """Scaler of one feature whose raw values are given, and its view of them."""
    plan = plan_of({"x": {"op": "take", "in": "bar.close"} | (line or {})}, session_minutes=session_minutes)
    table = np.asarray(values, dtype=float).reshape(-1, 1)
    slots = np.zeros(len(table)) if slots is None else slots
    scaler = Scaler.fit(plan, table, slots, rows, ts=stamps(len(table)), settings=settings)
    return scaler, scaler.transform(table, slots)[0][:, 0]


@pytest.fixture(scope="module")
def whole():
    """Plan, features, slots and a scaler fitted on the first 30 of 40 sessions."""
    values = synthetic_rows(SESSIONS, name="scaler")
    plan = catalogue("bars_trades_depth", session_minutes=SESSION_MINUTES)
    features = FeatureEngine(plan).batch(values)
    slots = values[:, INDEX["cal.slot"]]
    train = np.arange(len(values)) < 30 * SESSION_MINUTES
    scaler = Scaler.fit(plan, features, slots, train, ts=stamps(len(values)), settings=SETTINGS)
    return plan, values, features, slots, scaler


def test_batch_equals_live_bit_for_bit(whole):
    _, _, features, slots, scaler = whole
    view, masks = scaler.transform(features, slots)
    for t in range(0, len(features), 7):
        row, mask = scaler.transform_row(features[t], slots[t])
        assert np.array_equal(row, view[t])
        assert np.array_equal(mask, masks[t])


def test_the_view_is_finite_bounded_and_neutral_where_a_feature_is_missing(whole):
    _, _, features, slots, scaler = whole
    view, _ = scaler.transform(features, slots)
    assert np.isfinite(view).all()
    assert np.abs(view).max() <= SETTINGS.level_clip
    published = features[:, : len(scaler.names)]
    assert np.all(view[np.isnan(published)] == 0.0)


def test_rows_outside_the_train_fold_change_nothing(whole):
    plan, _, features, slots, scaler = whole
    train = np.arange(len(features)) < 30 * SESSION_MINUTES
    other = features.copy()
    other[~train] = generator(1, "poison").normal(size=other[~train].shape) * 1e6
    again = Scaler.fit(plan, other, slots, train, ts=stamps(len(features)), settings=SETTINGS)
    assert again.to_json() == scaler.to_json()
    assert scaler.fit_rows == train.sum()
    assert scaler.fit_end == stamps(len(features))[train][-1]


def test_json_reads_back_exactly(whole):
    _, _, features, slots, scaler = whole
    copy = Scaler.from_json(scaler.to_json())
    assert copy.fingerprint == scaler.fingerprint
    assert np.array_equal(copy.transform(features, slots)[0], scaler.transform(features, slots)[0])
    with pytest.raises(ArtefactMismatch, match="another version"):
        Scaler.from_json(json.dumps({"names": []}))


def test_a_mask_goes_out_with_its_source(whole):
    plan, values, _, slots, scaler = whole
    late = slice(35 * SESSION_MINUTES + 60, None)
    assert scaler.groups[-4:] == ("bars", "trades", "depth", "calendar")
    full = scaler.transform(FeatureEngine(plan).batch(values), slots)[1][late]
    blind = scaler.transform(FeatureEngine(plan).batch(without(values, "depth")), slots)[1][late]
    at = {name: column for column, name in enumerate(scaler.groups)}
    assert full[:, at["depth"]].mean() == 1.0
    assert blind[:, at["depth"]].mean() == 0.0
    assert blind[:, [at["bars"], at["calendar"], at["trend"], at["volatility"]]].mean() == 1.0


def test_z_is_the_distance_from_the_train_median_in_mad():
    values = [1.0, 2, 3, 4, 9, 5, 1000]
    _, view = fit_one(values, {"norm": "z"}, rows=slice(0, 5))
    assert view[5] == pytest.approx((5 - 3) / 1.4826)
    assert view[6] == 5.0


def test_logz_is_z_of_log1p_in_multiples_of_the_median():
    values = np.array([1.0, 2, 4, 8, 16, 32])
    _, view = fit_one(values, {"norm": "logz", "range": [0, None]}, rows=slice(0, 5))
    logs = np.log1p(values / 4)
    mad = np.median(np.abs(logs[:5] - np.median(logs[:5])))
    assert view == pytest.approx((logs - np.log1p(1)) / (1.4826 * mad))
    _, other = fit_one(values * 1e-9, {"norm": "logz", "range": [0, None]}, rows=slice(0, 5))
    assert other == pytest.approx(view)  # the unit of a feature does not matter


def test_slogz_keeps_the_sign():
    _, view = fit_one([-8.0, -1, 0, 1, 8], {"norm": "slogz"})
    assert view[2] == 0.0
    assert view[0] == -view[4] != 0.0


def test_bounded_features_map_their_range_to_one_and_flags_to_minus_one_and_one():
    _, view = fit_one([0.0, 50, 100, NAN], {"range": [0, 100]})
    assert view.tolist() == [-1, 0, 1, 0]
    _, flag = fit_one([0.0, 1, NAN], {"norm": "bin", "range": [0, 1]})
    assert flag.tolist() == [-1, 1, 0]


def test_unbounded_features_without_scaling_are_cut_at_the_train_tails():
    values = np.append(np.linspace(-1, 1, 2001), [NAN, 50.0])
    _, view = fit_one(values, rows=slice(0, 2001))
    assert view[1000] == pytest.approx(0.0, abs=1e-12)
    assert view[-1] == 1.0
    assert view[-2] == 0.0
    assert view[1500] == pytest.approx(0.5 / 0.99, rel=1e-6)


def test_todz_has_a_baseline_per_slot():
    rng = generator(2, "slots")
    slots = np.tile(np.arange(4.0), 50)
    level, noise = np.array([10.0, 100.0, -20.0, 5.0]), np.array([1.0, 20.0, 3.0, 0.5])
    values = level[slots.astype(int)] + noise[slots.astype(int)] * rng.normal(size=200)
    _, view = fit_one(values, {"norm": "todz"}, slots=slots, session_minutes=4)
    for slot in range(4):
        part, seen = values[slots == slot], view[slots == slot]
        median = np.median(part)
        expected = (part - median) / (1.4826 * np.median(np.abs(part - median)))
        assert seen == pytest.approx(np.clip(expected, -5, 5))


def test_a_slot_with_few_rows_borrows_from_its_neighbours_and_an_empty_day_from_all_rows():
    slots = np.repeat([10.0, 11.0], [30, 3])
    values = np.concatenate((np.arange(30.0), [500.0, 501.0, 502.0]))
    plan = plan_of({"x": {"op": "take", "in": "bar.close", "norm": "todz"}}, session_minutes=100)
    scaler = Scaler.fit(plan, values.reshape(-1, 1), slots, slice(None), ts=stamps(33), settings=SETTINGS)
    assert scaler.slot_center[0, 10] == np.median(np.arange(30.0))
    assert scaler.slot_center[0, 11] == np.median(values)  # slots 10 to 12
    assert scaler.slot_center[0, 90] == np.median(values)  # nothing near: all rows
    assert scaler.slot_spread[0].min() > 0


def test_levels_prices_and_ranges_are_measured_in_average_true_ranges():
    take = FACTS | {"op": "take"}
    plan = plan_of(
        {
            "level": take | {"in": "bar.high", "norm": "relpx"},
            "price": take | {"in": "bar.low", "norm": "prevset"},
            "move": take | {"in": "bar.open", "norm": "atr"},
            "_unused": {"op": "take", "in": "bar.close"},
            "close": take | {"in": "bar.close"},
            "prior_settlement": take | {"in": "bar.close"},
            "atr_dynamic": take | {"in": "bar.close"},
            "atr_14": take | {"in": "bar.close"},
            "_atr_daily": {"op": "take", "in": "bar.close"},
        }
    )
    at = plan.columns.index
    table = np.full((4, len(plan.columns)), 1.0)
    table[:, at("level")], table[:, at("price")], table[:, at("move")] = [130, 106, 500, NAN], 90, 8
    table[:, at("close")], table[:, at("prior_settlement")], table[:, at("_atr_daily")] = (
        100,
        110,
        [40, 40, 1, NAN],
    )
    table[:, at("atr_dynamic")], table[:, at("atr_14")] = [4, NAN, 4, 4], [1, 2, 1, 1]
    scaler = Scaler.fit(plan, table, np.zeros(4), slice(None), ts=stamps(4), settings=SETTINGS)
    view = scaler.transform(table, np.zeros(4))[0]
    assert view[:, at("level")].tolist() == [
        7.5,
        3.0,
        10.0,
        0.0,
    ]  # second row: atr_dynamic is cold, atr_14 serves
    assert view[:, at("price")].tolist() == [-0.5, -0.5, -5.0, 0.0]
    assert view[:, at("move")].tolist() == [2.0, 4.0, 2.0, 2.0]


def test_a_level_without_its_measure_is_refused():
    with pytest.raises(ConfigurationError, match="feature x: norm relpx needs close"):
        fit_one([1.0, 2.0], {"norm": "relpx"})


def test_a_feature_that_never_varied_or_never_existed_in_training_stays_neutral():
    for values in ([3.0, 3, 3, 7], [NAN, NAN, NAN, 7]):
        _, view = fit_one(values, {"norm": "z"}, rows=slice(0, 3))
        assert view.tolist() == [0, 0, 0, 0]


def test_no_train_rows_and_foreign_columns_are_refused(whole):
    plan, _, features, slots, scaler = whole
    with pytest.raises(ConfigurationError, match="needs train rows"):
        Scaler.fit(plan, features, slots, slice(0, 0), ts=stamps(len(features)), settings=SETTINGS)
    with pytest.raises(ArtefactMismatch, match="refit it with this plan"):
        scaler.transform(features[:, :5], slots)


@pytest.mark.parametrize(("field", "value"), [("clip", 0.0), ("level_clip", -1.0), ("slot_rows", 1)])
def test_impossible_scaler_settings_are_refused(field, value):
    with pytest.raises(ConfigurationError, match=f"features.scaler.{field}"):
        ScalerSettings(**{"clip": 5.0, "level_clip": 10.0, "slot_rows": 20} | {field: value})
