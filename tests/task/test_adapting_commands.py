"""Fine-tuning, online and meta-learning as a person starts them: the command leaves counters, summary and page."""

import json

import pytest
import small_walk

from mia.evaluation.ledger import TrialLedger
from mia.task import command_line
from mia.tracking import performance_log

WALK = [
    "+market=ES",
    *small_walk.QUICK,
    "source.sessions=8",
    "evaluation.n_folds=1",
    "evaluation.min_train_sessions=3",
    "evaluation.min_train_share=0",
    "selection.max_rows=1200",
    "selection.trees=8",
    "features=bars_only",
    "encoder=none",
    "awareness=off",
    "selection.splits=2",
    "algo=qr_dqn_fast",
    "algo.updates=150",
    "tracking=off",
    "quiet=true",
]
OWN = {
    "finetune": ["finetune.trials=2", "finetune.startup_trials=1", "finetune.updates_high=40", "finetune.min_rows=200"],
    "online": ["online.window_bars=100", "online.step.updates=5", "online.step.check_every=5"],
    "meta": ["meta.outer_steps=3", "meta.seeds=2", "meta.min_rows=200", "meta.markets=[NQ]"],
}


@pytest.fixture(scope="module", params=sorted(OWN))
def left(request, tmp_path_factory):
    """The task, its summary, the lines of the performance file, and the folder of everything."""
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert command_line.run([f"task={request.param}", *WALK, *OWN[request.param]]) == 0
    (summary,) = folder.glob("outputs/runs/*/*/summary.json")
    rows = performance_log.read(folder / "outputs" / "logs" / "ES" / "train_qr_dqn_fast_performance.csv")
    return request.param, json.loads(summary.read_text()), rows, folder


def told(rows, column):
    return [row[column] for row in rows if row[column] is not None]


def test_the_counters_of_the_task_reach_the_performance_file(left):
    task, _, rows, _ = left
    assert told(rows, "finetune_loss")
    steps = {"online": "online_learning_steps", "meta": "maml_steps"}.get(task)
    if steps:
        assert told(rows, steps) == sorted(set(told(rows, steps)))
        assert told(rows, steps)[0] > 0


def test_the_summary_says_what_was_gained_over_the_start(left):
    task, summary, rows, _ = left
    found = summary[task]
    assert summary["task"] == task
    if task == "meta":
        assert [row["updates"] for row in found["curves"]["meta-learned"]] == [0, 1, 5, 20]
        assert [row["updates"] for row in found["curves"]["from scratch"]] == [0, 1, 5, 20]
        assert found["maml_steps"] == told(rows, "maml_steps")[-1] == 3 * 20
    else:
        assert found["difference_usd"] == pytest.approx(found["net_usd"] - found["base_net_usd"])
        assert found["low_usd"] <= found["difference_usd"] <= found["high_usd"]


def test_the_page_is_written_and_the_trial_has_ended(left):
    task, _, _, folder = left
    assert (folder / "outputs" / "figures" / "ES" / f"{task}_qr_dqn_fast.html").stat().st_size > 10_000
    for trial in TrialLedger(folder / "outputs" / "trials.sqlite").rows():
        assert trial["status"] == "completed"
