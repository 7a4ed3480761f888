"""The drift monitor against hand-made and brute-force population stability indices."""

import json
import time
from math import log

import numpy as np
import pytest

from mia.domain.errors import ArtefactMismatch, DataError
from mia.domain.rng import generator
from mia.features.drift import BINS, DriftMonitor, DriftReference

NAMES = tuple("abcdef")


@pytest.fixture(scope="module")
def world():
    """Training and later rows: normal, few-valued, constant, mostly zero, half missing, drifting columns."""
    rng = generator(3, "drift")

    def rows(n, shift):
        return np.column_stack(
            [
                rng.standard_normal(n),
                rng.integers(0, 3, n),
                np.ones(n),
                np.where(rng.random(n) < 0.85, 0.0, rng.standard_normal(n)),
                np.where(rng.random(n) < 0.3, np.nan, rng.standard_normal(n)),
                rng.standard_normal(n) + shift * np.linspace(0, 1, n),
            ]
        )

    return rows(3000, 0.0), rows(1500, 2.0)


@pytest.fixture(scope="module")
def monitor(world):
    return DriftMonitor(reference=DriftReference.fit(world[0], NAMES), rows=400)


@pytest.fixture(scope="module")
def drift(world, monitor):
    return monitor.advance(monitor.new_state(), world[1])


def brute_force(train, window):
    """Mean PSI by the definition, from scratch for one window of rows."""
    found = []
    for f in range(train.shape[1]):
        then = train[np.isfinite(train[:, f]), f].astype(np.float32)
        now = window[np.isfinite(window[:, f]), f].astype(np.float32)
        ordered = np.sort(then)
        deciles = [ordered[int(np.ceil(len(then) * k / 10)) - 1] for k in range(1, 10)]
        edges = sorted({d for d in deciles if d < ordered[-1]})
        if not edges or 2 * len(now) < len(window):
            continue
        total = 0.0
        for low, high in zip([-np.inf, *edges], [*edges, np.inf], strict=True):
            e = ((then > low) & (then <= high)).sum() / len(then)
            a = max(((now > low) & (now <= high)).sum(), 0.5) / len(now)
            total += (a - e) * log(a / e)
        found.append(total)
    return np.mean(found)


def test_the_index_of_a_hand_made_shift_is_the_published_formula():
    train = np.repeat(np.arange(10.0), 20)[:, None]  # 20 rows in each of ten bins
    reference = DriftReference.fit(train, ["x"])
    assert reference.shares[0].tolist() == [0.1] * 10
    window = np.concatenate([np.repeat(np.arange(8.0), 10), np.repeat(8.0, 20)])  # 9 is gone, 8 has doubled
    out = DriftMonitor(reference=reference, rows=100).advance(
        DriftMonitor(reference=reference, rows=100).new_state(), window[:, None]
    )
    assert np.isnan(out[:99]).all()
    assert out[99] == pytest.approx((0.2 - 0.1) * log(2) + (0.005 - 0.1) * log(0.05), rel=1e-12)


def test_every_row_equals_an_index_counted_from_scratch(world, drift):
    train, rows = world
    assert np.isnan(drift[:399]).all()
    for t in range(399, 1500, 37):
        assert drift[t] == pytest.approx(brute_force(train, rows[t - 399 : t + 1]), rel=1e-12)


def test_rows_that_come_from_the_fold_itself_hardly_drift_and_shifted_ones_do(world):
    train, _ = world
    monitor = DriftMonitor(reference=DriftReference.fit(train, NAMES), rows=1380)
    assert monitor.advance(monitor.new_state(), train)[-1] < 0.02
    shifted = train + np.array([1.0, 0, 0, 0, 1.0, 1.0])
    assert monitor.advance(monitor.new_state(), shifted)[-1] > 0.3


def test_constant_and_absent_columns_are_left_out(world):
    train, rows = world
    reference = DriftReference.fit(train, NAMES)
    assert reference.live.tolist() == [True, True, False, True, True, True]
    blind = train.copy()
    blind[: len(blind) * 6 // 10, 0] = np.nan
    assert not DriftReference.fit(blind, NAMES).live[0]
    # A column that goes missing is left out once half of the window lacks it, and never a false drift.
    monitor = DriftMonitor(reference=reference, rows=400)
    lost = rows.copy()
    lost[700:, 5] = np.nan
    out = monitor.advance(monitor.new_state(), lost)
    others = monitor.advance(monitor.new_state(), np.where(np.arange(6) == 5, np.nan, rows))
    np.testing.assert_array_equal(out[1000:], others[1000:])
    assert np.isnan(monitor.advance(monitor.new_state(), np.full_like(rows, np.nan))).all()


def test_rows_to_come_change_nothing(world, monitor, drift):
    rows = world[1]
    for t in (400, 401, 900):
        np.testing.assert_array_equal(monitor.advance(monitor.new_state(), rows[:t]), drift[:t])
        wild = rows.copy()
        wild[t:] = 1e6
        np.testing.assert_array_equal(monitor.advance(monitor.new_state(), wild)[:t], drift[:t])


@pytest.mark.parametrize("sizes", [(1,), (3, 500, 1)])
def test_any_cutting_of_the_rows_gives_the_same_bits(world, monitor, drift, sizes):
    state, parts, a, i = monitor.new_state(), [], 0, 0
    while a < len(drift):
        b = min(len(drift), a + sizes[i % len(sizes)])
        parts.append(monitor.advance(state, world[1][a:b]))
        a, i = b, i + 1
    np.testing.assert_array_equal(np.concatenate(parts), drift)


def test_a_saved_state_and_a_reference_read_back_go_on_with_the_same_bits(world, monitor, drift):
    state = monitor.new_state()
    size = sum(array.nbytes for array in state.values())
    monitor.advance(state, world[1][:777])
    restored = {name: array.copy() for name, array in state.items()}
    again = DriftMonitor(reference=DriftReference.from_json(monitor.reference.to_json()), rows=400)
    assert again.reference.digest == monitor.reference.digest
    monitor.advance(state, world[1][777:900])
    np.testing.assert_array_equal(again.advance(restored, world[1][777:]), drift[777:])
    assert sum(array.nbytes for array in restored.values()) == size


@pytest.mark.parametrize("seen", [120, 400, 1000])
def test_a_new_reference_reads_the_window_as_if_it_had_always_been_there(world, monitor, seen):
    other = DriftMonitor(reference=DriftReference.fit(world[0][:1200] * 1.5, NAMES), rows=400)
    state, always = monitor.new_state(), other.new_state()
    monitor.advance(state, world[1][:seen])
    other.advance(always, world[1][:seen])
    adopted = other.rebase(state)
    np.testing.assert_array_equal(other.advance(adopted, world[1][seen:]), other.advance(always, world[1][seen:]))


def test_what_does_not_fit_is_refused(world, monitor):
    with pytest.raises(ArtefactMismatch, match="watches 6 columns"):
        monitor.advance(monitor.new_state(), world[1][:, :5])
    with pytest.raises(ArtefactMismatch, match="drift state holds"):
        DriftMonitor(reference=monitor.reference, rows=300).advance(monitor.new_state(), world[1])
    with pytest.raises(DataError, match="training rows"):
        DriftReference.fit(world[0][:50], NAMES)
    body = json.loads(monitor.reference.to_json())
    body["live"].pop()
    with pytest.raises(ArtefactMismatch, match="different number"):
        DriftReference.from_json(json.dumps(body))
    assert BINS == 10


def test_a_row_of_281_columns_costs_little():
    rng = generator(1, "wide")
    view = rng.standard_normal((4000, 281))
    monitor = DriftMonitor(reference=DriftReference.fit(view, [f"c{k}" for k in range(281)]))
    state = monitor.new_state()
    monitor.advance(state, view)
    begun = time.perf_counter()
    monitor.advance(state, view)
    assert (time.perf_counter() - begun) / len(view) < 200e-6
