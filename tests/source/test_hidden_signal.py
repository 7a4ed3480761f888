"""The hidden market hides what it says, and its filter is the best there is."""

import numpy as np
import pytest
from scipy.linalg import solve_discrete_are

from mia.domain.errors import ConfigurationError
from mia.domain.series import INDEX
from mia.source import hidden_signal, yardstick
from mia.source.hidden_settings import HiddenSettings

FIELDS = {
    "name": "yardstick_hidden",
    "kind": "yardstick_hidden",
    "fit_rows": 1000,
    "train_rows": 1000,
    "judge_rows": 400_000,
    "signal": 0.1,
    "persistence": 0.95,
    "noise": 1.0,
    "cost": 0.5,
    "flow_gain": 0.15,
    "flow_noise": 0.15,
    "volume": 1000,
    "volume_spread": 0.3,
    "session_bars": 390,
    "ticks_per_unit": 20,
}


def settings(**changes):
    return HiddenSettings(**{**FIELDS, **changes})


@pytest.fixture(scope="module")
def world():
    return hidden_signal.world(settings(), 100)


@pytest.fixture(scope="module")
def mean(world):
    return hidden_signal.kalman(world)


def riccati_variance(signal):
    """Posterior variance from the Riccati equation of the two-state model (alpha now, alpha before)."""
    s = settings()
    move = np.array([[s.persistence, 0.0], [1.0, 0.0]])
    shock = np.diag([1 - s.persistence**2, 0.0])
    seen = np.array([[s.flow_gain, 0.0], [0.0, signal]])
    noise = np.diag([s.flow_noise**2, s.noise**2])
    predicted = solve_discrete_are(move.T, seen.T, shock + 1e-14 * np.eye(2), noise)
    gain = predicted @ seen.T @ np.linalg.inv(seen @ predicted @ seen.T + noise)
    return ((np.eye(2) - gain @ seen) @ predicted)[0, 0]


@pytest.mark.parametrize("signal", [0.1, 1.0])
def test_posterior_variance_solves_the_riccati_equation(signal):
    assert hidden_signal.posterior_variance(settings(signal=signal)) == pytest.approx(
        riccati_variance(signal), rel=1e-6
    )


def test_the_filter_errs_by_its_variance_in_a_long_simulation(world, mean):
    error = (world.alpha - mean)[1000:]
    assert np.mean(error**2) == pytest.approx(hidden_signal.posterior_variance(settings()), rel=0.02)
    assert np.mean(error * mean[1000:]) == pytest.approx(0.0, abs=0.01)


def test_what_the_filter_knows_is_an_ar1_of_the_yardstick_it_is_taken_for(world, mean):
    known = 1 - hidden_signal.posterior_variance(settings())
    later = mean[1000:]
    assert later.var() == pytest.approx(known, rel=0.05)
    assert (later[1:] * later[:-1]).mean() / later.var() == pytest.approx(0.95, abs=0.003)
    stand_in = hidden_signal.as_yardstick(settings())
    assert stand_in.signal == pytest.approx(0.1 * known**0.5)


def test_filter_and_policy_earn_the_optimum_on_fresh_rows(world, mean):
    s = settings()
    held = yardstick.hold(hidden_signal.best_targets(s, mean))
    per_row = s.signal * held * world.alpha - s.cost * np.abs(np.diff(held, prepend=0))
    blocks = per_row[: 400 * 1000].reshape(400, -1).mean(axis=1)
    error = blocks.std(ddof=1) / 20
    assert error < 0.0015
    best = yardstick.optimum(hidden_signal.as_yardstick(s)).per_bar
    assert abs(per_row.mean() - best) < 3 * error


def test_flow_shows_the_signal_and_the_return_follows_it_by_a_bar(world):
    slope = np.polyfit(world.alpha, world.imbalance, 1)[0]
    assert slope == pytest.approx(0.15, abs=0.002)
    rest = world.imbalance - 0.15 * world.alpha
    assert rest.std() == pytest.approx(0.15, abs=0.002)
    caused = np.polyfit(world.alpha[:-1], world.returns[1:], 1)[0]
    assert caused == pytest.approx(0.1, abs=0.006)
    # Past the signal itself flow says nothing of returns, nor volume of anything.
    later = world.returns[1:] - 0.1 * world.alpha[:-1]
    assert abs(np.corrcoef(rest[:-1], later)[0, 1]) < 0.006
    assert abs(np.corrcoef((world.buy + world.sell)[:-1], later)[0, 1]) < 0.006
    assert abs(np.corrcoef(world.buy + world.sell, world.alpha)[0, 1]) < 0.02


def test_base_rows_are_proper_bars_of_whole_ticks_and_contracts():
    small = hidden_signal.world(settings(judge_rows=1000), 100)
    rows = hidden_signal.base_rows(small, 100_000)
    bar = {name: rows[:, INDEX[f"bar.{name}"]] for name in ("open", "high", "low", "close", "volume")}
    assert np.array_equal(bar["open"][1:], bar["close"][:-1])
    assert np.all(bar["high"] >= np.maximum(bar["open"], bar["close"]))
    assert np.all(bar["low"] <= np.minimum(bar["open"], bar["close"]))
    assert np.all(np.rint(rows[:, :4]) == rows[:, :4])
    assert np.array_equal(rows[:, INDEX["trd.buy_volume"]] + rows[:, INDEX["trd.sell_volume"]], bar["volume"])
    filled = np.flatnonzero(~np.isnan(rows).all(axis=0))
    assert len(filled) == 8


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "yardstick"),
        ("fit_rows", 10),
        ("noise", 0.0),
        ("persistence", 1.0),
        ("flow_noise", 0.5),
        ("volume", 5),
        ("session_bars", 10),
        ("ticks_per_unit", 21),
    ],
)
def test_impossible_hidden_settings_are_refused_by_name(field, value):
    with pytest.raises(ConfigurationError, match=field):
        settings(**{field: value})
