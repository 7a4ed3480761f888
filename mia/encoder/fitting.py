"""One training run by Lightning: quiet, on one thread, resumable, the same bytes for the same seed.

Imported by training.fit when there is something to train: this is where torch and Lightning are paid for.
"""

import logging
import pickle
import signal
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from pytorch_lightning.plugins.environments import LightningEnvironment

from mia.encoder.batches import Lesson, learning_batches, validation_batch
from mia.encoder.cnn_module import CnnModule
from mia.encoder.linear_start import linear_start
from mia.encoder.lstm_module import LstmModule
from mia.encoder.modules import SequenceModule, start_linear
from mia.encoder.settings import LSTM_KIND, EncoderSettings

Array = np.ndarray

_LOSS = "encoder/validation_loss"
_CHATTERERS = ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric")


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """Best weights by name, and the card of the training."""

    weights: dict[str, Array]
    card: dict[str, Any]


def network(lesson: Lesson, settings: EncoderSettings) -> SequenceModule:
    """The untrained network of a lesson; its weights come from torch's present random state."""
    common = {
        "horizons": len(settings.horizons),
        "warm": lesson.warm,
        "total_steps": settings.epochs * settings.steps,
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
    }
    if lesson.kind == LSTM_KIND:
        inputs = lesson.x.shape[1]
        return LstmModule(inputs=inputs, hidden=settings.lstm_hidden, side_weight=settings.side_weight, **common)
    return CnnModule(width=settings.cnn_width, **common)


def run(
    lesson: Lesson,
    settings: EncoderSettings,
    seed: int,
    start: int,
    steps: Callable[[int], None],
    identity: str,
    folder: Path | None,
    logger: Any,
) -> Learnt:
    """Train one network.

    Parameters
    ----------
    lesson : its data
    seed : of the batches; start : of the weights
    steps : called with the gradient steps done
    identity : what the training is made from; only a checkpoint of the same is gone on with
    folder : where checkpoints are kept, None: nowhere
    logger : a Lightning logger or None
    """
    best = _Best(settings.patience)
    callbacks: list[Callback] = [best, _Tell(steps)]
    checkpoint = None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{lesson.kind}-{identity[:24]}"
        callbacks.append(_keeper(folder, name))
        checkpoint = _readable(folder / f"{name}.ckpt")
    with _one_thread(), _quiet(), tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(start)
        module = network(lesson, settings)
        start_linear(module, linear_start(lesson))
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=settings.epochs,
            callbacks=callbacks,
            logger=logger or False,
            enable_checkpointing=folder is not None,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            gradient_clip_val=1.0,
            reload_dataloaders_every_n_epochs=1,
            log_every_n_steps=max(1, settings.steps),
            default_root_dir=str(folder or scratch),
            plugins=[LightningEnvironment()],  # never mistake the scheduler this runs under for a cluster of trainers
        )
        _uninterrupted(trainer, module, _Batches(lesson, settings, seed), checkpoint)
    card = {"steps": int(trainer.global_step), "best_step": best.step, "validation_loss": best.curve}
    return Learnt({name: tensor.numpy() for name, tensor in best.weights.items()}, card)


class _Batches(pl.LightningDataModule):
    """Batches by epoch; made when the epoch begins."""

    def __init__(self, lesson: Lesson, settings: EncoderSettings, seed: int) -> None:
        super().__init__()
        self._lesson, self._settings, self._seed = lesson, settings, seed

    def train_dataloader(self) -> "_Loader":
        return _Loader(learning_batches(self._lesson, self._settings, self._seed, self.trainer.current_epoch))

    def val_dataloader(self) -> "_Loader":
        return _Loader([validation_batch(self._lesson)])


class _Loader:
    """Batches that are already made; a bare list would be read as several loaders."""

    def __init__(self, batches: list[dict[str, Array]]) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for batch in self._batches:
            yield {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in batch.items()}


class _Best(Callback):
    """Keeps the weights of the look with the lowest loss and ends training that has gone stale.

    Lightning's own early stopping forgets, when it goes on from a checkpoint, that training was over.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.weights: dict[str, torch.Tensor] = {}
        self.step = 0
        self.curve: list[float] = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loss = float(trainer.callback_metrics[_LOSS])
        if not self.curve or loss < min(self.curve):
            self.weights = {name: tensor.detach().clone() for name, tensor in pl_module.state_dict().items()}
            self.step = int(trainer.global_step)
        self.curve.append(loss)
        self._stop_if_stale(trainer)

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._stop_if_stale(trainer)

    def _stop_if_stale(self, trainer: pl.Trainer) -> None:
        if self.curve and len(self.curve) - 1 - int(np.argmin(self.curve)) >= self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights, "step": self.step, "curve": self.curve}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.weights, self.step, self.curve = (state_dict[name] for name in ("weights", "step", "curve"))


class _Tell(Callback):
    """Tells how many gradient steps are done."""

    def __init__(self, steps: Callable[[int], None]) -> None:
        self._steps = steps

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._steps(int(trainer.global_step))


def _keeper(folder: Path, name: str) -> ModelCheckpoint:
    """Keep one checkpoint, replaced after every look."""
    return ModelCheckpoint(
        dirpath=str(folder),
        filename=name,
        save_top_k=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


def _readable(path: Path) -> Path | None:
    """The checkpoint if it is there and whole. Loading never runs code: tensors and plain values only."""
    if not path.is_file():
        return None
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ValueError, OSError):
        path.unlink()  # what an interrupted write left is worth nothing: begin anew
        return None
    return path


def _uninterrupted(trainer: pl.Trainer, module: SequenceModule, batches: _Batches, checkpoint: Path | None) -> None:
    """Train; an interruption stays one. Lightning would end the process and switch the signal off for good."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main else None
    try:
        trainer.fit(module, datamodule=batches, ckpt_path=str(checkpoint) if checkpoint else None, weights_only=True)
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run on one thread, whose sums always come out the same, and give torch's random state back as it was."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's remarks on hardware and data loaders from the terminal; errors still come through."""
    loggers = [logging.getLogger(name) for name in _CHATTERERS]
    levels = [log.level for log in loggers]
    for log in loggers:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric|torch)\b")
            warnings.filterwarnings("ignore", message=r".*(dataloader|num_workers|Checkpoint directory).*")
            yield
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.setLevel(level)
