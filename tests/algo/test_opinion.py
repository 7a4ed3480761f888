"""Opinions against numpy, and the sentinel against a backtest of the same policy."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from mia.algo.opinion import TEMPERATURE, Reader, opinions
from mia.algo.policy import TrainedPolicy
from mia.algo.sentinel import Sentinel
from mia.algo.settings import VoteSettings
from mia.algo.vote import VotePolicy
from mia.broker.terms import Terms
from mia.desk.awareness import INPUTS, LEVELS, Awareness
from mia.desk.backtest import run_policy
from mia.desk.tape import Tape
from mia.domain.errors import ArtefactMismatch
from mia.domain.market import Market
from mia.domain.rng import generator
from mia.risk.limits import Limits, unlimited

WIDTH, QUANTILES = 6, 21
IN = {name: i for i, name in enumerate(INPUTS)}


def random_policy(quantiles, seed=1, abstains=False):
    rng = generator(seed, "policy")
    widths = [WIDTH + 1, 16, 3 * max(quantiles, 1)]
    layers = tuple(
        (rng.normal(0, 0.6, (b, a)).astype(np.float32), rng.normal(0, 0.3, b).astype(np.float32))
        for a, b in pairwise(widths)
    )
    return TrainedPolicy(
        algo="qr_dqn" if quantiles else "ppo",
        layers=layers,
        activation="relu",
        n_quantiles=quantiles,
        value_cents=250.0,
        abstains=abstains,
        card={},
    )


def continuous_policy(seed):
    rng = generator(seed, "continuous")
    layers = tuple(
        (rng.normal(0, 0.6, (b, a)).astype(np.float32), rng.normal(0, 0.3, b).astype(np.float32))
        for a, b in pairwise([WIDTH + 1, 16, 1])
    )
    return replace(random_policy(0), algo="sac", layers=layers, actions="continuous")


def ensemble_policy(weights=(0.4, 0.3, 0.3), **changes):
    rule = VoteSettings(forgetting=0.98, edge=0.25, clip=3.0, doubt=2.0, least_blocks=10.0, patience=10, voice=0.05)
    values = {
        "algo": "ensemble",
        "members": {"sac": continuous_policy(1), "ppo": random_policy(0, 2), "ddpg": continuous_policy(3)},
        "weights": weights,
        "prior": (0.4, 0.3, 0.3),
        "rule": rule,
        "abstains": False,
        "card": {},
    }
    return VotePolicy(**values | changes)


@pytest.fixture(scope="module")
def policy():
    return random_policy(QUANTILES)


@pytest.fixture(scope="module")
def tape():
    rng, rows = generator(4, "tape"), 1500
    close = 20000 + np.cumsum(rng.integers(-6, 7, rows))
    open_ = np.concatenate([close[:1], close[:-1]]) + rng.integers(-2, 3, rows)
    market = Market(
        name="ES",
        description="a future",
        tick_size=0.25,
        multiplier=50.0,
        commission_round_turn=4.5,
        margin_initial=20000.0,
        margin_intraday=5000.0,
        calendar="CME Globex Equity",
        timezone="America/New_York",
        rth_open="09:30",
        rth_close="16:00",
        roll_months=(3, 6, 9, 12),
        round_step=100.0,
        reference_price=6000.0,
        partner="NQ",
    )
    session = np.arange(rows) // 300
    return Tape(
        market=market,
        ts=(np.arange(rows) + 1) * 60_000_000_000,
        open=open_,
        high=np.maximum(open_, close) + 1,
        low=np.minimum(open_, close) - 1,
        close=close,
        session=session,
        must_flat=np.arange(rows) % 300 >= 298,
        may_enter=np.arange(rows) % 300 >= 20,
        obs=rng.standard_normal((rows, WIDTH)).astype(np.float32),
        belief=np.full((rows, 3), 1 / 3),
    )


TERMS = Terms(tick_value_cents=1250, side_cost_cents=1475)


def run(sentinel, state, tape, a, b, r=7000.0):
    rows = slice(a, b)
    return sentinel.advance(
        state,
        tape.obs[rows],
        tape.open[rows],
        tape.close[rows],
        tape.session[rows],
        tape.must_flat[rows],
        tape.may_enter[rows],
        r_cents=np.full(b - a, r),
        drift=np.arange(a, b) / 1000,
        limit_cents=100_000,
    )


def test_quantiles_are_those_of_the_chosen_action_and_probabilities_a_softmax(policy, tape):
    held = generator(1, "held").integers(-1, 2, 400).astype(float)
    out = opinions(policy, tape.obs[:400], held)
    rows = np.column_stack([tape.obs[:400], held]).astype(np.float32)
    atoms = np.sort(policy.quantiles(rows), axis=1)
    means = atoms.mean(axis=1)
    best = np.array([policy.decide(row[:-1], row[-1]) for row in rows]).astype(int) + 1
    np.testing.assert_array_equal(means.argmax(axis=1), best)
    wanted = np.stack([np.quantile(atoms[i, :, best[i]], LEVELS, method="hazen") for i in range(400)])
    np.testing.assert_allclose(out[:, 3:], wanted, rtol=1e-5, atol=1e-3)
    assert np.all(np.diff(out[:, 3:], axis=1) >= 0)
    iqr = np.subtract(*np.quantile(atoms, (0.75, 0.25), axis=1, method="hazen")).mean(axis=1)
    likely = np.exp((means - means.max(axis=1, keepdims=True)) / (TEMPERATURE * iqr[:, None]))
    np.testing.assert_allclose(out[:, :3], likely / likely.sum(axis=1, keepdims=True), atol=2e-4)
    np.testing.assert_array_equal(out[:, :3].argmax(axis=1), best)


def test_a_policy_without_quantiles_says_its_own_softmax(tape):
    ppo = random_policy(0)
    out = opinions(ppo, tape.obs[:200], np.zeros(200))
    x = np.column_stack([tape.obs[:200], np.zeros(200)]).astype(np.float64)
    (w1, b1), (w2, b2) = ppo.layers
    logits = np.maximum(x @ w1.T + b1, 0) @ w2.T + b2
    wanted = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(out[:, :3], wanted, rtol=1e-5)
    assert np.isnan(out[:, 3:]).all()


def test_a_policy_that_abstains_is_sure_of_flat_and_of_earning_nothing(tape):
    out = opinions(random_policy(QUANTILES, abstains=True), tape.obs[:50], np.zeros(50))
    assert np.all(out == [0, 1, 0, 0, 0, 0, 0, 0])


def test_one_row_gives_the_same_bits_as_many(policy, tape):
    positions = np.array([-1.0, 0.0, 1.0])
    many = Reader.of(policy).table(tape.obs[:300], positions)
    ones = np.concatenate([Reader.of(policy).table(tape.obs[t : t + 1], positions) for t in range(300)])
    np.testing.assert_array_equal(many, ones)
    held = generator(2, "held").integers(-1, 2, 300).astype(float)
    single = np.concatenate([opinions(policy, tape.obs[t : t + 1], held[t : t + 1]) for t in range(300)])
    np.testing.assert_array_equal(opinions(policy, tape.obs[:300], held), single)
    np.testing.assert_array_equal(single, many[np.arange(300), held.astype(int) + 1, 1:])


@pytest.mark.parametrize("quantiles", [QUANTILES, 0])
@pytest.mark.parametrize(
    "limits",
    [
        unlimited(1),
        unlimited(2),
        Limits(
            max_contracts=1,
            account_cents=5_000_000,
            margin_cents=500_000,
            max_daily_loss_cents=60_000,
            max_drawdown_cents=0,
        ),
    ],
)
def test_the_sentinel_lives_what_a_backtest_of_its_policy_does(tape, quantiles, limits):
    policy = random_policy(quantiles, seed=3)
    sentinel = Sentinel(policy=policy, terms=TERMS, limits=limits)
    out = run(sentinel, sentinel.new_state(), tape, 0, len(tape))
    track = run_policy(tape, policy, TERMS, limits, close_at_end=False)
    np.testing.assert_array_equal(out[:, IN["equity"]], track.equity_cents)
    np.testing.assert_array_equal(out[:, IN["position"]], track.position)
    np.testing.assert_array_equal(out[:, IN["net"]], np.diff(track.equity_cents, prepend=0))
    assert len(track.fills()) > 100
    held = track.position / limits.max_contracts
    np.testing.assert_array_equal(out[:, 1:9], opinions(policy, tape.obs, held))
    np.testing.assert_array_equal(
        out[:, IN["target"]], [policy.decide(row, p) for row, p in zip(tape.obs, held, strict=True)]
    )


def test_what_was_carried_to_the_open_and_the_rest_add_up(policy, tape):
    sentinel = Sentinel(policy=policy, terms=TERMS, limits=unlimited(1))
    out = run(sentinel, sentinel.new_state(), tape, 0, len(tape))
    held, now = out[:-1, IN["position"]], out[1:, IN["position"]]
    gap, bar = tape.open[1:] - tape.close[:-1], tape.close[1:] - tape.open[1:]
    closed, opened = np.where(held * now > 0, 0, np.abs(held)), np.where(held * now > 0, 0, np.abs(now))
    np.testing.assert_array_equal(out[1:, IN["carried"]], 1250 * held * gap - 1475 * closed)
    np.testing.assert_array_equal(out[1:, IN["net"]] - out[1:, IN["carried"]], 1250 * now * bar - 1475 * opened)
    assert np.any(held * now < 0)


@pytest.mark.parametrize("sizes", [(1,), (400, 3)])
def test_any_cutting_of_the_rows_gives_the_same_bits(policy, tape, sizes):
    sentinel = Sentinel(policy=policy, terms=TERMS, limits=unlimited(1))
    whole = run(sentinel, sentinel.new_state(), tape, 0, len(tape))
    state, parts, a, i = sentinel.new_state(), [], 0, 0
    while a < len(tape):
        b = min(len(tape), a + sizes[i % len(sizes)])
        parts.append(run(sentinel, state, tape, a, b))
        a, i = b, i + 1
        state = {name: array.copy() for name, array in state.items()}
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_rows_to_come_change_nothing_the_sentinel_says(policy, tape):
    sentinel = Sentinel(policy=policy, terms=TERMS, limits=unlimited(1))
    whole = run(sentinel, sentinel.new_state(), tape, 0, len(tape))
    for t in (1, 299, 300, 777):
        wild = replace(tape, obs=tape.obs.copy(), close=tape.close.copy(), high=tape.high + 9**6)
        wild.obs[t:] *= -3
        wild.close[t:] += 1000
        np.testing.assert_array_equal(run(sentinel, sentinel.new_state(), wild, 0, len(tape))[:t], whole[:t])


def test_another_policy_takes_over_the_account(policy, tape):
    first, second = (Sentinel(policy=p, terms=TERMS, limits=unlimited(1)) for p in (policy, random_policy(0)))
    state = first.new_state()
    before = run(first, state, tape, 0, 500)
    after = run(second, state, tape, 500, 1000)
    assert after[0, IN["equity"]] == before[-1, IN["equity"]] + after[0, IN["net"]]


def test_awareness_reads_what_the_sentinel_writes(policy, tape):
    sentinel = Sentinel(policy=policy, terms=TERMS, limits=unlimited(1))
    out = run(sentinel, sentinel.new_state(), tape, 0, len(tape))
    told = Awareness().advance(Awareness().new_state(), out)
    assert np.isfinite(told[600:]).all()
    np.testing.assert_allclose(told[1:, :5], out[:-1, 4:9] / 7000.0, rtol=1e-12)


def test_probabilities_and_quantiles_of_a_cautious_policy_are_those_of_the_action_it_takes(tape):
    cautious = replace(random_policy(QUANTILES), risk_level=0.2)
    positions = np.array([-1.0, 0.0, 1.0])
    said = Reader.of(cautious).table(tape.obs[:300], positions)
    np.testing.assert_array_equal(said[..., 0], cautious.table(tape.obs[:300], positions))
    assert np.any(said[..., 0] != Reader.of(random_policy(QUANTILES)).table(tape.obs[:300], positions)[..., 0])


def test_a_continuous_target_is_read_as_a_chance_of_its_side(tape):
    policy = continuous_policy(1)
    said = Reader.of(policy).table(tape.obs[:300], np.array([-1.0, 0.0, 1.0]))
    targets = policy.table(tape.obs[:300], np.array([-1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(said[..., 0], targets)
    np.testing.assert_allclose(said[..., 3] - said[..., 1], targets, atol=1e-15)
    np.testing.assert_allclose(said[..., 1:4].sum(axis=2), 1, rtol=1e-12)
    assert np.isnan(said[..., 4:]).all()


def test_an_ensembles_probabilities_are_its_members_by_weight(tape):
    vote = ensemble_policy(weights=(0.5, 0.2, 0.3))
    positions = np.array([-1.0, 0.0, 1.0])
    said = Reader.of(vote).table(tape.obs[:300], positions)
    np.testing.assert_array_equal(said[..., 0], vote.table(tape.obs[:300], positions))
    alone = [Reader.of(part).table(tape.obs[:300], positions)[..., 1:4] for part in vote.members.values()]
    np.testing.assert_allclose(said[..., 1:4], 0.5 * alone[0] + 0.2 * alone[1] + 0.3 * alone[2], rtol=1e-12)
    assert np.isnan(said[..., 4:]).all()
    idle = Reader.of(replace(vote, abstains=True)).table(tape.obs[:5], positions)
    assert np.all(idle == [0, 0, 1, 0, 0, 0, 0, 0, 0])


def test_an_observation_of_another_width_is_refused(policy):
    with pytest.raises(ArtefactMismatch, match="reads 6 columns"):
        opinions(policy, np.zeros((3, 5), dtype=np.float32), np.zeros(3))
