"""Cross-validation of a small walk: nothing of a tested or purged row reaches what is learned, and the command keeps
its promises."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_walk

from mia.algo import learning
from mia.algo.progress import silent
from mia.domain.rng import generator
from mia.domain.series import INDEX
from mia.evaluation.ledger import TrialLedger
from mia.task import command_line, cpcv, features, ingest, train
from mia.task.watch import Watch

CUT = [
    *small_walk.QUICK,
    "task=cpcv",
    "algo=qr_dqn_fast",
    "source.sessions=12",
    "cpcv.groups=4",
    "cpcv.min_train_sessions=2",
    "selection.max_rows=1200",
    "selection.trees=8",
    "selection.splits=2",
    "selection.min_leaf_rows=20",
    "selection.require_significant=false",
    "algo.updates=60",
    "algo.updates_per_step=10",
    "evaluation.bootstrap_samples=200",
]


@pytest.fixture(scope="module")
def walked():
    """Settings, bars and features of twelve sessions."""
    settings = small_walk.compose("ES", *CUT)
    watch = Watch(quiet=True)
    made = ingest.make(settings, watch)
    return settings, made, features.make(settings, made, watch)


def learned(settings, made, table, index):
    """Everything a split fits: the scaler, the columns, the weights."""
    (first, *_) = cpcv.learn(settings, made, table, cpcv.planned(settings, made), index, silent)
    return first.state.view.fingerprint, first.selection.to_json(), first.policy.digest


def poisoned(made, table, rows):
    """Bars and features whose numbered rows are replaced by noise, as if they had been quite different."""
    rng = generator(9, "poison")
    values, block = made.bars.values.copy(), table.block.take(np.arange(len(table.block)))
    columns = [INDEX[f"bar.{name}"] for name in ("open", "high", "low", "close")]
    shift = rng.integers(-900, 900, (len(rows), 1))
    values[np.ix_(rows, columns)] += shift  # a bar stays a bar
    for name in ("features", "model", "own"):
        part = getattr(block, name)
        part[rows] = rng.normal(0, 1e3, part[rows].shape)
    block.belief[rows] = rng.dirichlet(np.ones(3), len(rows))
    return replace(made, bars=replace(made.bars, values=values)), replace(table, block=block)


def test_scrambled_tested_and_purged_rows_change_nothing_of_what_is_learned_without_them(walked):
    settings, made, table = walked
    cut = cpcv.planned(settings, made)
    index = 3
    folds = cut.splits[index]
    assert cut.tested(index) == (1, 2)  # with training on both sides
    barred = np.concatenate([folds[0].gap, *(np.arange(f.test.start, f.test.stop) for f in folds)])
    clean = learned(settings, made, table, index)
    assert json.loads(clean[1])["origin"] == "fold", json.loads(clean[1])["note"]
    assert learned(settings, *poisoned(made, table, np.sort(barred)), index) == clean
    # The same noise in rows that are learned from does change it.
    dirty = learned(settings, *poisoned(made, table, folds[0].train[-300:]), index)
    assert all(a != b for a, b in zip(dirty, clean, strict=True))


def test_scrambled_last_groups_change_nothing_even_if_all_features_are_made_again(walked):
    settings, made, table = walked
    cut = cpcv.planned(settings, made)
    index = len(cut.splits) - 1
    first = cut.splits[index][0].test.start
    assert cut.tested(index) == (2, 3)
    other = ingest.make(replace(settings, seed=5), Watch(quiet=True)).bars
    values = np.concatenate([made.bars.values[:first], other.values[first:]])
    changed = replace(made, bars=replace(made.bars, values=values))
    again = features.make(settings, changed, Watch(quiet=True))
    assert not np.array_equal(again.block.features[first:], table.block.features[first:], equal_nan=True)
    assert learned(settings, changed, again, index) == learned(settings, made, table, index)


def test_no_tested_or_purged_row_is_on_a_learner_s_tape_and_pieces_meet_at_seams(walked, monkeypatch):
    settings, made, table = walked
    cut, tapes = cpcv.planned(settings, made), []
    learner = train.learner

    def spying(kind):
        def teach(tape, *args, **more):
            tapes.append(tape)
            return learner(kind)(tape, *args, **more)

        return teach

    monkeypatch.setattr(train, "learner", spying)
    session = made.bars.column("cal.session").astype(int)
    for index in (1, 3):
        judged = cpcv.learn(settings, made, table, cut, index, silent)
        tape = tapes[-1]
        rows = np.searchsorted(made.bars.ts, tape.ts)
        for fold in (one.fold for one in judged):
            reach = settings.evaluation.purge_bars + settings.evaluation.embargo_bars
            assert not np.any((rows >= fold.test.start - settings.evaluation.purge_bars) & (rows < fold.test.stop))
            assert not np.any((rows >= fold.test.stop) & (rows < fold.test.stop + reach))
        assert tape.seams == tuple(np.flatnonzero(np.diff(rows) > 1) + 1)
        assert tape.seams
        for seam in tape.seams:  # the row before is its session's last, at which nothing may be wished but flat
            assert session[rows[seam - 1] + 1] > session[rows[seam - 1]]
            assert tape.must_flat[seam - 1]
        assert [one.fold.test for one in judged] == [fold.test for fold in cut.splits[index]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("whole"))
        return *command(), Path.cwd()


def command(*more, code=0):
    """Run it; returns the summary and its folder."""
    words = ["+market=ES", *CUT, *small_walk.LEARNER, "tracking=off", "quiet=true", *more]
    assert command_line.run(words) == code
    if code:
        return None
    path = max(Path("outputs/runs").glob("*/*/summary.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(path.read_text()), path.parent


def test_the_summary_tells_every_path_and_training_and_how_the_paths_lie(finished):
    summary, _, _ = finished
    told = summary["cpcv"]
    assert (told["groups"], told["chosen"], told["trainings"]) == (4, 2, 6)
    assert (len(told["paths"]), len(told["splits"])) == (3, 6)
    nets = [path["net_usd"] for path in told["paths"]]
    assert (told["median_net_usd"], told["worst_net_usd"]) == (pytest.approx(np.median(nets)), min(nets))
    assert told["losing_share"] == np.mean(np.array(nets) < 0)
    assert 0 <= told["loss_probability"] <= 1
    # Every test is in one path and none is lost.
    assert sum(nets) == pytest.approx(sum(split["net_usd"] for split in told["splits"]))
    hold = told["accounts"]["buy_and_hold"]
    assert hold["worst_net_usd"] == hold["best_net_usd"] != 0
    assert told["accounts"]["flat"]["best_net_usd"] == 0
    assert "walk-forward run stays the headline" in summary["note"]
    assert "oos" not in summary  # what others read as an out-of-sample result


def test_every_training_counts_as_a_trial_and_none_leaves_days_to_compare_with(finished):
    summary, _, folder = finished
    book = TrialLedger(folder / "outputs/trials.sqlite")
    assert book.trials("ES") == summary["trials"] == 6
    rows = book.rows("ES")
    assert [row["id"] for row in rows] == summary["trial_numbers"]
    assert {(row["status"], row["daily_net_usd"], row["sharpe"]) for row in rows} == {("completed", None, None)}


def test_the_page_shows_every_path_and_says_what_it_is_not_and_no_bundle_is_left(finished):
    _, directory, folder = finished
    page = (folder / directory / "report.html").read_text()
    for words in ("Equity of every path", "Sharpe ratio of every path", "learned from sessions after those"):
        assert words in page
    assert not list((folder / directory).rglob("*.safetensors"))
    assert not (folder / "outputs/checkpoints").exists() or not list((folder / "outputs/checkpoints").iterdir())


def test_interrupted_it_goes_on_to_the_same_result_with_the_same_trials(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    look, make, made = learning.Look._look, train.make, []

    def and_press(self, step):
        look(self, step)
        signal.raise_signal(signal.SIGINT)

    def pressing_in_the_third(*args):
        made.append(args)
        with pytest.MonkeyPatch.context() as patch:
            if len(made) == 3:
                patch.setattr(learning.Look, "_look", and_press)
            return make(*args)

    monkeypatch.setattr(train, "make", pressing_in_the_third)
    command(code=130)
    assert TrialLedger(Path("outputs/trials.sqlite")).trials("ES") == 3
    kept = {f"{path.parent.name}/{path.name}" for path in Path("outputs/checkpoints").rglob("*.ckpt")}
    assert kept == {"fold_0/policy.ckpt", "fold_1/policy.ckpt", "fold_2/state.ckpt"}
    summary, _ = command()
    assert summary["digest"] == finished[0]["digest"]
    assert summary["trials"] == 6


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["source.sessions=5"], "cpcv default: 5 sessions are too few"),
        (["cpcv.min_train_sessions=9"], "at least 9 are asked for"),
        (["risk=overnight"], "risk.flat_at must be session_end or rth_close, was never"),
        (["cpcv.chosen=4"], "chosen must lie between 1 and 3"),
        (["source.sessions=3", "snapshots.first_sessions=8"], "snapshots.first_sessions asks for 8"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_anything_is_written(words, why, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command(*words, code=2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert why in lines[0]
    assert list(tmp_path.iterdir()) == []
