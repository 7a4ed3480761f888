"""Small operators of options, models and the policy's own words, by hand and against scipy."""

import numpy as np
import pandas as pd
from flow_runner import run_operator
from scipy.spatial.distance import jensenshannon

from mia.domain.rng import generator

NAN = np.nan


def close_to(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_scaled_multiplies_and_clips():
    close_to(run_operator("scaled", [1.0, -4.0, 9.0, NAN], factor=0.5, low=-1, high=3), [0.5, -1, 3, NAN])
    close_to(run_operator("scaled", [1e12, -1e12], factor=2), [2e12, -2e12])


def test_shrunk_ratio_is_a_mean_that_fades_with_its_weight():
    got = run_operator("shrunk_ratio", [3.0, 0.2, 0.0, NAN], [4.0, 0.25, 0.0, 1.0], floor=1)
    close_to(got, [0.75, 0.2, 0, NAN])


def test_pin_strength_is_share_times_nearness_times_lateness():
    got = run_operator(
        "pin", [0.5, 0.5, 0.5, 0.5, NAN], [0.0, -40.0, 0.0, 0.0, 0.0], [40.0, 40, 40, 0, 40], [0.2, 1.0, 4.0, 1, 1]
    )
    close_to(got, [0.5, 0.5 / np.e, 0.25, NAN, NAN])


def test_likeliest_is_the_first_of_the_largest():
    close_to(
        run_operator("likeliest", [0.2, 0.5, 0.4, NAN], [0.5, 0.5, 0.2, 1.0], [0.3, 0.0, 0.4, 0.0]), [1, 0, 0, NAN]
    )


def test_divergence_of_forecasts_equals_scipys():
    rng = generator(5, "js")
    p, q = rng.dirichlet(np.ones(3), 50), rng.dirichlet(np.ones(3), 50)
    got = run_operator("js_divergence", *(3 * p).T, *q.T)
    np.testing.assert_allclose(got, jensenshannon(p, q, axis=1) ** 2, rtol=1e-9, atol=1e-14)


def test_divergence_is_zero_for_equals_and_ln_2_for_strangers():
    got = run_operator("js_divergence", [0.3, 1.0, NAN], [0.7, 0.0, 1.0], [0.3, 0.0, 0.5], [0.7, 1.0, 0.5])
    close_to(got, [0, np.log(2), NAN])


def test_shortfall_is_the_share_below_the_mean_of_the_window():
    rng = generator(6, "drop")
    confidence = rng.uniform(1 / 3, 1, 100)
    confidence[40] = NAN
    mean = pd.Series(confidence).rolling(20).mean()
    close_to(
        run_operator("shortfall", confidence, n=20), np.maximum(0, (mean - confidence) / mean).to_numpy(na_value=NAN)
    )


def test_paired_correlation_skips_bars_that_lack_one_of_the_two():
    rng = generator(7, "paired")
    a, b = rng.normal(size=200), rng.normal(size=200)
    a[rng.random(200) < 0.3] = NAN
    got = run_operator("paired_corr", a, b, n=50, max_gap=30)
    good = np.flatnonzero(np.isfinite(a))
    for t in range(200):
        pairs = good[good <= t][-50:]
        if len(pairs) < 50:
            assert np.isnan(got[t])
        else:
            assert abs(got[t] - np.corrcoef(a[pairs], b[pairs])[0, 1]) < 1e-12


def test_paired_correlation_grows_too_old():
    a = np.concatenate([np.arange(10.0), np.full(10, NAN)])
    got = run_operator("paired_corr", a, -np.arange(20.0), n=5, max_gap=4)
    close_to(got, [NAN] * 4 + [-1.0] * 9 + [NAN] * 7)
