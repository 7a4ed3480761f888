"""An ensemble that trades along: its members' records, the weights that follow them, and that nothing looks ahead."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from mia.algo.evidence import BLOCK_FIELDS, CHANGES, FINITE, MIRRORED, PROFIT, begin, follow, rule_of
from mia.algo.opinion import Reader
from mia.algo.policy import TrainedPolicy
from mia.algo.sentinel import Sentinel
from mia.algo.settings import VoteSettings
from mia.algo.vote import VotePolicy, votes
from mia.algo.vote_sentinel import VoteSentinel, shadow_of
from mia.broker.terms import Terms
from mia.desk.awareness import INPUTS, Awareness
from mia.desk.backtest import run_policy
from mia.desk.tape import Tape
from mia.domain.market import Market
from mia.domain.rng import generator
from mia.domain.series import SELF
from mia.risk.limits import Limits, unlimited

WIDTH, SESSION = 6, 100
AT = {name: i for i, name in enumerate(INPUTS)}
WEIGHTS = [AT[f"w_{name}"] for name in ("sac", "ppo", "ddpg")]
TARGETS = [AT[f"t_{name}"] for name in ("sac", "ppo", "ddpg")]
RULE = VoteSettings(forgetting=0.9, edge=0.5, clip=3.0, doubt=2.0, least_blocks=5.0, patience=4, voice=0.05)
TERMS = Terms(tick_value_cents=1250, side_cost_cents=500)
DAILY = Limits(
    max_contracts=1, account_cents=5_000_000, margin_cents=500_000, max_daily_loss_cents=60_000, max_drawdown_cents=0
)


def member(seed, outputs=3):
    rng = generator(seed, "policy")
    layers = tuple(
        (rng.normal(0, 0.6, (b, a)).astype(np.float32), rng.normal(0, 0.3, b).astype(np.float32))
        for a, b in pairwise((WIDTH + 1, 16, outputs))
    )
    return TrainedPolicy(
        algo="x",
        layers=layers,
        activation="relu",
        actions="continuous" if outputs == 1 else "discrete",
        n_quantiles=0,
        value_cents=250.0,
        abstains=False,
        card={},
    )


def knowing(sign):
    """A policy that wishes the side of the first column: 1 the right one on `tape`, -1 its mirror image."""
    matrix, bias = np.zeros((3, WIDTH + 1), np.float32), np.array([0.0, 0.3, 0.0], np.float32)
    matrix[0, 0], matrix[2, 0] = -sign, sign
    return replace(member(1), layers=((matrix, bias),))


def always(action):
    matrix, bias = np.zeros((3, WIDTH + 1), np.float32), np.zeros(3, np.float32)
    bias[action] = 1.0
    return replace(member(1), layers=((matrix, bias),))


def ensemble(members=None, weights=(0.4, 0.3, 0.3), **changes):
    members = members or {"sac": member(1, outputs=1), "ppo": member(2), "ddpg": member(3, outputs=1)}
    values = {"algo": "ensemble", "members": members, "weights": weights, "prior": (0.4, 0.3, 0.3), "rule": RULE}
    return VotePolicy(**values | {"abstains": False, "card": {}} | changes)


@pytest.fixture(scope="module")
def tape():
    """Bars that go where the first column of the row before pointed, more often than not."""
    rng, rows = generator(4, "tape"), 2000
    obs = rng.standard_normal((rows, WIDTH)).astype(np.float32)
    change = np.append(0, np.rint(2.0 * obs[:-1, 0] + 3.0 * rng.standard_normal(rows - 1)).astype(np.int64))
    close = 20000 + np.cumsum(change)
    open_ = np.append(close[0], close[:-1])
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
    return Tape(
        market=market,
        ts=(np.arange(rows) + 1) * 60_000_000_000,
        open=open_,
        high=np.maximum(open_, close) + 1,
        low=np.minimum(open_, close) - 1,
        close=close,
        session=np.arange(rows) // SESSION,
        must_flat=np.arange(rows) % SESSION >= SESSION - 2,
        may_enter=np.arange(rows) % SESSION >= 5,
        obs=obs,
        belief=np.full((rows, 3), 1 / 3),
    )


def run(sentinel, state, tape, a=0, b=None):
    rows = slice(a, len(tape) if b is None else b)
    n = rows.stop - a
    return sentinel.advance(
        state,
        tape.obs[rows],
        tape.open[rows],
        tape.close[rows],
        tape.session[rows],
        tape.must_flat[rows],
        tape.may_enter[rows],
        r_cents=np.full(n, 7000.0),
        drift=np.arange(rows.start, rows.stop) / 1000,
        limit_cents=100_000,
    )


ONE = unlimited(1)


def sentinel_of(policy, limits=ONE):
    return VoteSentinel(policy=policy, terms=TERMS, limits=limits)


class Mirror:
    def __init__(self, policy):
        self.policy = policy

    def decide(self, obs, position):
        return -self.policy.decide(obs, -position)


class Listening:
    """Decides as a policy does and remembers what it wished."""

    def __init__(self, policy):
        self.policy, self.said = policy, []

    def decide(self, obs, position):
        self.said.append(np.sign(np.rint(self.policy.decide(obs, position))))
        return self.policy.decide(obs, position)


def weights_by_backtest(policy, tape, limits):
    """(T, K) weights from whole backtests of each member and its mirror image, session by session."""
    sessions = int(tape.session[-1]) + 1
    blocks = np.ones((sessions, len(policy.members), BLOCK_FIELDS))
    for k, part in enumerate(policy.members.values()):
        for field, decides in ((PROFIT, Listening(part)), (MIRRORED, Mirror(part))):
            track = run_policy(tape, decides, TERMS, limits, close_at_end=False)
            net = np.diff(track.equity_cents, prepend=0)
            blocks[:, k, field] = [net[tape.session == s].sum() for s in range(sessions)]
            if field == PROFIT:
                # The last row is not asked in a backtest; no session after it needs its answer.
                wished = np.append(decides.said, decides.said[-1])
                changed = np.diff(wished, prepend=wished[0]) != 0
                blocks[:, k, CHANGES] = [changed[tape.session == s].sum() for s in range(sessions)]
        blocks[:, k, FINITE] = 1.0
    rule, prior = rule_of(policy.rule), np.array(policy.prior)
    trace = follow(begin(policy.weights), np.log(prior), rule, blocks, np.ones(sessions, dtype=bool))
    return trace[tape.session]


@pytest.mark.parametrize("limits", [unlimited(1), unlimited(2), DAILY], ids=["one", "two", "daily loss"])
def test_weights_are_those_of_whole_backtests_of_each_member(tape, limits):
    policy = ensemble()
    out = run(sentinel_of(policy, limits), sentinel_of(policy, limits).new_state(), tape)
    np.testing.assert_allclose(out[:, WEIGHTS], weights_by_backtest(policy, tape, limits), rtol=1e-9, atol=1e-12)
    assert np.ptp(out[:, WEIGHTS], axis=0).max() > 0.1


@pytest.mark.parametrize("limits", [unlimited(1), DAILY], ids=["one", "daily loss"])
def test_the_account_is_that_of_a_backtest_with_these_weights(tape, limits):
    policy = ensemble()
    out = run(sentinel_of(policy, limits), sentinel_of(policy, limits).new_state(), tape)

    class Scheduled:
        def __init__(self):
            self.t = -1

        def decide(self, obs, position):
            self.t += 1
            leanings = policy.leanings(obs[None], np.array([position]))
            return votes(leanings, out[self.t : self.t + 1, WEIGHTS].copy(), RULE.voice, False)[0, 0]

    track = run_policy(tape, Scheduled(), TERMS, limits, close_at_end=False)
    np.testing.assert_array_equal(out[:, AT["equity"]], track.equity_cents)
    np.testing.assert_array_equal(out[:, AT["position"]], track.position)
    np.testing.assert_array_equal(out[:, AT["net"]], np.diff(track.equity_cents, prepend=0))
    assert len(track.fills()) > 50


def test_targets_are_what_members_wish_at_the_position_of_the_whole(tape):
    policy = ensemble()
    out = run(sentinel_of(policy), sentinel_of(policy).new_state(), tape)
    for t in range(0, 2000, 37):
        held = out[t, AT["position"]]
        alone = [part.decide(tape.obs[t], held) for part in policy.members.values()]
        np.testing.assert_array_equal(out[t, TARGETS], alone)
    chances = Reader.of(policy).spoken(tape.obs, np.array([-1.0, 0.0, 1.0]))
    at = out[:, AT["position"]].astype(int) + 1
    mixed = np.einsum("tk,kta->ta", out[:, WEIGHTS], chances[:, np.arange(2000), at, 1:4])
    np.testing.assert_allclose(out[:, 1:4], mixed, rtol=1e-9, atol=1e-12)


def test_weights_change_with_the_session_only_and_sum_to_one(tape):
    policy = ensemble()
    out = run(sentinel_of(policy), sentinel_of(policy).new_state(), tape)
    changed = np.any(np.diff(out[:, WEIGHTS], axis=0) != 0, axis=1)
    assert set(np.flatnonzero(changed) + 1) <= set(range(0, 2000, SESSION))
    assert changed.sum() > 10
    np.testing.assert_allclose(out[:, WEIGHTS].sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(out[:SESSION, WEIGHTS], [[0.4, 0.3, 0.3]] * SESSION)


def test_good_expert_wins_and_inverted_and_constant_ones_get_no_weight(tape):
    policy = ensemble(members={"sac": knowing(-1), "ppo": knowing(1), "ddpg": always(1)})
    out = run(sentinel_of(policy), sentinel_of(policy).new_state(), tape)
    np.testing.assert_array_equal(out[-1, WEIGHTS], [0.0, 1.0, 0.0])
    track = run_policy(tape, knowing(1), TERMS, unlimited(1), close_at_end=False)
    late = tape.session >= 6
    wished = Reader.of(policy.members["ppo"]).table(tape.obs, np.array([-1.0, 0.0, 1.0]))
    leaning = (wished[..., 3] - wished[..., 1])[np.arange(2000), out[:, AT["position"]].astype(int) + 1]
    np.testing.assert_array_equal(out[late, AT["target"]], np.sign(np.rint(leaning[late])))
    assert track.equity_cents[-1] > 0
    assert out[-1, AT["equity"]] > 0.5 * track.equity_cents[-1]


def test_expert_that_says_no_number_is_out_from_the_next_session_on(tape):
    wild = member(2)
    huge = replace(wild, layers=tuple((np.float32(3e38) * np.sign(m), b) for m, b in wild.layers))
    policy = ensemble(members={"sac": member(1, outputs=1), "ppo": huge, "ddpg": member(3, outputs=1)})
    out = run(sentinel_of(policy), sentinel_of(policy).new_state(), tape)
    assert np.isnan(out[:, AT["t_ppo"]]).any()
    assert np.all(out[SESSION:, AT["w_ppo"]] == 0.0)
    assert np.isfinite(out[:, AT["target"]]).all()


@pytest.mark.parametrize("sizes", [(1,), (400, 3), (99, 1)])
def test_any_cutting_of_the_rows_gives_the_same_bits(tape, sizes):
    sentinel = sentinel_of(ensemble())
    whole_state = sentinel.new_state()
    whole = run(sentinel, whole_state, tape)
    state, parts, a, i = sentinel.new_state(), [], 0, 0
    shapes = {name: (array.shape, array.dtype) for name, array in state.items()}
    while a < len(tape):
        b = min(len(tape), a + sizes[i % len(sizes)])
        parts.append(run(sentinel, state, tape, a, b))
        a, i = b, i + 1
        assert {name: (array.shape, array.dtype) for name, array in state.items()} == shapes
        state = {name: array.copy() for name, array in state.items()}
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    for name, array in whole_state.items():
        np.testing.assert_array_equal(state[name], array)


@pytest.mark.parametrize("t", [1, 99, 100, 101, 777])
def test_rows_to_come_change_nothing_that_was_said(tape, t):
    sentinel = sentinel_of(ensemble())
    whole = run(sentinel, sentinel.new_state(), tape)
    wild = replace(tape, obs=tape.obs.copy(), close=tape.close.copy(), high=tape.high + 9**6)
    wild.obs[t:] *= -3
    wild.close[t:] += 1000
    changed = run(sentinel, sentinel.new_state(), wild)
    np.testing.assert_array_equal(changed[:t], whole[:t])
    assert not np.array_equal(changed[t:], whole[t:], equal_nan=True)


def test_another_ensemble_takes_over_the_account_and_begins_with_its_own_weights(tape):
    first, second = sentinel_of(ensemble()), sentinel_of(ensemble(weights=(0.1, 0.1, 0.8)))
    state = first.new_state()
    before = run(first, state, tape, 0, 550)
    after = run(second, state, tape, 550, 1000)
    assert after[0, AT["equity"]] == before[-1, AT["equity"]] + after[0, AT["net"]]
    np.testing.assert_allclose(after[:50, WEIGHTS], [[0.1, 0.1, 0.8]] * 50)
    assert not np.allclose(after[60, WEIGHTS], [0.1, 0.1, 0.8])


def test_ensemble_that_abstains_is_flat_and_sure_of_it(tape):
    policy = ensemble(abstains=True)
    out = run(sentinel_of(policy), sentinel_of(policy).new_state(), tape)
    assert np.all(out[:, :4] == [0, 0, 1, 0])
    assert not out[:, AT["equity"]].any()


def test_awareness_reads_weights_and_disagreement_of_the_row_before(tape):
    policy = ensemble()
    out = run(sentinel_of(policy), sentinel_of(policy).new_state(), tape)
    told = Awareness().advance(Awareness().new_state(), out)
    column = {name.removeprefix("self."): i for i, name in enumerate(SELF)}
    np.testing.assert_array_equal(told[1:, 8:11], out[:-1, WEIGHTS])
    np.testing.assert_allclose(told[1:, 11], out[:-1, TARGETS].std(axis=1), atol=1e-12)
    assert np.ptp(told[1:, 8]) > 0.1
    assert np.ptp(told[1:, 11]) > 0.1
    assert len(column) == told.shape[1]


def test_members_without_a_column_stay_out_of_it(tape):
    policy = ensemble(members={"a": member(1), "b": member(2), "c": member(3)})
    out = run(sentinel_of(policy), sentinel_of(policy).new_state(), tape)
    assert np.isnan(out[:, WEIGHTS + TARGETS]).all()
    part = ensemble(members={"sac": member(1), "b": member(2), "c": member(3)})
    out = run(sentinel_of(part), sentinel_of(part).new_state(), tape)
    assert np.all(out[:, AT["w_ppo"]] == 0)
    assert np.isfinite(out[:, AT["w_sac"]]).all()


def test_a_policy_gets_the_sentinel_of_its_kind():
    assert isinstance(shadow_of(member(1), TERMS, unlimited(1)), Sentinel)
    assert isinstance(shadow_of(ensemble(), TERMS, unlimited(1)), VoteSentinel)
