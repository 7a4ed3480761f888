"""Policies to the out-of-sample report, as a stage of its own: bundles in, summary and report out."""

import shutil
from pathlib import Path
from typing import Any

from mia.algo import bundle
from mia.task import features, ingest, regime, report, select, store, tracker, train
from mia.task.judging import Judged
from mia.task.settings import RunSettings
from mia.task.usage import cpu_seconds, peak_memory_mb
from mia.task.watch import Watch


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Run the stage on its own: load the bundles of the train stage and judge them."""
    started = cpu_seconds()
    made = ingest.load(settings)
    table = features.load(settings)
    states = regime.load(settings, made, table)
    lessons = train.lessons(settings, made, table, states, select.load(settings, len(states)))
    root = train.root(settings)
    remedy = f"python -m mia +market={settings.market.name} algo={settings.algo.name} task=train"
    number = store.read_json(root / "trial.json", remedy)["trial"]
    judged = [
        Judged(
            fold=lesson.state.fold,
            tape=lesson.tape,
            policy=bundle.load(
                root / f"fold_{at}", market=settings.market.name, features_sha256=lesson.template.digest
            ).policy,
            state=lesson.state,
            selection=lesson.selection,
            bar_minutes=made.bars.bar_minutes,
        )
        for at, lesson in enumerate(lessons)
    ]
    tracker.start(settings, plain, watch)
    target = store.folder(settings.outputs, "evaluate", settings.market.name, settings.algo.name)
    with store.replacing(target) as fresh:
        shutil.copytree(root / f"fold_{len(judged) - 1}", fresh / "bundle")
        report.make(
            settings,
            plain,
            made,
            table,
            judged,
            number,
            fresh,
            watch,
            cpu_seconds() - started,
            peak_memory_mb(),
            shown=target,
        )
