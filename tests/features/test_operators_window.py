"""Windows that slide without drift, and operators made of them, against the direct formulas over each window."""

import numpy as np
import pytest
from feature_bench import catalogue, plan_of, rows
from flow_runner import run_operator
from numba import njit
from synthetic_rows import SESSION_MINUTES, synthetic_rows

from mia.domain.rng import generator
from mia.features.engine import FeatureEngine
from mia.features.fitted import fit
from mia.features.operator_costs import operator_costs
from mia.features.operators import window
from mia.features.pointers import address
from mia.features.sharing import shared


@njit
def laps(terms, n, largest):
    """Sums (or maxima) of the last n terms; a NaN empties the window."""
    memory, out = np.zeros(n + 3), np.full(len(terms), np.nan)
    s = address(memory)
    for t in range(len(terms)):
        if np.isnan(terms[t]):
            window.lap_clear(s, 0)
        elif largest:
            out[t] = window.lap_max_push(s, 0, n, terms[t])
        else:
            out[t] = window.lap_push(s, 0, n, terms[t])
    return out


@njit
def deviation(values, center):
    return window.median_deviation(address(values), 0, len(values), center)


@njit
def shell_sorted(values):
    window.sort_range(address(values), 0, len(values))
    return values


@njit
def seasons(values, depth):
    """What slot 0 of 1 held before each of the sessions 0, 1, ...: the sorted values, NaN where none."""
    memory, out = np.zeros(2 * depth + 4 + depth), np.full((len(values), depth), np.nan)
    s = address(memory)
    for t in range(len(values)):
        first = window.slot_before(s, 0, depth, 0, float(t))
        for k in range(window.slot_held(s, first, depth)):
            out[t, k] = s[first + k]
        window.slot_store(s, 0, 1, depth, 0, float(t), -1.0)  # replaced at once by the session's last word
        window.slot_store(s, 0, 1, depth, 0, float(t), values[t])
    return out


def wild(T=700, name="wild"):
    """Numbers of very different size, with a gap."""
    rng = generator(4, "window", name)
    values = rng.normal(size=T) * 10.0 ** rng.integers(-3, 4, T)
    values[100] = 1e15
    values[400] = np.nan
    return values


def windows(values, n, function):
    out = np.full(len(values), np.nan)
    for t in range(n - 1, len(values)):
        part = values[t - n + 1 : t + 1]
        if not np.isnan(part).any():
            out[t] = function(part)
    return out


@pytest.mark.parametrize("n", [1, 2, 7, 60])
def test_a_lap_sums_its_window_and_forgets_an_outlier_wholly(n):
    values = wild()
    got, want = laps(values, n, False), windows(values, n, lambda part: np.sum(part.astype(np.longdouble)))
    assert np.array_equal(np.isnan(got), np.isnan(want))
    size = windows(values, n, lambda part: np.abs(part).sum())
    good = ~np.isnan(want)
    assert np.all(np.abs(got - want)[good] <= 1e-14 * size[good])


@pytest.mark.parametrize("n", [1, 2, 7, 60])
def test_a_lap_finds_the_largest_of_its_window(n):
    values = wild()
    assert np.array_equal(laps(values, n, True), windows(values, n, np.max), equal_nan=True)


@pytest.mark.parametrize("m", [1, 2, 5, 6, 19, 20])
def test_median_deviation_of_sorted_numbers_is_the_median_of_distances(m):
    rng = generator(5, "window", str(m))
    for _ in range(200):
        values = np.sort(rng.integers(0, 9, m).astype(float))
        center = np.median(values) if rng.random() < 0.5 else rng.normal(4, 3)
        assert deviation(values, center) == np.median(np.abs(values - center))


@pytest.mark.parametrize("m", [0, 1, 2, 40, 1380])
def test_sorting_sorts(m):
    values = generator(6, "window", str(m)).normal(size=m)
    assert np.array_equal(shell_sorted(values.copy()), np.sort(values))


def test_a_slot_holds_the_sorted_values_of_sessions_before():
    values, depth = generator(7, "window").integers(0, 6, 60).astype(float), 5
    got = seasons(values, depth)
    for t in range(len(values)):
        want = np.sort(values[max(0, t - depth) : t])
        assert np.array_equal(got[t, : len(want)], want)
        assert np.isnan(got[t, len(want) :]).all()


def prices(T=900):
    """A walk in ticks that jumps a thousandfold once, goes straight for a while and stands still for a while."""
    rng = generator(8, "window", "prices")
    close = 20000.0 + np.cumsum(rng.integers(-6, 7, T))
    close[250] *= 1000.0
    close[500:580] = 21000.0 + 3.0 * np.arange(80)
    close[700:780] = close[700]
    return close


def direct_hurst(price):
    n = len(price) - 1
    profile = np.cumsum(np.diff(np.log(price)) - np.mean(np.diff(np.log(price))))
    sizes, rms = [], []
    size = 8
    while size <= n // 4:
        left = 0.0
        for box in profile[: n // size * size].reshape(-1, size):
            line = np.polyfit(np.arange(size), box, 1)
            left += np.sum((box - np.polyval(line, np.arange(size))) ** 2)
        mean = left / (n // size * size)
        if mean <= 1e-24:
            return 0.5
        sizes.append(np.log(size))
        rms.append(0.5 * np.log(mean))
        size *= 2
    return float(np.clip(np.polyfit(sizes, rms, 1)[0], 0, 1))


def direct_ratio(price, q):
    r = np.diff(np.log(price))
    n, c = len(r), r - r.mean()
    squares = np.sum(c**2)
    if squares <= 1e-24:
        return 0.0
    moves = np.convolve(c, np.ones(q), "valid")
    ratio = np.sum(moves**2) / (q * (n - q + 1) * (1 - q / n)) / (squares / (n - 1))
    spread = sum((2 * (q - j) / q) ** 2 * np.sum((c[j:] * c[:-j]) ** 2) for j in range(1, q)) / squares**2
    return (ratio - 1) / np.sqrt(spread) if spread > 0 else 0.0


@pytest.mark.parametrize("n", [64, 100])
def test_hurst_of_every_window_equals_the_direct_formula_around_jumps_and_straight_lines(n):
    close = prices()
    got, want = run_operator("hurst", close, n=n), windows(close, n + 1, direct_hurst)
    assert np.array_equal(np.isnan(got), np.isnan(want))
    assert np.nanmax(np.abs(got - want)) < 1e-8


@pytest.mark.parametrize("q", [2, 5, 10])
def test_variance_ratio_of_every_window_equals_the_direct_formula_around_jumps_and_straight_lines(q):
    close = prices()
    got = run_operator("variance_ratio", close, n=64, q=q)
    want = windows(close, 65, lambda part: direct_ratio(part, q))
    assert np.array_equal(np.isnan(got), np.isnan(want))
    # Straight stretches leave a variance of rounding size, whose ratio means nothing.
    flat = windows(close, 65, lambda part: np.std(np.diff(np.log(part)))) < 1e-9
    assert np.nanmax(np.abs(got - want)[~flat]) < 1e-8


@pytest.mark.parametrize("op", ["corr", "roll_ols"])
def test_pairs_far_from_zero_are_summed_directly(op):
    rng = generator(9, "window", op)
    a = 1e7 + rng.normal(size=300)
    b = 1e7 + 0.5 * (a - 1e7) + rng.normal(size=300)
    got = run_operator(op, a, b, n=30)
    for t in range(29, 300, 17):
        x, y = a[t - 29 : t + 1], b[t - 29 : t + 1]
        want = np.corrcoef(x, y)[0, 1] if op == "corr" else np.cov(x, y)[0, 1] / np.var(y, ddof=1)
        assert got[t] == pytest.approx(want, rel=1e-8)


@pytest.fixture(scope="module")
def learnt():
    values = synthetic_rows(40)
    plan = catalogue("bars_only", session_minutes=SESSION_MINUTES)
    found = fit(plan, values, FeatureEngine(plan).batch(values), slice(0, 36 * SESSION_MINUTES))
    return plan.with_parameters(found.params), values


def test_components_that_share_their_members_say_what_each_says_alone(learnt):
    plan, values = learnt
    _, _, _, spare = shared(plan, 0)
    assert spare > 0
    together = FeatureEngine(plan).batch(values)
    scores = [k for k, name in enumerate(plan.names) if plan.node(name).op == "pca_score"]
    assert np.isfinite(together[-1, scores]).all()
    for column in scores:
        others = {plan.names[k]: np.full_like(plan.fitted[plan.names[k]], np.nan) for k in scores if k != column}
        alone = FeatureEngine(plan.with_parameters(others)).batch(values)
        assert np.array_equal(alone[:, column], together[:, column], equal_nan=True)


def test_every_operator_of_a_plan_has_its_cost(learnt):
    plan, values = learnt
    costs = operator_costs(plan, values[:600], rounds=1)
    assert sum(cost.nodes for cost in costs) == len(plan.nodes)
    assert {cost.op for cost in costs} == {node.op for node in plan.nodes}


def test_a_block_of_rows_more_or_less_changes_nothing():
    plan = plan_of({"x": {"op": "roll_sum", "in": "bar.close", "p": {"n": 5}}})
    close = generator(1, "window", "block").normal(size=100)
    whole = FeatureEngine(plan).batch(rows(bar__close=close))
    for cut in (1, 31, 32, 33, 64, 65):
        engine = FeatureEngine(plan)
        parts = [engine.advance(rows(bar__close=close[:cut])), engine.advance(rows(bar__close=close[cut:]))]
        assert np.array_equal(np.concatenate(parts), whole, equal_nan=True)
