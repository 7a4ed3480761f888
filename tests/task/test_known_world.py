"""Every known world runs from its experiment and writes what share of its optimum was reached."""

import json

import numpy as np
import pytest

from mia.algo.progress import LEVELS
from mia.evaluation.ledger import TrialLedger
from mia.task import command_line, known_world, tracker
from mia.tracking import performance_log
from mia.tracking.tracker import OffTracker

QUICK = ["algo=qr_dqn", "algo.updates=60", "algo.updates_per_step=10", "quiet=true", "tracking=off"]
SMALL = {
    "null_market": ["source.train_rows=4000", "source.judge_rows=4000"],
    "cmdp": ["source.train_sessions=1000", "source.judge_sessions=1000", "source.levels=6"],
    "regime_market": ["source.train_rows=6000", "source.judge_rows=4000", "source.refits=2", "source.grid=10"],
    "yardstick_hidden": ["source.fit_rows=4000", "source.train_rows=4000", "source.judge_rows=4000"],
}
OWN = {
    "null_market": {"cost_fraction", "profit", "profit_low", "profit_high"},
    "cmdp": {"cvar", "cvar_low", "cvar_high", "limit", "violation_rate", "worst", "unconstrained_optimum"},
    "regime_market": {"hmm_accuracy", "true_filter_accuracy", "hmm_ratio", "names_stable"},
    "yardstick_hidden": {"filter_achieved", "cost"},
}


@pytest.mark.parametrize("name", sorted(SMALL))
def test_an_experiment_grades_the_learner_on_its_known_world(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command_line.run([f"experiment={name}", *QUICK, *SMALL[name]]) == 0
    (path,) = tmp_path.glob("outputs/runs/*/*/summary.json")
    summary = json.loads(path.read_text())
    known = summary["known_world"]
    assert {"optimum", "achieved", "fraction", "cpu_seconds", "trades", "rows"} | OWN[name] <= set(known)
    assert summary["fraction_of_optimum"] == known["fraction"]
    assert summary["source"] == name
    assert summary["trials"] == 1
    assert (known["optimum"] > 0) == (name != "null_market")
    told = summary["calibration"]
    assert told["rows"] == min(known["rows"] - 1, 20_000)
    assert [row["level"] for row in told["levels"]] == pytest.approx([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95], abs=0.01)
    assert "constraint" not in summary
    (log,) = tmp_path.glob(f"outputs/logs/{name}/train_qr_dqn_performance.csv")
    looks = performance_log.read(log)
    assert looks
    for look in looks:
        told = look["qr_dqn_quantiles"]
        assert len(told) == len(LEVELS)
        assert all(np.diff(told) >= 0)
        assert told[0] < told[-1]
    (trial,) = TrialLedger(tmp_path / "outputs" / "trials.sqlite").rows("WORLD")
    assert trial["status"] == "completed"


def test_a_known_world_tells_the_tracker_what_its_files_say(tmp_path, monkeypatch):
    class Record(OffTracker):
        def __init__(self):
            self.name, self.logged, self.last = None, {}, None

        def start(self, config, name, group):
            self.name = name

        def log(self, metrics, step):
            self.logged |= metrics

        def finish(self, summary):
            self.last = dict(summary)

    record = Record()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tracker, "open_tracker", lambda *_: record)
    assert command_line.run(["experiment=null_market", *QUICK, *SMALL["null_market"]]) == 0
    (path,) = tmp_path.glob("outputs/runs/*/*/summary.json")
    summary = json.loads(path.read_text())
    assert record.name == "null_market-qr_dqn-0"
    assert record.logged["evaluate/known_world/trades"] == summary["known_world"]["trades"]
    assert record.last["evaluate/digest"] == summary["digest"]
    assert any("qr_dqn_quantiles" in key for key in record.logged)


def test_the_verdict_of_a_broken_limit_says_so_and_that_of_a_kept_one_too():
    judged = {"fraction": 1.3, "cvar": 3.0, "cvar_low": 2.9, "cvar_high": 3.1, "limit": 2.0}
    assert "does not surely keep it" in known_world.sentence(judged, flat_because=None)
    kept = judged | {"cvar": 1.8, "cvar_low": 1.7, "cvar_high": 1.9}
    assert "and keeps it" in known_world.sentence(kept, flat_because=None)


def test_nothing_to_earn_is_said_with_what_was_paid():
    judged = {"fraction": float("nan"), "cost": 0.001, "rows": 2000, "trades": 4}
    assert "traded 4 contracts and paid 2 units" in known_world.sentence(judged, flat_because=None)


def test_staying_flat_for_a_broken_limit_is_not_called_luck():
    judged = {"fraction": 0.0}
    assert "more than luck" in known_world.sentence(judged, flat_because="luck")
    broken = known_world.sentence(judged, flat_because="limit")
    assert "no checkpoint kept the limit" in broken
    assert "luck" not in broken


def test_a_learner_under_a_limit_leaves_what_it_risked_and_why_it_stays_flat(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = ["algo=ppo_lagrangian", "algo.frames=40000", "algo.network=[16]", *SMALL["cmdp"], *QUICK[3:]]
    # A hundredth of what the world allows: only who never trades could keep it.
    assert command_line.run(["experiment=cmdp", *few, "source.limit=0.02"]) == 0
    (path,) = tmp_path.glob("outputs/runs/*/*/summary.json")
    summary = json.loads(path.read_text())
    bound = summary["constraint"]
    assert (bound["measure"], bound["unit"], bound["limit"]) == ("loss", "usd", pytest.approx(0.2))
    assert bound["cvar_low"] <= bound["cvar"] <= bound["cvar_high"]
    assert len(bound["trace"]["multiplier"]) == len(bound["trace"]["step"]) > 0
    assert "calibration" not in summary
    assert not bound["kept"]
    assert summary["abstains"]
    assert "no checkpoint kept the limit" in summary["verdict"]
