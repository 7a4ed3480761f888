"""When a fit is due, and which rows it may read: both depend on the rows gone by alone."""

import numpy as np
import pytest

from mia.desk.feature_pipeline import Block
from mia.desk.settings import SnapshotSettings
from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.domain.series import INDEX, WIDTH
from mia.task.features import Recent, Schedule


def settings(first=3, growth=1.5, most_rows=500):
    return SnapshotSettings(name="test", first_sessions=first, growth=growth, most_rows=most_rows)


def sessions(lengths, first=41):
    """Ordinals of sessions of some lengths; a calendar does not begin at 0."""
    return np.repeat(np.arange(first, first + len(lengths)), lengths).astype(float)


def cuts(session, pieces, **changes):
    """Rows at which the schedule asks for a fit when the rows come in pieces of these lengths."""
    schedule, found, at = Schedule(settings(**changes)), [], 0
    for length in pieces:
        found += [at + row for row in schedule.cuts(session[at : at + length])]
        at += length
    assert at == len(session)
    return found


def expected(lengths, first, growth):
    """First rows of the sessions before which so many sessions are complete, counted out by hand."""
    due, starts = first, np.concatenate([[0], np.cumsum(lengths)])
    rows = []
    for complete in range(len(lengths)):
        if complete == due:
            rows.append(int(starts[complete]))
            due = max(due + 1, int(due * growth))
    return rows


def test_fits_come_after_8_14_24_42_and_73_sessions_by_default():
    plan, at, found = settings(first=8, growth=1.75), 0, []
    while at < 73:
        at = plan.next_after(at)
        found.append(at)
    assert found == [8, 14, 24, 42, 73]


def test_a_fit_is_due_at_the_first_row_after_so_many_complete_sessions():
    assert cuts(sessions([10] * 9), [90], first=3, growth=1.5) == [30, 40, 60]


def test_growth_below_one_session_still_waits_for_another():
    assert cuts(sessions([5] * 6), [30], first=1, growth=1.05) == [5, 10, 15, 20, 25]


def test_sessions_of_any_length_count_the_same_and_gaps_between_ordinals_do_not_count():
    lengths = [7, 1, 12, 3, 3, 30, 2, 9, 1, 1, 4]
    session = sessions(lengths)
    session[session > 44] += 5  # a week without data
    assert cuts(session, [len(session)], first=2, growth=1.4) == expected(lengths, 2, 1.4)


@pytest.mark.parametrize("seed", range(20))
def test_any_way_of_cutting_the_rows_into_chunks_gives_the_same_fits(seed):
    rng = generator(seed, "test", "schedule")
    lengths = rng.integers(1, 25, 40)
    session = sessions(lengths)
    edges = np.unique(np.concatenate([[0, len(session)], rng.integers(0, len(session), rng.integers(1, 60))]))
    first, growth = int(rng.integers(1, 9)), float(rng.uniform(1.05, 2.5))
    found = cuts(session, np.diff(edges), first=first, growth=growth)
    assert found == cuts(session, [len(session)], first=first, growth=growth) == expected(lengths, first, growth)
    assert found == cuts(session, [1] * len(session), first=first, growth=growth)


def test_fits_depend_only_on_sessions_gone_by():
    session = sessions([10] * 12)
    whole = cuts(session, [120])
    for rows in range(1, 121):
        assert cuts(session[:rows], [rows]) == [row for row in whole if row < rows]


def test_an_empty_chunk_changes_nothing():
    assert cuts(sessions([4] * 5), [0, 9, 0, 11, 0]) == cuts(sessions([4] * 5), [20])


@pytest.mark.parametrize(
    ("change", "field"),
    [({"first": 0}, "first_sessions"), ({"growth": 1.0}, "growth"), ({"most_rows": 499}, "most_rows")],
)
def test_a_schedule_that_makes_no_sense_is_refused_by_name(change, field):
    with pytest.raises(ConfigurationError, match=f"snapshots test: {field} must"):
        settings(**change)


def rows_from(start, count):
    """Rows whose every number says which row they are."""
    number = np.arange(start, start + count, dtype=float)
    values = np.tile(number[:, None], (1, WIDTH))
    columns = {name: np.tile(number[:, None], (1, 3)) for name in ("features", "model", "own", "belief")}
    return number.astype(np.int64), values, Block(**columns)


@pytest.mark.parametrize(
    "pieces", [[900], [500], [499], [1] * 700, [200, 300, 1], [3, 1200, 3], [1500, 10], [10, 1500]]
)
def test_a_lesson_is_the_newest_rows_and_never_more_than_most_rows(pieces):
    recent, done = Recent(500, 1), 0
    for count in pieces:
        recent.add(*rows_from(done, count))
        done += count
        lesson, first = recent.lesson(), max(0, done - 500)
        assert lesson.start == first
        assert lesson.ts.tolist() == list(range(first, done))
        assert np.array_equal(lesson.values[:, INDEX["bar.close"]], lesson.ts)
        for name in ("features", "model", "own", "belief"):
            assert np.array_equal(getattr(lesson.block, name)[:, 1], lesson.ts)


def test_rows_that_are_no_longer_needed_are_let_go():
    recent, done = Recent(500, 1), 0
    for _ in range(100):
        recent.add(*rows_from(done, 60))
        done += 60
        held = sum(len(piece[0]) for piece in recent._pieces)
        assert held < 500 + 60


def test_a_lesson_shows_its_rows_as_bars_that_were_known_at_their_close():
    recent = Recent(500, 5)
    recent.add(*rows_from(1, 30))
    bars = recent.lesson().bars("ES")
    assert (bars.market, bars.bar_minutes, len(bars)) == ("ES", 5, 30)
    assert np.array_equal(bars.available_at, bars.ts)
