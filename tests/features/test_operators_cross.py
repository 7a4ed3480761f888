"""Operators between markets against numpy and pandas, and by hand."""

import numpy as np
import pandas as pd
import pytest
from flow_runner import run_operator

from mia.domain.rng import generator

NAN = np.nan


def prices(name, T=400):
    """Own and partner's prices whose returns share a factor."""
    rng = generator(7, "cross", name)
    common = rng.normal(0, 3e-4, T)
    own = 20000 * np.exp(np.cumsum(common + rng.normal(0, 1e-4, T)))
    partner = 60000 * np.exp(np.cumsum(1.3 * common + rng.normal(0, 2e-4, T)))
    return own, partner


def returns(price):
    return np.diff(np.log(price), prepend=NAN)


def test_lead_residual_is_the_part_of_the_leaders_return_that_beta_up_to_the_bar_before_does_not_explain():
    own, leader = prices("lead")
    got = run_operator("lead_residual", leader, own, n=60)
    there, here = pd.Series(returns(leader)), pd.Series(returns(own))
    beta = (there.rolling(60).cov(here) / here.rolling(60).var()).shift(1)
    expected = there - beta * here
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-13)
    assert np.isnan(got[:61]).all()
    assert np.isfinite(got[61:]).all()


def test_lead_residual_takes_no_return_over_the_leaders_closed_hours_but_keeps_its_beta():
    own, leader = prices("night")
    closed = leader.copy()
    closed[150:250] = NAN
    got = run_operator("lead_residual", closed, own, n=60)
    assert np.isnan(got[150:251]).all()
    there, here = returns(closed), returns(own)
    both = np.flatnonzero(np.isfinite(there[:251]))[-60:]
    assert both[-1] == 149
    beta = np.polyfit(here[both], there[both], 1)[0]
    assert got[251] == pytest.approx(there[251] - beta * here[251], rel=1e-8)


def test_spread_is_the_z_score_of_one_prior_beta_over_the_whole_window():
    own, partner = prices("spread")
    n = 30
    got = run_operator("pair_spread", own, partner, n=n)
    here, there = returns(own), returns(partner)
    expected = np.full(len(own), NAN)
    for t in range(n + 1, len(own)):
        beta = np.polyfit(there[t - n : t], here[t - n : t], 1)[0]
        spread = np.log(own[t - n + 1 : t + 1]) - beta * np.log(partner[t - n + 1 : t + 1])
        expected[t] = np.clip((spread[-1] - spread.mean()) / spread.std(ddof=1), -5, 5)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7)


def test_spread_fills_its_window_again_after_a_bar_without_the_partner():
    own, partner = prices("gap")
    partner[200] = NAN
    got = run_operator("pair_spread", own, partner, n=30)
    assert np.isnan(got[200:232]).all()
    fresh = run_operator("pair_spread", own[201:], partner[201:], n=30)
    np.testing.assert_array_equal(got[201:], fresh)


def test_spread_of_a_partner_that_stands_still_has_no_beta():
    own, partner = prices("still")
    assert np.isnan(run_operator("pair_spread", own, np.full(len(partner), 5.0), n=30)).all()


def test_lead_lag_ratio_compares_correlations_with_earlier_and_later_returns():
    own, partner = (returns(price)[1:] for price in prices("lags"))
    got = run_operator("lead_lag_ratio", partner, own, n=60, lags=3)
    expected = np.full(len(own), NAN)
    for t in range(62, len(own)):
        now = slice(t - 59, t + 1)
        leads = follows = 0.0
        for lag in (1, 2, 3):
            before = slice(t - 59 - lag, t + 1 - lag)
            leads += np.corrcoef(own[now], partner[before])[0, 1] ** 2
            follows += np.corrcoef(partner[now], own[before])[0, 1] ** 2
        expected[t] = np.log(leads / follows)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_lead_lag_ratio_is_positive_where_the_partner_moves_first():
    rng = generator(8, "leader")
    partner = rng.normal(size=500)
    own = np.concatenate([[0, 0], partner[:-2]]) + 0.3 * rng.normal(size=500)
    assert (run_operator("lead_lag_ratio", partner, own, n=60)[100:] > 1).all()
    assert (run_operator("lead_lag_ratio", own, partner, n=60)[100:] < -1).all()


def test_correlation_with_an_index_is_missing_where_it_stands_still_more_than_half_of_the_bars():
    rng = generator(9, "alive")
    index, own = rng.normal(size=300), rng.normal(size=300)
    index[100:131] = 0.0
    got = run_operator("alive_corr", index, own, n=60)
    expected = pd.Series(index).rolling(60).corr(pd.Series(own)).to_numpy()
    dead = pd.Series(index == 0).rolling(60).sum().to_numpy() > 30
    assert dead.sum() == 30
    np.testing.assert_allclose(got, np.where(dead, NAN, expected), atol=1e-10)


def absorbed(panel, n):
    """First eigenvalue's share by numpy, one row at a time."""
    out = np.full(len(panel), NAN)
    for t in range(n - 1, len(panel)):
        window = panel[t - n + 1 : t + 1]
        window = window[:, np.isfinite(window).all(axis=0)]
        if window.shape[1] >= 4:
            out[t] = np.linalg.eigvalsh(np.corrcoef(window, rowvar=False))[-1] / window.shape[1]
    return out


def test_absorption_ratio_is_the_largest_eigenvalues_share_of_the_correlation_matrix():
    rng = generator(10, "absorption")
    factor = rng.normal(size=(300, 1)) * np.linspace(0, 2, 300)[:, None]
    panel = factor * [1, 1.2, 0.9, -0.5, -0.3, 0.4, 0.1] + rng.normal(size=(300, 7))
    panel *= [1e-4, 2e-4, 1e-4, 3e-5, 3e-5, 5e-4, 1e-4]
    got = run_operator("absorption_ratio", *panel.T, n=120)
    np.testing.assert_allclose(got, absorbed(panel, 120), atol=1e-9)


def test_absorption_ratio_leaves_out_who_did_not_trade_and_waits_for_four():
    rng = generator(11, "left out")
    panel = rng.normal(size=(300, 6)) + rng.normal(size=(300, 1))
    panel[140, 0] = panel[130, 4] = panel[150:180, 2] = NAN
    got = run_operator("absorption_ratio", *panel.T, n=40)
    np.testing.assert_allclose(got, absorbed(panel, 40), atol=1e-9)
    assert np.isnan(got[150:170]).all()
    panel[:, 3:] = NAN
    assert np.isnan(run_operator("absorption_ratio", *panel.T, n=40)).all()


def test_absorption_ratio_of_one_factor_is_one_and_a_constant_member_takes_no_part():
    rng = generator(12, "one")
    one = rng.normal(size=80)
    panel = [one, 2 * one, -one, 0.5 * one, np.zeros(80)]
    got = run_operator("absorption_ratio", *panel, n=40)
    np.testing.assert_allclose(got[39:], 1.0, atol=1e-12)


def test_absorption_ratio_recovers_exactly_after_a_wild_value():
    rng = generator(13, "wild")
    panel = rng.normal(size=(400, 5)) * 1e-4
    panel[150, 1] = 1e6
    np.testing.assert_allclose(
        run_operator("absorption_ratio", *panel.T, n=40)[200:], absorbed(panel, 40)[200:], atol=1e-9
    )
