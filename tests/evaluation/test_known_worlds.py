"""The known worlds judge as their optima say: the best policy gets all of it, doing nothing gets nothing."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from mia.desk.accounting import outcome_tables
from mia.desk.backtest import run_targets
from mia.env.trading_env import TradingEnv
from mia.evaluation import known_world, known_world_cmdp, known_world_regime, known_worlds
from mia.regime.settings import HmmSettings
from mia.reward.pnl import PnlReward
from mia.risk.limits import unlimited
from mia.source import cmdp, regime_world, yardstick
from mia.source.cmdp_settings import CmdpSettings
from mia.source.regime_world_settings import RegimeWorldSettings
from mia.source.yardstick_settings import YardstickSettings


def tuples(value):
    return tuple(tuples(item) for item in value) if isinstance(value, list) else value


def read(root, cls, path, **changes):
    values = yaml.safe_load((root / "conf" / path).read_text(encoding="utf-8"))
    return cls(**{key: tuples(value) for key, value in values.items()} | changes)


class Rule:
    """A policy that is a function of the observation."""

    def __init__(self, function):
        self.function = function

    def table(self, obs, positions):
        return np.stack([self.function(obs, position) for position in positions], axis=1).astype(float)


def wishes(rule, tape):
    """(T,) int64 of a rule that does not ask what is held."""
    return rule.table(tape.obs, np.zeros(1))[:, 0].astype(np.int64)


FLAT = Rule(lambda obs, position: np.zeros(len(obs)))


def test_every_kind_of_known_world_is_a_source_of_its_own(root):
    assert {(root / "conf/source" / f"{kind}.yaml").is_file() for kind in known_worlds.KINDS} == {True}
    assert {(root / "conf/experiment" / f"{kind}.yaml").is_file() for kind in known_worlds.KINDS} == {True}


def test_yardstick_pays_its_best_policy_the_optimum(root):
    source = read(root, YardstickSettings, "source/yardstick.yaml", train_rows=1000)
    plan = yardstick.optimum(source)

    def best(obs, position):
        return plan.targets(obs[:, 0])[:, int(position) + 1]

    world = known_worlds.opened(source, 100, features=None, regime=None, memory=None)
    judged = world.judge(Rule(best))
    assert judged["fraction"] == pytest.approx(1.0, abs=0.05)
    assert judged["optimum"] == pytest.approx(0.0505, abs=1e-4)


def test_null_market_has_the_yardsticks_columns_and_nothing_to_earn(root):
    source = read(root, YardstickSettings, "source/null_market.yaml", train_rows=50_000, judge_rows=100_000)
    world = known_world.NullMarket(source, 100)
    twin = yardstick.world(replace(source, kind="yardstick"), 100, "train")
    assert np.array_equal(world.tape.obs, twin.obs)
    moves = np.diff(world.tape.close) / source.ticks_per_unit
    assert abs(np.corrcoef(world.tape.obs[:-1, 0], moves)[0, 1]) < 0.015
    still = world.judge(FLAT)
    assert (still["achieved"], still["trades"], still["profit"], still["profit_low"]) == (0.0, 0, 0.0, 0.0)
    assert np.isnan(still["fraction"])
    busy = world.judge(Rule(lambda obs, position: np.sign(obs[:, 0])))
    assert busy["profit_high"] < 0
    assert busy["achieved"] == pytest.approx(-busy["cost"])
    assert busy["cost_fraction"] == pytest.approx(busy["cost"] / 0.0505, rel=0.01)
    assert busy["profit_low"] < busy["achieved"] < busy["profit_high"]


def test_fresh_rows_of_the_null_market_pay_what_its_judge_says_was_earned(root):
    source = read(root, YardstickSettings, "source/null_market.yaml", train_rows=3000, judge_rows=20_000)
    world, busy = known_world.NullMarket(source, 100), Rule(lambda obs, position: np.sign(obs[:, 0]))
    track = run_targets(world.fresh(), wishes(busy, world.fresh()), world.terms, close_at_end=False)
    earned = track.equity_cents[-1] / source.ticks_per_unit / len(track)
    assert earned == pytest.approx(world.judge(busy)["profit"], abs=0.001)


def test_interval_of_independent_profits_is_that_of_their_mean():
    profits = np.random.default_rng(5).normal(0.3, 2.0, 100_000)
    low, high = known_world.interval(profits)
    assert (low + high) / 2 == pytest.approx(profits.mean())
    assert (high - low) / 2 == pytest.approx(1.96 * 2.0 / np.sqrt(100_000), rel=0.15)


@pytest.fixture(scope="module")
def risky(root):
    return read(root, CmdpSettings, "source/cmdp.yaml", train_sessions=300, judge_sessions=20_000)


def plan_policy(source, chosen):
    """The policy that plays a plan by kind: it finds the kind by its columns."""
    seen = cmdp.columns(source)
    known = {tuple(row): kind for kind in range(len(seen)) for row in seen[kind, :1, cmdp.BARS :].tolist()}
    held = cmdp.plans()[chosen][:, 0]

    def play(obs, position):
        kinds = np.array([known[tuple(row)] for row in obs[:, cmdp.BARS :].tolist()])
        phase = obs[:, : cmdp.BARS].argmax(axis=1)
        return np.where(obs[:, : cmdp.BARS].any(axis=1), held[kinds, phase], 0)

    return Rule(play)


def test_the_optimal_plans_without_their_coin_get_nearly_all_and_keep_the_limit(risky):
    world = known_world_cmdp.Cmdp(risky, 100)
    judged = world.judge(plan_policy(risky, cmdp.solve(risky).chosen))
    assert 0.98 < judged["fraction"] <= 1.0
    assert judged["cvar_exact"] <= risky.limit + 1e-9
    assert judged["cvar_low"] < judged["cvar_exact"] < judged["cvar_high"] < 1.1 * risky.limit
    assert 0 <= judged["violation_rate"] < 0.05
    greedy = world.judge(plan_policy(risky, cmdp.unconstrained(risky).chosen))
    assert greedy["achieved"] == pytest.approx(greedy["unconstrained_optimum"])
    assert greedy["cvar_low"] > risky.limit
    assert world.limit_cents == 2000


def test_flat_policy_loses_nothing_in_any_session(risky):
    judged = known_world_cmdp.Cmdp(risky, 100).judge(FLAT)
    assert (judged["achieved"], judged["cvar"], judged["cvar_high"], judged["worst"], judged["trades"]) == (0,) * 5


def test_episodes_of_the_env_earn_what_the_formula_of_a_session_says(risky):
    drawn = cmdp.sessions(risky, 100, "train")
    tape, terms = known_world_cmdp.tape(risky, drawn), known_world.terms(risky)
    policy = plan_policy(risky, cmdp.solve(risky).chosen)
    env = TradingEnv(tape, terms, unlimited(), PnlReward(scale_cents=1.0), episode_sessions=1)
    assert len(env.episodes) == len(drawn)
    held = np.repeat(cmdp.plans()[cmdp.solve(risky).chosen][:, None, :1], 2, axis=2)
    expected = cmdp.profits(risky, held)[:, 0]
    for session in range(100):
        obs, _ = env.reset(options={"episode": session})
        total, ended = 0.0, False
        while not ended:
            wish = policy.table(obs[None, :-1], np.array([obs[-1]]))[0, 0]
            obs, reward, terminated, truncated, _ = env.step(int(wish) + 1)
            total, ended = total + reward, terminated or truncated
        kind, crashed = drawn.kind[session], int(drawn.crashed[session])
        assert total == pytest.approx(expected[kind, crashed] * risky.ticks_per_unit, abs=1e-6)
        assert obs[-1] == 0.0


def test_fresh_rows_of_a_known_world_are_those_its_judge_judges_on(risky):
    world = known_world_cmdp.Cmdp(risky, 100)
    tape, policy = world.fresh(), plan_policy(risky, cmdp.unconstrained(risky).chosen)
    track = run_targets(tape, wishes(policy, tape), world.terms)
    losses = -np.bincount(tape.session, np.diff(track.equity_cents, prepend=0)) / risky.ticks_per_unit
    judged = world.judge(policy)
    assert len(losses) == risky.judge_sessions
    worst = np.sort(losses)[::-1][: round(len(losses) * (1 - risky.alpha))]
    assert worst.mean() == pytest.approx(judged["cvar"], rel=1e-3)
    assert not np.array_equal(tape.close[: len(world.tape)], world.tape.close)


def test_no_position_passes_from_one_session_into_the_next(risky):
    tape = known_world_cmdp.tape(risky, cmdp.sessions(risky, 100, "train"))
    _, held = outcome_tables(tape, known_world.terms(risky), (-1, 0, 1))
    last = np.flatnonzero(np.diff(tape.session))
    assert np.all(held[last] == 0)
    assert np.all(held[last - 1] == 0)
    assert np.all(tape.close[last + 1] == tape.close[last])


def test_tail_interval_covers_the_true_tail_about_as_often_as_it_says():
    values, weights = np.array([-0.5, 0.4, 1.0, 2.0, 4.0]), np.array([0.8, 0.1, 0.05, 0.03, 0.02])
    truth = cmdp.tail_mean(values, weights, 0.95)
    rng = np.random.default_rng(11)
    hits = 0
    for _ in range(200):
        low, high = known_world_cmdp.tail_interval(rng.choice(values, 2000, p=weights), 0.95, rng)
        hits += low <= truth <= high
    assert 180 <= hits <= 199


@pytest.fixture(scope="module")
def regimes(root):
    source = read(root, RegimeWorldSettings, "source/regime_market.yaml", train_rows=20_000, judge_rows=30_000)
    source = replace(source, refits=3, grid=20)
    return source, known_world_regime.RegimeMarket(source, read(root, HmmSettings, "regime/hmm3.yaml"), 102)


def test_the_fitted_regime_model_is_nearly_as_right_as_the_true_filter_and_its_names_stay(regimes):
    judged = regimes[1].judge(FLAT)
    assert judged["hmm_ratio"] >= 0.97
    assert judged["true_filter_accuracy"] > 0.9
    assert judged["names_stable"] == 1.0
    assert judged["achieved"] == 0.0


def test_fresh_rows_of_the_regime_market_carry_the_belief_of_the_model_fitted_before(regimes):
    source, market = regimes
    fresh = market.fresh()
    assert (len(fresh), fresh.width) == (source.judge_rows, market.tape.width)
    np.testing.assert_array_equal(fresh.obs[:, -3:], fresh.belief.astype(np.float32))
    np.testing.assert_allclose(fresh.belief.sum(axis=1), 1.0)
    shown = regime_world.world(source, 102, "judge").shown
    np.testing.assert_array_equal(fresh.obs[:, :-3], shown.astype(np.float32))


def test_best_plan_on_the_fitted_belief_earns_nearly_what_the_true_filter_does(regimes):
    source, world = regimes
    plan = regime_world.plan(source)

    def play(obs, position):
        return plan.targets(obs[:, -3:].astype(float))[:, int(position) + 1]

    judged = world.judge(Rule(play))
    assert 0.97 < judged["fraction"] < 1.02
    assert judged["optimum"] == pytest.approx(judged["optimum_long_run"], rel=0.15)


def test_names_of_swapped_states_are_told_to_be_wrong(regimes):
    source, world = regimes
    model = world._model
    swapped = replace(model, means=model.means[[1, 0, 2]])
    assert known_world_regime.names_are_right(source, model)
    assert not known_world_regime.names_are_right(source, swapped)


def test_the_belief_of_a_row_does_not_know_later_rows(regimes):
    source, world = regimes
    shown = regime_world.world(source, 102, "train").shown
    cut = world._model.filter(shown[:700])
    np.testing.assert_array_equal(world.tape.obs[:700, -3:], cut.astype(np.float32))
