"""Folds never let training touch the test."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mia.domain.errors import ConfigurationError, DataError
from mia.evaluation.settings import BaselineSettings, EvaluationSettings
from mia.evaluation.walk_forward import folds

CONF = Path(__file__).resolve().parents[2] / "conf" / "evaluation" / "walk_forward.yaml"


def evaluation_settings():
    body = yaml.safe_load(CONF.read_text())
    body["baselines"] = BaselineSettings(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in body["baselines"].items()}
    )
    return EvaluationSettings(**body)


SETTINGS = replace(evaluation_settings(), min_train_share=0.0)


@given(
    lengths=st.lists(st.integers(1, 40), min_size=4, max_size=40),
    scheme=st.sampled_from(["anchored", "rolling"]),
    n_folds=st.integers(1, 6),
    least=st.integers(1, 8),
    warmup=st.integers(0, 3),
    purge=st.integers(0, 30),
    embargo=st.integers(0, 30),
)
@hypothesis_settings(max_examples=300, deadline=None)
def test_no_fold_lets_a_training_label_reach_its_test(lengths, scheme, n_folds, least, warmup, purge, embargo):
    session = np.repeat(np.arange(len(lengths)) + 7, lengths)
    settings = replace(
        SETTINGS,
        scheme=scheme,
        n_folds=n_folds,
        min_train_sessions=least,
        min_train_share=0.0,
        warmup_sessions=warmup,
        purge_bars=purge,
        embargo_bars=embargo,
    )
    try:
        found = folds(session, settings)
    except ConfigurationError:
        found = None
    if found is None:  # only for one of the two reasons that really make folds impossible
        assert len(lengths) < warmup + least + n_folds or min(lengths) * least <= purge + embargo
        return
    assert [fold.index for fold in found] == list(range(n_folds))
    tested = np.concatenate([np.arange(fold.test.start, fold.test.stop) for fold in found])
    # Tests are contiguous, disjoint, and end with the last row.
    assert tested.tolist() == list(range(tested[0], len(session)))
    for fold in found:
        assert 0 <= fold.train.start < fold.train.stop
        last_train = fold.train.stop - 1
        assert last_train + purge + embargo < fold.test.start
        assert fold.gap == slice(fold.train.stop, fold.test.start)
        assert session[fold.test.start] != session[fold.test.start - 1]
        assert session[fold.train.start] >= 7 + warmup
        assert len(np.unique(session[fold.test])) == fold.test_sessions
        assert len(np.unique(session[fold.train])) == fold.train_sessions
        if fold.test.stop < len(session):
            assert session[fold.test.stop] != session[fold.test.stop - 1]


def test_anchored_training_grows_and_rolling_training_keeps_its_sessions():
    session = np.repeat(np.arange(25), 100)
    anchored = folds(session, SETTINGS)
    rolling = folds(session, replace(SETTINGS, scheme="rolling"))
    # 25 - 1 warm-up - 8 training = 16 sessions, 5 per fold; the session left over goes to training.
    assert [fold.test_sessions for fold in anchored] == [5, 5, 5]
    assert [fold.train.start for fold in anchored] == [100, 100, 100]
    assert [fold.train.stop for fold in anchored] == [910, 1410, 1910]
    assert [fold.train.start for fold in rolling] == [100, 600, 1100]
    assert [fold.test for fold in rolling] == [fold.test for fold in anchored]


def test_too_few_sessions_are_refused_with_numbers_and_remedy():
    with pytest.raises(ConfigurationError, match=r"5 sessions are too few, 12 are needed.*n_folds"):
        folds(np.repeat(np.arange(5), 100), SETTINGS)


def test_gap_that_eats_the_training_is_refused():
    with pytest.raises(ConfigurationError, match="embargo"):
        folds(np.repeat(np.arange(12), 5), SETTINGS)


def test_sessions_that_go_back_are_refused():
    with pytest.raises(DataError, match="sort"):
        folds(np.array([0, 1, 0]), SETTINGS)


@pytest.mark.parametrize(
    ("field", "value"),
    [("scheme", "random"), ("n_folds", 0), ("purge_bars", -1), ("confidence", 1.0), ("bootstrap_samples", 5)],
)
def test_impossible_settings_are_refused_naming_the_field(field, value):
    with pytest.raises(ConfigurationError, match=field):
        replace(SETTINGS, **{field: value})


def test_training_never_gets_less_than_its_share_of_the_sessions():
    session = np.repeat(np.arange(41), 100)
    first = folds(session, replace(SETTINGS, min_train_share=0.5))[0]
    assert first.train_sessions >= 20
