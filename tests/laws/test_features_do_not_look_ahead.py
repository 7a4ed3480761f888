"""No feature knows the future, and batch equals live bit for bit: all published features, fitted ones too."""

import numpy as np
import pytest
import yaml
from synthetic_rows import MARKET, SESSION_MINUTES, synthetic_rows, without

from mia.domain.rng import generator
from mia.domain.series import INDEX
from mia.features.catalogue import expand
from mia.features.engine import FeatureEngine
from mia.features.fitted import fit
from mia.features.plan import compile_plan

SESSIONS = 40
ROWS = SESSIONS * SESSION_MINUTES
TRAIN = slice(0, 36 * SESSION_MINUTES)
EDGES = [SESSION_MINUTES * k + d for k in (1, 6, 23, 37) for d in (-1, 0, 1)]


@pytest.fixture(scope="module")
def values():
    return synthetic_rows(SESSIONS)


@pytest.fixture(scope="module")
def plan(root, values):
    files = sorted((root / "conf" / "features" / "group").glob("*.yaml"))
    groups = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in files}
    bare = compile_plan(expand(groups), MARKET, bar_minutes=1, session_minutes=SESSION_MINUTES)
    learnt = fit(bare, values, FeatureEngine(bare).batch(values), TRAIN)
    assert not learnt.unavailable
    return bare.with_parameters(learnt.params)


@pytest.fixture(scope="module")
def table(plan, values):
    return FeatureEngine(plan).batch(values)


def cuts(count, name):
    rng = generator(1, "laws", name)
    return sorted(int(cut) for cut in rng.integers(2, ROWS - 1, count))


def assert_same_bits(got, want, plan):
    if got.tobytes() == want.tobytes():
        return
    unequal = (got.view(np.int64) != want.view(np.int64)).any(axis=0)
    raise AssertionError(f"differ: {[name for name, bad in zip(plan.columns, unequal, strict=True) if bad]}")


def test_every_feature_comes_to_life_within_its_range(plan, table):
    assert len(plan.names) == 200
    for at, spec in enumerate(plan.specs):
        seen = table[:, at][np.isfinite(table[:, at])]
        assert len(seen) > 0.2 * ROWS, f"{spec.name} is hardly ever there"
        assert spec.low is None or seen.min() >= spec.low - 1e-9, f"{spec.name}: {seen.min()} below {spec.low}"
        assert spec.high is None or seen.max() <= spec.high + 1e-9, f"{spec.name}: {seen.max()} above {spec.high}"
    assert not np.isinf(table).any()


@pytest.mark.parametrize("cut", cuts(16, "truncation") + EDGES)
def test_what_comes_after_a_cut_changes_nothing_before_it(plan, values, table, cut):
    assert_same_bits(FeatureEngine(plan).batch(values[:cut]), table[:cut], plan)


def poisoned(values, cut, kind):
    copy = values.copy()
    if kind == "noise":
        copy[cut:] = generator(2, "laws", "poison").normal(0, 1e4, copy[cut:].shape)
    elif kind == "thousandfold":
        copy[cut:] *= 1000
    else:
        copy[cut:] = np.nan
    return copy


@pytest.mark.parametrize("kind", ["noise", "thousandfold", "missing"])
@pytest.mark.parametrize("cut", [*cuts(3, "poison"), 24 * SESSION_MINUTES])
def test_a_poisoned_future_changes_nothing_before_it(plan, values, table, cut, kind):
    spoilt = FeatureEngine(plan).batch(poisoned(values, cut, kind))
    assert_same_bits(np.ascontiguousarray(spoilt[:cut]), table[:cut], plan)
    assert spoilt[cut:].tobytes() != table[cut:].tobytes()


def test_one_row_at_a_time_equals_all_at_once(plan, values, table):
    engine = FeatureEngine(plan)
    assert_same_bits(np.array([engine.step(row) for row in values]), table, plan)


@pytest.mark.parametrize("cut", [*cuts(4, "snapshot"), 12 * SESSION_MINUTES])
def test_a_restored_snapshot_goes_on_as_if_nothing_had_happened(plan, values, table, cut):
    before, after = FeatureEngine(plan), FeatureEngine(plan)
    before.advance(values[:cut])
    snapshot = before.state
    before.advance(values[cut:])
    after.state = snapshot
    assert_same_bits(after.advance(values[cut:]), table[cut:], plan)


def with_holes(values):
    """Rows in which sources fall silent for a while, one by one and together; prices are always there."""
    copy = values.copy()
    rng = generator(3, "laws", "holes")
    for group in ("trades", "depth", "cross"):
        for start in rng.integers(0, ROWS - 200, 6):
            span = slice(start, start + int(rng.integers(1, 150)))
            copy[span] = without(copy[span], group)
    return copy


def test_holes_in_the_data_obey_the_same_laws_and_leave_no_infinity(plan, values):
    holes = with_holes(values)
    whole = FeatureEngine(plan).batch(holes)
    assert not np.isinf(whole).any()
    engine = FeatureEngine(plan)
    assert_same_bits(np.array([engine.step(row) for row in holes]), whole, plan)
    for cut in cuts(3, "holes"):
        assert_same_bits(FeatureEngine(plan).batch(holes[:cut]), whole[:cut], plan)


def test_features_return_after_an_hour_without_trades_and_depth(plan, values, table):
    silent = values.copy()
    start = 30 * SESSION_MINUTES + 5
    silent[start : start + 60] = without(silent[start : start + 60], "trades", "depth")
    got = FeatureEngine(plan).batch(silent)
    was_there, is_there = np.isfinite(table[-300:]).mean(axis=0), np.isfinite(got[-300:]).mean(axis=0)
    lost = [name for name, a, b in zip(plan.columns, was_there, is_there, strict=True) if a > 0 and b < 0.5 * a]
    assert lost == []


def test_features_of_absent_sources_are_missing_and_the_rest_untouched(plan, values, table):
    got = FeatureEngine(plan).batch(without(values, "trades", "depth", "cross"))
    for at, name in enumerate(plan.names):
        # A component lives on while half of its members do, but these members are bars only.
        if set(plan.sources(name)) <= {"bars", "calendar"}:
            assert got[:, at].tobytes() == table[:, at].tobytes(), name
        else:
            assert np.isnan(got[:, at]).all(), name


def test_the_synthetic_rows_have_all_columns(values):
    silent = [name for name, at in INDEX.items() if np.isnan(values[:, at]).all()]
    assert silent == []
