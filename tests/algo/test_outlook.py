"""Quantiles are monotone, caution prefers the safer action, and what was expected stands beside what came."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from mia.algo import learner
from mia.algo.experience import experience
from mia.algo.outlook import outlook, path
from mia.algo.policy import TrainedPolicy
from mia.broker.terms import Terms
from mia.desk.backtest import run_policy
from mia.domain.errors import ArtefactMismatch
from mia.domain.rng import generator
from mia.evaluation import known_world
from mia.evaluation.calibration import coverage
from mia.risk.limits import unlimited
from mia.source import yardstick

HELD = np.array([-1.0, 0.0, 1.0])


def told(quantiles, risk_level=1.0):
    """A policy without a market that expects (N, 3) quantiles of short, flat and long, whatever it sees."""
    n = len(quantiles)
    bias = np.array(quantiles, dtype=np.float32).ravel()
    return TrainedPolicy(
        algo="qr_dqn",
        layers=((np.zeros((3 * n, 3), np.float32), bias),),
        activation="relu",
        n_quantiles=n,
        risk_level=risk_level,
        value_cents=10.0,
        abstains=False,
        card={},
    )


# Long earns 1.4 on average but loses 5 in the worst quarter; short earns 1, come what may; flat nothing.
GAMBLE = [[1.0, 0.0, -5.0], [1.0, 0.0, 3.0], [1.0, 0.0, 3.6], [1.0, 0.0, 4.0]]


@pytest.mark.parametrize(("risk_level", "side"), [(1.0, 1), (0.75, -1), (0.5, -1), (0.25, -1)])
def test_caution_prefers_the_safer_of_two_actions(risk_level, side):
    # Means of the worst 4, 3, 2, 1 quantiles of long: 1.4, 0.53, -1, -5.
    policy = told(GAMBLE, risk_level)
    assert policy.decide(np.zeros(2, np.float32), 0.0) == side


def test_caution_stays_out_where_every_trade_can_go_wrong():
    quantiles = [[-2.0, 0.0, -5.0], [1.0, 0.0, 3.0], [3.0, 0.0, 3.0], [3.0, 0.0, 4.0]]
    assert told(quantiles).decide(np.zeros(2, np.float32), 0.0) != 0
    assert told(quantiles, 0.25).decide(np.zeros(2, np.float32), 0.0) == 0


def test_caution_reads_the_worst_quantiles_even_where_the_network_crosses_them():
    crossed = [GAMBLE[i] for i in (2, 0, 3, 1)]
    for level in (1.0, 0.75, 0.5, 0.25):
        values = told(crossed, level).values(np.zeros((1, 2), np.float32), HELD)
        np.testing.assert_allclose(values, told(GAMBLE, level).values(np.zeros((1, 2), np.float32), HELD), rtol=1e-6)


def test_value_at_a_risk_level_is_the_mean_of_the_worst_share():
    rng = generator(1, "tail")
    widths, n = (6, 8, 3 * 20), 20
    layers = tuple(
        (rng.standard_normal((b, a)).astype(np.float32), rng.standard_normal(b).astype(np.float32))
        for a, b in pairwise(widths)
    )
    policy = replace(told(np.zeros((n, 3)), 0.3), layers=layers)
    obs = rng.standard_normal((50, 5)).astype(np.float32)
    values = policy.values(obs, HELD)
    for p, held in enumerate(HELD):
        atoms = policy.quantiles(np.column_stack([obs, np.full(50, held, np.float32)])) / policy.value_cents
        np.testing.assert_allclose(values[:, p], atoms[:, :6].mean(axis=1), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def taught(tape, terms, qr_dqn):
    quick = replace(qr_dqn, network=(32, 32), quantiles=21, updates=600, discount=0.9)
    return replace(learner("qr_dqn")(tape, terms, quick, 100), abstains=False)


@pytest.fixture(scope="module")
def fresh(world_settings):
    return known_world.tape(yardstick.world(replace(world_settings, judge_rows=8_000), 100, "judge"))


def test_quantiles_of_a_trained_network_are_monotone(taught, fresh):
    rows = np.column_stack([fresh.obs[:2000], np.zeros(2000, np.float32)])
    quantiles = taught.quantiles(rows)
    assert quantiles.shape == (2000, 21, 3)
    assert np.all(np.diff(quantiles, axis=1) >= 0)
    assert np.ptp(quantiles, axis=1).min() > 0


def test_path_is_that_of_a_backtest(taught, fresh, terms):
    seen = experience(fresh, terms)
    actions = np.rint(taught.table(fresh.obs, HELD)).astype(np.int64) + 1
    position, action = path(actions, seen.held)
    track = run_policy(fresh, taught, terms, unlimited(), close_at_end=False)
    np.testing.assert_array_equal(position - 1, track.position)
    np.testing.assert_array_equal(action[:-1] - 1, track.position[1:])


def test_what_came_of_a_bar_is_its_profit_and_the_value_expected_next(taught, fresh, terms):
    found = outlook(taught, fresh, terms, discount=0.9, whole_return=False, most_rows=500)
    track = run_policy(fresh, taught, terms, unlimited(), close_at_end=False)
    net = np.diff(track.equity_cents)
    for i in range(0, len(found.rows), 61):
        t = found.rows[i]
        after = track.position[t + 1]
        ahead = taught.quantiles(np.append(fresh.obs[t + 1], np.float32(after))).mean(axis=1).max()
        assert found.realised[i] == pytest.approx(net[t] + 0.9 * ahead, rel=1e-4, abs=0.05)
        now = taught.quantiles(np.append(fresh.obs[t], np.float32(track.position[t])))[0, :, after + 1]
        np.testing.assert_array_equal(found.told[i], now)


def test_what_came_in_all_is_the_discounted_profit_of_the_path(taught, fresh, terms):
    found = outlook(taught, fresh, terms, discount=0.9, whole_return=True, most_rows=300)
    track = run_policy(fresh, taught, terms, unlimited(), close_at_end=False)
    net = np.diff(track.equity_cents)
    # 0.9^200 of what lies beyond is nothing.
    for i in range(0, 200, 17):
        t = found.rows[i]
        ahead = net[t : t + 200]
        assert found.realised[i] == pytest.approx((0.9 ** np.arange(len(ahead)) * ahead).sum(), abs=0.01)


def test_quantiles_cover_on_fresh_rows_about_what_they_say(taught, fresh, terms):
    found = outlook(taught, fresh, terms, discount=0.9, whole_return=False)
    table = coverage(found.told, found.levels, found.realised)
    assert len(table) == 21
    # Not exactly: 600 steps teach a spread roughly.
    assert max(abs(row["covered"] - row["level"]) for row in table) < 0.08
    narrow = coverage(0.3 * (found.told - found.told.mean()) + found.told.mean(), found.levels, found.realised)
    assert max(abs(row["covered"] - row["level"]) for row in narrow) > 0.15


def test_policy_that_abstains_is_judged_by_what_it_would_do(taught, fresh, terms):
    speaks = outlook(taught, fresh, terms, discount=0.9, whole_return=False, most_rows=50)
    silent = outlook(replace(taught, abstains=True), fresh, terms, discount=0.9, whole_return=False, most_rows=50)
    np.testing.assert_array_equal(speaks.told, silent.told)
    np.testing.assert_array_equal(speaks.realised, silent.realised)


def test_policy_without_quantiles_is_refused(fresh):
    plain = replace(told([[0.0, 1.0, 0.0]]), n_quantiles=0)
    with pytest.raises(ArtefactMismatch, match="knows no quantiles"):
        outlook(plain, fresh, Terms(tick_value_cents=1, side_cost_cents=1), discount=0.9, whole_return=False)
