"""Hands what Lightning logs while an encoder learns to the run's tracker, Weights & Biases or another."""

from collections.abc import Mapping
from typing import Any

from mia.tracking.tracker import Tracker


def lightning_logger(tracker: Tracker, room: str) -> Any:
    """Return a Lightning logger that writes to `tracker` under keys like ``encoder/fit_1/lstm/loss``.

    Parameters
    ----------
    tracker : the run's record
    room : beginning of every key
    """
    # Lightning takes seconds to import; who trains no encoder does not pay for it.
    from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment

    class TrackerLogger(Logger):
        """Forwards metrics; hyper-parameters are in the run's configuration already."""

        @property
        def name(self) -> str:
            return room

        @property
        def version(self) -> str:
            return "0"

        @property
        @rank_zero_experiment
        def experiment(self) -> Tracker:
            return tracker

        def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
            told = {key.removeprefix("encoder/"): float(value) for key, value in metrics.items() if key != "epoch"}
            numbers = {f"{room}/{key}": value for key, value in told.items()}
            tracker.log(numbers, int(step or 0))

        def log_hyperparams(self, *_: Any, **__: Any) -> None:
            """Nothing: see the class."""

    return TrackerLogger()
