"""The audit's pure checks: each fires on a planted case worked out by hand and stays calm on an honest one."""

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.evaluation.audit import cuts, delay, finding, fits, poison, reward, shuffle, warm_up
from mia.evaluation.audit.changes import Changes, differs
from mia.evaluation.audit.settings import AuditSettings

RNG = generator(0, "test", "audit")


def settings(**more):
    known = {
        "name": "test",
        "sessions": 0,
        "seed": 0,
        "cuts": 5,
        "poison_rows": 5,
        "file_cuts": 1,
        "rolls": 1,
        "refit": True,
        "effort": 0.1,
        "delay_ic": 0.25,
        "delay_t": 10.0,
        "delay_fall": 0.2,
        "delay_rows": 10,
        "late_starts": 1,
        "warm_up_tolerance": 1e-6,
        "shuffles": 1,
        "shuffle_errors": 3.0,
        "shuffle_ic": 0.02,
        "shown": 5,
        "plant": "none",
    }
    return AuditSettings(**(known | more))


@pytest.mark.parametrize(
    ("key", "value"),
    [("cuts", 0), ("poison_rows", 0), ("sessions", -1), ("delay_ic", 0.0), ("effort", 1.5), ("delay_fall", 0.0)],
)
def test_impossible_settings_are_refused_by_name(key, value):
    with pytest.raises(ConfigurationError, match=key):
        settings(**{key: value})


def test_missing_values_are_equal_and_the_last_bit_counts():
    one = np.array([1.0, np.nan, np.nan, 0.0, 1.0])
    other = np.array([1.0, np.nan, 1.0, -0.0, np.nextafter(1.0, 2.0)])
    assert differs(one, other).tolist() == [False, False, True, False, True]
    assert differs(np.array([True, False]), np.array([True, True])).tolist() == [False, True]


def test_changes_name_the_first_row_the_cut_and_how_often():
    seen = Changes("features", "cut", ["a", "b", "c"])
    whole = np.zeros((4, 3))
    late = whole.copy()
    late[3, 1] = 1.0
    seen.see(whole, late, first=10, cut=14)
    early = whole.copy()
    early[1, 1] = early[0, 2] = 2.0
    seen.see(whole, early, first=2, cut=6)
    found = seen.finding()
    assert found.verdict == finding.LEAK
    assert [(o.column, o.row, o.cut) for o in found.offences] == [("b", 3, 6), ("c", 2, 6)]
    assert found.offences[0].detail == "changed at 2 of 2 cuts"
    assert (found.rows, found.cuts, found.columns) == (8, 2, 3)


def test_a_part_of_another_shape_counts_as_changed():
    seen = Changes("view", "cut", ["a"])
    seen.see(np.zeros((4, 1)), np.zeros((3, 1)), first=0, cut=4)
    assert seen.finding().verdict == finding.LEAK


def test_nothing_changed_is_clean_and_a_line_shows_what_was_looked_at():
    seen = Changes("view", "cut", ["a"])
    seen.see(np.array([[np.nan]]), np.array([[np.nan]]), first=0, cut=1)
    assert seen.finding().line()["verdict"] == "clean"
    assert seen.finding().line()["changed"] == 0


def test_cuts_lie_at_session_edges_gaps_silences_and_fits():
    minute = 60_000_000_000
    ts = np.concatenate([np.arange(1, 101), np.arange(131, 181), np.arange(2000, 2100)]) * minute
    session = np.repeat([0, 1], [150, 100])
    values = np.zeros((250, 2))
    values[40:60, 1] = np.nan
    values[:7, 0] = np.nan
    found = cuts.places(ts, values, session, [150], 30, generator(1, "test"))
    assert found["session"] == [149, 150, 151]
    assert found["gap"] == [4, 7, 50, 60, 100]
    assert found["fit"] == [150, 151]
    assert len(found["random"]) > 20
    assert all(2 <= row < 250 for rows in found.values() for row in rows)
    assert cuts.merged(found) == sorted({row for rows in found.values() for row in rows})


def test_a_spoilt_future_keeps_only_what_the_calendar_knows():
    values = RNG.normal(size=(50, 4))
    for kind in poison.KINDS:
        out = poison.spoilt(values, [2], kind, RNG)
        assert np.array_equal(out[:, 2], values[:, 2])
        assert differs(out[:, [0, 1, 3]], values[:, [0, 1, 3]]).all()
    assert np.isnan(poison.spoilt(values, [2], "missing", RNG)[:, 0]).all()


def test_another_market_has_possible_prices_and_turns_every_label():
    walk = 4000.0 + np.cumsum(RNG.integers(-5, 6, 400))
    open_, close = walk[:-1], walk[1:]
    bars = np.column_stack([open_, np.maximum(open_, close) + 1, np.minimum(open_, close) - 2, close, np.ones(399)])
    out = poison.other_market(bars, [0, 1, 2, 3], [4], RNG)
    assert np.array_equal(out, np.rint(out))
    assert np.all(out[:, 1] >= out[:, [0, 3]].max(axis=1))
    assert np.all(out[:, 2] <= out[:, [0, 3]].min(axis=1))
    assert out[:, :4].min() >= 999
    assert np.array_equal(out[:, 3] - out[:, 0], open_ - close)
    assert np.array_equal(out[:, 4], bars[:, 4])


def test_ranks_and_correlation_are_those_of_scipy():
    x = RNG.integers(0, 20, 500).astype(float)
    y = x + RNG.normal(size=500) * 10
    assert np.allclose(delay.ranks(x), rankdata(x) - 1)
    assert delay.rank_correlation(x, y, 10) == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    x[:100] = np.nan
    assert delay.rank_correlation(x, y, 10) == pytest.approx(spearmanr(x[100:], y[100:]).statistic, abs=1e-12)
    assert np.isnan(delay.rank_correlation(x, y, 401))
    assert np.isnan(delay.rank_correlation(np.ones(500), y, 10))


def test_the_next_return_stays_inside_its_session():
    open_, close = np.array([100.0, 102.0, 50.0]), np.array([101.0, 103.0, 51.0])
    got = delay.next_return(open_, close, np.array([0, 0, 1]))
    assert got[0] == pytest.approx(np.log(103 / 102))
    assert np.isnan(got[1:]).all()


def delayed(table, target):
    names = [f"c{f}" for f in range(table.shape[1])]
    return delay.finding(names, table, target, least_ic=0.25, least_t=12.0, kept=0.2, least_rows=100)


def test_delay_tells_a_look_at_the_future_from_a_signal_that_fades():
    n = 6000
    target = RNG.normal(size=n)
    smooth = np.zeros(n)
    for t in range(1, n):
        smooth[t] = 0.98 * smooth[t - 1] + RNG.normal() * 0.2
    honest = target + 0.2 * smooth  # the target leans on what is known and lasts
    table = np.column_stack([smooth, honest, RNG.normal(size=n), 0.3 * honest + RNG.normal(size=n)])
    found = delayed(table, honest)
    assert [offence.column for offence in found.offences] == ["c1", "c3"]
    assert delayed(table[:, [0, 2]], honest).verdict == finding.CLEAN


def test_a_weak_but_short_lived_signal_is_no_alarm():
    target = RNG.normal(size=6000)
    assert delayed((0.1 * target + RNG.normal(size=6000))[:, None], target).verdict == finding.CLEAN


def test_settled_after_counts_the_bars_until_values_agree():
    whole = np.ones((10, 4))
    late = whole.copy()
    late[:3, 1] = np.nan
    late[4, 2] = 2.0
    late[9, 3] = 2.0
    assert warm_up.settled_after(whole, late, 1e-9).tolist() == [0, 3, 5, 11]


def test_warm_up_warns_of_columns_that_declare_too_little_and_never_calls_it_a_leak():
    settled = np.array([[3, 3, 11]])
    found = warm_up.finding(["enough", "short", "never"], np.array([5, 2, 4]), settled, [10], 5)
    assert found.verdict == finding.WARNING
    assert [offence.column for offence in found.offences] == ["never", "short"]
    assert warm_up.finding(["long"], np.array([20]), np.array([[11]]), [10], 5).verdict == finding.CLEAN


def test_the_fit_log_refuses_what_is_used_before_the_end_of_its_fit():
    good, edge = fits.Fit(what="a", first=0, stop=5, used=9), fits.Fit(what="b", first=0, stop=5, used=5)
    bad = fits.Fit(what="c", first=0, stop=6, used=5)
    found = fits.log([good, edge, bad])
    assert [offence.column for offence in found.offences] == ["c"]
    assert found.facts["log"][0] == {"what": "a", "first": 0, "stop": 5, "used": 9}
    assert fits.log([good, edge]).verdict == finding.CLEAN


def test_artefacts_are_compared_by_content_and_a_missing_one_is_a_change():
    before = {"scaler": {"a": [1.0, 2.0]}, "regime": "x"}
    assert fits.same("fit", before, {"regime": "x", "scaler": {"a": [1.0, 2.0]}}, 7).verdict == finding.CLEAN
    found = fits.same("fit", before, {"scaler": {"a": [1.0, 2.0000000001]}}, 7)
    assert [offence.column for offence in found.offences] == ["regime", "scaler"]
    assert found.offences[0].cut == 7


def days(count=12, bars=120):
    session, slot = np.repeat(np.arange(count), bars), np.tile(np.arange(bars), count).astype(float)
    return session, slot


def test_shuffled_days_keep_the_changes_of_other_days_at_the_same_slot():
    session, slot = days(4, 50)
    change = RNG.integers(-3, 4, len(session)).astype(float)
    change[slot == 0] = 0.0
    close = 5000 + np.cumsum(change)
    out = shuffle.other_days(close, session, slot, RNG)
    got = np.abs(np.diff(out, prepend=out[:1])).reshape(4, 50)
    was = np.abs(change).reshape(4, 50)
    assert sorted(map(tuple, got)) == sorted(map(tuple, was))
    assert out.min() > 0


def shuffled(leak):
    session, _ = days()
    train, test = slice(0, 960), slice(960, len(session))
    runs = []
    for _ in range(4):
        target = RNG.normal(size=len(session))
        view = RNG.normal(size=(len(session), 8))
        view[:, 3] += leak * target
        forecast = shuffle.ridge_forecast(view, target, train, 0.01)
        runs.append(shuffle.judge(forecast, target, session, test))
    return shuffle.finding(runs, 3.0, 0.02)


def test_no_skill_is_found_in_shuffled_labels_and_a_label_in_the_features_is():
    calm, loud = shuffled(0.0), shuffled(0.3)
    assert calm.verdict == finding.CLEAN
    assert abs(calm.facts["ic"]) < 0.1
    assert loud.verdict == finding.LEAK
    assert loud.facts["accuracy"] > 0.55


def test_too_few_shuffled_sessions_are_said_not_judged():
    assert shuffle.finding([], 3.0, 0.02).verdict == finding.SKIPPED


def test_ridge_forecast_is_the_closed_form():
    x, y = RNG.normal(size=(80, 3)), RNG.normal(size=80)
    got = shuffle.ridge_forecast(x, y, slice(0, 60), 0.5)
    z = (x - x[:60].mean(axis=0)) / x[:60].std(axis=0)
    weights = np.linalg.inv(z[:60].T @ z[:60] + 30 * np.eye(3)) @ z[:60].T @ (y[:60] - y[:60].mean())
    assert np.allclose(got, z @ weights)


def test_a_decision_earns_from_the_next_open_and_pays_for_each_side():
    open_, close = np.array([100, 104, 90]), np.array([102, 107, 95])
    held, target = np.array([-1, 0, 1]), np.tile(np.array([-1, 0, 1]), (3, 3, 1))
    got = reward.expected_cents(open_, close, held, target, 50, 7)
    # Long one from flat at row 0: the bar runs from 104 to 107, one side is paid.
    assert got[0, 1, 2] == 50 * 3 - 7
    # From short to long: the short loses the gap from 102 to 104, two sides are paid.
    assert got[0, 0, 2] == 50 * (-2 + 3) - 14
    assert got[1, 2, 1] == 50 * (90 - 107) - 7
    paid = np.concatenate([got, np.zeros((1, 3, 3), int)])
    assert reward.finding(paid, held, target, open_, close, 50, 7).verdict == finding.CLEAN
    paid[1, 0, 0] += 1
    assert reward.finding(paid, held, target, open_, close, 50, 7).offences[0].row == 1


def test_a_cost_below_nothing_is_better_than_the_open_and_refused():
    open_ = close = np.array([100, 100])
    held, target = np.array([0]), np.zeros((2, 1, 1), int)
    found = reward.finding(np.zeros((2, 1, 1), int), held, target, open_, close, 50, -1)
    assert [offence.column for offence in found.offences] == ["cost"]
