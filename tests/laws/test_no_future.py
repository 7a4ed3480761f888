"""Cutting the future off changes nothing that was known before: not a feature, belief, observation or action.

MIA_CUTS=200 python -m pytest tests/laws/test_no_future.py   # as many random cuts as you have patience for
"""

import os
from dataclasses import replace

import numpy as np
import pytest
import small_walk

from mia.domain.rng import generator

CUTS = int(os.environ.get("MIA_CUTS", "12"))


@pytest.fixture(scope="module")
def walk():
    return small_walk.make("ES")


def edges(walk):
    """Row counts that cut at, just before and just after every session's end."""
    ends = np.flatnonzero(np.diff(walk.lesson.tape.session)) + 1
    return sorted({int(e) + d for e in ends for d in (-1, 0, 1)})


def random_cuts(walk):
    rng = generator(0, "test", "cuts")
    return sorted(int(r) for r in rng.integers(2, len(walk.made.bars), CUTS))


def differences(whole, part, rows):
    """Names of what changed in the first `rows` rows."""
    pairs = {
        "table": (whole.table.block.table(whole.table.plans)[:rows], part.table.block.table(part.table.plans)),
        "features": (whole.seen.block.features[:rows], part.seen.block.features),
        "view": (whole.seen.view[:rows], part.seen.view),
        "masks": (whole.seen.masks[:rows], part.seen.masks),
        "belief": (whole.seen.block.belief[:rows], part.seen.block.belief),
        "observation": (whole.lesson.tape.obs[:rows], part.lesson.tape.obs),
        "action": (actions(whole)[:rows], actions(part)),
        "must_flat": (whole.lesson.tape.must_flat[:rows], part.lesson.tape.must_flat),
        "may_enter": (whole.lesson.tape.may_enter[:rows], part.lesson.tape.may_enter),
    }
    return [name for name, (a, b) in pairs.items() if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f")]


def actions(walk):
    return walk.policy.table(walk.lesson.tape.obs, np.array([-1.0, 0.0, 1.0]))


def test_random_cuts_change_nothing_before_them(walk):
    found = {rows: differences(walk, small_walk.cut(walk, rows), rows) for rows in random_cuts(walk)}
    assert not {rows: names for rows, names in found.items() if names}


def test_cuts_at_session_edges_change_nothing_before_them(walk):
    found = {rows: differences(walk, small_walk.cut(walk, rows), rows) for rows in edges(walk)}
    assert not {rows: names for rows, names in found.items() if names}


def test_the_test_can_fail_a_centred_window_is_caught(walk):
    column = walk.state.plan.names.index("log_return_1")

    def leaky(part):
        view = part.seen.view.copy()
        view[:-1, column] = view[1:, column]
        return replace(part, seen=replace(part.seen, view=view))

    rows = len(walk.made.bars) // 2
    assert "view" in differences(leaky(walk), leaky(small_walk.cut(walk, rows)), rows)


def test_what_a_fold_fits_does_not_depend_on_anything_after_its_training_rows(walk):
    from mia.task import features, regime, select
    from mia.task.watch import Watch

    stop = walk.state.fold.train.stop
    values = walk.made.bars.values.copy()
    rng = generator(0, "test", "poison")
    values[stop:, : values.shape[1] - 24] *= rng.uniform(0.5, 2.0, size=(len(values) - stop, 1))
    poisoned = replace(walk.made, bars=replace(walk.made.bars, values=values))
    table = features.make(walk.settings, poisoned, Watch(quiet=True))
    state = regime.make(walk.settings, poisoned, table, walk.state.fold, None)
    assert state.fitted.to_json() == walk.state.fitted.to_json()
    assert state.scaler.to_json() == walk.state.scaler.to_json()
    assert state.regime.to_json() == walk.state.regime.to_json()
    seen = regime.view(poisoned, state)
    assert select.make(walk.settings, poisoned, state, seen).to_json() == walk.lesson.selection.to_json()
