"""Paired differences: closed forms for the mean of independent normals, and coverage."""

import numpy as np
import pytest

from mia.domain.rng import generator
from mia.evaluation import paired


def test_pieces_add_up_and_the_last_may_be_short():
    equity = np.array([0, 1, 3, 6, 10, 15, 21])
    assert paired.pieces(equity, 4).tolist() == [10.0, 11.0]
    assert paired.pieces(equity, 3).tolist() == [6.0, 15.0]
    assert paired.pieces(equity, 100).tolist() == [21.0]


def test_interval_of_independent_differences_is_the_normal_one():
    gap = generator(1, "paired").normal(2.0, 5.0, 400)
    found = paired.lead(gap, np.zeros(400), generator(2, "paired"), samples=4000)
    error = gap.std(ddof=1) * 400**0.5
    assert found["difference"] == pytest.approx(gap.sum())
    assert found["error"] == pytest.approx(error, rel=0.1)
    assert found["low"] == pytest.approx(gap.sum() - 1.96 * error, abs=0.2 * error)
    assert found["high"] == pytest.approx(gap.sum() + 1.96 * error, abs=0.2 * error)
    assert paired.tone(found) == "good"
    assert paired.tone(paired.lead(-gap, np.zeros(400), generator(2, "paired"))) == "bad"


def test_what_both_earn_alike_does_not_widen_the_interval():
    common = generator(3, "paired").normal(0.0, 1000.0, 300)
    gap = generator(4, "paired").normal(0.0, 1.0, 300)
    found = paired.lead(common + gap, common, generator(5, "paired"))
    assert found["high"] - found["low"] < 10 * 300**0.5


def test_equal_accounts_have_no_lead_and_no_width():
    found = paired.lead(np.ones(10), np.ones(10), generator(6, "paired"))
    assert (found["difference"], found["low"], found["high"], found["error"]) == (0.0, 0.0, 0.0, 0.0)
    assert paired.tone(found) == "open"


def test_interval_covers_the_truth_about_as_often_as_it_says():
    hits = 0
    for k in range(120):
        gap = generator(k, "coverage").normal(1.0, 4.0, 80)
        found = paired.lead(gap, np.zeros(80), generator(k, "resample"), samples=400)
        hits += found["low"] <= 80.0 <= found["high"]
    assert 0.86 <= hits / 120 <= 1.0
