import numpy as np
from flow_runner import run_operator

from mia.features.operators.flow_context import EVENT_CODES, LAGS


def close_to(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_countdown_falls_to_1_over_e_in_an_hour_and_is_zero_without_events():
    got = run_operator("countdown", [0.0, 60.0, np.nan, 5.0], [1.0, 1.0, 1.0, np.nan], scale=60)
    close_to(got, [1.0, np.exp(-1), 0.0, np.nan])


def test_clock_goes_round_once_a_session():
    minute = [0.0, 30.0, 60.0, 120.0]
    close_to(run_operator("cycle", minute, out="sin"), [0, 1, 0, 0])
    close_to(run_operator("cycle", minute, out="cos"), [1, 0, -1, 1])


def test_week_has_five_days():
    days = np.arange(5.0)
    s, c = run_operator("cycle", days, out="sin", period=5), run_operator("cycle", days, out="cos", period=5)
    close_to(s, np.sin(2 * np.pi * days / 5))
    close_to(s**2 + c**2, np.ones(5))


def test_share_of_the_way_to_the_close_runs_from_one_to_zero():
    got = run_operator("remaining", [0.0, 30.0, 90.0, 100.0, np.nan], [90.0, 60.0, 0.0, 0.0, 1.0])
    close_to(got, [1, 2 / 3, 0, 0, np.nan])


def test_days_to_expiry_are_a_share_of_a_quarter():
    close_to(run_operator("share_of", [0.0, 45.5, 100.0, np.nan], full=91), [0, 0.5, 1, np.nan])


def test_event_profile_reads_code_and_minute_and_is_one_elsewhere():
    table = np.arange(EVENT_CODES * LAGS, dtype=float)
    code, lag = [0.0, 1.0, 2.0, 2.0, 99.0, np.nan], [np.nan, -15.0, 0.0, 500.0, 3.0, 1.0]
    got = run_operator("event_profile", code, lag, fitted=table)
    close_to(got, [1, 0, LAGS + 15, 2 * LAGS - 1, 1, np.nan])
    assert np.isnan(run_operator("event_profile", code, lag)).all()


def score(*members, block):
    return run_operator("pca_score", *members, fitted=block, component=1)


def test_component_score_transforms_centres_scales_and_clips_each_member():
    #        offset | kind centre scale weight, per member
    block = [0.25, 0, 10, 2, 0.5, 1, 0, 1, 0.1, 2, 0, 1, -0.1]
    got = score([14.0], [np.e - 1], [-(np.e - 1)], block=block)
    close_to(got, [-0.25 + 0.5 * 2 + 0.1 * 1 + 0.1 * 1])
    close_to(score([1e9], [0.0], [0.0], block=block), [-0.25 + 0.5 * 5])


def test_component_score_is_missing_with_most_members_and_ignores_left_out_ones():
    block = [0.0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 0]
    members = [[2.0, 2.0], [1.0, np.nan], [np.nan, np.nan], [np.nan, 1.0]]
    close_to(score(*members, block=block), [3.0, np.nan])
