"""Cutting the future off changes nothing that was known before: not a feature, belief, observation or action.

MIA_CUTS=200 python -m pytest tests/laws/test_no_future.py   # as many random cuts as you have patience for
"""

import os
from dataclasses import replace

import numpy as np
import pytest
import small_walk

from mia.domain.rng import generator
from mia.domain.series import CALENDAR, INDEX
from mia.task import features, regime, select, snapshots
from mia.task.watch import Watch

CUTS = int(os.environ.get("MIA_CUTS", "8"))


@pytest.fixture(scope="module")
def walk():
    """Everything that learns, on sessions of regular hours."""
    return small_walk.make("ES")


@pytest.fixture(scope="module")
def long_walk():
    """Whole sessions, nights included; nothing learns but scaler, regimes and memory."""
    more = ("source.hours=globex", "source.sessions=4", "encoder.kinds=[]", "awareness=off")
    return small_walk.make("ES", *more, "snapshots.first_sessions=1", "evaluation.warmup_sessions=0")


def edges(walk):
    """Row counts that cut at, just before and just after every session's end."""
    ends = np.flatnonzero(np.diff(walk.lesson.tape.session)) + 1
    return sorted({int(e) + d for e in ends for d in (-1, 0, 1)})


def random_cuts(walk, count):
    rng = generator(0, "test", "cuts")
    return sorted(int(r) for r in rng.integers(2, len(walk.made.bars), count))


def differences(whole, part, rows):
    """Names of what changed in the first `rows` rows."""
    pairs = {"table": (whole.table.block.table(whole.table.plans)[:rows], part.table.block.table(part.table.plans))}
    if part.lesson is not None:
        pairs |= of_fold(whole, part, rows)
    return [name for name, (a, b) in pairs.items() if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f")]


def of_fold(whole, part, rows):
    """What the fold sees and does, which begins with its fit."""
    return {
        "features": (whole.seen.block.features[:rows], part.seen.block.features),
        "view": (whole.seen.view[:rows], part.seen.view),
        "masks": (whole.seen.masks[:rows], part.seen.masks),
        "belief": (whole.seen.block.belief[:rows], part.seen.block.belief),
        "observation": (whole.lesson.tape.obs[:rows], part.lesson.tape.obs),
        "action": (actions(whole)[:rows], actions(part)),
        "must_flat": (whole.lesson.tape.must_flat[:rows], part.lesson.tape.must_flat),
        "may_enter": (whole.lesson.tape.may_enter[:rows], part.lesson.tape.may_enter),
    }


def actions(walk):
    return walk.policy.table(walk.lesson.tape.obs, np.array([-1.0, 0.0, 1.0]))


def test_random_cuts_change_nothing_before_them(walk):
    found = {rows: differences(walk, small_walk.cut(walk, rows), rows) for rows in random_cuts(walk, CUTS)}
    assert not {rows: names for rows, names in found.items() if names}


def test_random_cuts_through_whole_days_change_nothing_before_them(long_walk):
    cuts = random_cuts(long_walk, max(3, CUTS // 4))
    found = {rows: differences(long_walk, small_walk.cut(long_walk, rows), rows) for rows in cuts}
    assert not {rows: names for rows, names in found.items() if names}


def test_cuts_at_session_edges_change_nothing_before_them(walk):
    found = {rows: differences(walk, small_walk.cut(walk, rows), rows) for rows in edges(walk)}
    assert not {rows: names for rows, names in found.items() if names}


def test_the_test_can_fail_a_centred_window_is_caught(walk):
    column = walk.table.plans.names.index("log_return_1")

    def leaky(part):
        view = part.seen.view.copy()
        view[:-1, column] = view[1:, column]
        return replace(part, seen=replace(part.seen, view=view))

    rows = len(walk.made.bars) // 2
    assert "view" in differences(leaky(walk), leaky(small_walk.cut(walk, rows)), rows)


def test_what_a_fold_fits_does_not_depend_on_anything_after_its_training_rows(walk):
    stop = walk.state.fold.train.stop
    values = walk.made.bars.values.copy()
    rng = generator(0, "test", "poison")
    first_of_calendar = INDEX[CALENDAR[0]]
    values[stop:, :first_of_calendar] *= rng.integers(2, 5, size=(len(values) - stop, 1))  # prices stay whole ticks
    poisoned = replace(walk.made, bars=replace(walk.made.bars, values=values))
    table = features.make(walk.settings, poisoned, Watch(quiet=True))
    state = regime.make(walk.settings, poisoned, table, walk.state.fold)
    assert snapshots.parts(state.snapshot) == snapshots.parts(walk.state.snapshot)
    assert state.view.to_json() == walk.state.view.to_json()
    seen = regime.view(walk.settings, poisoned, table, state)
    assert select.make(walk.settings, poisoned, state, seen).to_json() == walk.lesson.selection.to_json()


def test_fits_follow_one_another_and_none_has_seen_a_row_it_transforms(walk):
    stops = [snapshot.fit_stop for snapshot in walk.table.snapshots]
    assert len(stops) >= 2
    assert stops == sorted(set(stops))
    for snapshot in walk.table.snapshots:
        last = int(walk.made.bars.ts[snapshot.fit_stop - 1])
        assert snapshot.fit_end == snapshot.scaler.fit_end == last
        for part in (snapshot.regime, snapshot.memory):
            assert np.datetime64(part.fitted_on[1].removesuffix("Z")) <= np.datetime64(last, "ns")
    assert walk.state.snapshot.fit_stop <= walk.state.fold.train.stop
    assert all(
        scaler.fit_end <= walk.made.bars.ts[walk.state.fold.train.stop - 1] for scaler in walk.state.view.scalers
    )
