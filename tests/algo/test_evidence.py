"""Posterior weights by hand, forgetting, and experts that fail."""

import math

import numpy as np
import pytest

from mia.algo.evidence import (
    CHANGES,
    FIELDS,
    FINITE,
    LOG,
    MIRRORED,
    PROFIT,
    begin,
    follow,
    learn,
    rule_of,
    standing_of,
    weights_of,
)
from mia.algo.settings import VoteSettings
from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator

PRIOR = np.array([0.4, 0.3, 0.3])


def settings(**changes):
    values = {
        "forgetting": 0.98,
        "edge": 0.25,
        "clip": 3.0,
        "doubt": 2.0,
        "least_blocks": 10.0,
        "patience": 10,
        "voice": 0.05,
    }
    return VoteSettings(**values | changes)


def blocks(profits, mirrored=None):
    """(B, K, fields) of profits (B, K): finite, and with targets that change."""
    profits = np.asarray(profits, dtype=np.float64)
    out = np.ones((*profits.shape, 4))
    out[:, :, PROFIT] = profits
    out[:, :, MIRRORED] = -profits - 1.0 if mirrored is None else mirrored
    out[:, :, CHANGES] = 3.0
    return out


def after(seen, rule=None, prior=PRIOR, moved=None):
    rule = rule_of(rule or settings())
    known = begin(prior)
    moved = np.ones(len(seen), dtype=bool) if moved is None else moved
    trace = follow(known, np.log(prior), rule, seen, moved)
    return weights_of(known, rule), standing_of(known, rule), trace


def test_without_evidence_the_posterior_is_the_prior():
    np.testing.assert_allclose(weights_of(begin(PRIOR), rule_of(settings())), PRIOR, rtol=1e-15)


def test_posterior_after_two_blocks_is_the_one_computed_by_hand():
    # Block 1: profits 6, 0, 0 [cents], average 2, excesses 4, -2, -2; the first deviation is from 0:
    # pooled variance (16 + 4 + 4) / 3 = 8.
    # Block 2: profits 0, 3, 0, average 1, excesses -1, 2, -1. With half forgotten, counts are 1.5.
    weights, _, trace = after(blocks([[6, 0, 0], [0, 3, 0]]), settings(forgetting=0.5, edge=0.7, clip=100.0))
    first = PRIOR * np.exp(0.7 * np.array([4, -2, -2]) / math.sqrt(8))
    np.testing.assert_allclose(trace, [PRIOR, first / first.sum()], rtol=1e-13)
    variance = 0.0
    for before, now in ((4, -1), (-2, 2), (-2, -1)):
        mean, square = (0.5 * before + now) / 1.5, (0.5 * before**2 + now**2) / 1.5
        variance += (square - (1 - 1 / 1.5) * mean**2) / 3
    second = PRIOR * (first / PRIOR) ** 0.5 * np.exp(0.7 * np.array([-1, 2, -1]) / math.sqrt(variance))
    np.testing.assert_allclose(weights, second / second.sum(), rtol=1e-13)


def test_posterior_is_bayes_rule_for_gaussian_excesses_when_nothing_is_forgotten():
    """With the noise known, the weights are prior times likelihood of `the best one's mean is the edge`."""
    rng = generator(1, "excess")
    profits = rng.standard_normal((400, 3))
    weights, _, _ = after(blocks(profits), settings(forgetting=1.0, edge=0.03, clip=100.0))
    excess = profits - profits.mean(axis=1, keepdims=True)
    spread = math.sqrt(np.mean(excess**2))
    loglik = np.zeros(3)
    for k in range(3):
        mean = np.where(np.arange(3) == k, 0.03, 0.0)
        loglik[k] = (-0.5 * (excess / spread - mean) ** 2).sum()
    wanted = PRIOR * np.exp(loglik - loglik.max())
    # The noise is learned on the way, not known beforehand: equal up to that.
    np.testing.assert_allclose(weights, wanted / wanted.sum(), atol=0.03)


def test_what_is_common_to_all_experts_teaches_nothing():
    rng = generator(2, "common")
    own = rng.standard_normal((50, 3))
    once, _, _ = after(blocks(own))
    twice, _, _ = after(blocks(own + 40 * rng.standard_normal((50, 1))))
    np.testing.assert_allclose(once, twice, rtol=1e-9)


def test_scale_of_money_does_not_matter():
    own = generator(3, "scale").standard_normal((50, 3))
    np.testing.assert_allclose(after(blocks(own))[0], after(blocks(1e6 * own, -1e6 * (own + 1)))[0], rtol=1e-9)


def test_better_expert_wins_and_is_forgotten_once_another_is_better():
    rng = generator(4, "turn")
    profits = rng.standard_normal((400, 3))
    profits[:200, 0] += 1.0
    profits[200:, 1] += 1.0
    weights, _, trace = after(blocks(profits))
    assert trace[200, 0] > 0.95
    assert weights[1] > 0.95


def test_weights_return_to_the_prior_when_experts_become_equal():
    rng = generator(5, "fade")
    profits = rng.standard_normal((60, 3))
    profits[:, 2] += 1.0
    same = np.zeros((600, 3))
    _, _, trace = after(blocks(np.concatenate([profits, same])))
    assert trace[60, 2] > 0.9
    np.testing.assert_allclose(trace[-1], PRIOR, atol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_weights_sum_to_one_whatever_happens(seed):
    rng = generator(seed, "sum")
    profits = rng.standard_t(2, (300, 5)) * 10.0 ** rng.integers(-3, 6, 5)
    prior = rng.dirichlet(np.ones(5))
    seen = blocks(profits)
    seen[100:, 2, FINITE] = 0.0
    weights, _, trace = after(seen, prior=prior)
    assert abs(weights.sum() - 1) <= 1e-12
    assert np.abs(trace.sum(axis=1) - 1).max() <= 1e-12
    assert weights.min() >= 0
    assert weights[2] == 0.0


def test_expert_that_says_no_number_once_weighs_nothing_for_good():
    seen = blocks(generator(6, "nan").standard_normal((40, 3)) + np.array([5.0, 0.0, 0.0]))
    seen[10, 0, FINITE] = 0.0
    weights, standing, trace = after(seen)
    assert trace[10, 0] > 0.5
    assert np.all(trace[11:, 0] == 0.0)
    assert weights[0] == 0.0
    assert standing == ("not finite", "sound", "sound")


def test_constant_expert_weighs_nothing_until_it_moves_again():
    seen = blocks(generator(7, "constant").standard_normal((40, 3)))
    seen[:25, 1, CHANGES] = 0.0
    weights, standing, trace = after(seen)
    assert np.all(trace[:10, 1] > 0.0)
    assert np.all(trace[10:26, 1] == 0.0)
    assert np.all(trace[26:, 1] > 0.0)
    assert standing[1] == "sound"
    assert weights[1] > 0


def test_constant_target_is_no_failure_while_the_market_stands_still():
    seen = blocks(np.zeros((40, 3)))
    seen[:, 1, CHANGES] = 0.0
    _, standing, _ = after(seen, moved=np.zeros(40, dtype=bool))
    assert standing[1] == "sound"
    assert after(seen)[1][1] == "constant"


def test_inverted_expert_weighs_nothing_and_one_that_only_overtrades_is_not_called_inverted():
    rng = generator(8, "inverted")
    noise = rng.standard_normal(60)
    profits = np.column_stack([1.0 + noise, -1.5 + noise, -1.5 + noise])
    mirrored = np.column_stack([-2.0 - noise, 1.0 - noise, -1.0 - noise])
    weights, standing, _ = after(blocks(profits, mirrored))
    assert standing == ("sound", "inverted", "sound")
    assert weights[1] == 0.0
    assert weights[0] > 0.9


def test_experts_that_have_all_failed_leave_no_weight():
    seen = blocks(np.ones((20, 3)))
    seen[5, :, FINITE] = 0.0
    weights, standing, _ = after(seen)
    assert np.array_equal(weights, np.zeros(3))
    assert set(standing) == {"not finite"}


def test_expert_without_weight_at_the_start_stays_out():
    known = begin([0.0, 0.5, 0.5])
    learn(known, np.log(PRIOR), rule_of(settings()), blocks([[9.0, 0.0, 0.0]])[0], True)
    assert known[0, LOG] == -np.inf
    assert weights_of(known, rule_of(settings()))[0] == 0.0
    assert known.shape == (3, FIELDS)


def test_evidence_in_pieces_gives_the_same_bits():
    seen = blocks(generator(9, "pieces").standard_normal((50, 3)))
    rule, moved = rule_of(settings()), np.ones(50, dtype=bool)
    whole, parts = begin(PRIOR), begin(PRIOR)
    follow(whole, np.log(PRIOR), rule, seen, moved)
    for b in range(50):
        learn(parts, np.log(PRIOR), rule, seen[b], True)
    assert np.array_equal(whole, parts)


@pytest.mark.parametrize(
    ("field", "value"), [("forgetting", 0.0), ("edge", -1.0), ("clip", 0.0), ("patience", 0), ("voice", 2.0)]
)
def test_impossible_rules_are_refused(field, value):
    with pytest.raises(ConfigurationError, match=field):
        settings(**{field: value})
