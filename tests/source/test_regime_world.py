"""The regime market is the chain it claims to be; its filter and its plan are exact."""

from dataclasses import replace

import numpy as np
import pytest

from mia.domain.errors import ConfigurationError
from mia.regime.regime_detector import RegimeModel
from mia.source import regime_world, yardstick
from mia.source.regime_world_settings import RegimeWorldSettings

FIELDS = {
    "name": "regime_market",
    "kind": "regime_market",
    "train_rows": 20_000,
    "judge_rows": 200_000,
    "transition": ((0.985, 0.012, 0.003), (0.008, 0.984, 0.008), (0.004, 0.016, 0.98)),
    "means": ((0.0, 0.1, 0.7, 0.6), (-0.5, -0.1, -0.5, -0.5), (1.2, 0.4, -0.1, 0.0)),
    "deviations": ((0.8, 0.9, 0.9, 0.9), (0.7, 0.9, 0.8, 0.9), (1.0, 1.1, 0.9, 0.9)),
    "drift": (0.12, 0.0, -0.16),
    "noise": 1.0,
    "cost": 0.5,
    "refits": 2,
    "grid": 20,
    "ticks_per_unit": 1000,
}
MOVES = np.array([-1, 0, 1])


def settings(**changes):
    return RegimeWorldSettings(**{**FIELDS, **changes})


@pytest.fixture(scope="module")
def world():
    return regime_world.world(settings(), 100, "judge")


def observed_optimum(s):
    """Profit per bar of the best policy when the state is seen: plain value iteration over 3 states x 3 positions."""
    value = np.zeros((3, 3))
    for _ in range(20_000):
        worth = np.array(s.drift)[:, None] * MOVES + np.array(s.transition) @ value
        updated = (worth[:, None, :] - s.cost * np.abs(MOVES[:, None] - MOVES)[None]).max(axis=2)
        change, value = updated - value, updated - updated[1, 1]
        if np.ptp(change) < 1e-12:
            break
    return change.mean()


def per_row(world, held):
    cost = world.settings.cost * np.abs(np.diff(held, prepend=0))
    return held * np.array(world.settings.drift)[world.state] - cost


def test_chain_moves_and_shows_as_declared(world):
    moves = np.zeros((3, 3))
    np.add.at(moves, (world.state[:-1], world.state[1:]), 1)
    np.testing.assert_allclose(moves / moves.sum(axis=1, keepdims=True), FIELDS["transition"], atol=0.002)
    for k in range(3):
        rows = world.state == k
        np.testing.assert_allclose(world.shown[rows].mean(axis=0), FIELDS["means"][k], atol=0.02)
        np.testing.assert_allclose(world.shown[rows].std(axis=0), FIELDS["deviations"][k], atol=0.02)
        assert world.returns[rows].mean() == pytest.approx(FIELDS["drift"][k], abs=0.02)


def test_true_filter_is_the_products_filter_with_the_true_numbers(world):
    s, shown = settings(), world.shown[:5000]
    model = RegimeModel(
        inputs=("a", "b", "c", "d"),
        names=("trend", "range", "defensive"),
        startprob=regime_world.stationary(s),
        transmat=np.array(s.transition),
        means=np.array(s.means),
        variances=np.array(s.deviations) ** 2,
        log_likelihood=0.0,
        iterations=0,
        rows=0,
        converged=True,
    )
    np.testing.assert_allclose(regime_world.true_filter(s, shown), model.filter(shown), atol=1e-10)


def test_beliefs_are_as_often_right_as_they_say(world):
    belief = regime_world.true_filter(settings(), world.shown)
    for k in range(3):
        for low, high in ((0.05, 0.3), (0.3, 0.7), (0.7, 0.95)):
            rows = (belief[:, k] > low) & (belief[:, k] <= high)
            assert np.mean(world.state[rows] == k) == pytest.approx(belief[rows, k].mean(), abs=0.03)


def test_grid_points_and_weights_give_beliefs_back():
    rng = np.random.default_rng(3)
    belief = np.concatenate([rng.dirichlet(np.full(3, 0.3), 2000), np.eye(3), [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]])
    corners, weights = regime_world.locate(belief, 20)
    grid = np.array([(i, j, 20 - i - j) for i in range(21) for j in range(21 - i)]) / 20
    assert weights.min() > -1e-9
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(np.einsum("tc,tck->tk", weights, grid[corners]), belief, atol=1e-9)


def test_plan_of_a_fully_shown_state_is_that_of_the_observed_chain():
    s = settings(deviations=((0.01,) * 4,) * 3)
    # What is left between is the interpolation: the belief after a row is a corner of the simplex.
    assert regime_world.plan(s).per_bar == pytest.approx(observed_optimum(s), rel=2e-3)


def test_plan_of_a_state_that_shows_nothing_stays_flat():
    s = settings(means=((0.0,) * 4,) * 3, deviations=((1.0,) * 4,) * 3)
    assert regime_world.plan(s).per_bar == pytest.approx(0.0, abs=1e-6)


def test_seeing_less_is_worth_less():
    clear = regime_world.plan(settings()).per_bar
    dim = regime_world.plan(settings(means=tuple(tuple(0.5 * m for m in row) for row in FIELDS["means"]))).per_bar
    assert dim < 0.97 * clear < observed_optimum(settings())


def test_simulating_filter_and_plan_earns_what_the_plan_says_and_no_threshold_rule_more(world):
    s = settings(grid=40)
    belief = regime_world.true_filter(s, world.shown)
    plan = regime_world.plan(s)
    earned = per_row(world, yardstick.hold(plan.targets(belief)))
    error = earned.reshape(200, -1).mean(axis=1).std(ddof=1) / np.sqrt(200)
    # Linear interpolation of a convex value promises up to one per cent too much at this grid.
    assert -3 * error < plan.per_bar - earned.mean() < 3 * error + 0.01 * plan.per_bar
    for enter in (0.4, 0.6, 0.8, 0.95):
        rule = np.where(belief[:, 0] > enter, 1, np.where(belief[:, 2] > enter, -1, 0))
        assert per_row(world, rule).mean() < earned.mean()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "files"),
        ("transition", ((1.0, 0.0, 0.0),) * 3),
        ("means", ((0.0,), (0.0, 1.0), (0.0,))),
        ("deviations", ((0.0,) * 4,) * 3),
        ("drift", (0.1,)),
        ("grid", 2),
        ("refits", 0),
    ],
)
def test_impossible_regime_market_settings_are_refused_by_name(field, value):
    with pytest.raises(ConfigurationError, match=field):
        settings(**{field: value})


def test_train_and_judge_rows_differ_and_a_seed_repeats():
    s = replace(settings(), judge_rows=20_000)
    a, b = (regime_world.world(s, 1, purpose) for purpose in ("train", "judge"))
    assert not np.array_equal(a.state, b.state)
    assert np.array_equal(a.shown, regime_world.world(s, 1, "train").shown)
