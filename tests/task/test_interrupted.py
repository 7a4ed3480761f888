"""Ctrl-C while a policy learns: the state is saved, the message says how to go on, and the same command goes on."""

import json
import signal
from pathlib import Path

import pytest

from mia.algo import learning
from mia.task import command_line

WORLD = [
    "experiment=yardstick",
    "algo=qr_dqn_fast",
    "algo.updates=200",
    "algo.updates_per_step=10",
    "source.train_rows=6000",
    "source.judge_rows=3000",
    "tracking=off",
    "quiet=true",
]


def summary():
    newest = max(Path("outputs/runs").glob("*/*/summary.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text())


@pytest.fixture
def interrupting(monkeypatch):
    """Press Ctrl-C at the first look of the next training, once or twice."""
    look = learning.Look._look

    def press(times):
        def and_press(self, step):
            look(self, step)
            monkeypatch.setattr(learning.Look, "_look", look)
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(learning.Look, "_look", and_press)

    return press


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("whole"))
        assert command_line.run(WORLD) == 0
        return summary()


def test_the_same_command_goes_on_and_ends_as_if_nothing_had_happened(
    uninterrupted, interrupting, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    interrupting(1)
    assert command_line.run(WORLD) == 130
    said = capfd.readouterr().err
    assert "saving at the next safe point" in said
    assert "the same command goes on from there" in said
    (kept,) = Path("outputs/checkpoints").iterdir()
    assert (kept / "state.ckpt").is_file()
    assert not list(Path("outputs/runs").glob("*/*/summary.json"))
    steps = []
    monkeypatch.setattr(learning.Look, "_on_training_start", lambda self: steps.append(self.model.num_timesteps))
    assert command_line.run(WORLD) == 0
    assert steps[0] >= 10  # of 20
    assert summary()["digest"] == uninterrupted["digest"]
    assert not kept.exists()


def test_it_stays_one_trial(interrupting, tmp_path, monkeypatch):
    from mia.evaluation.ledger import TrialLedger

    monkeypatch.chdir(tmp_path)
    interrupting(1)
    command_line.run(WORLD)
    command_line.run(WORLD)
    assert TrialLedger(Path("outputs/trials.sqlite")).trials("WORLD") == 1
    command_line.run(WORLD)
    assert TrialLedger(Path("outputs/trials.sqlite")).trials("WORLD") == 2


def test_pressing_twice_stops_at_once_and_saves_nothing_more(interrupting, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    interrupting(2)
    assert command_line.run(WORLD) == 130
    assert not list(Path("outputs/checkpoints").glob("*/state.ckpt"))


@pytest.mark.parametrize("change", ["algo.learning_rate=0.001", "seed=3", "resume=false"])
def test_other_settings_or_a_wish_to_start_anew_do_not_go_on(change, interrupting, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    interrupting(1)
    command_line.run(WORLD)
    steps = []
    monkeypatch.setattr(learning.Look, "_on_training_start", lambda self: steps.append(self.model.num_timesteps))
    assert command_line.run([*WORLD, change]) == 0
    assert steps == [0]


def test_a_damaged_state_is_one_line_with_its_remedy(interrupting, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    interrupting(1)
    command_line.run(WORLD)
    (state,) = Path("outputs/checkpoints").glob("*/state.ckpt")
    state.write_bytes(state.read_bytes()[:-100])
    capfd.readouterr()
    assert command_line.run(WORLD) == 2
    said = capfd.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "delete it to start anew" in said[0]


def test_what_one_task_keeps_another_that_ends_does_not_delete(tmp_path):
    from mia.task import command_line, keeping

    words = ["+market=ES", f"outputs={tmp_path}"]
    interrupted, other = (command_line.compose([f"task={task}", *words]) for task in ("finetune", "run"))

    def fails():
        with keeping.kept(interrupted, {}, "d") as keeper:
            keeper.trial = 7
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    with keeping.kept(other, {}, "d") as keeper:
        assert keeper.trial is None
        keeper.trial = 8
    with keeping.kept(interrupted, {}, "d") as keeper:
        assert keeper.trial == 7
