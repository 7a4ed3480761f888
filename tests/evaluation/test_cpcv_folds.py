"""Sessions cut into groups: what is learned from is whole and away from every test, and paths keep every cent."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from test_walk_forward import SETTINGS

from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.evaluation.cpcv_folds import paths, plan, whole_sessions
from mia.evaluation.performance import Outcome, joined
from mia.evaluation.settings import CpcvSettings

CPCV = CpcvSettings(name="test", groups=6, chosen=2, min_train_sessions=3, most_splits=100)
JUDGE = replace(SETTINGS, warmup_sessions=1, purge_bars=30, embargo_bars=60)


def sessions(lengths):
    """(T,) session of each row, given how long each is; they need not be numbered from 0."""
    return np.repeat(np.arange(len(lengths)) + 3, lengths)


def test_every_choice_of_groups_is_tested_by_what_lies_away_from_it():
    session = sessions([100] * 20)
    cut = plan(session, 400, JUDGE, CPCV)
    assert cut.edges.tolist() == [400, 600, 900, 1200, 1400, 1700, 2000]
    assert cut.sessions.tolist() == [2, 3, 3, 2, 3, 3]
    assert [cut.tested(k) for k in range(15)] == list(combinations(range(6), 2))
    for folds in cut.splits:
        train = folds[0].train
        assert all(fold.train is train for fold in folds)
        for fold in folds:
            # 30 bars before a test and 90 after it touch one session each; that session is left out whole.
            away = np.concatenate([train[train < fold.test.start] - fold.test.start, [-200]])
            assert away.max() < -100
            later = np.concatenate([train[train >= fold.test.stop] - fold.test.stop, [200]])
            assert later.min() >= 100
        tested = np.concatenate([np.arange(fold.test.start, fold.test.stop) for fold in folds])
        rows = np.concatenate([train, folds[0].gap, tested])
        assert len(np.unique(rows)) == len(rows)
        assert rows.min() == 100  # the first session is warm-up
        assert folds[0].train_sessions == len(np.unique(session[train]))
        assert len(train) == 100 * folds[0].train_sessions


def test_no_purged_row_is_learned_from_in_a_thousand_random_cuts():
    rng = generator(2, "cpcv folds")
    for _ in range(60):
        session = sessions(rng.integers(20, 120, int(rng.integers(24, 40))))
        judge = replace(JUDGE, purge_bars=int(rng.integers(0, 50)), embargo_bars=int(rng.integers(0, 90)))
        cut = plan(session, int(rng.integers(0, 300)), judge, replace(CPCV, min_train_sessions=1))
        for folds in cut.splits:
            learned = np.zeros(len(session), bool)
            learned[folds[0].train] = True
            for fold in folds:
                reach = slice(max(fold.test.start - judge.purge_bars, 0), fold.test.stop + judge.purge_bars)
                assert not learned[reach].any()
                assert not learned[fold.test.stop : fold.test.stop + judge.purge_bars + judge.embargo_bars].any()
            for number in np.unique(session):
                assert len(set(learned[session == number])) == 1


def test_only_whole_sessions_are_kept():
    session = sessions([3, 2, 4])
    assert whole_sessions(np.array([0, 1, 3, 4, 5, 6, 7, 8]), session).tolist() == [3, 4, 5, 6, 7, 8]
    assert whole_sessions(np.array([1, 2, 4]), session).tolist() == []


def test_tests_begin_where_features_are_complete_and_what_lies_before_is_learned_from():
    session = sessions([100] * 20)
    cut = plan(session, 750, JUDGE, CPCV)  # within session 7: the first whole one after it is tested first
    assert cut.edges[0] == 800
    assert all(folds[0].train[0] == 100 for folds in cut.splits)
    last = cut.splits[-1][0]  # tests the last two groups
    assert set(range(100, 800)) <= set(last.train.tolist())


@pytest.mark.parametrize(
    ("lengths", "testable", "settings", "why"),
    [
        ([100] * 8, 400, CPCV, "4 of them can be tested and 6 groups need one each"),
        ([100] * 10, 100, replace(CPCV, min_train_sessions=9), "leaves . whole ones to learn from, at least 9"),
        ([100] * 9, 700, replace(CPCV, groups=2, chosen=1), "some of them after the first fit"),
        ([20] * 10, 100, replace(CPCV, groups=3), "no row to learn from|whole ones to learn from"),
        ([100], 0, CPCV, "0 of them can be tested"),
    ],
)
def test_too_few_sessions_are_refused_with_a_remedy(lengths, testable, settings, why):
    with pytest.raises(ConfigurationError, match=rf"sessions are too few \(.*({why}).*lower cpcv.groups"):
        plan(sessions(lengths), testable, JUDGE, settings)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"groups": 1}, "groups must be at least 2, was 1"),
        ({"chosen": 6}, "chosen must lie between 1 and 5"),
        ({"chosen": 0}, "chosen must lie between 1 and 5"),
        ({"groups": 20, "chosen": 8}, "8 of 20 groups train 125970 policies"),
        ({"min_train_sessions": 0}, "min_train_sessions must be at least 1"),
    ],
)
def test_impossible_settings_are_refused(change, why):
    with pytest.raises(ConfigurationError, match=why):
        replace(CPCV, **change)


def made_up(cut, session, seed):
    """Per split, one outcome for each tested group, of random money and positions."""
    rng = generator(seed, "outcomes")
    out = []
    for folds in cut.splits:
        parts = []
        for fold in folds:
            n = fold.test.stop - fold.test.start
            position = np.concatenate([[0], rng.integers(-1, 2, n - 1)])
            gross, cost = (np.concatenate([[0], rng.integers(0, 90, n - 1)]).cumsum() for _ in range(2))
            parts.append(
                Outcome(
                    equity_cents=gross - cost,
                    gross_cents=gross,
                    cost_cents=cost,
                    position=position,
                    ts=np.arange(fold.test.start, fold.test.stop) + 1,
                    session=session[fold.test],
                    sides=int(np.abs(np.diff(position)).sum() + abs(position[-1])),
                )
            )
        out.append(parts)
    return out


def test_a_path_is_its_groups_end_to_end_and_all_paths_use_every_test_once():
    session = sessions([7] * 24)
    cut = plan(session, 30, replace(JUDGE, purge_bars=3, embargo_bars=2), CPCV)
    parts = made_up(cut, session, 1)
    found = paths(cut, parts)
    assert len(found) == 5
    # By hand, from the book's table: path 1 takes group 1 from split 1, group 2 from 1, 3 from 2, 4 from 3, ...
    place = {(k, group): i for k in range(15) for i, group in enumerate(cut.tested(k))}
    table = [[0, 0, 1, 2, 3, 4], [1, 5, 5, 6, 7, 8]]
    for path, splits in zip(found, table, strict=False):
        by_hand = joined([parts[k][place[k, group]] for group, k in enumerate(splits)])
        for name in ("equity_cents", "gross_cents", "cost_cents", "position", "ts", "session"):
            np.testing.assert_array_equal(getattr(path, name), getattr(by_hand, name))
        assert path.sides == by_hand.sides
    assert sum(path.equity_cents[-1] for path in found) == sum(p.equity_cents[-1] for ps in parts for p in ps)
    assert sum(path.sides for path in found) == sum(p.sides for ps in parts for p in ps)
    np.testing.assert_array_equal(found[0].ts, np.arange(cut.edges[0], cut.edges[-1]) + 1)
