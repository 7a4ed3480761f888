"""No feature knows the future, and batch equals live bit for bit: all 350 columns, fitted ones too."""

from dataclasses import dataclass

import numpy as np
import pytest
import yaml
from synthetic_rows import (
    MARKET,
    SESSION_MINUTES,
    synthetic_model_rows,
    synthetic_rows,
    synthetic_self_rows,
    without,
)

from mia.domain.rng import generator
from mia.domain.series import SERIES_SETS
from mia.features.catalogue import expand
from mia.features.engine import FeatureEngine
from mia.features.fitted import fit
from mia.features.plan import Plan, compile_plan, split

SESSIONS = 40
ROWS = SESSIONS * SESSION_MINUTES
TRAIN = slice(0, 36 * SESSION_MINUTES)
EDGES = [SESSION_MINUTES * k + d for k in (1, 6, 23, 37) for d in (-1, 0, 1)]
COUNTS = {"market": 281, "model": 50, "self": 19}
OUTER = ("trades", "depth", "cross", "options", "news")


@dataclass(frozen=True)
class Case:
    """One plan, rows of its series, and the columns it makes of them."""

    plan: Plan
    values: np.ndarray
    table: np.ndarray


@pytest.fixture(scope="module")
def cases(root):
    files = sorted((root / "conf" / "features" / "group").glob("*.yaml"))
    groups = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in files}
    # Forty sessions are too few for a rank that waits for sixty.
    groups["option_metrics"]["specs"]["iv_rank_252d"]["p"]["least"] = 10
    parts = split(expand(groups))
    rows = {
        "market": synthetic_rows(SESSIONS),
        "model": synthetic_model_rows(ROWS),
        "self": synthetic_self_rows(ROWS),
    }
    found = {}
    for series in SERIES_SETS:
        plan = compile_plan(parts[series.name], MARKET, bar_minutes=1, session_minutes=SESSION_MINUTES, series=series)
        values = rows[series.name]
        table = FeatureEngine(plan).batch(values)
        if plan.fitted_nodes:
            learnt = fit(plan, values, table, TRAIN)
            assert not learnt.unavailable
            plan = plan.with_parameters(learnt.params)
            table = FeatureEngine(plan).batch(values)
        found[series.name] = Case(plan, values, table)
    return found


@pytest.fixture(scope="module", params=list(COUNTS))
def case(request, cases):
    return cases[request.param]


@pytest.fixture(scope="module")
def market(cases):
    return cases["market"]


def cuts(count, name):
    rng = generator(1, "laws", name)
    return sorted(int(cut) for cut in rng.integers(2, ROWS - 1, count))


def assert_same_bits(got, want, plan):
    if got.tobytes() == want.tobytes():
        return
    unequal = (got.view(np.int64) != want.view(np.int64)).any(axis=0)
    raise AssertionError(f"differ: {[name for name, bad in zip(plan.columns, unequal, strict=True) if bad]}")


def test_the_three_plans_have_350_columns(cases):
    assert {name: len(found.plan.names) for name, found in cases.items()} == COUNTS
    assert sum(COUNTS.values()) == 350


def test_every_feature_comes_to_life_within_its_range(case):
    for at, spec in enumerate(case.plan.specs):
        seen = case.table[:, at][np.isfinite(case.table[:, at])]
        assert len(seen) > 0.2 * ROWS, f"{spec.name} is hardly ever there"
        assert spec.low is None or seen.min() >= spec.low - 1e-9, f"{spec.name}: {seen.min()} below {spec.low}"
        assert spec.high is None or seen.max() <= spec.high + 1e-9, f"{spec.name}: {seen.max()} above {spec.high}"
    assert not np.isinf(case.table).any()


@pytest.mark.parametrize("cut", cuts(16, "truncation") + EDGES)
def test_what_comes_after_a_cut_changes_nothing_before_it(case, cut):
    assert_same_bits(FeatureEngine(case.plan).batch(case.values[:cut]), case.table[:cut], case.plan)


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
def test_a_poisoned_future_changes_nothing_before_it(case, cut, kind):
    spoilt = FeatureEngine(case.plan).batch(poisoned(case.values, cut, kind))
    assert_same_bits(np.ascontiguousarray(spoilt[:cut]), case.table[:cut], case.plan)
    assert spoilt[cut:].tobytes() != case.table[cut:].tobytes()


def test_one_row_at_a_time_equals_all_at_once(case):
    engine = FeatureEngine(case.plan)
    assert_same_bits(np.array([engine.step(row) for row in case.values]), case.table, case.plan)


@pytest.mark.parametrize("cut", [*cuts(4, "snapshot"), 12 * SESSION_MINUTES])
def test_a_restored_snapshot_goes_on_as_if_nothing_had_happened(case, cut):
    before, after = FeatureEngine(case.plan), FeatureEngine(case.plan)
    before.advance(case.values[:cut])
    snapshot = before.state
    before.advance(case.values[cut:])
    after.state = snapshot
    assert_same_bits(after.advance(case.values[cut:]), case.table[cut:], case.plan)


def with_holes(values):
    """Rows in which sources fall silent for a while, one by one and together; prices are always there."""
    copy = values.copy()
    rng = generator(3, "laws", "holes")
    for group in OUTER:
        for start in rng.integers(0, ROWS - 200, 6):
            span = slice(start, start + int(rng.integers(1, 150)))
            copy[span] = without(copy[span], group)
    return copy


def test_holes_in_the_data_obey_the_same_laws_and_leave_no_infinity(market):
    holes = with_holes(market.values)
    whole = FeatureEngine(market.plan).batch(holes)
    assert not np.isinf(whole).any()
    engine = FeatureEngine(market.plan)
    assert_same_bits(np.array([engine.step(row) for row in holes]), whole, market.plan)
    for cut in cuts(3, "holes"):
        assert_same_bits(FeatureEngine(market.plan).batch(holes[:cut]), whole[:cut], market.plan)


@pytest.mark.parametrize("name", ["model", "self"])
def test_silent_models_obey_the_same_laws_and_leave_no_infinity(cases, name):
    case = cases[name]
    holes = case.values.copy()
    rng = generator(4, "laws", name)
    for start in rng.integers(0, ROWS - 200, 12):
        holes[start : start + int(rng.integers(1, 150)), rng.random(holes.shape[1]) < 0.5] = np.nan
    whole = FeatureEngine(case.plan).batch(holes)
    assert not np.isinf(whole).any()
    engine = FeatureEngine(case.plan)
    assert_same_bits(np.array([engine.step(row) for row in holes]), whole, case.plan)
    for cut in cuts(3, "silence"):
        assert_same_bits(FeatureEngine(case.plan).batch(holes[:cut]), whole[:cut], case.plan)


def test_features_return_after_an_hour_without_their_sources(market):
    silent = market.values.copy()
    start = 30 * SESSION_MINUTES + 5
    silent[start : start + 60] = without(silent[start : start + 60], *OUTER)
    got = FeatureEngine(market.plan).batch(silent)
    was_there, is_there = np.isfinite(market.table[-300:]).mean(axis=0), np.isfinite(got[-300:]).mean(axis=0)
    lost = [name for name, a, b in zip(market.plan.columns, was_there, is_there, strict=True) if a > 0 and b < 0.5 * a]
    assert lost == []


def test_features_of_absent_sources_are_missing_and_the_rest_untouched(market):
    got = FeatureEngine(market.plan).batch(without(market.values, *OUTER))
    for at, name in enumerate(market.plan.names):
        # A component lives on while half of its members do, but these members are bars only.
        if set(market.plan.sources(name)) <= {"bars", "calendar"}:
            assert got[:, at].tobytes() == market.table[:, at].tobytes(), name
        else:
            assert np.isnan(got[:, at]).all(), name


@pytest.mark.parametrize("source", OUTER)
def test_a_lost_source_takes_only_its_own_features(market, source):
    got = FeatureEngine(market.plan).batch(without(market.values, source))
    for at, name in enumerate(market.plan.names):
        if source not in market.plan.sources(name):
            assert got[:, at].tobytes() == market.table[:, at].tobytes(), name


def test_the_synthetic_rows_have_all_columns(cases):
    for case in cases.values():
        silent = [name for at, name in enumerate(case.plan.series.names) if np.isnan(case.values[:, at]).all()]
        assert silent == []


def test_every_series_of_options_news_other_markets_and_models_is_read_by_some_feature(cases):
    for case in cases.values():
        read = {name for node in case.plan.nodes for name in node.inputs}
        unread = {name for name in case.plan.series.names if name not in read}
        if case.plan.series.name == "market":
            unread = {name for name in unread if name.startswith(("xa.", "opt.", "news."))}
        assert unread == set()
