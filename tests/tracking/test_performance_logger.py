"""The performance logger: one look is one line of the file and the same figures in the tracker."""

import itertools

import numpy as np
import pytest

from mia.tracking.performance_log import COLUMNS, read
from mia.tracking.performance_logger import PerformanceLogger, Probes, Training

TRAINING = Training(run="2026-01-02/run-0", trial=3, seed=100, fold=2, algo="ensemble", market="ES")
EVERYTHING = {
    "step": 4000.0,
    "profit_cents_per_bar": 12.5,
    "trades_per_1000_bars": 80.0,
    "cvar_loss": 0.5,
    "cvar_low": 0.4,
    "cvar_high": np.float32(0.625),
    "cvar_limit": 0.75,
    "multiplier": 1.5,
    "violation_rate": 0.0625,
    "quantiles": {0.05: -2.0, 0.25: -1.0, 0.5: 0.0, 0.75: 1.0, 0.95: 2.0},
    "ensemble_weights": {"sac": 0.5, "ppo": 0.25, "ddpg": 0.25},
    "finetune_loss": 0.25,
    "online_learning_steps": np.int64(7),
    "maml_steps": 5.0,
}


class Heard:
    """A tracker that remembers."""

    mode = "off"

    def __init__(self):
        self.logged = []

    def log(self, metrics, step):
        self.logged.append((dict(metrics), step))


def made(path, **changed):
    seconds = itertools.count(10.0, 2.0)  # each question finds two more seconds used
    probes = {
        "now": lambda: "2026-01-02T03:04:05+00:00",
        "cpu_s": lambda: next(seconds),
        "memory_mb": lambda: 512.0,
        "latency_us": lambda policy: policy["takes"],
    }
    tracker, said = Heard(), []
    logger = PerformanceLogger(path, tracker, TRAINING, Probes(**(probes | changed)), said.append)
    return logger, tracker, said


def test_every_figure_a_learner_may_tell_has_its_column(tmp_path):
    logger, _, _ = made(tmp_path / "log.csv")
    logger.log(4000, EVERYTHING | {"policy": {"takes": 9.5}})
    (row,) = read(tmp_path / "log.csv")
    assert row == {
        "when": "2026-01-02T03:04:05+00:00",
        "run": "2026-01-02/run-0",
        "trial": 3,
        "seed": 100,
        "fold": 2,
        "algo": "ensemble",
        "market": "ES",
        "step": 4000,
        "reward": 0.125,
        "latency_us": 9.5,
        "memory_mb": 512.0,
        "finetune_loss": 0.25,
        "cvar_loss": 0.5,
        "qr_dqn_quantiles": (-2.0, -1.0, 0.0, 1.0, 2.0),
        "ensemble_weights": {"sac": 0.5, "ppo": 0.25, "ddpg": 0.25},
        "online_learning_steps": 7,
        "maml_steps": 5,
        "multiplier": 1.5,
        "cvar_low": 0.4,
        "cvar_high": 0.625,
        "cvar_limit": 0.75,
        "violation_rate": 0.0625,
        "trades_per_1000_bars": 80.0,
        "cpu_s": 2.0,
        "more": None,
    }


def test_the_tracker_hears_the_columns_names_under_the_fold(tmp_path):
    logger, tracker, _ = made(tmp_path / "log.csv")
    logger.log(4000, EVERYTHING)
    ((heard, step),) = tracker.logged
    assert step == 4000
    plain = {name.removeprefix("train/fold_2/").split("/")[0] for name in heard}
    (row,) = read(tmp_path / "log.csv")
    facts = ("when", "run", "trial", "seed", "fold", "algo", "market", "step")
    assert plain == {name for name in COLUMNS if row[name] is not None and name not in facts}
    assert heard["train/fold_2/reward"] == 0.125
    assert [heard[f"train/fold_2/qr_dqn_quantiles/{q}"] for q in ("05", "25", "50", "75", "95")] == [-2, -1, 0, 1, 2]
    assert heard["train/fold_2/ensemble_weights/sac"] == 0.5
    assert all(isinstance(value, int | float) for value in heard.values())


def test_blank_cells_are_not_told_to_the_tracker(tmp_path):
    logger, tracker, _ = made(tmp_path / "log.csv")
    logger.log(1, {"step": 1.0, "profit_cents_per_bar": 1.0, "trades_per_1000_bars": 2.0, "multiplier": None})
    assert set(tracker.logged[0][0]) == {
        f"train/fold_2/{key}" for key in ("reward", "memory_mb", "trades_per_1000_bars", "cpu_s")
    }
    (row,) = read(tmp_path / "log.csv")
    assert row["latency_us"] is None
    assert row["multiplier"] is None


def test_quantiles_may_be_five_values_or_any_mapping_that_has_the_five_levels(tmp_path):
    logger, _, _ = made(tmp_path / "log.csv")
    logger.log(1, {"quantiles": np.array([1, 2, 3, 4, 5], dtype=np.float32)})
    levels = np.round(np.linspace(0.05, 0.95, 19), 2)
    logger.log(2, {"quantiles": {float(q): 100 * q for q in levels}})
    assert [row["qr_dqn_quantiles"] for row in read(tmp_path / "log.csv")] == [(1, 2, 3, 4, 5), (5, 25, 50, 75, 95)]


def test_a_figure_without_a_column_goes_to_more_and_to_the_tracker(tmp_path):
    logger, tracker, _ = made(tmp_path / "log.csv")
    logger.log(1, {"entropy": np.float64(0.5), "phase": "warm", "updates": 3})
    assert read(tmp_path / "log.csv")[0]["more"] == {"entropy": 0.5, "phase": "warm", "updates": 3}
    assert tracker.logged[0][0]["train/fold_2/entropy"] == 0.5


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"cvar_loss": "much"}, "cvar_loss must be a number, was 'much'"),
        ({"reward": True}, "reward must be a number, was True"),
        ({"multiplier": np.zeros(2)}, "multiplier must be a number"),
        ({"maml_steps": 1.5}, "maml_steps must be a whole number, was 1.5"),
        ({"maml_steps": float("inf")}, "maml_steps must be a whole number"),
        ({"quantiles": [1.0, 2.0]}, "quantiles must be given at 0.05, 0.25, 0.5, 0.75, 0.95"),
        ({"quantiles": {0.1: 1.0, 0.9: 2.0}}, "quantiles must be given at"),
        ({"quantiles": [1, 2, 3, 4, 5], "qr_dqn_quantiles": [1, 2, 3, 4, 5]}, "told twice"),
        ({"ensemble_weights": [0.5, 0.5]}, "ensemble_weights must map names to weights"),
        ({"ensemble_weights": {"a=b": 1.0}}, "a name must be letters"),
        ({"ensemble_weights": {"sac": None}}, "ensemble_weights of sac must be a number"),
        ({"entropy": [1, 2]}, "entropy must be a number"),
        ({"seed": 3}, "seed is not a learner's to tell"),
        ({"when": "now"}, "when is not a learner's to tell"),
    ],
)
def test_a_wrong_figure_is_refused_by_name_and_nothing_is_recorded(tmp_path, figures, message):
    logger, tracker, _ = made(tmp_path / "log.csv")
    with pytest.raises(ValueError, match=message):
        logger.log(1, figures)
    assert not (tmp_path / "log.csv").exists()
    assert tracker.logged == []


def test_a_file_that_cannot_be_written_costs_one_line_and_the_tracker_goes_on(tmp_path):
    (tmp_path / "log.csv").mkdir()
    logger, tracker, said = made(tmp_path / "log.csv")
    for step in (1, 2, 3):
        logger.log(step, {"profit_cents_per_bar": 1.0})
    assert len(said) == 1
    assert "the training goes on without" in said[0]
    assert [step for _, step in tracker.logged] == [1, 2, 3]


def test_cpu_seconds_count_from_the_making_of_the_logger(tmp_path):
    logger, _, _ = made(tmp_path / "log.csv")
    for step in (1, 2, 3):
        logger.log(step, {"profit_cents_per_bar": 1.0})
    assert [row["cpu_s"] for row in read(tmp_path / "log.csv")] == [2.0, 4.0, 6.0]
