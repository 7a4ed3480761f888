from dataclasses import replace

import numpy as np
import pytest

from mia.risk.flat_rules import may_enter, must_flat
from mia.risk.settings import RiskProfile

PROFILE = RiskProfile(
    name="test",
    account_usd=50000.0,
    max_contracts=1,
    margin="initial",
    flat_at="session_end",
    flat_before_minutes=0,
    max_daily_loss_usd=None,
    max_drawdown_usd=None,
    warm_up_bars=0,
    safety_features=(),
)
# One session of thirty minutes in bars of five, regular hours from minute 10 to minute 25.
CLOSES = np.array([5.0, 10, 15, 20, 25, 30])
TO_CLOSE = 30 - CLOSES
TO_RTH = np.maximum(25 - CLOSES, 0)
RTH = np.array([0.0, 0, 1, 1, 1, 0])


def rule(flat_at, before=0, bar_minutes=5):
    return must_flat(
        TO_CLOSE, TO_RTH, RTH, bar_minutes, replace(PROFILE, flat_at=flat_at, flat_before_minutes=before)
    ).tolist()


def test_the_flat_order_is_sent_one_bar_before_the_last_bar_closes():
    assert rule("session_end") == [False, False, False, False, True, True]


def test_it_is_sent_earlier_if_the_profile_says_so():
    assert rule("session_end", before=12) == [False, False, False, True, True, True]


def test_a_shorter_lead_than_a_bar_is_no_lead():
    assert rule("session_end", before=3) == rule("session_end", before=0)


def test_outside_regular_hours_the_regular_profile_is_flat():
    assert rule("rth_close") == [True, True, False, True, True, True]


def test_never_means_never():
    assert rule("never") == [False] * 6


@pytest.mark.parametrize("flat_at", ["session_end", "rth_close"])
def test_a_missing_time_means_flat(flat_at):
    nothing = np.array([np.nan])
    assert must_flat(nothing, nothing, nothing, 1, replace(PROFILE, flat_at=flat_at)).tolist() == [True]


def test_one_row_at_a_time_gives_the_same_answers():
    profile = replace(PROFILE, flat_at="rth_close")
    rows = [must_flat(TO_CLOSE[t : t + 1], TO_RTH[t : t + 1], RTH[t : t + 1], 5, profile)[0] for t in range(6)]
    assert rows == rule("rth_close")


def test_nothing_is_entered_during_warm_up_or_without_a_safety_feature():
    features = np.ones((6, 3))
    features[4, 1] = np.nan
    features[5, 0] = np.nan  # not a safety feature
    assert may_enter(features, (1, 2), warm_up=2).tolist() == [False, False, True, True, False, True]


def test_an_infinite_safety_feature_is_a_missing_one():
    assert may_enter(np.array([[np.inf]]), (0,), warm_up=0).tolist() == [False]


def test_without_safety_features_only_the_warm_up_counts():
    assert may_enter(np.full((3, 2), np.nan), (), warm_up=1).tolist() == [False, True, True]


def test_rows_seen_before_count_towards_the_warm_up():
    features = np.ones((5, 1))
    whole = may_enter(features, (0,), warm_up=3)
    parts = [may_enter(features[t : t + 1], (0,), warm_up=3, seen=t)[0] for t in range(5)]
    assert parts == whole.tolist() == [False, False, False, True, True]
