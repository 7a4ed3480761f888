"""The vote: hand-made cases, members that fail, the calls of a policy, and its state."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from mia.algo.policy import TrainedPolicy
from mia.algo.settings import VoteSettings
from mia.algo.vote import VotePolicy, policy_of_state, targets_of, vote, votes
from mia.desk.policy import TablePolicy
from mia.domain.errors import ArtefactMismatch
from mia.domain.rng import generator

RULE = VoteSettings(forgetting=0.98, edge=0.25, clip=3.0, doubt=2.0, least_blocks=10.0, patience=10, voice=0.05)
HELD = np.array([-1.0, 0.0, 1.0])
NAN = float("nan")


def member(seed, actions="discrete", quantiles=0, width=5):
    rng = generator(seed, "member")
    outputs = 1 if actions == "continuous" else 3 * max(quantiles, 1)
    layers = tuple(
        (rng.standard_normal((b, a)).astype(np.float32), rng.standard_normal(b).astype(np.float32))
        for a, b in pairwise((width + 1, 8, outputs))
    )
    return TrainedPolicy(
        algo="x",
        layers=layers,
        activation="relu",
        actions=actions,
        n_quantiles=quantiles,
        value_cents=100.0,
        abstains=False,
        card={"seed": seed},
    )


def ensemble(weights=(0.4, 0.3, 0.3), **changes):
    members = {"sac": member(1, "continuous"), "ppo": member(2), "qr_dqn": member(3, quantiles=4)}
    values = {
        "algo": "ensemble",
        "members": members,
        "weights": weights,
        "prior": (0.4, 0.3, 0.3),
        "rule": RULE,
        "abstains": False,
        "card": {"seed": 1},
    }
    return VotePolicy(**values | changes)


@pytest.mark.parametrize(
    ("leanings", "weights", "wanted"),
    [
        ((1, 1, 0.5), (0.4, 0.3, 0.3), 0.85),
        ((1, 1, -1), (0.4, 0.3, 0.3), 0.4),  # two against one: not enough for a contract
        ((1, 1, -1), (0.5, 0.4, 0.1), 0.8),
        ((1, 1, -1), (0.0, 0.2, 0.8), 0),  # two that disagree
        ((1, 1, -1), (0.01, 0.01, 0.98), -0.96),  # two that are hardly heard do not
        ((-1, 0, 1), (0.4, 0.3, 0.3), 0),  # all disagree
        ((-1, 0, 1), (0.02, 0.01, 0.97), 0.95),
        ((-1, 0, 1), (0.06, 0.06, 0.88), 0),  # all disagree, whatever the weights
        ((-1, 1), (0.1, 0.9), 0),
        ((0, 1), (0.5, 0.5), 0.5),
        ((1, 0.6, 0.2), (0.5, 0.25, 0.25), 0.7),
        ((1, NAN, -1), (0.3, 0.4, 0.3), 0),
        ((1, NAN, 1), (0.2, 0.6, 0.2), 1),  # who says no number is not heard
        ((NAN, NAN, NAN), (0.4, 0.3, 0.3), 0),
        ((1, 1, 1), (0.0, 0.0, 0.0), 0),  # all have failed
        ((1, -1, -1), (1.0, 0.0, 0.0), 1),  # those that failed have no voice
        ((0.4, 0.4, -0.4), (0.5, 0.25, 0.25), 0.2),  # leanings below half a contract are no disagreement
    ],
)
def test_vote_of_hand_made_cases(leanings, weights, wanted):
    leanings, weights = np.array(leanings, dtype=np.float64), np.array(weights)
    assert vote(leanings, weights, 0.05, False) == pytest.approx(wanted, abs=1e-15)
    whole = 1.0 if wanted > 0.5 else -1.0 if wanted < -0.5 else 0.0
    assert vote(leanings, weights, 0.05, True) == whole


def test_vote_without_disagreement_is_the_mean_of_those_heard():
    rng = generator(1, "mean")
    for _ in range(500):
        weights, leanings = rng.dirichlet(np.ones(5)), rng.uniform(-0.4, 1.0, 5)
        leanings[rng.random(5) < 0.2] = NAN
        heard = np.isfinite(leanings)
        if heard.any():
            wanted = np.average(leanings[heard], weights=weights[heard])
            assert vote(leanings, weights, 0.05, False) == pytest.approx(wanted, rel=1e-12, abs=1e-15)


def test_votes_of_rows_may_have_weights_of_their_own():
    leanings = np.array([1.0, 1.0, -1.0])[:, None, None] * np.ones((3, 2, 3))
    weights = np.array([[0.4, 0.4, 0.2], [0.05, 0.05, 0.9]])
    assert votes(leanings, weights, 0.2, True).tolist() == [[1.0] * 3, [-1.0] * 3]
    assert votes(leanings, weights[:1], 0.2, True).tolist() == [[1.0] * 3] * 2


def test_members_lean_to_targets_or_to_the_mean_of_their_own_probabilities():
    policy, obs = ensemble(), generator(3, "obs").standard_normal((200, 5)).astype(np.float32)
    leanings = policy.leanings(obs, HELD)
    sac, ppo, qr_dqn = policy.members.values()
    np.testing.assert_array_equal(leanings[0], sac.table(obs, HELD))
    np.testing.assert_array_equal(leanings[2], qr_dqn.table(obs, HELD))
    scores = ppo.values(obs, HELD).astype(np.float64)
    chances = np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(leanings[1], chances @ HELD, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(policy.table(obs, HELD), votes(leanings, np.array([policy.weights]), 0.05, False))
    assert len(np.unique(policy.table(obs, HELD))) > 3


def test_evidence_is_of_what_members_would_do_alone():
    obs = generator(3, "obs").standard_normal((200, 5)).astype(np.float32)
    for policy in ensemble().members.values():
        np.testing.assert_array_equal(targets_of(policy, obs, HELD), policy.table(obs, HELD))


def test_table_decide_and_predict_agree_bit_for_bit():
    policy, obs = ensemble(), generator(4, "obs").standard_normal((50, 5)).astype(np.float32)
    assert isinstance(policy, TablePolicy)
    table = policy.table(obs, HELD)
    assert [[policy.decide(row, p) for p in HELD] for row in obs] == table.tolist()
    rows = np.column_stack([obs, np.ones(50, np.float32)])
    actions, state = policy.predict(rows, "kept")
    assert state == "kept"
    np.testing.assert_array_equal(actions[:, 0], table[:, 2].astype(np.float32))
    assert policy.predict(rows[0])[0].shape == (1,)


def test_ensemble_of_discrete_members_predicts_action_numbers():
    members = {"a": member(2), "b": member(5), "c": member(6)}
    policy = ensemble(members=members)
    obs = generator(4, "obs").standard_normal((50, 5)).astype(np.float32)
    actions, _ = policy.predict(np.column_stack([obs, np.zeros(50, np.float32)]))
    np.testing.assert_array_equal(actions - 1, policy.table(obs, HELD)[:, 1])
    assert policy.predict(np.zeros(6, np.float32))[0].shape == ()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_row_that_is_not_finite_makes_every_member_silent_and_the_vote_flat(value):
    policy = ensemble()
    obs = generator(5, "obs").standard_normal((20, 5)).astype(np.float32)
    whole = policy.table(obs, HELD)
    obs[7, 2] = value
    assert np.isnan(policy.leanings(obs, HELD)[:, 7]).all()
    table = policy.table(obs, HELD)
    assert np.all(table[7] == 0)
    np.testing.assert_array_equal(np.delete(table, 7, axis=0), np.delete(whole, 7, axis=0))


def test_member_whose_scores_overflow_is_not_heard():
    good = member(2)
    huge = tuple((np.float32(3e38) * np.sign(matrix), bias) for matrix, bias in good.layers)
    wild = replace(good, layers=huge)
    obs = 5 * generator(6, "obs").standard_normal((100, 5)).astype(np.float32)
    assert np.isnan(targets_of(wild, obs, HELD)).any()
    policy = ensemble(members={"wild": wild, "good": good}, weights=(0.9, 0.1), prior=(0.5, 0.5))
    silent = np.isnan(targets_of(wild, obs, HELD))
    alone = ensemble(members={"good": good}, weights=(1.0,), prior=(1.0,))
    np.testing.assert_array_equal(policy.table(obs, HELD)[silent], alone.table(obs, HELD)[silent])


def test_policy_that_abstains_or_whose_members_all_failed_is_flat():
    obs = generator(7, "obs").standard_normal((50, 5)).astype(np.float32)
    assert not ensemble(abstains=True).table(obs, HELD).any()
    assert not ensemble(weights=(0.0, 0.0, 0.0)).table(obs, HELD).any()
    assert ensemble().table(obs, HELD).any()


def test_state_goes_there_and_back():
    policy = ensemble(weights=(0.1, 0.2, 0.7))
    back = policy_of_state(policy.to_state())
    assert isinstance(back, VotePolicy)
    assert back.digest == policy.digest
    assert back.card == {"seed": 1}
    assert back.weights_by_name == {"sac": 0.1, "ppo": 0.2, "qr_dqn": 0.7}
    state = policy.to_state()
    shuffled = state | {"members": dict(sorted(state["members"].items()))}
    assert list(shuffled["members"]) != state["names"]
    assert policy_of_state(shuffled).weights_by_name == policy.weights_by_name
    assert policy_of_state(shuffled).digest == policy.digest
    with pytest.raises(ArtefactMismatch, match="not those of its members"):
        policy_of_state(state | {"names": ["sac", "ppo"]})
    single = policy_of_state(member(1).to_state())
    assert isinstance(single, TrainedPolicy)
    assert single.digest == member(1).digest


def test_digest_knows_weights_names_and_members():
    first = ensemble()
    members = dict(first.members)
    others = [
        ensemble(weights=(0.3, 0.4, 0.3)),
        ensemble(prior=(0.3, 0.4, 0.3)),
        ensemble(members={"ddpg": members["sac"], "ppo": members["ppo"], "qr_dqn": members["qr_dqn"]}),
        ensemble(members=members | {"ppo": member(9)}),
        ensemble(rule=replace(RULE, voice=0.2)),
    ]
    assert len({policy.digest for policy in (first, *others)}) == 6


@pytest.mark.parametrize(
    "weights",
    [
        (0.5, 0.5),
        (0.5, 0.5, 0.5),
        (1.2, -0.1, -0.1),
        (NAN, 0.5, 0.5),
        (float("inf"), 0.0, 0.0),
        (0.4, 0.3, 0.3 + 1e-9),
    ],
)
def test_weights_that_are_no_probabilities_are_refused(weights):
    with pytest.raises(ArtefactMismatch, match="weights"):
        ensemble(weights=weights)


def test_members_that_read_different_observations_are_refused():
    with pytest.raises(ArtefactMismatch, match="same observation"):
        ensemble(members={"a": member(1), "b": member(2, width=4)}, weights=(0.5, 0.5), prior=(0.5, 0.5))
    with pytest.raises(ArtefactMismatch, match="same observation"):
        ensemble(members={}, weights=(), prior=())
    with pytest.raises(ArtefactMismatch, match="reads 5 columns"):
        ensemble().table(np.zeros((3, 4), np.float32), HELD)
    with pytest.raises(ArtefactMismatch, match="reads 5 columns"):
        ensemble(abstains=True).table(np.zeros((3, 4), np.float32), HELD)
