"""Trades one after the other against a backtest, the three sources against numpy, and that nothing looks ahead."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from mia.algo.experience import experience
from mia.algo.opinion import Reader
from mia.algo.policy import TrainedPolicy
from mia.algo.settings import VoteSettings
from mia.algo.vote import VotePolicy
from mia.broker.terms import Terms
from mia.desk.backtest import run_policy, run_targets
from mia.domain.errors import ArtefactMismatch
from mia.domain.rng import generator
from mia.evaluation import known_world
from mia.risk.limits import unlimited
from mia.router.trades import EVIDENCE, CvarLoss, Sources, collect, cvar_of, joined, side_of, tell

WIDTH, ROWS = 4, 3000
TERMS = Terms(tick_value_cents=1, side_cost_cents=300)
CVAR = CvarLoss(rows=100, tail=0.05)
RULE = VoteSettings(forgetting=0.98, edge=0.1, clip=3.0, doubt=2.0, least_blocks=10.0, patience=10, voice=0.05)
AT = {name: i for i, name in enumerate(EVIDENCE)}


def policy(seed, outputs=3, quantiles=0):
    rng = generator(seed, "policy")
    layers = tuple(
        (rng.normal(0, 0.7, (b, a)).astype(np.float32), rng.normal(0, 0.3, b).astype(np.float32))
        for a, b in pairwise((WIDTH + 1, 12, outputs))
    )
    return TrainedPolicy(
        algo="x",
        layers=layers,
        activation="tanh",
        actions="continuous" if outputs == 1 else "discrete",
        n_quantiles=quantiles,
        value_cents=100.0,
        abstains=False,
        card={},
    )


def ensemble(**changes):
    members = {"sac": policy(1, outputs=1), "ppo": policy(2), "ddpg": policy(3, outputs=1)}
    values = {"algo": "ensemble", "members": members, "weights": (0.5, 0.3, 0.2), "prior": (0.4, 0.3, 0.3)}
    return VotePolicy(**values | {"rule": RULE, "abstains": False, "card": {}} | changes)


@pytest.fixture(scope="module")
def sources():
    return Sources(lagrangian=policy(4), quantile=policy(5, outputs=33, quantiles=11), vote=ensemble())


@pytest.fixture(scope="module")
def tape():
    rng = generator(1, "tape")
    obs = np.zeros((ROWS, WIDTH))
    for t in range(1, ROWS):
        obs[t] = 0.95 * obs[t - 1] + 0.3 * rng.standard_normal(WIDTH)
    change = np.append(0, np.rint(400 * rng.standard_normal(ROWS - 1) + 200 * obs[:-1, 0])).astype(np.int64)
    return known_world.of_changes(
        change,
        obs.astype(np.float32),
        session=np.arange(ROWS) // 500,
        must_flat=np.arange(ROWS) % 500 >= 497,
        belief=np.ones((ROWS, 1)),
    )


@pytest.fixture(scope="module")
def trades(sources, tape):
    return collect(sources, tape, TERMS, CVAR, 60, 4)


def test_each_trade_earns_what_a_backtest_of_it_alone_does(trades, tape):
    assert len(trades) > 50
    assert {*trades.side} == {-1, 1}
    for i in range(0, len(trades), 5):
        targets = np.zeros(ROWS, dtype=np.int64)
        targets[trades.row[i] : trades.exit[i]] = trades.side[i]
        track = run_targets(tape, targets, TERMS, unlimited())
        assert track.equity_cents[-1] == trades.net[i]


def test_trades_do_not_overlap_and_all_together_are_a_backtest(trades, tape):
    assert np.all(trades.exit > trades.row)
    assert np.all(trades.row[1:] > trades.exit[:-1] + 4)
    targets = np.zeros(ROWS, dtype=np.int64)
    for row, end, side in zip(trades.row, trades.exit, trades.side, strict=True):
        targets[row:end] = side
    track = run_targets(tape, targets, TERMS, unlimited())
    assert track.equity_cents[-1] == trades.net.sum()
    np.testing.assert_array_equal(trades.success, trades.net > 0)
    assert 0.1 < trades.success.mean() < 0.9


def test_a_trade_ends_when_the_vote_no_longer_wishes_its_side_or_at_the_latest_bar(trades, sources, tape):
    wished = np.rint(sources.vote.table(tape.obs, np.array([-1.0, 0.0, 1.0])))
    for row, end, side in zip(trades.row, trades.exit, trades.side, strict=True):
        stays = wished[row + 1 : end, side + 1] == side
        assert stays.all()
        assert end - row <= 60
        assert wished[end, side + 1] != side or end - row == 60 or tape.must_flat[end]
    short = collect(sources, tape, TERMS, CVAR, 3, 4)
    assert (short.exit - short.row).max() == 3


def test_side_is_the_one_the_vote_leans_to_though_it_would_not_enter(trades, sources, tape):
    leaning = Reader.of(sources.vote).table(tape.obs, np.array([0.0]))[:, 0]
    np.testing.assert_array_equal(side_of(sources, tape.obs), np.sign(leaning[:, 3] - leaning[:, 1]))
    np.testing.assert_array_equal(trades.side, side_of(sources, tape.obs)[trades.row])
    assert np.any(np.abs(leaning[trades.row, 3] - leaning[trades.row, 1]) < 0.5)


def test_evidence_is_what_numpy_makes_of_the_sources(trades, sources, tape):
    obs, side = tape.obs[trades.row], trades.side
    rows = np.column_stack([obs, np.zeros(len(obs), np.float32)])
    n = np.arange(len(obs))
    scores = sources.lagrangian.values(obs, np.zeros(1))[:, 0].astype(float)
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(trades.evidence[:, AT["lagrangian_support"]], chances[n, side + 1], rtol=1e-6)
    atoms = sources.quantile.quantiles(rows) / sources.quantile.value_cents
    mine, flat = atoms[n, :, side + 1], atoms[:, :, 1].mean(axis=1)
    np.testing.assert_allclose(
        trades.evidence[:, AT["quantile_success"]], (mine > flat[:, None]).mean(axis=1), atol=1e-9
    )
    np.testing.assert_allclose(trades.evidence[:, AT["quantile_edge"]], mine.mean(axis=1) - flat, atol=1e-5)
    np.testing.assert_allclose(trades.evidence[:, AT["quantile_spread"]], mine[:, 8] - mine[:, 2], atol=1e-5)
    voted = Reader.of(sources.vote).table(obs, np.zeros(1))[n, 0, side + 2 - 0]
    np.testing.assert_allclose(trades.evidence[:, AT["vote_support"]], voted, rtol=1e-12)
    wished = np.stack([np.rint(m.table(obs, np.zeros(1))[:, 0]) for m in sources.vote.members.values()])
    agreed = ((wished == side) * np.array([[0.5], [0.3], [0.2]])).sum(axis=0)
    np.testing.assert_allclose(trades.evidence[:, AT["agreement"]], agreed, atol=1e-12)


def test_one_row_gives_the_same_bits_as_many(sources, tape):
    obs, side = tape.obs[:200], np.where(np.arange(200) % 2 == 0, 1, -1)
    cvar = np.linspace(0, 1, 200)
    many = tell(sources, obs, side, cvar)
    ones = [tell(sources, obs[t : t + 1], side[t : t + 1], cvar[t : t + 1])[0] for t in range(200)]
    np.testing.assert_array_equal(many, ones)


def test_cvar_loss_is_the_mean_of_the_worst_of_the_latest_losses_of_its_account(sources, tape):
    seen = experience(tape, TERMS)
    found = cvar_of(sources, tape, TERMS, seen, CVAR)
    track = run_policy(tape, sources.lagrangian, TERMS, unlimited(), close_at_end=False)
    lost = -np.diff(track.equity_cents, prepend=0) / seen.bar_cents
    assert np.isnan(found[:99]).all()
    for t in range(99, ROWS, 131):
        np.testing.assert_allclose(found[t], np.sort(lost[t - 99 : t + 1])[-5:].mean(), rtol=1e-12)


@pytest.mark.parametrize("sizes", [(1,), (70, 3)])
def test_cvar_loss_in_pieces_gives_the_same_bits(sizes):
    losses = generator(2, "losses").standard_normal(400)
    whole = CVAR.advance(CVAR.new_state(), losses)
    state, parts, a, i = CVAR.new_state(), [], 0, 0
    while a < 400:
        b = min(400, a + sizes[i % len(sizes)])
        parts.append(CVAR.advance(state, losses[a:b]))
        a, i = b, i + 1
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_rows_to_come_change_no_evidence(trades, sources, tape):
    cut = int(trades.row[len(trades) // 2])
    wild = replace(tape, obs=tape.obs.copy(), close=tape.close.copy(), high=tape.high + 10**7)
    wild.obs[cut + 1 :] *= -3
    wild.close[cut + 1 :] += 5000
    # Its scale is that of all rows: to compare, the account's losses are measured by the first tape's.
    side = trades.side[trades.row <= cut]
    rows = trades.row[trades.row <= cut]
    seen = experience(tape, TERMS)
    before = tell(sources, tape.obs[rows], side, cvar_of(sources, tape, TERMS, seen, CVAR)[rows])
    after = tell(sources, wild.obs[rows], side, cvar_of(sources, wild, TERMS, seen, CVAR)[rows])
    np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(before, trades.evidence[: len(rows)])


def test_sources_speak_though_they_abstain_and_by_their_prior_though_they_failed(sources, tape, trades):
    silent = Sources(
        lagrangian=replace(sources.lagrangian, abstains=True),
        quantile=replace(sources.quantile, abstains=True),
        vote=replace(sources.vote, abstains=True),
    )
    np.testing.assert_array_equal(collect(silent, tape, TERMS, CVAR, 60, 4).evidence, trades.evidence)
    failed = Sources(
        lagrangian=sources.lagrangian, quantile=sources.quantile, vote=ensemble(weights=(0.0, 0.0, 0.0), abstains=True)
    )
    assert failed.vote.weights == (0.4, 0.3, 0.3)
    assert len(collect(failed, tape, TERMS, CVAR, 60, 4)) > 50


def test_facts_of_trades_are_plain(trades):
    (facts,) = joined({"fit": trades}).values()
    assert facts["trades"] == len(trades)
    assert facts["net_cents"] == trades.net.sum()
    assert facts["success"] == pytest.approx(trades.success.mean())


def test_sources_that_do_not_fit_together_are_refused(sources):
    with pytest.raises(ArtefactMismatch, match="quantiles"):
        Sources(lagrangian=policy(4), quantile=policy(5), vote=ensemble())
