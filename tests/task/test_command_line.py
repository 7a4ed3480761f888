"""The command line refuses what it cannot mean: one line, exit code 2, nothing written."""

import os
import subprocess
import sys

import pytest

from mia.task import command_line


def mia(*arguments: str, cwd, full_error: bool = False) -> subprocess.CompletedProcess:
    environment = {**os.environ, "HYDRA_FULL_ERROR": "1" if full_error else "0", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "mia", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


REFUSALS = {
    "a missing market": ([], "market"),
    "an unknown market": (["+market=XYZ"], "market XYZ"),
    "a list of markets": (["+market=[ES,MNQ]"], "-m +market=ES,MNQ"),
    "two markets without a sweep": (["+market=ES,MNQ"], "-m"),
    "a range of seeds without a sweep": (["+market=ES", "seed=range(0,10)"], "put -m before it"),
    "a seed of a sweep that cannot be": (["-m", "+market=ES", "seed=range(-1,3)"], "seed must lie between 0"),
    "a mistyped new key": (["+marke=MNQ", "+market=ES"], "marke"),
    "a mistyped key": (["+market=ES", "source.alhpa=0"], "source.alpha"),
    "an appended unknown key": (["+market=ES", "+source.colour=red"], "source.colour"),
    "an unknown option": (["+market=ES", "algo=dqn9"], "qr_dqn"),
    "a number that is text": (["+market=ES", "seed=abc"], "seed"),
    "a negative seed": (["+market=ES", "seed=-1"], "seed"),
    "a tick of zero": (["+market=ES", "market.tick_size=0"], "tick_size"),
    "a negative multiplier": (["+market=ES", "market.multiplier=-2"], "multiplier"),
    "a stray word": (["+market=ES", "qr_dqn"], "qr_dqn"),
    "a broken override": (["+market=ES", "seed=[1,"], "seed"),
    "a missing file": (["+market=ES", "source=files", "source.path=nowhere.csv", "source.label=open"], "nowhere.csv"),
    "an undeclared bar label": (["+market=ES", "source=files", "source.path=pyproject.toml"], "label"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_is_one_line_with_exit_code_2_and_leaves_nothing_behind(case, tmp_path):
    arguments, expected = REFUSALS[case]
    done = mia(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert expected in lines[0]
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_refusal_shows_its_traceback_on_request(tmp_path):
    done = mia("+market=XYZ", cwd=tmp_path, full_error=True)
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_help_lists_tasks_groups_and_markets_without_importing_torch(tmp_path):
    probe = (
        "import sys, mia.task.command_line as c; code = c.run(['--help']);"
        "heavy = {'torch', 'numba', 'hydra', 'pandas', 'wandb'} & set(sys.modules);"
        "assert not heavy, heavy; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    for word in ("task=run", "algo", "qr_dqn", "MNQ", "-m +market=ES,MNQ"):
        assert word in done.stdout


def test_a_configuration_error_does_not_pay_for_torch(tmp_path):
    probe = (
        "import sys, mia.task.command_line as c; code = c.run(['+market=ES', 'source.alpha=x']);"
        "heavy = {'torch', 'numba', 'wandb', 'lightgbm'} & set(sys.modules); assert not heavy, heavy; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2, done.stderr


@pytest.mark.parametrize("spelling", ["+market=ES", "market=ES"])
def test_market_is_understood_with_and_without_plus(spelling, tmp_path):
    done = mia(spelling, "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tick_size" in done.stdout
    assert not (tmp_path / "outputs").exists()


def test_task_is_understood_with_and_without_plus(tmp_path):
    done = mia("+market=ES", "+task=ingest", "--cfg", "job", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "name: ingest" in done.stdout


def test_a_range_of_seeds_is_a_job_for_every_seed():
    jobs = command_line._jobs(["+market=ES", "algo=qr_dqn", "seed=range(0,10)"], multirun=True)
    assert jobs == [["+market=ES", "algo=qr_dqn", f"seed={seed}"] for seed in range(10)]
    both = command_line._jobs(["+market=ES,MNQ", "seed=range(3,5)"], multirun=True)
    assert both == [["+market=" + name, f"seed={seed}"] for name in ("ES", "MNQ") for seed in (3, 4)]


def test_a_sweep_over_seeds_is_composed_once_for_what_else_differs(monkeypatch):
    composed = []
    monkeypatch.setattr(command_line, "compose", composed.append)
    monkeypatch.setattr("mia.task.settings.check_task", lambda settings: None)
    command_line.check(["-m", "+market=ES", "algo=qr_dqn,ppo", "seed=range(0,10)"])
    assert composed == [["+market=ES", f"algo={algo}", "seed=0"] for algo in ("qr_dqn", "ppo")]
    composed.clear()
    command_line.check(["-m", "+market=ES", "seed=3,-1,4,99999999999"])  # each that may be refused is composed
    assert [job[-1] for job in composed] == ["seed=3", "seed=-1", "seed=99999999999"]
