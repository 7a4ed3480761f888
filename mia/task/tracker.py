"""Opens the tracker's record of a run. Called by the tasks that train or judge."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mia.task import performance
from mia.task.settings import RunSettings
from mia.task.watch import Watch
from mia.tracking.open_tracker import open_tracker


def start(settings: RunSettings, plain: Mapping[str, Any], watch: Watch) -> None:
    """Start the run's record with the tracker; a failure costs one line, never the run."""
    watch.tracker = open_tracker(settings.tracking, Path(settings.outputs, "wandb"), watch.say)
    market = performance.market(settings)
    watch.tracker.start(plain, f"{market}-{settings.algo.name}-{settings.seed}", market)
