"""The point-in-time join against a loop that looks at every row, and what it may never do."""

import numpy as np
import pytest

from mia.source import as_of

MINUTE = 60_000_000_000


def by_hand(ts, at, available, values, max_age):
    """Newest observation among those known by each stamp, by looking at all of them."""
    out = np.full(len(ts), np.nan)
    for i, now in enumerate(ts):
        known = [(at[k], available[k], k) for k in range(len(at)) if available[k] <= now]
        if known:
            newest = max(known)
            # a row repeats its news when an older one arrives after it, so its age counts from its own arrival
            if now - available[newest[2]] <= max_age:
                out[i] = values[newest[2]]
    return out


@pytest.mark.parametrize("seed", range(5))
def test_the_join_equals_a_loop_over_all_rows_in_any_order_of_arrival(seed):
    rng = np.random.Generator(np.random.PCG64(seed))
    at = rng.integers(0, 300, 80)
    available = at + rng.integers(0, 40, 80)
    values = rng.normal(size=80)
    ts = np.sort(rng.choice(400, 120, replace=False))
    order = as_of.in_order(at, available)
    assert np.all(np.diff(available[order]) >= 0)
    assert np.all(np.diff(at[order]) >= 0)
    got = as_of.carry(ts, available[order], values[order][:, None], 25)[:, 0]
    assert np.array_equal(got, by_hand(ts, at, available, values, 25), equal_nan=True)


def test_a_value_counts_from_the_very_moment_it_is_known_until_it_is_just_too_old():
    ts = np.array([9, 10, 15, 16])
    got = as_of.carry(ts, np.array([10]), np.array([[3.0]]), 5)[:, 0]
    assert np.array_equal(got, [np.nan, 3.0, 3.0, np.nan], equal_nan=True)


def test_old_news_that_arrives_late_does_not_replace_newer():
    at, available = np.array([100, 90]), np.array([110, 120])
    order = as_of.in_order(at, available)
    assert order.tolist() == [0]


def test_a_correction_of_the_same_moment_counts_from_its_own_arrival():
    at, available = np.array([100, 100]), np.array([110, 120])
    order = as_of.in_order(at, available)
    got = as_of.carry(np.array([115, 125]), available[order], np.array([[1.0], [2.0]]), 50)[:, 0]
    assert got.tolist() == [1.0, 2.0]


def test_nothing_known_gives_nothing():
    got = as_of.carry(np.arange(3), np.zeros(0, np.int64), np.zeros((0, 2)), 10)
    assert got.shape == (3, 2)
    assert np.all(np.isnan(got))
    assert as_of.carry(np.zeros(0, np.int64), np.array([1]), np.ones((1, 2)), 10).shape == (0, 2)


def test_one_bar_at_a_time_equals_the_whole_table_and_a_cut_changes_nothing_before_it():
    rng = np.random.Generator(np.random.PCG64(9))
    at = np.sort(rng.integers(0, 500, 60))
    rows = rng.normal(size=(60, 3))
    ts = np.sort(rng.choice(600, 150, replace=False))
    once = np.array([False, True, False])
    whole = as_of.carry(ts, at, rows, 30, once=once)
    previous = as_of.NEVER
    for i in range(len(ts)):
        one = as_of.carry(ts[i : i + 1], at, rows, 30, once=once, previous=previous)
        assert one.tobytes() == whole[i : i + 1].tobytes()
        kept = at <= ts[i]
        cut = as_of.carry(ts[: i + 1], at[kept], rows[kept], 30, once=once)
        assert np.array_equal(cut, whole[: i + 1], equal_nan=True)
        previous = int(ts[i])


def test_what_happened_since_the_row_before_is_told_once():
    at, rows = np.array([5, 8, 21]), np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    got = as_of.carry(np.array([4, 10, 20, 30, 60]), at, rows, 20, once=np.array([False, True]))
    assert np.array_equal(got[:, 0], [np.nan, 2.0, 2.0, 3.0, np.nan], equal_nan=True)
    assert np.array_equal(got[:, 1], [np.nan, 30.0, 0.0, 30.0, np.nan], equal_nan=True)


@pytest.mark.parametrize("delay", [0, 12])
def test_pieces_carry_on_where_the_last_one_ended_also_rows_that_are_known_later(delay):
    rng = np.random.Generator(np.random.PCG64(2))
    made = np.sort(rng.choice(500, 80, replace=False))
    rows, ts = rng.normal(size=(80, 2)), np.sort(rng.choice(600, 200, replace=False))
    once = np.array([True, False])
    whole = as_of.carry(ts, made + delay, rows, 20, once=once)
    for size in (1, 9):
        carrier, parts, last = as_of.Carrier(2, 20, once=once), [], -1
        for k in range(0, 200, size):
            piece = ts[k : k + size]
            new = (made > last) & (made <= piece[-1])  # handed over when made, known only `delay` later
            parts.append(carrier.advance(piece, made[new] + delay, rows[new]))
            other = as_of.Carrier(2, 20, once=once)
            other.state = carrier.state
            carrier, last = other, piece[-1]
        assert np.concatenate(parts).tobytes() == whole.tobytes()
        assert len(carrier.state["at"]) < 20
