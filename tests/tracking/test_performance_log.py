"""The performance file: whole lines whatever crashes, whoever else writes, and readable by anybody."""

import csv
import itertools
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest

from mia.domain.errors import ArtefactMismatch, ArtefactMissing
from mia.tracking import performance_log
from mia.tracking.performance_log import append, log_path, read

NAMES = (
    "when,run,trial,seed,fold,algo,market,step,reward,latency_us,memory_mb,finetune_loss,cvar_loss,"
    "qr_dqn_quantiles,ensemble_weights,online_learning_steps,maml_steps,multiplier,cvar_low,cvar_high,cvar_limit,"
    "violation_rate,trades_per_1000_bars,cpu_s,more"
)
FACTS = {
    "when": "2026-01-02T03:04:05+00:00",
    "run": "2026-01-02/run-0",
    "trial": 3,
    "seed": 100,
    "fold": 1,
    "algo": "qr_dqn",
    "market": "MNQ",
}
ROW = FACTS | {"step": 4000, "reward": 0.125, "cpu_s": 1.5}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "logs" / "MNQ" / "train_qr_dqn_performance.csv"


def test_the_file_lies_under_logs_by_market_and_algorithm(tmp_path):
    assert log_path(tmp_path, "ES", "ppo") == tmp_path / "logs" / "ES" / "train_ppo_performance.csv"


def test_the_first_line_names_the_columns_in_their_documented_order(path):
    append(path, ROW)
    append(path, ROW | {"step": 8000})
    lines = path.read_text().split("\n")
    assert lines[0] == NAMES
    assert [line.split(",")[7] for line in lines[1:3]] == ["4000", "8000"]
    assert lines[3:] == [""]  # one header, two rows, ends with a line's end


def test_every_column_is_explained_where_columns_are_declared():
    said = Path(performance_log.__file__).read_text().split("COLUMNS = tuple(KINDS)")[1].split('"""')[1]
    explained = [name for line in said.splitlines() for name in line.split("   ")[0].replace(" ", "").split(",")]
    assert [name for name in explained if name in NAMES.split(",")] == NAMES.split(",")


def test_a_figure_the_learner_has_not_is_a_blank_cell(path):
    append(path, ROW)
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["reward"] == "0.125"
    assert {row[name] for name in ("cvar_loss", "qr_dqn_quantiles", "ensemble_weights", "maml_steps", "more")} == {""}
    assert read(path)[0]["cvar_loss"] is None
    assert read(path)[0]["ensemble_weights"] is None


def test_lists_and_names_are_joined_by_semicolons_and_read_back(path):
    told = {
        "qr_dqn_quantiles": (-2.0, -0.5, 0.25, 1.0, 3.0),
        "ensemble_weights": {"sac": 0.5, "ppo": 0.25, "ddpg": 0.25},
        "online_learning_steps": 12,
        "more": {"note": 'said "so", twice', "entropy": 0.5},
    }
    append(path, ROW | told)
    with path.open(newline="") as file:
        (cells,) = csv.DictReader(file)
    assert cells["qr_dqn_quantiles"] == "-2;-0.5;0.25;1;3"
    assert cells["ensemble_weights"] == "sac=0.5;ppo=0.25;ddpg=0.25"
    (row,) = read(path)
    assert {key: row[key] for key in told} == told
    assert {key: row[key] for key in ROW} == ROW


def test_pandas_opens_the_file_with_numbers_as_numbers_and_blanks_as_missing(path):
    append(path, ROW | {"multiplier": 0.5})
    append(path, ROW | {"step": 8000, "reward": float("nan")})
    table = pd.read_csv(path, parse_dates=["when"])
    assert list(table.columns) == NAMES.split(",")
    assert table["step"].tolist() == [4000, 8000]
    assert table["multiplier"].isna().tolist() == [False, True]
    assert table["reward"].isna().tolist() == [False, True]
    assert str(table["when"].dt.tz) == "UTC"


def test_a_diverged_learner_shows_as_nan_or_infinity_not_as_a_blank(path):
    append(path, ROW | {"finetune_loss": float("inf"), "cvar_loss": float("nan"), "more": {"grad": float("-inf")}})
    (row,) = read(path)
    assert row["finetune_loss"] == float("inf")
    assert row["cvar_loss"] != row["cvar_loss"]
    assert row["more"] == {"grad": "-inf"}


@pytest.mark.parametrize("cut", [1, 30, 60])
def test_a_torn_last_line_is_cut_off_before_the_next_is_added(path, cut):
    for step in (1, 2, 3):
        append(path, ROW | {"step": step})
    whole = path.read_bytes()
    third = whole.rfind(b"\n", 0, len(whole) - 1) + 1
    path.write_bytes(whole[: third + cut])
    assert [row["step"] for row in read(path)] == [1, 2]  # a reader leaves the torn line out
    append(path, ROW | {"step": 4})
    assert [row["step"] for row in read(path)] == [1, 2, 4]
    assert path.read_bytes().count(b"\n") == 4


def test_a_torn_header_or_a_tail_of_zero_bytes_is_no_obstacle(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(NAMES.encode()[:17])
    append(path, ROW)
    assert len(read(path)) == 1
    with path.open("ab") as file:
        file.write(b"\0" * 10_000)  # what some file systems leave after a loss of power
    append(path, ROW | {"step": 5})
    assert [row["step"] for row in read(path)] == [4000, 5]
    assert b"\0" not in path.read_bytes()


def test_every_cut_of_the_file_leaves_whole_lines_only(path):
    for step in range(3):
        append(path, ROW | {"step": step})
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        append(path, ROW | {"step": 99})
        steps = [row["step"] for row in read(path)]
        kept = max(0, whole[:size].count(b"\n") - 1)
        assert steps == [*range(kept), 99]


def test_a_disk_that_fills_up_leaves_the_file_as_it_was(path, monkeypatch):
    append(path, ROW)
    before = path.read_bytes()
    real = os.pwrite
    calls = itertools.count()

    def full(file, data, at):
        if next(calls) == 0:
            return real(file, bytes(data)[:20], at)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        append(path, ROW)
    assert path.read_bytes() == before


def test_a_file_with_other_columns_is_moved_aside_whole(path):
    path.parent.mkdir(parents=True)
    path.write_text("when,step\n2020,1\n")
    append(path, ROW)
    assert len(read(path)) == 1
    assert path.with_suffix(".1.csv").read_text() == "when,step\n2020,1\n"
    path.write_text("other\n1\n")
    append(path, ROW)
    assert path.with_suffix(".2.csv").read_text() == "other\n1\n"
    assert path.with_suffix(".1.csv").read_text() == "when,step\n2020,1\n"


WRITER = """
    import os, sys
    from pathlib import Path
    from mia.tracking import performance_log
    os.fsync = lambda file: None
    real = os.pwrite
    os.pwrite = lambda file, data, at: real(file, bytes(data)[:11], at)  # small pieces invite others in between
    path, seed = Path(sys.argv[1]), int(sys.argv[2])
    print("ready", flush=True)
    sys.stdin.readline()
    for step in range(150):
        row = {"when": "w", "run": "r", "trial": 1, "seed": seed, "fold": 0, "algo": "ppo", "market": "ES"}
        performance_log.append(path, row | {"step": step, "reward": seed + step / 1000})
"""


def test_three_processes_writing_at_once_lose_and_mix_nothing(path):
    path.parent.mkdir(parents=True)
    path.write_text("a file of an earlier version\n")  # all find it at once, one moves it aside
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(path), str(seed)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in (1, 2, 3)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0, 0]
    for worker in workers:
        worker.stdin.close()
        worker.stdout.close()
    rows = read(path)
    for seed in (1, 2, 3):
        mine = [(row["step"], row["reward"]) for row in rows if row["seed"] == seed]
        assert mine == [(step, pytest.approx(seed + step / 1000)) for step in range(150)]
    assert len(rows) == 450
    assert [p.name for p in path.parent.glob("*.1.csv")] == ["train_qr_dqn_performance.1.csv"]
    assert not list(path.parent.glob("*.2.csv"))


def test_a_value_that_would_break_a_line_is_refused_and_nothing_written(path):
    with pytest.raises(ValueError, match="must stay on its line"):
        append(path, ROW | {"run": "two\nlines"})
    with pytest.raises(ValueError, match="no column is called 'rewards'"):
        append(path, ROW | {"rewards": 1.0})
    assert not path.exists()


def test_reading_says_what_is_wrong(path):
    with pytest.raises(ArtefactMissing, match="does not exist; train first"):
        read(path)
    append(path, ROW)
    append(path, ROW)
    text = path.read_text()
    path.write_text(text.replace("4000", "many", 1))
    with pytest.raises(ArtefactMismatch, match="line 2 is damaged"):
        read(path)
    path.write_text(text + "1,2,3\n")
    with pytest.raises(ArtefactMismatch, match="line 4 is damaged"):
        read(path)
    path.write_text("other,columns\n1,2\n")
    with pytest.raises(ArtefactMismatch, match="columns are not those of this version"):
        read(path)
    path.write_text("")
    assert read(path) == []
