"""Combinatorial purged cross-validation against the published example, hand-made cases and skfolio."""

import numpy as np
import pytest

from mia.domain.rng import generator
from mia.evaluation import cpcv


def test_six_groups_of_which_two_are_tested_give_the_books_fifteen_splits_and_five_paths():
    assert (cpcv.split_count(6, 2), cpcv.path_count(6, 2)) == (15, 5)
    assert (cpcv.split_count(10, 2), cpcv.path_count(10, 2)) == (45, 9)
    # Lopez de Prado (2018), 12.4: path 1 is (G1,S1)(G2,S1)(G3,S2)(G4,S3)(G5,S4)(G6,S5),
    # path 2 is (G1,S2)(G2,S6)(G3,S6)(G4,S7)(G5,S8)(G6,S9); splits are numbered from 1 there.
    found = cpcv.paths(6, 2) + 1
    assert found[0].tolist() == [1, 1, 2, 3, 4, 5]
    assert found[1].tolist() == [2, 6, 6, 7, 8, 9]
    assert found.shape == (5, 6)


def test_one_tested_group_is_ordinary_cross_validation_with_one_path():
    found = list(cpcv.splits(cpcv.group_edges(12, 4), 1, 0, 0))
    assert [split.test.tolist() for split in found] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    for split in found:
        assert sorted([*split.train, *split.test]) == list(range(12))
    assert cpcv.paths(4, 1).tolist() == [[0, 1, 2, 3]]


def test_purge_takes_both_sides_and_embargo_only_what_follows():
    found = {split.groups: split for split in cpcv.splits(np.array([0, 10, 20, 30, 40]), 1, 2, 3)}
    assert found[(1,)].train.tolist() == [*range(8), *range(25, 40)]
    assert found[(0,)].train.tolist() == list(range(15, 40))
    assert found[(3,)].train.tolist() == list(range(28))


def test_no_label_of_training_overlaps_one_of_the_test_in_ten_thousand_random_cases():
    rng = generator(1, "cpcv")
    checked = 0
    while checked < 10_000:
        groups = int(rng.integers(3, 8))
        # The smallest group is longer than two purges and an embargo, so every split keeps rows to learn from.
        edges = np.concatenate(([0], np.cumsum(rng.integers(10, 30, groups))))
        purge, embargo = (int(size) for size in rng.integers(0, 4, 2))
        found = list(cpcv.splits(edges, int(rng.integers(1, groups - 1)), purge, embargo))
        for split in found:
            checked += 1
            away = np.abs(split.train[:, None] - split.test[None, :])
            assert away.min() > purge
            after = split.train[:, None] - split.test[None, :]
            assert after[after > 0].size == 0 or after[after > 0].min() > purge + embargo
            # Nothing is left out without need: every other row is within reach of a test row.
            for row in np.setdiff1d(np.arange(edges[-1]), np.union1d(split.train, split.test)):
                gap = row - split.test
                assert np.any((gap >= -purge) & (gap <= purge + embargo))


@pytest.mark.parametrize(("rows", "groups", "chosen", "purge", "embargo"), [(120, 10, 2, 3, 2), (90, 6, 3, 2, 0)])
def test_splits_and_paths_are_those_of_skfolio(rows, groups, chosen, purge, embargo):
    selection = pytest.importorskip("skfolio.model_selection")
    theirs = selection.CombinatorialPurgedCV(
        n_folds=groups, n_test_folds=chosen, purged_size=purge, embargo_size=embargo
    )
    ours = list(cpcv.splits(cpcv.group_edges(rows, groups), chosen, purge, embargo))
    assert (theirs.get_n_splits(), theirs.n_test_paths) == (len(ours), cpcv.path_count(groups, chosen))
    for split, (train, tests) in zip(ours, theirs.split(np.zeros((rows, 1))), strict=True):
        np.testing.assert_array_equal(split.train, train)
        np.testing.assert_array_equal(split.test, np.sort(np.concatenate(tests)))
    np.testing.assert_array_equal(cpcv.paths(groups, chosen), theirs.recombined_paths.T)


def test_paths_put_every_row_together_once_from_splits_that_tested_it():
    edges = np.array([0, 3, 8, 10, 17, 21])
    found = list(cpcv.splits(edges, 2, 0, 0))
    rows = cpcv.assemble(edges, 2, [split.test for split in found])
    np.testing.assert_array_equal(rows, np.tile(np.arange(21), (4, 1)))
    split_of = cpcv.assemble(edges, 2, [np.full(len(split.test), k) for k, split in enumerate(found)])
    for path in split_of:
        for row, split in enumerate(path):
            assert row in found[split].test
    # A row's test is used once per path, never twice.
    assert all(len(set(split_of[:, row])) == 4 for row in range(21))


def test_impossible_splits_are_refused():
    edges = cpcv.group_edges(20, 5)
    for chosen in (0, 5):
        with pytest.raises(ValueError, match="between 1 and 4"):
            next(cpcv.splits(edges, chosen, 0, 0))
    with pytest.raises(ValueError, match="no row to learn from"):
        list(cpcv.splits(edges, 2, 9, 9))
    with pytest.raises(ValueError, match="no group may be empty"):
        next(cpcv.splits(np.array([0, 5, 5, 9]), 1, 0, 0))


def test_rows_of_the_head_are_always_learned_from_but_for_the_purge_before_the_first_group():
    found = {split.groups: split for split in cpcv.splits(np.array([10, 20, 30, 40]), 1, 2, 3, head=6)}
    assert found[(0,)].train.tolist() == [*range(4, 8), *range(25, 40)]
    assert found[(2,)].train.tolist() == list(range(4, 28))
    assert found[(1,)].test.tolist() == list(range(20, 30))
