"""The hidden market's features carry the signal, and none of them knows what comes later."""

from dataclasses import replace

import numpy as np
import pytest

from mia.evaluation import known_world_hidden
from mia.evaluation.known_world_hidden import HiddenYardstick, Rooms
from mia.source import hidden_signal
from mia.source.hidden_settings import HiddenSettings
from mia.task import command_line

SOURCE = HiddenSettings(
    name="yardstick_hidden",
    kind="yardstick_hidden",
    fit_rows=6000,
    train_rows=6000,
    judge_rows=6000,
    signal=0.1,
    persistence=0.95,
    noise=1.0,
    cost=0.5,
    flow_gain=0.15,
    flow_noise=0.15,
    volume=1000,
    volume_spread=0.3,
    session_bars=390,
    ticks_per_unit=20,
)


@pytest.fixture(scope="module")
def rooms():
    composed = command_line.compose(["+market=ES", "features=bars_trades_depth"])
    return Rooms(features=composed.features, regime=composed.regime, memory=composed.memory)


@pytest.fixture(scope="module")
def world(rooms):
    return HiddenYardstick(SOURCE, rooms, 100)


def test_the_signal_is_no_column_but_features_tell_what_the_filter_knows_of_it(world):
    obs, known = world.signal_known()
    assert obs is world.fresh().obs
    assert len(world.fresh()) == SOURCE.judge_rows
    learned = hidden_signal.kalman(world._world)[SOURCE.fit_rows : SOURCE.fit_rows + SOURCE.train_rows]
    columns = world.tape.obs.astype(float)
    # Ridge: a flag that never rose on the training rows must not be given a weight by rounding errors.
    weights = np.linalg.solve(columns.T @ columns + 10 * np.eye(columns.shape[1]), columns.T @ learned)
    rest = known - obs.astype(float) @ weights
    assert 1 - rest.var() / known.var() > 0.93
    # One bar's imbalance alone is far from it: the past has to be taken into account.
    at = world.columns.index("delta_ratio")
    assert np.corrcoef(obs[:, at], known)[0, 1] ** 2 < 0.75
    alpha = world._world.alpha[-SOURCE.judge_rows :]
    assert max(abs(np.corrcoef(obs[:, k], alpha)[0, 1]) for k in range(obs.shape[1]) if np.ptp(obs[:, k]) > 0) < 0.93


def test_columns_have_inputs_and_no_source_that_is_absent_is_among_them(world):
    assert {"delta_ratio", "delta_ratio_5", "delta_ratio_20"} <= set(world.columns)
    assert not {"ofi_level_1", "ofi_integrated", "obi_score", "absorption_bid"} & set(world.columns)
    assert 80 < len(world.columns) < 160
    spread = np.ptp(world.tape.obs[:, : world.template.width - 3], axis=0)
    assert np.all(spread > 0)


def test_features_of_a_row_do_not_know_later_rows(world, rooms, monkeypatch):
    """Draw other bars after a row: what was seen and scaled up to it stays, bit for bit."""
    kept = 9000
    drawn = hidden_signal.world(SOURCE, 100)
    other = hidden_signal.world(SOURCE, 101)
    parts = {
        name: np.concatenate([getattr(drawn, name)[:kept], getattr(other, name)[kept:]])
        for name in ("alpha", "returns", "buy", "sell")
    }
    monkeypatch.setattr(known_world_hidden.hidden_signal, "world", lambda settings, seed: replace(drawn, **parts))
    # The view is fitted on all training rows, so it must come from the first world to be compared.
    monkeypatch.setattr(known_world_hidden, "_view", lambda *_: (world._view, world.template))
    changed = HiddenYardstick(SOURCE, rooms, 100)
    rows = kept - SOURCE.fit_rows
    np.testing.assert_array_equal(changed.tape.obs[:rows], world.tape.obs[:rows])
    np.testing.assert_array_equal(changed.tape.belief[:rows], world.tape.belief[:rows])
    assert not np.array_equal(changed.tape.obs[rows:], world.tape.obs[rows:])


def test_the_scaler_of_the_view_knows_the_training_rows_only(world):
    ends = {scaler.fit_end for scaler in world._view.scalers}
    assert ends == {int(world.tape.ts[-1])}
    assert all(scaler.fit_rows == SOURCE.train_rows for scaler in world._view.scalers)


def test_trading_at_the_filters_best_earns_what_the_judge_says_of_it(world):
    mean = hidden_signal.kalman(world._world)[-SOURCE.judge_rows :]
    best = hidden_signal.best_targets(SOURCE, mean)

    class Filter:
        def table(self, obs, positions):
            return best.astype(float)

    judged = world.judge(Filter())
    assert judged["achieved"] == judged["filter_achieved"]
    assert judged["optimum"] == pytest.approx(0.0419, abs=2e-4)


def test_tape_moves_as_the_worlds_returns_say(world):
    rows = slice(SOURCE.fit_rows, SOURCE.fit_rows + SOURCE.train_rows)
    change = world.tape.close - world.tape.open
    assert np.array_equal(change, np.rint(world._world.returns[rows] * SOURCE.ticks_per_unit).astype(np.int64))
    assert np.array_equal(world.tape.open[1:], world.tape.close[:-1])
    assert not world.tape.must_flat.any()
