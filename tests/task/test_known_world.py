"""Every known world runs from its experiment and writes what share of its optimum was reached."""

import json

import pytest

from mia.task import command_line, known_world

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
    assert (known["optimum"] > 0) == (name != "null_market")


def test_the_verdict_of_a_broken_limit_says_so_and_that_of_a_kept_one_too():
    judged = {"fraction": 1.3, "cvar": 3.0, "cvar_low": 2.9, "cvar_high": 3.1, "limit": 2.0}
    assert "does not surely keep it" in known_world.sentence(judged, abstains=False)
    kept = judged | {"cvar": 1.8, "cvar_low": 1.7, "cvar_high": 1.9}
    assert "and keeps it" in known_world.sentence(kept, abstains=False)


def test_nothing_to_earn_is_said_with_what_was_paid():
    judged = {"fraction": float("nan"), "cost": 0.001, "rows": 2000, "trades": 4}
    assert "traded 4 contracts and paid 2 units" in known_world.sentence(judged, abstains=False)
