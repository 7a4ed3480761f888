"""The constrained market is what it says, and its linear program is right."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest

from mia.domain.errors import ConfigurationError
from mia.source import cmdp
from mia.source.cmdp_settings import CmdpSettings

FIELDS = {
    "name": "cmdp",
    "kind": "cmdp",
    "train_sessions": 2000,
    "judge_sessions": 20_000,
    "levels": 40,
    "crash_probability": 0.1,
    "crash_low": 0.5,
    "crash_high": 4.0,
    "gain_low": 0.1,
    "gain_high": 0.3,
    "drifts": (0.06, 0.15),
    "cost": 0.1,
    "alpha": 0.95,
    "limit": 2.0,
    "ticks_per_unit": 1000,
}


def settings(**changes):
    return CmdpSettings(**{**FIELDS, **changes})


@pytest.fixture(scope="module")
def solution():
    return cmdp.solve(settings())


def session_profits(s, kind, held):
    """Profit without and with a crash of four positions, by hand: side * changes - cost of every trade."""
    found = cmdp.kinds(s)
    out = []
    for risky in (found.up[kind], -found.crash[kind]):
        moves = [found.drift[kind], risky, found.drift[kind], found.drift[kind]]
        path = [0, *held, 0]
        traded = sum(abs(b - a) for a, b in pairwise(path))
        gained = sum(h * m for h, m in zip(held, moves, strict=True))
        out.append(found.side[kind] * gained / s.ticks_per_unit - s.cost * traded)
    return out


def test_profits_are_those_of_a_walk_by_hand():
    s = settings()
    held = np.array([1, -1, 0, 1])
    earned = cmdp.profits(s, np.repeat(held[None, None, None], 2, axis=2))[:, 0]
    for kind in (0, 39, 77, 120, 159):
        np.testing.assert_allclose(earned[kind], session_profits(s, kind, held), atol=1e-12)


def test_risk_pays_by_the_declared_gain_on_average():
    s = settings()
    found = cmdp.kinds(s)
    gain = (0.9 * found.up - 0.1 * found.crash) / s.ticks_per_unit
    np.testing.assert_allclose(gain[:40], np.linspace(0.1, 0.3, 40), atol=0.001)
    drawn = cmdp.sessions(s, 100, "judge")
    assert drawn.crashed.mean() == pytest.approx(0.1, abs=0.007)
    assert np.abs(np.bincount(drawn.kind, minlength=160) / len(drawn) * 160 - 1).max() < 0.4


def test_tail_mean_is_the_mean_of_the_worst_draws_of_a_large_sample():
    rng = np.random.default_rng(1)
    values, weights = rng.normal(size=7), rng.dirichlet(np.ones(7))
    drawn = np.sort(rng.choice(values, size=400_000, p=weights))[::-1]
    for alpha in (0.5, 0.9, 0.95):
        assert cmdp.tail_mean(values, weights, alpha) == pytest.approx(
            drawn[: round(400_000 * (1 - alpha))].mean(), abs=0.02
        )


def deterministic_policies(s):
    """Reward and tail loss of every deterministic policy of a tiny market that has mirrored kinds play mirrored."""
    half = len(cmdp.kinds(s)) // 2
    chances = np.array([1 - s.crash_probability, s.crash_probability])
    choices = []
    for kind in range(half, 2 * half):
        results = {
            tuple(np.round([session_profits(s, kind, before + calm)[0], session_profits(s, kind, before + bad)[1]], 9))
            for before in product((-1, 0, 1), repeat=2)
            for calm in product((-1, 0, 1), repeat=2)
            for bad in product((-1, 0, 1), repeat=2)
        }
        # A result worse than another in both outcomes is in no best policy.
        choices.append([r for r in results if not any(q != r and q[0] >= r[0] and q[1] >= r[1] for q in results)])
    for combination in product(*choices):
        result = np.array(combination)
        weights = np.broadcast_to(chances / half, result.shape)
        yield (result * weights).sum(), cmdp.tail_mean(-result, weights, s.alpha)


@pytest.mark.parametrize("limit", [0.5, 0.9, 1.4, 5.0])
def test_linear_program_bounds_every_deterministic_policy_of_a_tiny_market_and_is_nearly_reached(limit):
    s = settings(levels=3, drifts=(0.06, 0.15), limit=limit, crash_probability=0.2, alpha=0.8)
    found = cmdp.solve(s)
    within = [reward for reward, tail in deterministic_policies(s) if tail <= limit + 1e-9]
    assert max(within) <= found.reward + 1e-9
    # A mixture of two policies is worth no more than the next better policy allows.
    assert found.reward - max(within) < 0.03
    if limit == 5.0:
        assert found.reward == pytest.approx(max(within), abs=1e-9)


def test_a_coarse_grid_of_multipliers_finds_no_better_policy_than_the_linear_program(solution):
    s = settings()
    earned = cmdp.profits(s, cmdp.plans()[None])
    chances = cmdp.chances(s)
    for threshold, multiplier in product(np.linspace(0, 2, 9), np.linspace(0, 0.6, 13)):
        over = np.maximum(-earned - threshold, 0) @ chances / (1 - s.alpha)
        # Weak duality at a fixed threshold: no policy that keeps that linearised limit earns more than this.
        score = earned @ chances - multiplier * over
        best = score.argmax(axis=1)
        result = earned[np.arange(len(earned)), best]
        weights = np.broadcast_to(chances / len(result), result.shape)
        if cmdp.tail_mean(-result, weights, s.alpha) <= s.limit:
            assert (result * weights).sum() <= solution.reward + 1e-9


def test_the_limit_binds_and_costs_a_good_part_of_the_profit(solution):
    free = cmdp.unconstrained(settings())
    assert solution.cvar == pytest.approx(2.0, abs=1e-6)
    assert free.cvar > 1.3 * 2.0
    assert 0.6 < solution.reward / free.reward < 0.9


def test_a_policy_that_sees_only_columns_and_position_reaches_the_optimum_within_two_per_cent(solution):
    s = settings()
    simple = cmdp.without_coin(s, solution)
    assert simple.cvar <= 2.0 + 1e-9
    assert simple.reward >= 0.98 * solution.reward
    held = cmdp.plans()[solution.chosen]
    # What has been lost so far changes nothing: the same is held with and without a crash.
    assert np.array_equal(held[:, 0], held[:, 1])


def test_position_matters_and_not_only_the_kind(solution):
    found, held = cmdp.kinds(settings()), cmdp.plans()[solution.chosen][:, 0]
    weak = (found.drift == 60) & (found.side == 1)
    in_risk = held[weak, cmdp.RISKY] == 1
    assert np.all(held[weak][in_risk][:, 2:] == 1)
    assert np.all(held[weak][~in_risk][:, 2:] == 0)
    assert 0 < in_risk.sum() < in_risk.size


def test_columns_tell_the_kind_and_never_the_outcome():
    s = settings()
    seen = cmdp.columns(s)
    assert seen.shape == (160, cmdp.ROWS, cmdp.COLUMNS)
    assert len(np.unique(seen[:, 0], axis=0)) == 160
    a = cmdp.Sessions(kind=np.arange(160), crashed=np.zeros(160, bool))
    b = replace(a, crashed=np.ones(160, bool))
    first, second = cmdp.changes(s, a), cmdp.changes(s, b)
    differs = np.flatnonzero((first != second).any(axis=0))
    assert differs.tolist() == [1 + cmdp.RISKY]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "files"),
        ("levels", 1),
        ("crash_probability", 1.0),
        ("crash_high", 0.1),
        ("gain_high", 0.01),
        ("drifts", ()),
        ("limit", 0.0),
        ("train_sessions", 5),
        ("ticks_per_unit", 101),
    ],
)
def test_impossible_cmdp_settings_are_refused_by_name(field, value):
    with pytest.raises(ConfigurationError, match=field):
        settings(**{field: value})
