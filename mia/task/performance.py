"""Wires the performance logger to a run: which training it is, the clock, the process, the page at the end."""

from datetime import UTC, datetime
from pathlib import Path

from mia.task import store
from mia.task.settings import RunSettings
from mia.task.usage import cpu_seconds, decision_latency_us, peak_memory_mb
from mia.task.watch import Watch
from mia.tracking.performance_figures import figure_path, figures, render
from mia.tracking.performance_log import log_path, read
from mia.tracking.performance_logger import PerformanceLogger, Probes, Training


def logger(settings: RunSettings, watch: Watch, directory: Path, trial: int, fold: int) -> PerformanceLogger:
    """Make the logger of one fold's training; make it just before the training, its CPU time counts from here."""
    training = Training(
        run=f"{directory.parent.name}/{directory.name}",
        trial=trial,
        seed=settings.seed,
        fold=fold,
        algo=settings.algo.name,
        market=market(settings),
    )
    probes = Probes(
        now=lambda: datetime.now(UTC).isoformat(timespec="seconds"),  # noqa: TID251 - tasks may ask
        cpu_s=cpu_seconds,
        memory_mb=peak_memory_mb,
        latency_us=lambda policy: decision_latency_us(policy, policy.width),
    )
    path = log_path(settings.outputs, training.market, training.algo)
    return PerformanceLogger(path, watch.tracker, training, probes, watch.say)


def write_page(settings: RunSettings, watch: Watch) -> Path:
    """Draw the performance file of this algorithm on this market, for people and for the tracker."""
    rows = read(log_path(settings.outputs, market(settings), settings.algo.name))
    target = figure_path(settings.outputs, market(settings), settings.algo.name)
    store.write_text(target, render(rows))
    if settings.tracking.mode != "off" and settings.tracking.figures:
        for name, figure in figures(rows).items():
            watch.tracker.figure(f"train/performance/{name}", figure)
    return target


def market(settings: RunSettings) -> str:
    """Name of the market, or of the known world: worlds must not share a file."""
    return settings.market.name if settings.market else settings.source.name
