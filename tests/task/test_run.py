"""The whole command, small: it leaves what it promises, and the same seed leaves the same digest."""

import json

import pytest
import small_walk

from mia.task import command_line

SMALL = [
    *small_walk.QUICK,
    *small_walk.LEARNER,
    "source.sessions=6",
    "evaluation.n_folds=1",
    "evaluation.min_train_sessions=3",
    "evaluation.min_train_share=0",
    "evaluation.bootstrap_samples=200",
    "selection.max_rows=1200",
    "selection.trees=8",
    "algo.updates=100",
    "algo.updates_per_step=10",
    "quiet=true",
]

OOS = [
    "net_usd",
    "gross_usd",
    "cost_usd",
    "sharpe",
    "sharpe_ci",
    "max_drawdown_usd",
    "cvar95_usd",
    "trades",
    "turnover",
    "exposure",
]


def run(folder, monkeypatch, *more):
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    assert command_line.run(["+market=ES", "algo=qr_dqn", *SMALL, *more]) == 0
    latest = json.loads((folder / "outputs/runs/latest.json").read_text())
    return json.loads(open(latest["summary"]).read()), latest["run"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return run(tmp_path_factory.mktemp("first"), patch)


def test_the_summary_holds_what_programs_rely_on(finished):
    summary, _ = finished
    promised = (
        "schema market algo source seed config_digest data_digest digest cpu_seconds peak_memory_mb bars folds oos"
    )
    for key in [*promised.split(), "baselines", "trials", "verdict"]:
        assert key in summary, key
    for figures in [summary["oos"], *summary["baselines"].values()]:
        assert set(OOS) <= set(figures)
    named = ["flat", "buy_and_hold", "always_short", "random", "sma_cross", "rsi_reversion", "ridge"]
    assert set(named) <= set(summary["baselines"])


def test_flat_costs_nothing_and_every_account_adds_up(finished):
    summary, _ = finished
    assert summary["baselines"]["flat"]["net_usd"] == 0
    for figures in [summary["oos"], *summary["baselines"].values()]:
        assert figures["net_usd"] == pytest.approx(figures["gross_usd"] - figures["cost_usd"], abs=0.005)


def test_kinder_fills_never_earn_less_on_the_same_trades(finished):
    fills = finished[0]["fills"]
    assert fills["optimistic"]["cost_usd"] <= fills["central"]["cost_usd"] <= fills["pessimistic"]["cost_usd"]
    assert finished[0]["headline_fill"] == "pessimistic"


def test_the_run_directory_holds_report_bundle_and_configuration(finished):
    from pathlib import Path

    run_directory = Path(finished[1])
    assert (run_directory / "report.html").stat().st_size > 100_000
    assert (run_directory / "bundle" / "manifest.json").is_file()
    assert (run_directory / ".hydra" / "config.yaml").is_file()
    assert not [path for path in run_directory.rglob("*") if path.suffix in (".pkl", ".zip", ".pt", ".pickle")]


def test_the_told_quantiles_stand_beside_what_came_on_the_test_rows(finished):
    from pathlib import Path

    summary, directory = finished
    told = summary["calibration"]
    assert told["rows"] == sum(fold["test_bars"] - 1 for fold in summary["folds"])
    for row in told["levels"]:
        assert row["low"] <= row["covered"] <= row["high"]
        assert row["within"] == (row["low"] <= row["level"] <= row["high"])
    page = Path(directory, "report.html").read_text()
    assert "Do the quantiles come true?" in page
    assert "The limit on risk" not in page


def test_a_learner_under_a_limit_tells_by_fold_what_it_risked_and_nothing_of_quantiles(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    learner = ["algo=ppo_lagrangian", "algo.frames=8192", "algo.network=[16]", "awareness=off", "tracking=off"]
    words = [word for word in SMALL if not word.startswith(("algo.", "awareness."))]
    assert command_line.run(["+market=ES", *learner, *words]) == 0
    (path,) = tmp_path.glob("outputs/runs/*/*/summary.json")
    summary = json.loads(path.read_text())
    (fold,) = summary["folds"]
    bound = fold["constraint"]
    assert bound["cvar_low"] <= bound["cvar"] <= bound["cvar_high"]
    assert bound["limit"] < bound["allowed"]
    assert fold["abstains_because"] in (None, "luck", "limit")
    assert fold["abstains"] == (fold["abstains_because"] is not None)
    assert "calibration" not in summary
    page = (path.parent / "report.html").read_text()
    assert "The limit on risk" in page
    assert "figure-limit" in page
    assert "Do the quantiles come true?" not in page


def test_the_same_command_gives_the_same_digest_and_bundle_and_counts_as_another_trial(finished, tmp_path, monkeypatch):
    first, directory = finished
    second, again = run(tmp_path, monkeypatch)
    third, _ = run(tmp_path, monkeypatch, "tracking=off")
    assert first["digest"] == second["digest"] == third["digest"]
    assert (second["trials"], third["trials"]) == (1, 2)
    manifests = [(tmp_path / run_directory / "bundle" / "manifest.json") for run_directory in (directory, again)]
    assert manifests[0].read_bytes() == manifests[1].read_bytes()


def test_stage_by_stage_through_disk_gives_the_digest_of_the_one_command(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for stage in ("features", "regime", "select", "train", "evaluate"):  # features ingests what is missing
        assert command_line.run(["+market=ES", "algo=qr_dqn", f"task={stage}", "tracking=off", *SMALL]) == 0, stage
    summary = json.loads((tmp_path / "outputs/evaluate/ES/qr_dqn/summary.json").read_text())
    assert summary["data_digest"] == finished[0]["data_digest"]
    assert summary["oos"] == finished[0]["oos"]
    assert summary["digest"] == finished[0]["digest"]


def test_another_seed_gives_another_digest(finished, tmp_path, monkeypatch):
    other, _ = run(tmp_path, monkeypatch, "seed=1", "tracking=off")
    assert other["digest"] != finished[0]["digest"]
    assert other["data_digest"] != finished[0]["data_digest"]


def test_too_few_sessions_for_a_first_fit_are_refused_before_anything_is_computed_or_left_behind(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words = ["source.sessions=5", "source.hours=rth", "evaluation.n_folds=1", "evaluation.min_train_sessions=3"]
    assert command_line.run(["+market=ES", "quiet=true", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "snapshots.first_sessions asks for 8" in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_a_known_world_grades_the_learner_and_needs_no_market(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = ["source.train_rows=4000", "source.judge_rows=4000", "algo.updates=60", "algo.updates_per_step=10"]
    assert command_line.run(["experiment=yardstick", "algo=qr_dqn", "quiet=true", *rows]) == 0
    (path,) = tmp_path.glob("outputs/runs/*/*/summary.json")
    known = json.loads(path.read_text())["known_world"]
    assert known["optimum"] == pytest.approx(0.0505, abs=2e-4)
    assert {"achieved", "fraction", "cpu_seconds", "trades"} <= set(known)


def test_a_known_world_is_no_market_to_walk_through(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command_line.run(["+market=ES", "source=yardstick"]) == 2
    assert "task=known_world" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_known_world_refuses_a_market_whose_optimum_nobody_knows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command_line.run(["+market=ES", "task=known_world"]) == 2
    assert "experiment=yardstick" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
