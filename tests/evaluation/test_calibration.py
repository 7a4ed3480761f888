"""Calibration: scikit-learn, closed forms, and models known to be perfect or wrong."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from mia.domain.rng import generator
from mia.evaluation import calibration


@pytest.fixture
def rng(request):
    return generator(100, "test_calibration", request.node.name)


def perfect(rng, n):
    told = rng.beta(2, 2, n)
    return told, (rng.random(n) < told).astype(int)


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (1, 20), (7, 20), (10, 20), (20, 20), (0, 1), (950, 1000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_interval_is_scipys(hits, n, confidence):
    expected = binomtest(hits, n).proportion_ci(confidence, method="wilson")
    assert calibration.wilson(hits, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_refuses_what_is_no_share():
    for hits, n in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="hits must lie between 0 and n"):
            calibration.wilson(hits, n)


def test_true_quantiles_cover_their_levels_and_narrow_ones_do_not(rng):
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    centre = rng.normal(size=4000)
    realised = centre + rng.normal(size=4000)
    true = centre[:, None] + norm.ppf(levels)
    assert all(row["within"] for row in calibration.coverage(true, levels, realised, confidence=0.999))
    narrow = calibration.coverage(centre[:, None] + 0.5 * norm.ppf(levels), levels, realised)
    # A quantile half as far out covers Phi(z / 2).
    assert [row["covered"] for row in narrow] == pytest.approx(norm.cdf(0.5 * norm.ppf(levels)), abs=0.03)
    assert [row["within"] for row in narrow] == [False, False, True, False, False]


def test_coverage_counts_by_hand():
    rows = calibration.coverage([[0.0, 2.0], [0.0, 2.0], [5.0, 9.0], [0.0, 1.0]], [0.1, 0.9], [0.0, 1.0, 4.0, 3.0])
    assert [(row["level"], row["covered"], row["n"]) for row in rows] == [(0.1, 0.5, 4), (0.9, 0.75, 4)]
    expected = binomtest(2, 4).proportion_ci(0.95, method="wilson")
    assert (rows[0]["low"], rows[0]["high"]) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("quantiles", "levels", "realised", "message"),
    [
        ([[1.0]], [0.5], [1.0, 2.0], "quantiles must be"),
        (np.zeros((0, 1)), [0.5], [], "not empty"),
        ([[1.0, np.nan]], [0.1, 0.9], [1.0], "must be finite"),
        ([[1.0, 2.0]], [0.9, 0.1], [1.0], "levels must increase"),
        ([[1.0]], [1.0], [1.0], "levels must increase"),
    ],
)
def test_coverage_refuses_what_it_cannot_judge(quantiles, levels, realised, message):
    with pytest.raises(ValueError, match=message):
        calibration.coverage(quantiles, levels, realised)


def test_brier_and_log_loss_are_scikit_learns(rng):
    told, came = perfect(rng, 500)
    assert calibration.brier(told, came) == pytest.approx(brier_score_loss(came, told), rel=1e-12)
    assert calibration.log_loss(told, came) == pytest.approx(sklearn_log_loss(came, told), rel=1e-12)


def test_a_certain_error_costs_much_but_not_infinitely_much():
    assert calibration.log_loss([1.0], [0]) == pytest.approx(-np.log(1e-15), rel=1e-4)
    assert calibration.log_loss([1.0, 0.0], [1, 0]) == pytest.approx(0.0, abs=1e-14)


def test_reliability_curve_is_scikit_learns_with_binomial_intervals(rng):
    told, came = perfect(rng, 700)
    rows = calibration.reliability(told, came, bins=10)
    happened, mean = calibration_curve(came, told, n_bins=10, strategy="uniform")
    assert [row["happened"] for row in rows] == pytest.approx(happened)
    assert [row["told"] for row in rows] == pytest.approx(mean)
    assert sum(row["n"] for row in rows) == 700
    for row in rows:
        expected = binomtest(round(row["happened"] * row["n"]), row["n"]).proportion_ci(0.95, method="wilson")
        assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
        assert row["from"] <= row["told"] <= row["to"]


def test_a_band_holds_the_share_of_a_perfect_model_as_often_as_it_says(rng):
    inside = total = 0
    for _ in range(200):
        told = np.full(60, 0.3)
        (row,) = calibration.reliability(told, rng.random(60) < told)
        inside += row["band_low"] <= row["happened"] <= row["band_high"]
        total += 1
    # Discrete: the exact coverage of the band of 60 at 0.3 is 0.967; five deviations of 200 draws are 0.064.
    assert inside / total == pytest.approx(0.967, abs=0.064)


def test_probabilities_of_0_and_1_and_edges_have_their_bins():
    rows = calibration.reliability([0.0, 0.3, 1.0], [0, 1, 1], bins=10)
    assert [(row["from"], row["n"]) for row in rows] == [(0.0, 1), (pytest.approx(0.3), 1), (0.9, 1)]


def test_skill_by_hand_and_its_interval_around_it(rng):
    told, came = [0.8, 0.2, 0.6, 0.4], [1, 0, 0, 1]
    # Brier (0.04 + 0.04 + 0.36 + 0.36) / 4 = 0.2 against 0.25 of the base rate one half.
    assert calibration.brier_skill(told, came, rng)[0] == pytest.approx(0.2)
    # Against a base rate of 0.7: (0.09 + 0.49 + 0.49 + 0.09) / 4 = 0.29.
    assert calibration.brier_skill(told, came, rng, base_rate=0.7)[0] == pytest.approx(1 - 0.2 / 0.29)


def test_skill_is_above_zero_where_something_is_known_and_not_where_nothing_is(rng):
    told, came = perfect(rng, 2000)
    skill, low, high = calibration.brier_skill(told, came, rng, samples=500)
    # Beta(2, 2): the variance explained is 0.05 of 0.25.
    assert low < 0.2 < high
    assert 0 < low < skill < high
    coin = rng.random(2000) < 0.5
    _, low, high = calibration.brier_skill(0.5 + 0.02 * rng.normal(size=2000), coin, rng, samples=500)
    assert low < 0 < high + 0.005  # noise around the base rate earns nothing and costs 0.0016 on average
    _, _, high = calibration.brier_skill(told, rng.permutation(came), rng, samples=500)
    assert high < 0


def test_the_interval_of_the_skill_has_its_coverage(rng):
    hits = 0
    for _ in range(100):
        told, came = perfect(rng, 300)
        _, low, high = calibration.brier_skill(told, came, rng, base_rate=0.5, samples=200)
        hits += low <= 0.2 <= high
    assert 85 <= hits <= 100


def test_neighbouring_rows_that_are_alike_widen_the_interval(rng):
    told, came = perfect(rng, 400)
    _, low, high = calibration.brier_skill(told, came, rng, samples=400)
    _, low5, high5 = calibration.brier_skill(np.repeat(told, 5), np.repeat(came, 5), rng, samples=400)
    # Five copies of each row know no more than one.
    assert high5 - low5 == pytest.approx(high - low, rel=0.35)


def test_skill_is_undefined_where_only_one_thing_happened(rng):
    assert np.isnan(calibration.brier_skill([0.4, 0.6], [1, 1], rng)).all()


def test_calibration_error_by_hand():
    # Bins 0.2-0.3 and 0.7-0.8: |0.5 - 1| and |1.5 - 1| of four rows.
    assert calibration.ece([0.25, 0.25, 0.75, 0.75], [1, 0, 1, 0], bins=10) == pytest.approx(0.25)
    assert calibration.ece([0.0, 1.0], [0, 1]) == 0.0


@pytest.mark.parametrize(("n", "published"), [(500, 0.080), (2000, 0.039), (10_000, 0.018)])
def test_a_perfect_model_shows_the_published_calibration_error(rng, n, published):
    told = rng.beta(2, 2, n)
    assert calibration.ece_of_perfect(told, rng) == pytest.approx(published, rel=0.1)


def test_a_perfect_model_stays_below_its_ceiling_nineteen_times_in_twenty(rng):
    told = rng.beta(2, 2, 400)
    ceiling = calibration.ece_of_perfect(told, rng, samples=2000)
    below = np.mean([calibration.ece(told, rng.random(400) < told) <= ceiling for _ in range(1000)])
    assert below == pytest.approx(0.95, abs=0.03)


def test_the_ceiling_of_one_told_probability_is_a_binomial_quantile(rng):
    told = np.full(900, 0.5)
    # |share - 1/2| of 900 coins: normal with deviation 1/60.
    assert calibration.ece_of_perfect(told, rng, samples=8000) == pytest.approx(norm.ppf(0.975) / 60, rel=0.04)


def test_an_overconfident_model_is_above_the_ceiling(rng):
    told, came = perfect(rng, 2000)
    bold = np.where(told > 0.5, (1 + told) / 2, told / 2)
    assert calibration.ece(bold, came) > 2 * calibration.ece_of_perfect(bold, rng)


def test_summary_holds_what_the_parts_say(rng):
    told, came = perfect(rng, 600)
    made = calibration.summary(told, came, rng)
    assert made["n"] == 600
    assert made["base_rate"] == pytest.approx(came.mean())
    assert made["brier"] == calibration.brier(told, came)
    assert made["brier_skill_ci"][0] < made["brier_skill"] < made["brier_skill_ci"][1]
    assert made["ece"] == calibration.ece(told, came)
    assert 0.04 < made["ece_of_perfect_p95"] < 0.1
    assert made["reliability"] == calibration.reliability(told, came)
    undefined = calibration.summary([0.5], [1], rng)
    assert undefined["brier_skill"] is None
    assert undefined["brier_skill_ci"] is None


@pytest.mark.parametrize(
    ("told", "came", "message"),
    [
        ([0.5], [1, 0], "must be \\(n,\\) alike"),
        ([], [], "n >= 1"),
        ([1.5], [1], "between 0 and 1"),
        ([np.nan], [1], "between 0 and 1"),
        ([0.5], [2], "outcomes must be 0 or 1"),
        ([0.5], [np.nan], "outcomes must be 0 or 1"),
    ],
)
def test_what_is_no_probability_or_outcome_is_refused(told, came, message, rng):
    for score in (calibration.brier, calibration.log_loss, calibration.ece, calibration.reliability):
        with pytest.raises(ValueError, match=message):
            score(told, came)
    with pytest.raises(ValueError, match=message):
        calibration.brier_skill(told, came, rng)
