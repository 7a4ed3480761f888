"""Operators over whole sessions and by the clock: publications, ranks, turnover, time of day, news."""

import numpy as np
import pytest
from flow_runner import run_operator, sessions_of

from mia.domain.rng import generator

NAN = np.nan


def close_to(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_published_change_stands_until_the_next_publication():
    # Sessions of three bars; published on the last bar of sessions 0, 1 and 3, unchanged in session 2.
    value = [4.0, 4.0, 4.1, 4.1, 4.1, 4.3, 4.3, 4.3, 4.3, 4.3, 4.3, 4.2, 4.2]
    session, _ = sessions_of(13, 3)
    got = run_operator("published_change", value, session)
    close_to(got, [NAN, NAN, NAN, NAN, NAN, 0.2, 0.2, 0.2, 0.2, 0, 0, -0.1, -0.1])


def test_published_change_is_missing_while_the_value_is_too_old_and_outlives_a_silent_session():
    value = [4.0, 4.0, 4.2, 4.2, NAN, NAN, 4.2, 4.5]
    session, _ = sessions_of(8, 2)
    got = run_operator("published_change", value, session)
    close_to(got, [NAN, NAN, 0.2, 0.2, NAN, NAN, 0.0, 0.3])


def test_settled_rank_is_the_share_of_prior_sessions_last_values_below():
    session, _ = sessions_of(12, 3)
    value = [9.0, 9, 1, 9, 9, 3, 9, NAN, 2, 2.0, 0.5, 4.0]
    got = run_operator("settled_rank", value, session, n=2, least=2)
    # Session 2 knows the last values 1 and 3, session 3 knows 3 and 2.
    close_to(got, [NAN] * 6 + [1, NAN, 0.5, 0.25, 0, 1])


def test_settled_rank_waits_for_enough_sessions():
    session, _ = sessions_of(40, 2)
    got = run_operator("settled_rank", np.arange(40.0), session, n=252, least=15)
    assert np.isnan(got[:30]).all()
    assert np.all(got[30:] == 1)


def test_turnover_share_divides_by_the_mean_money_of_prior_sessions():
    # Environment: 120 slots a session, one tick of 0.25 points is worth 12.5 USD.
    rows = 4 * 120
    session, _ = sessions_of(rows, 120)
    volume, close = np.full(rows, 10.0), np.full(rows, 20000.0)
    volume[120:240] = 30.0
    got = run_operator("turnover_share", np.full(rows, 6e9), volume, close, session, sessions=2)
    day = 120 * 10 * 20000 * 12.5
    want = np.concatenate(
        [np.full(120, NAN), np.full(120, 6e9 / day), np.full(120, 6e9 / (2 * day)), np.full(120, 6e9 / (2 * day))]
    )
    close_to(got, want)


def test_turnover_share_leaves_out_sessions_that_are_mostly_missing():
    session, _ = sessions_of(360, 120)
    volume = np.full(360, 10.0)
    volume[120 + 50 : 240] = NAN
    got = run_operator("turnover_share", np.ones(360), volume, np.full(360, 2.0), session)
    assert got[-1] == got[120] == pytest.approx(1 / (120 * 10 * 2 * 12.5))


def test_deseasonal_divides_by_the_slots_median_relative_to_the_median_slot():
    rng = generator(3, "deseasonal")
    sessions, slots = 9, 120
    shape = 1 + np.abs(np.sin(np.arange(slots) / 20))
    values = shape * np.exp(rng.normal(0, 0.2, (sessions, slots)))
    session, slot = np.repeat(np.arange(float(sessions)), slots), np.tile(np.arange(float(slots)), sessions)
    got = run_operator("deseasonal", values.ravel(), session, slot, sessions=6, min_sessions=5).reshape(sessions, slots)
    assert np.isnan(got[:5]).all()
    for day in range(5, sessions):
        usual = np.median(values[max(0, day - 6) : day], axis=0)
        np.testing.assert_allclose(got[day], values[day] / (usual / np.median(usual)), rtol=1e-12)


def test_deseasonal_borrows_a_neighbours_factor_where_a_slot_has_no_history():
    sessions, slots = 6, 120
    values = np.tile(np.where(np.arange(slots) < 60, 1.0, 3.0), (sessions, 1))
    values[:5, [0, 70]] = NAN
    session, slot = np.repeat(np.arange(float(sessions)), slots), np.tile(np.arange(float(slots)), sessions)
    last = run_operator("deseasonal", values.ravel(), session, slot).reshape(sessions, slots)[5]
    middle = np.median(np.delete(values[0], [0, 70]))
    close_to(last, np.full(slots, middle))


def test_what_happened_is_halved_every_half_life():
    got = run_operator("event_decay", [1.0, 0, 0, 2, 0], [10.0, 40, 70, 70, 100], 0.0, 2.0, half_life=30)
    close_to(got, [1, 0.5, 0.25, 2.25, 1.125])


def test_time_passes_over_night_and_over_the_weekend():
    minute, session = [1380.0, 1.0, 1380.0, 1.0], [4.0, 5.0, 5.0, 6.0]
    night = 0.5 ** ((1440 - 1379) / 30)
    got = run_operator("event_decay", [1.0, 0, 0, 0], minute, session, [3.0, 4.0, 4.0, 0.0], half_life=30)
    day, weekend = 0.5 ** (1379 / 30), 0.5 ** ((3 * 1440 - 1379) / 30)
    np.testing.assert_allclose(got, [1, night, night * day, night * day * weekend], rtol=1e-9)


def test_a_week_without_a_session_is_a_week():
    got = run_operator("event_decay", [1.0, 0.0], [5.0, 5.0], [1.0, 2.0], 2.0, half_life=10080)
    close_to(got, [1, 0.5])


def test_decay_goes_on_while_the_input_is_missing_and_is_clipped():
    got = run_operator("event_decay", [8.0, NAN, 0.0, NAN], [0.0, 30, 60, 90], 0.0, 0.0, half_life=30, clip=5)
    close_to(got, [5, NAN, 2, NAN])
    assert np.isnan(run_operator("event_decay", [1.0, 1.0], NAN, 0.0, 0.0, half_life=30)).all()


def impact(topics, alive=1.0, fitted=None, minutes=None):
    rows = len(topics)
    columns = [np.full(rows, float(alive)) if np.isscalar(alive) else alive, *np.asarray(topics, dtype=float).T]
    minutes = np.arange(rows) * 30.0 if minutes is None else minutes
    return run_operator("news_impact", *columns, minutes, 0.0, 0.0, fitted=fitted)


def test_news_impact_is_the_squashed_fading_sum_weighted_by_topic():
    topics = np.zeros((4, 7))
    topics[0, 0], topics[1, 2], topics[3, 6] = 0.4, -0.6, 1.0
    weights = np.array([2.0, 1, 3, 1, 1, 1, 0.5])
    got = impact(topics, fitted=weights)
    sums = [0.8, 0.4 - 1.8, 0.2 - 0.9, 0.1 - 0.45 + 0.5]
    close_to(got, np.tanh(sums))


def test_silence_is_zero_a_dead_feed_is_missing_and_old_news_still_counts_after_it():
    topics = np.zeros((4, 7))
    topics[1, 1] = 0.5
    got = impact(topics, alive=np.array([1.0, 1.0, 0.0, 1.0]), fitted=np.ones(7))
    close_to(got, [0, np.tanh(0.5), NAN, np.tanh(0.125)])
    assert np.isnan(impact(topics)).all(), "nothing fitted"
    assert np.isnan(impact(topics, alive=NAN, fitted=np.ones(7))).all(), "no feed"


def test_a_new_fit_finds_the_same_memory():
    """The state holds the topics apart: what was seen under other weights is weighted anew."""
    topics = np.zeros((3, 7))
    topics[0, 3] = 1.0
    close_to(impact(topics, fitted=np.full(7, 2.0))[2:], np.tanh([2 * 0.25]))
    close_to(impact(topics, fitted=np.full(7, 1.0))[2:], np.tanh([0.25]))
