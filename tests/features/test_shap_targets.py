"""What is explained: labels by hand, barriers by hand, uniqueness by hand."""

from dataclasses import replace

import numpy as np
import pytest
from shap_cases import SETTINGS

from mia.domain.rng import generator
from mia.features.shap_weighting.targets import barrier_classes, forward_labels, targets, uniqueness, volatility


def walk(rows=400, sessions=2):
    rng = generator(2, "labels")
    return 1000 + np.cumsum(rng.integers(-3, 4, rows)), np.arange(rows) // (rows // sessions)


def test_labels_never_leave_their_session_or_fold():
    close, session = walk()
    settings = replace(SETTINGS, horizons=(5,), volatility_bars=20)
    labels = forward_labels(close, session, settings)[:, 0]
    assert np.isnan(labels[195:200]).all()
    assert np.isnan(labels[395:]).all()
    assert np.isnan(labels[:20]).all()
    t = 100
    deviation = np.sqrt(np.mean(np.diff(close)[t - 20 : t] ** 2.0))
    assert labels[t] == pytest.approx((close[t + 5] - close[t]) / (deviation * np.sqrt(5)))


def test_volatility_does_not_see_the_gap_between_sessions():
    close, session = walk()
    jumped = close + 500 * session
    np.testing.assert_array_equal(volatility(jumped, session, 20), volatility(close, session, 20))


def test_class_is_the_barrier_touched_first_by_a_loop_that_looks_bar_by_bar():
    close, session = walk()
    settings = replace(SETTINGS, barrier_bars=12, barrier_width=0.8, volatility_bars=20)
    classes, ends = barrier_classes(close, session, settings)
    scale = volatility(close, session, 20)
    for t in range(400):
        if t + 12 >= 400 or session[t + 12] != session[t] or np.isnan(scale[t]):
            assert np.isnan(classes[t])
            assert ends[t] == -1
            continue
        distance, expected = 0.8 * scale[t] * np.sqrt(12), (1.0, t + 12)
        for u in range(t + 1, t + 13):
            if abs(close[u] - close[t]) >= distance:
                expected = (2.0 if close[u] > close[t] else 0.0, u)
                break
        assert (classes[t], ends[t]) == expected
    assert set(classes[np.isfinite(classes)]) == {0.0, 1.0, 2.0}


def test_labels_that_share_bars_weigh_less():
    # Spans: row 0 uses bars 1-2, row 1 uses 2-3, row 4 uses bar 5 alone.
    weights = uniqueness(np.array([2, 3, -1, -1, 5, -1]))
    plain = np.array([(1 + 1 / 2) / 2, (1 / 2 + 1) / 2, 0, 0, 1, 0])
    np.testing.assert_allclose(weights, plain / plain[[0, 1, 4]].mean())
    assert uniqueness(np.array([-1, -1])).tolist() == [0.0, 0.0]


def test_labels_that_end_early_weigh_more_than_those_that_wait():
    close, session = walk()
    settings = replace(SETTINGS, horizons=(12,), barrier_bars=12, barrier_width=0.8, volatility_bars=20)
    found = targets(close, session, settings)
    assert found.classes == (0, 3)
    fixed, barrier = found.weights.T
    inside = slice(60, 150)  # far from both ends of a session every fixed span overlaps as many others
    assert np.ptp(fixed[inside]) < 1e-12
    _, ends = barrier_classes(close, session, settings)
    length = ends - np.arange(400)
    known = np.flatnonzero(found.known)
    assert barrier[known][length[known] <= 2].mean() > barrier[known][length[known] == 12].mean()
    assert barrier[known].mean() == pytest.approx(1.0, abs=0.05)


def test_without_barriers_only_returns_are_explained():
    close, session = walk()
    found = targets(close, session, replace(SETTINGS, horizons=(5, 15), barrier_bars=0))
    assert found.classes == (0, 0)
    assert found.labels.shape == (400, 2)
