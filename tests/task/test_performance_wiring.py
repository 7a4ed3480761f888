"""Performance of a run: the log's wiring to a run's clock and process, and how long a decision takes."""

import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from mia.task import performance, usage
from mia.task.train import trainer_progress
from mia.task.watch import Watch
from mia.tracking.performance_log import read


class Slow:
    """A policy whose decision takes a known time; every fifth takes ten times as long."""

    width = 3

    def __init__(self, seconds):
        self.seconds, self.rows, self.positions = seconds, [], []

    def decide(self, obs, position):
        self.rows.append(obs.copy())
        self.positions.append(position)
        until = time.perf_counter() + self.seconds * (10 if len(self.rows) % 5 == 0 else 1)
        while time.perf_counter() < until:
            pass
        return 0.0


def settings(outputs, market="ES"):
    return SimpleNamespace(
        outputs=str(outputs),
        market=SimpleNamespace(name=market) if market else None,
        algo=SimpleNamespace(name="ppo"),
        source=SimpleNamespace(name="yardstick"),
        seed=100,
        tracking=SimpleNamespace(mode="offline", figures=True),
    )


def test_latency_is_the_median_so_that_rare_delays_do_not_count():
    found = usage.decision_latency_us(Slow(200e-6), 3, repeats=60)
    assert 200 <= found < 1000  # the mean would be above 560, a delayed decision takes 2000


def test_latency_is_measured_on_the_same_rows_each_time():
    first, second = Slow(0.0), Slow(0.0)
    for policy in (first, second):
        usage.decision_latency_us(policy, 3, repeats=30)
    assert np.array_equal(first.rows, second.rows)
    assert first.rows[0].dtype == np.float32
    assert set(first.positions) == {-1.0, 0.0, 1.0}
    assert len(first.rows) == 30 + usage.WARM_UP


def test_what_learners_tell_the_progress_ends_in_the_file_and_on_the_page(tmp_path):
    watch = Watch(quiet=True)
    figured = []
    watch.tracker = SimpleNamespace(mode="offline", log=lambda *_: None, figure=lambda name, _: figured.append(name))
    log = performance.logger(settings(tmp_path), watch, Path("runs/2026-01-02/10-00-ES-ppo"), trial=4, fold=1)
    with watch.step("ppo") as step:
        hear = trainer_progress(step, log)
        hear(0, 2000, {})
        hear(1000, 2000, {"step": 1000.0, "profit_cents_per_bar": 50.0, "policy": Slow(50e-6)})
        hear(2000, 2000, {"step": 2000.0, "profit_cents_per_bar": 75.0})
    first, second = read(tmp_path / "logs" / "ES" / "train_ppo_performance.csv")
    assert (first["reward"], second["reward"]) == (0.5, 0.75)
    assert (first["run"], first["trial"], first["fold"]) == ("2026-01-02/10-00-ES-ppo", 4, 1)
    assert first["latency_us"] >= 50
    assert second["latency_us"] is None
    assert 0 <= first["cpu_s"] <= second["cpu_s"]
    assert first["memory_mb"] > 10
    assert abs(datetime.now(UTC) - datetime.fromisoformat(first["when"])).total_seconds() < 60
    target = performance.write_page(settings(tmp_path), watch)
    assert target == tmp_path / "figures" / "ES" / "train_ppo_performance.html"
    assert "Profit per bar on validation rows" in target.read_text()
    assert figured == ["train/performance/reward", "train/performance/latency", "train/performance/memory"]


def test_known_worlds_have_files_of_their_own(tmp_path):
    assert performance.market(settings(tmp_path)) == "ES"
    assert performance.market(settings(tmp_path, market=None)) == "yardstick"
