"""The linear model an encoder has to beat."""

import encoder_cases as cases
import numpy as np
import pytest

from mia.encoder.linear import correlation, linear_check, ridge, ridge_forecast, sum_ahead


def test_ridge_finds_the_weights_that_made_the_target():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5000, 3))
    y = x @ [1.0, -2.0, 0.5] + 3.0 + 0.1 * rng.standard_normal(5000)
    weights, constant = ridge(x, y)
    np.testing.assert_allclose(weights, [1.0, -2.0, 0.5], atol=0.02)
    assert constant == pytest.approx(3.0, abs=0.02)


def test_ridge_does_not_look_at_rows_without_a_target():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1000, 3))
    y = x[:, 0] + 0.1 * rng.standard_normal(1000)
    y[500:] = np.nan
    poisoned = x.copy()
    poisoned[500:] = 1e6
    np.testing.assert_array_equal(ridge_forecast(x, y, x[:10]), ridge_forecast(poisoned, y, x[:10]))


def test_ridge_says_nothing_from_too_few_rows():
    assert np.isnan(ridge_forecast(np.ones((20, 2)), np.arange(20.0), np.ones((5, 2)))).all()


def test_a_sum_ahead_begins_after_the_row_and_stays_in_its_session():
    found = sum_ahead(np.array([1.0, 2, 4, 8, 16]), np.array([0, 0, 0, 0, 1]), 2)
    np.testing.assert_array_equal(found, [6.0, 12.0, np.nan, np.nan, np.nan])


def test_correlation_counts_only_what_both_know():
    a = np.arange(300.0)
    b = np.where(np.arange(300) < 200, a, np.nan)
    assert correlation(a, b) == pytest.approx(1.0)
    assert np.isnan(correlation(a, np.ones(300)))


def test_what_follows_the_held_out_rows_adds_the_noiseless_comparison(small_encoder):
    settings = cases.settings()
    learnt, later = cases.rows(), cases.rows(700, seed=30)
    found = linear_check(small_encoder, learnt, later, settings, bar_minutes=1.0, expected=later.view[:, 0])
    assert set(found) == {"lstm_return", "lstm_expected", "lstm_volatility", "cnn_return", "cnn_expected"}
    assert found["lstm_return"]["rows"] == 700 - 15 - 5 * 3  # warm-up, and the ends of three sessions


def test_a_long_enough_training_foresees_the_leaning_market_as_well_as_a_linear_model():
    settings = cases.settings(epochs=6, steps=10, sequences=8)
    learnt, later = cases.rows(4000), cases.rows(4000, seed=31)
    from mia.encoder.training import fit

    made = fit(learnt, settings, 1, bar_minutes=1.0)
    found = linear_check(made, learnt, later, settings, bar_minutes=1.0)
    for kind in ("lstm_return", "cnn_return"):
        assert found[kind]["encoder"] > 0.2, found
        assert found[kind]["encoder"] > found[kind]["window"] - 0.05, found
