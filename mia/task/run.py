"""The whole walk: market data to a report that can be believed. What `python -m mia +market=MNQ` does."""

import shutil
from pathlib import Path
from typing import Any

from mia.task import features, ingest, keeping, performance, regime, report, select, store, tracker, train, trial, warm
from mia.task.judging import Judged
from mia.task.settings import RunSettings
from mia.task.usage import cpu_seconds, peak_memory_mb
from mia.task.watch import Watch


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Run every stage in memory and leave a run directory: summary.json, report.html, bundle/."""
    started = cpu_seconds()  # a sweep runs its jobs in one process; each reports its own
    if not warm.is_compiled() and not settings.quiet:
        watch.say("first run of this version: compiling takes about a minute, later runs start at once")
    with warm.beside() as compiled:
        made = ingest.make(settings, watch)
        compiled()
        regime.splits(settings, made)  # too little history is refused while nothing has been left behind
        tracker.start(settings, plain, watch)
        table = features.make(settings, made, watch)
    states = regime.all_folds(settings, made, table, watch)
    regime.log_transitions(settings, table.snapshots)
    with (
        keeping.kept(settings, plain, made.digest) as keeper,
        trial.counted(settings, plain, made.digest, keeper) as number,
    ):
        judged: list[Judged] = []
        for state in states:
            before = judged[-1].selection if judged else None
            judged.append(_learn(settings, made, table, state, before, directory, watch, keeper, number))
        newest = directory / "folds" / f"fold_{states[-1].fold.index}"
        shutil.copytree(newest, directory / "bundle")
        performance.write_page(settings, watch)
        summary = report.make(
            settings, plain, made, table, judged, number, directory, watch, cpu_seconds() - started, peak_memory_mb()
        )
    store.write_json(
        Path(settings.outputs, "runs", "latest.json"),
        {"run": str(directory), "summary": str(directory / "summary.json"), "digest": summary["digest"]},
    )


def _learn(
    settings: RunSettings,
    made: Any,
    table: Any,
    state: Any,
    before: Any,
    directory: Path,
    watch: Watch,
    keeper: Any,
    number: int,
) -> Judged:
    """Select, train and bundle one fold."""
    at = state.fold.index + 1
    seen = regime.view(settings, made, table, state)
    with watch.step(f"fold {at}: selection"):
        selection = select.make(settings, made, state, seen, before)
    taught = train.lesson(settings, made, state, seen, selection)
    del seen  # the widest arrays of the run; nothing below needs more than the selected columns
    with watch.step(f"fold {at}: {settings.algo.name}") as step:
        log = performance.logger(settings, watch, directory, number, state.fold.index)
        policy = train.make(settings, taught, train.trainer_progress(step, log), keeper)
    train.bundle_of(settings, made, taught, policy, directory / "folds" / f"fold_{state.fold.index}")
    return Judged(
        fold=state.fold,
        tape=taught.tape,
        policy=policy,
        state=state,
        selection=taught.selection,
        bar_minutes=made.bars.bar_minutes,
    )
