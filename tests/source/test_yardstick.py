"""The yardstick is the market it claims to be, and its optimum is one."""

import numpy as np
import pytest

from mia.domain.errors import ConfigurationError
from mia.source import yardstick
from mia.source.yardstick_settings import YardstickSettings

FIELDS = {
    "name": "yardstick",
    "kind": "yardstick",
    "train_rows": 200_000,
    "judge_rows": 400_000,
    "signal": 0.1,
    "persistence": 0.95,
    "noise": 1.0,
    "cost": 0.5,
    "distractors": 14,
    "distractor_low": 0.5,
    "distractor_high": 0.99,
    "ticks_per_unit": 1000,
}


def settings(**changes):
    return YardstickSettings(**{**FIELDS, **changes})


@pytest.fixture(scope="module")
def world():
    return yardstick.world(settings(), 0, "judge")


@pytest.fixture(scope="module")
def optimum():
    return yardstick.optimum(settings())


def test_columns_have_unit_variance_and_their_persistence(world):
    obs = world.obs.astype(np.float64)
    # Slow columns have few independent rows, so their variance is known to about 5 % only.
    np.testing.assert_allclose(obs.var(axis=0), 1.0, atol=0.12)
    lag = (obs[1:] * obs[:-1]).mean(axis=0) / obs.var(axis=0)
    assert lag[0] == pytest.approx(0.95, abs=0.003)
    assert np.all((lag[1:] > 0.49) & (lag[1:] < 0.995))


def test_only_alpha_predicts_the_return_and_by_the_signal(world):
    slopes = np.linalg.lstsq(world.obs.astype(np.float64), world.returns, rcond=None)[0]
    assert slopes[0] == pytest.approx(0.1, abs=0.008)
    assert np.abs(slopes[1:]).max() < 0.008
    assert np.std(world.returns - 0.1 * world.alpha) == pytest.approx(1.0, abs=0.005)


def test_train_and_judge_rows_are_independent_rows_of_one_market():
    train, judge = (yardstick.world(settings(judge_rows=200_000), 3, purpose) for purpose in ("train", "judge"))
    correlation = [np.corrcoef(train.obs[:, c], judge.obs[:, c])[0, 1] for c in range(15)]
    assert np.abs(correlation).max() < 0.06
    first, second = ((w.obs[1:] * w.obs[:-1]).mean(axis=0) / (w.obs**2).mean(axis=0) for w in (train, judge))
    np.testing.assert_allclose(first, second, atol=0.02)


def test_same_seed_gives_the_same_world_and_another_seed_another():
    a, b, c = (yardstick.world(settings(train_rows=1000), seed, "train") for seed in (1, 1, 2))
    assert np.array_equal(a.obs, b.obs)
    assert np.array_equal(a.returns, b.returns)
    assert not np.array_equal(a.obs, c.obs)


def test_optimum_is_the_published_one_and_independent_of_the_grid(optimum):
    assert optimum.per_bar == pytest.approx(0.0505, abs=0.0001)
    assert yardstick.optimum(settings(), points=401).per_bar == pytest.approx(optimum.per_bar, rel=1e-4)


def test_simulating_the_optimal_policy_earns_the_optimum(world, optimum):
    held = yardstick.hold(optimum.targets(world.alpha))
    profit, _, _ = yardstick.expected_profit(world, held)
    # Block means tell the error of the simulation; the optimum must lie within three of them.
    blocks = (0.1 * world.alpha * held - 0.5 * np.abs(np.diff(held, prepend=0))).reshape(400, -1).mean(axis=1)
    error = blocks.std(ddof=1) / 20
    assert error < 0.001
    assert abs(profit / len(world) - optimum.per_bar) < 3 * error


def test_no_band_around_the_optimal_one_earns_more_and_the_sign_of_alpha_loses(world, optimum):
    def earned(enter, leave):
        out = np.empty((len(world), 3), dtype=np.int64)
        for p in (-1, 0, 1):
            low, high = (-leave, enter) if p == -1 else (-enter, enter) if p == 0 else (-enter, leave)
            out[:, p + 1] = np.where(world.alpha > high, 1, np.where(world.alpha < low, -1, 0))
        return yardstick.expected_profit(world, yardstick.hold(out))[0] / len(world)

    best = yardstick.expected_profit(world, yardstick.hold(optimum.targets(world.alpha)))[0] / len(world)
    tried = [earned(enter, leave) for enter in (0.5, 0.7, 0.8, 0.9, 1.2) for leave in (-1.0, -0.4, 0.0, 0.4)]
    assert max(tried) < best * 1.01
    always = yardstick.expected_profit(world, np.sign(world.alpha).astype(np.int64))[0]
    assert always < 0


def test_without_costs_the_optimum_is_the_closed_form():
    # Holding sign(alpha) earns signal * E|alpha| = signal * sqrt(2 / pi).
    assert yardstick.optimum(settings(cost=0.0)).per_bar == pytest.approx(0.1 * np.sqrt(2 / np.pi), rel=1e-3)


def test_null_market_is_worth_nothing():
    best = yardstick.optimum(yardstick.null(settings()))
    assert best.per_bar == pytest.approx(0.0, abs=1e-9)
    assert np.all(best.target[1] == 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "files"),
        ("train_rows", 10),
        ("signal", -1.0),
        ("persistence", 1.0),
        ("noise", 0.0),
        ("distractor_high", 1.0),
        ("ticks_per_unit", 101),
    ],
)
def test_impossible_settings_are_refused_by_name(field, value):
    with pytest.raises(ConfigurationError, match=field):
        settings(**{field: value})
