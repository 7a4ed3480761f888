"""The regime model against hmmlearn, true parameters, and itself."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import yaml
from hmmlearn.hmm import GaussianHMM

from mia.domain.errors import ArtefactMismatch, ConfigurationError, DataError
from mia.domain.rng import generator
from mia.regime import regime_detector
from mia.regime.regime_detector import REGIMES, RegimeModel, detect_regime, fit, transitions_table
from mia.regime.settings import HmmSettings

SETTINGS = HmmSettings(
    name="test",
    inputs=("vol", "efficiency"),
    trend_input="efficiency",
    trend_rule="level",
    trend_margin=0.25,
    starts=4,
    start_jitter=0.5,
    start_iterations=8,
    max_iterations=80,
    tolerance=3e-5,
    sticky_bars=100.0,
    max_rows=10000,
    block_rows=500,
    min_variance=0.001,
    min_occupancy=0.01,
)
# True chain, states in the order trend, range, defensive.
TRANSMAT = np.array([[0.97, 0.02, 0.01], [0.02, 0.97, 0.01], [0.02, 0.02, 0.96]])
MEANS = np.array([[0.0, 1.2], [-0.8, -0.8], [2.0, 0.0]])
VARIANCES = np.array([[0.5, 0.6], [0.4, 0.5], [1.2, 0.8]])


def simulate(rows, seed):
    """States (T,) and inputs (T, 2) of the true chain."""
    rng = generator(seed, "chain")
    states = np.empty(rows, np.int64)
    state = 1
    for t in range(rows):
        state = rng.choice(3, p=TRANSMAT[state])
        states[t] = state
    return states, MEANS[states] + np.sqrt(VARIANCES[states]) * rng.standard_normal((rows, 2))


def as_model(transmat=TRANSMAT, means=MEANS, variances=VARIANCES):
    return RegimeModel(
        inputs=SETTINGS.inputs,
        names=REGIMES,
        startprob=regime_detector._stationary(transmat),
        transmat=transmat,
        means=means,
        variances=variances,
        log_likelihood=0.0,
        iterations=1,
        rows=1,
        converged=True,
    )


def as_hmmlearn(model):
    oracle = GaussianHMM(n_components=3, covariance_type="diag")
    oracle.startprob_, oracle.transmat_ = model.startprob, model.transmat
    oracle.means_, oracle.covars_ = model.means, model.variances
    return oracle


@pytest.fixture(scope="module")
def series():
    return simulate(6000, 11)


@pytest.fixture(scope="module")
def fitted(series):
    return fit(series[1][:4000], SETTINGS, generator(1, "hmm"))


def test_last_row_of_the_smoother_equals_the_filter_at_every_cut(series, fitted):
    X = series[1]
    beliefs = fitted.filter(X)
    oracle = as_hmmlearn(fitted)
    for stop in (1, 2, 17, 400, 3001):
        np.testing.assert_allclose(oracle.predict_proba(X[:stop])[-1], beliefs[stop - 1], atol=1e-9)
    # The smoother itself would have changed the past, which is why it is not used.
    assert np.abs(oracle.predict_proba(X[:400])[:-1] - beliefs[:399]).max() > 0.1


def test_filter_is_a_scan_of_step_bit_for_bit(series, fitted):
    X = series[1][:700]
    beliefs = fitted.filter(X)
    belief = fitted.initial
    for t, x in enumerate(X):
        belief = fitted.step(belief, x)
        assert belief.tobytes() == beliefs[t].tobytes()


def test_truncating_or_poisoning_the_future_changes_no_past_belief(series, fitted):
    X = series[1][:1500].copy()
    beliefs = fitted.filter(X)
    for cut in generator(5, "cuts").integers(1, 1500, 60):
        assert fitted.filter(X[:cut]).tobytes() == beliefs[:cut].tobytes()
    for poison in (1e6, np.nan):
        X[900:] = poison
        assert fitted.filter(X)[:900].tobytes() == beliefs[:900].tobytes()


def test_row_with_a_missing_input_keeps_the_predicted_belief(fitted):
    belief = np.array([0.2, 0.5, 0.3])
    after = fitted.step(belief, np.array([np.nan, 0.4]))
    np.testing.assert_allclose(after, belief @ fitted.transmat, atol=1e-15)


def test_outlier_far_from_every_state_still_gives_probabilities(fitted):
    after = fitted.step(fitted.initial, np.array([1e4, -1e4]))
    assert np.isfinite(after).all()
    assert after.sum() == pytest.approx(1, abs=1e-12)


def test_accuracy_is_near_the_filter_that_knows_the_true_parameters(series, fitted):
    states, X = series
    best = (as_model().filter(X)[4000:].argmax(axis=1) == states[4000:]).mean()
    ours = (fitted.filter(X)[4000:].argmax(axis=1) == states[4000:]).mean()
    assert best > 0.85  # the series is one on which there is something to find
    assert ours >= 0.97 * best


def test_columns_keep_their_meaning_over_twenty_refits_of_different_samples():
    _, X = simulate(9000, 23)
    previous = None
    for seed in range(20):
        start = int(generator(seed, "start").integers(0, 5000))
        alone = fit(X[start : start + 3000], SETTINGS, generator(seed, "hmm"))
        chained = fit(X[start : start + 3000], SETTINGS, generator(seed, "hmm"), previous)
        previous = chained
        for model in (alone, chained):
            assert model.names == ("trend", "range", "defensive")
            assert model.converged, model.note
            nearest = np.argmin(((model.means[:, None] - MEANS[None]) ** 2).sum(axis=2), axis=1)
            assert nearest.tolist() == [0, 1, 2]


def test_likelihood_is_no_worse_than_the_true_parameters(series, fitted):
    rows = series[1][:4000]
    assert fitted.log_likelihood * 4000 >= as_hmmlearn(as_model()).score(rows) - 5
    assert fitted.log_likelihood * 4000 == pytest.approx(as_hmmlearn(fitted).score(rows), abs=1.0)


def test_fit_that_does_not_converge_keeps_the_previous_model(series, fitted):
    hurried = replace(SETTINGS, start_iterations=1, max_iterations=2, tolerance=1e-12)
    kept = fit(series[1][:3000], hurried, generator(1, "x"), previous=fitted)
    assert kept.means is fitted.means
    assert "not converged in 2 iterations" in kept.note
    alone = fit(series[1][:3000], hurried, generator(1, "x"))
    assert not alone.converged
    assert "not converged" in alone.note


def test_states_follow_the_previous_fit_when_the_rule_would_swap_trend_and_range(series, fitted):
    order = [1, 0, 2]
    swapped = replace(fitted, means=fitted.means[order], variances=fitted.variances[order])
    model = fit(series[1][:4000], SETTINGS, generator(1, "hmm"), previous=swapped)
    np.testing.assert_allclose(model.means, fitted.means[order], atol=1e-6)
    assert "kept as in the previous fit" in model.note


def test_most_volatile_state_is_defensive_even_against_history(series, fitted):
    order = [2, 1, 0]
    swapped = replace(fitted, means=fitted.means[order], variances=fitted.variances[order])
    model = fit(series[1][:4000], SETTINGS, generator(1, "hmm"), previous=swapped)
    assert model.means[2, 0] == model.means[:, 0].max()
    assert "renamed by rule" in model.note


def test_drift_rule_takes_the_state_with_the_larger_drift_per_deviation():
    settings = replace(SETTINGS, trend_rule="drift")
    means = np.array([[0.0, 0.1], [5.0, 0.0], [0.1, -0.9]])
    variances = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 4.0]])
    assert regime_detector._ruled_order(means, variances, settings).tolist() == [2, 0, 1]


def test_json_round_trip_is_exact(series, fitted):
    again = RegimeModel.from_json(fitted.to_json())
    assert again.to_json() == fitted.to_json()
    assert again.filter(series[1][:200]).tobytes() == fitted.filter(series[1][:200]).tobytes()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"names": 3}'])
def test_damaged_json_is_refused_in_one_line(text):
    with pytest.raises(ArtefactMismatch, match="refit it") as caught:
        RegimeModel.from_json(text)
    assert "\n" not in str(caught.value)


def test_json_with_impossible_probabilities_is_refused(fitted):
    bent = replace(fitted, transmat=fitted.transmat * 1.1)
    with pytest.raises(ArtefactMismatch, match="impossible"):
        RegimeModel.from_json(bent.to_json())


def test_same_seed_gives_the_same_model(series):
    a, b = (fit(series[1][:2000], SETTINGS, generator(4, "hmm")) for _ in range(2))
    assert a.to_json() == b.to_json()


def test_rows_with_missing_inputs_are_left_out_of_the_fit(series, fitted):
    X = series[1][:4000].copy()
    X[::50] = np.nan
    model = fit(X, SETTINGS, generator(1, "hmm"))
    assert model.rows == 4000 - 80
    np.testing.assert_allclose(model.means, fitted.means, atol=0.12)


def test_history_longer_than_the_limit_is_sampled_in_blocks():
    _, X = simulate(3000, 7)
    model = fit(np.tile(X, (5, 1)), replace(SETTINGS, max_rows=4000), generator(1, "hmm"))
    assert model.rows == 4000
    assert model.converged


def test_too_few_rows_and_constant_inputs_are_refused(series):
    with pytest.raises(DataError, match="at least 100 complete rows, got 50"):
        fit(series[1][:50], SETTINGS, generator(1, "hmm"))
    flat = series[1][:500].copy()
    flat[:, 1] = 2.0
    with pytest.raises(DataError, match="efficiency does not vary"):
        fit(flat, SETTINGS, generator(1, "hmm"))


def test_transitions_table_has_a_row_per_pair_and_rows_sum_to_one(fitted):
    table = transitions_table(replace(fitted, fitted_on=("2026-01-05", "2026-01-30")), fold=2)
    assert len(table) == 9
    assert {row["fitted_to"] for row in table} == {"2026-01-30"}
    for first, second in pairwise(("trend", "range", "defensive")):
        assert sum(r["probability"] for r in table if r["from"] == first) == pytest.approx(1)
        assert any(r["from"] == first and r["to"] == second for r in table)


def test_detected_regime_is_the_most_probable_one():
    assert detect_regime(np.array([0.2, 0.5, 0.3])) == "range"


def test_shipped_option_reads_columns_of_the_catalogue_and_starts_with_a_volatility(root):
    body = yaml.safe_load((root / "conf" / "regime" / "hmm3.yaml").read_text())
    settings = HmmSettings(**{**body, "inputs": tuple(body["inputs"])})
    assert settings.inputs[0].startswith("realized_vol")
    assert settings.trend_input in settings.inputs


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("inputs", ()),
        ("trend_input", "absent"),
        ("starts", 0),
        ("tolerance", 0.0),
        ("max_rows", 5),
        ("trend_rule", "?"),
    ],
)
def test_impossible_settings_are_refused_naming_the_field(field, value):
    with pytest.raises(ConfigurationError, match=field):
        replace(SETTINGS, **{field: value})


def test_a_slow_fit_gets_all_the_iterations_it_was_promised():
    rng = generator(5, "test", "slow fit")
    X = rng.standard_normal((3000, len(SETTINGS.inputs)))  # no regimes at all: the likelihood creeps
    model = fit(X, replace(SETTINGS, starts=1, max_iterations=60, tolerance=1e-12), generator(0, "x"))
    assert model.iterations > 30
