"""Our learner beside the library's defaults: both are looked at from outside, and only learning counts as time."""

import json
from pathlib import Path

import pytest

from mia.task import command_line
from mia.task.race import Runner, sentence

WORLD = ["experiment=yardstick", "task=race", "source.train_rows=20000", "source.judge_rows=5000", "tracking=off"]


def test_time_to_the_finish_is_that_of_the_first_look_past_it():
    runner = Runner(name="x", judge=lambda _: 0.0, finish=0.8, way=[(1.0, 0.2), (2.0, 0.85), (3.0, 0.7), (4.0, 0.9)])
    assert runner.finished_s == 2.0
    assert Runner(name="x", judge=lambda _: 0.0, finish=0.95, way=runner.way).finished_s is None


def test_the_sentence_says_who_was_there_and_promises_no_more_than_was_seen():
    class Settings:
        class algo:  # noqa: N801
            name = "ppo"

        class race:  # noqa: N801
            share = 0.8

    assert "4.0 times sooner" in sentence(Settings, 5.0, 20.0, 21.0)
    assert "more than 30 times sooner" in sentence(Settings, 5.0, None, 150.0)
    assert "did not reach 80%" in sentence(Settings, None, 20.0, 21.0)


@pytest.mark.parametrize("algo", ["ppo", "qr_dqn_fast"])
def test_both_run_on_the_same_rows_and_the_summary_holds_both_ways(algo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    brief = {"ppo": ["algo.frames=40000"], "qr_dqn_fast": ["algo.updates=200"]}[algo]
    race = ["race.limit_s=0.6", "race.every_s=0.2", "race.looks=3", "race.share=0.05", "quiet=true"]
    assert command_line.run([*WORLD, f"algo={algo}", *brief, *race]) == 0
    found = json.loads(next(Path("outputs/runs").glob("*/*/summary.json")).read_text())["race"]
    assert len(found["mia"]["way"]) == 3
    assert 1 <= len(found["library"]["way"]) <= 4
    seconds = [point[0] for point in found["mia"]["way"]]
    assert seconds == sorted(seconds)
    assert 0 < seconds[-1] < 60


def test_a_race_needs_a_known_world_and_a_rival(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert command_line.run(["+market=ES", "task=race"]) == 2
    assert "experiment=yardstick" in capfd.readouterr().err
