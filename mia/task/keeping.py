"""Keeps trainings on disk between two rollouts: the same command, given again after an interruption, goes on.

task/run, task/train and task/known_world train inside `kept`.
"""

import json
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import mia
from mia.algo import checkpoint
from mia.algo.checkpoint import State
from mia.algo.policy import TrainedPolicy
from mia.domain import digest
from mia.domain.errors import ArtefactMismatch
from mia.task import store, trial
from mia.task.settings import RunSettings

EVERY_S = 30.0
"""A power cut costs at most so much training [s]; a save takes some milliseconds."""
STATE, POLICY, TRIAL = "state.ckpt", "policy.ckpt", "trial.json"
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class FolderKeeper:
    """Keeps the state of one training in a folder, of its parts in folders below.

    Parameters
    ----------
    folder : where
    identity : what the training is; what was kept for another is not used
    is_stopping : whether the learner shall save and stop
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], is_stopping: Any) -> None:
        self.folder, self.identity, self._stopping = folder, dict(identity), is_stopping
        self._saved = time.monotonic()

    def part(self, name: str) -> "FolderKeeper":
        """The keeper of a fold, or of a member of an ensemble."""
        return FolderKeeper(self.folder / name, self.identity, self._stopping)

    def result(self) -> Any:
        """The policy of a training that had ended before the interruption."""
        state = checkpoint.read(self.folder / POLICY, self.identity)
        if state is None:
            return None
        try:
            return _policy(state)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtefactMismatch(f"{self.folder / POLICY} is not readable ({error}); delete it") from error

    def finish(self, policy: Any) -> None:
        """Keep the policy; the state that led to it goes."""
        checkpoint.write(self.folder / POLICY, policy.to_state(), self.identity)
        (self.folder / STATE).unlink(missing_ok=True)

    def load(self) -> State | None:
        """The newest state, if it is of this training."""
        return checkpoint.read(self.folder / STATE, self.identity)

    def is_due(self) -> bool:
        """Whether the last save is `EVERY_S` ago."""
        return time.monotonic() - self._saved >= EVERY_S

    def save(self, state: State) -> None:
        """Write the state whole or not at all."""
        checkpoint.write(self.folder / STATE, state, self.identity)
        self._saved = time.monotonic()

    def is_stopping(self) -> bool:
        """Whether somebody asked to stop."""
        return bool(self._stopping())

    @property
    def trial(self) -> int | None:
        """Number under which the interrupted training was counted."""
        path = self.folder / TRIAL
        return int(json.loads(path.read_text(encoding="utf-8"))["trial"]) if path.is_file() else None

    @trial.setter
    def trial(self, number: int) -> None:
        store.write_json(self.folder / TRIAL, {"trial": number})


def _policy(state: State) -> Any:
    if "members" in state:
        from mia.algo.vote import VotePolicy

        return VotePolicy.from_state(state)
    return TrainedPolicy.from_state(state)


@contextmanager
def kept(settings: RunSettings, plain: Mapping[str, Any], data_digest: str) -> Iterator[FolderKeeper]:
    """Keep the trainings of the block until it ends well; the first Ctrl-C lets them save and stop.

    Task, settings, data and source code together decide whether what was kept is gone on from.
    """
    identity = {
        "task": settings.task.name,
        "config": trial.config_digest(plain),
        "data": data_digest,
        "code": mia.source_digest(),
    }
    folder = Path(settings.outputs, "checkpoints", digest.of_json(list(identity.values()))[:16])
    if not settings.resume:
        shutil.rmtree(folder, ignore_errors=True)
    with _heard() as stop:
        try:
            yield FolderKeeper(folder, identity, stop.is_set)
        except KeyboardInterrupt:
            if stop.is_set() and folder.is_dir():
                raise KeyboardInterrupt(
                    f"training is saved in {folder}; the same command goes on from there, with resume=false it "
                    "starts anew"
                ) from None
            raise
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _heard() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C (or a polite kill) sets; the second one interrupts at once."""
    stop = threading.Event()

    def hear(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        print("\nmia: saving at the next safe point; press Ctrl-C again to stop at once", file=sys.stderr, flush=True)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, hear) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
