"""`task=audit` as a user runs it: exit code, table, sentence and audit.json, clean and with a leak planted."""

import json
import os
import subprocess
import sys

import pytest

SMALL = (
    "+market=ES",
    "task=audit",
    "audit=quick",
    "features=bars_trades_depth",
    "encoder=none",
    "awareness=off",
    "tracking=off",
    "source.hours=rth",
    "source.sessions=7",
    "source.chain_minutes=0",
    "snapshots.first_sessions=3",
    "evaluation.min_train_sessions=4",
    "evaluation.min_train_share=0",
    "selection.max_rows=800",
    "selection.trees=3",
    "regime.starts=1",
    "audit.cuts=10",
    "audit.poison_rows=20",
    "audit.effort=0.01",
)


def audit(folder, *more):
    return subprocess.run(
        [sys.executable, "-m", "mia", *SMALL, *more],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    return audit(folder), folder


def test_a_clean_system_ends_with_exit_code_0_and_says_so(clean):
    done, _ = clean
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No leak" in done.stdout
    assert "LEAK" not in done.stdout
    for word in ("features", "belief", "view", "observation", "action", "reward", "fit log", "delay by one bar"):
        assert word in done.stdout


def test_the_file_holds_everything_the_table_says(clean):
    _, folder = clean
    body = json.loads((folder / "outputs" / "audit" / "ES" / "audit.json").read_text())
    assert body["finished"] is True
    assert body["verdict"] == "clean"
    assert body["cuts"]["random"] > 5
    assert body["cuts"]["session"] == 18
    areas = {finding["area"] for finding in body["findings"]}
    assert areas >= {"bars", "features", "belief", "view", "masks", "observation", "action", "reward", "fits", "memory"}
    log = next(finding for finding in body["findings"] if finding["check"] == "fit log")["facts"]["log"]
    assert all(fit["stop"] <= fit["used"] for fit in log)


def test_a_planted_leak_ends_with_exit_code_1_and_is_named(tmp_path):
    done = audit(tmp_path, "audit.plant=future_return")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Something knows the future" in done.stdout
    body = json.loads((tmp_path / "outputs" / "audit" / "ES" / "audit.json").read_text())
    assert body["verdict"] == "leak"
    bad = {(finding["area"], finding["check"]): finding for finding in body["findings"] if finding["verdict"] == "LEAK"}
    worst = bad["features", "future cut off"]["offences"][0]
    assert worst["column"] == "log_return_1"
    assert worst["row"] == worst["cut"] - 1
    assert ("features", "delay by one bar") in bad


def test_an_unknown_leak_is_refused_with_the_names_there_are(tmp_path):
    done = audit(tmp_path, "audit.plant=nonsense")
    assert done.returncode == 2
    assert "future_return" in done.stderr
    assert not (tmp_path / "outputs" / "audit").exists()
