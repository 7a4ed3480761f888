"""Fits everything below the policy on the rows before a moment; called by the features stage as rows go by."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mia.desk.feature_pipeline import Block, Past, columns_of
from mia.desk.plans import Plans
from mia.desk.regime_inputs import regime_inputs
from mia.desk.snapshot import Snapshot
from mia.domain.bars import Bars
from mia.domain.errors import ArtefactMismatch, DataError
from mia.domain.rng import generator
from mia.domain.series import INDEX
from mia.encoder.rows import EncoderRows
from mia.encoder.settings import BOOK_SERIES
from mia.features.drift import DriftReference
from mia.features.fitted import FittedParameters
from mia.features.fitted import fit as fit_features
from mia.features.normalisation import Scaler
from mia.memory.context_basis import ContextBasis
from mia.regime import regime_detector
from mia.task import sentinels, store
from mia.task.settings import RunSettings

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """The newest rows before a fit, and nothing after them.

    Parameters
    ----------
    start : number of the first of them since the first bar
    bar_minutes : length of a bar [minutes]
    ts : (R,) close times [ns UTC]
    values : (R, WIDTH) base series
    block : what the pipeline made of them, with earlier fits
    """

    start: int
    bar_minutes: int
    ts: Array
    values: Array
    block: Block

    def bars(self, market: str) -> Bars:
        """The rows as bars."""
        return Bars(market=market, bar_minutes=self.bar_minutes, ts=self.ts, available_at=self.ts, values=self.values)

    @property
    def past(self) -> Past:
        """The rows for parts that start anew."""
        return Past(ts=self.ts, values=self.values, features=self.block.features)

    def base(self, name: str) -> Array:
        """(R,) one base series."""
        return self.values[:, INDEX[name]]


def fit(
    settings: RunSettings,
    plans: Plans,
    lesson: Lesson,
    previous: Snapshot | None,
    progress: Any,
    folder: Path | None,
    logger: Any = None,
) -> Snapshot:
    """Fit features, scaler, regime model, encoder, memory and drift reference on a lesson.

    Parameters
    ----------
    previous : the last snapshot; states, axes and signs are aligned to it
    progress : called with (done, total, what) while the encoder learns
    folder : where an encoder's checkpoints are kept, None: nowhere
    logger : gives a Lightning logger for the numbered fit, or None
    """
    index = previous.index + 1 if previous else 0
    plan, rows = plans.market, slice(0, len(lesson.ts))
    slots = lesson.base("cal.slot").astype(np.int64)
    features = lesson.block.features
    fitted = fit_features(plan, lesson.values, features, rows)
    scaler = Scaler.fit(plan, features, slots, rows, ts=lesson.ts, settings=settings.features.scaler)
    view, _ = scaler.transform(features, slots)
    regime = _regime(settings, plan, lesson, features, view, index, previous)
    moments = (_moment(lesson.ts[0]), _moment(lesson.ts[-1]))
    sentinel = None
    if plans.part("self") is not None and settings.awareness.replay:
        sentinel = sentinels.train(settings, plans, lesson.bars(settings.market.name), lesson.block, index)
    return Snapshot(
        index=index,
        fit_start=lesson.start,
        fit_stop=lesson.start + len(lesson.ts),
        fit_end=int(lesson.ts[-1]),
        fitted=fitted,
        scaler=scaler,
        regime=regime,
        encoder=_encoder(settings, plans, lesson, view, index, previous, progress, folder, logger),
        memory=_memory(settings, plans, view, moments, previous),
        drift=_drift(plans, features, view),
        sentinel=sentinel,
    )


def _regime(
    settings: RunSettings, plan: Any, lesson: Lesson, features: Array, view: Array, index: int, previous: Any
) -> Any:
    inputs = columns_of(plan, settings.regime.inputs, "regime.inputs")
    return regime_detector.fit(
        regime_inputs(features, view, inputs),
        settings.regime,
        generator(settings.seed, "regime", str(index)),
        previous.regime if previous else None,
        (_moment(lesson.ts[0]), _moment(lesson.ts[-1])),
    )


def _encoder(
    settings: RunSettings,
    plans: Plans,
    lesson: Lesson,
    view: Array,
    index: int,
    previous: Snapshot | None,
    progress: Any,
    folder: Path | None,
    logger: Any,
) -> Any:
    """Train the encoders the configuration asks for, or None; kinds whose input is absent are left out."""
    if plans.part("model") is None or not settings.encoder.kinds:
        return None
    from mia.encoder.training import fit as train

    names = computed(plans, settings.encoder.inputs)
    rows = encoder_rows(plans, names, view, lesson.values, int(lesson.ts[-1]))
    chosen = settings.encoder
    if not np.isfinite(rows.depth).all(axis=1).any():
        chosen = replace(chosen, kinds=tuple(kind for kind in chosen.kinds if kind != "cnn"))
    if not chosen.kinds:
        return None
    seed = int(generator(settings.seed, "encoder", str(index)).integers(2**31))
    before = previous.encoder if previous else None
    home = folder / f"fit_{index}" if folder else None
    return train(
        rows,
        chosen,
        seed,
        bar_minutes=lesson.bar_minutes,
        previous=before,
        progress=progress,
        folder=home,
        logger=logger(index) if logger else None,
    )


def encoder_rows(plans: Plans, names: tuple[str, ...], view: Array, values: Array, fit_end: int) -> EncoderRows:
    """What an encoder learns from or is judged on: scaled features, the book, price and volatility index."""
    return EncoderRows(
        inputs=names,
        view=np.ascontiguousarray(view[:, columns_of(plans.market, names, "encoder")]),
        present=np.ones(len(view), dtype=bool),
        depth=values[:, [INDEX[name] for name in BOOK_SERIES]],
        price=values[:, INDEX["bar.close"]].copy(),
        vix=values[:, INDEX["xa.vix"]].copy(),
        session=values[:, INDEX["cal.session"]].astype(np.int64),
        fit_end=fit_end,
    )


def _memory(settings: RunSettings, plans: Plans, view: Array, moments: Any, previous: Snapshot | None) -> Any:
    """Basis of the context memory, or None where no line reads it or too little is there to compare."""
    if plans.part("model") is None:
        return None
    names = computed(plans, settings.memory.inputs)
    contexts = view[:, columns_of(plans.market, names, "memory.inputs")]
    before = previous.memory if previous else None
    try:
        return ContextBasis.fit(contexts, names, settings.memory.min_variance_share, before, moments)
    except DataError:
        return before


def computed(plans: Plans, names: Any) -> tuple[str, ...]:
    """Those of some features that the plan computes without fitting."""
    plan, learned = plans.market, plans.market.learned_nodes
    return tuple(name for name in names if name in plan.names and name not in learned)


def _drift(plans: Plans, features: Array, view: Array) -> Any:
    """Where the columns lay while the fit was made, or None where no line asks."""
    if plans.part("self") is None:
        return None
    known = np.where(np.isfinite(features[:, : view.shape[1]]), view, np.nan)
    return DriftReference.fit(known, plans.market.names)


def _moment(ts: int) -> str:
    return str(np.datetime64(int(ts), "ns"))[:19] + "Z"


def parts(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot as JSON-able parts of a bundle, by name."""
    found = {
        "snapshot": {
            "index": snapshot.index,
            "fit_start": snapshot.fit_start,
            "fit_stop": snapshot.fit_stop,
            "fit_end": snapshot.fit_end,
        }
    }
    for name, thing in (("fitted", snapshot.fitted), ("scaler", snapshot.scaler), ("regime", snapshot.regime)):
        found[name] = json.loads(thing.to_json())
    for name in ("memory", "drift"):
        thing = getattr(snapshot, name)
        if thing is not None:
            found[name] = json.loads(thing.to_json())
    if snapshot.encoder is not None:
        # Seconds differ from run to run; a bundle of the same seed must not.
        files = replace(snapshot.encoder, card={**snapshot.encoder.card, "cpu_s": None}).to_files()
        found["encoder"] = {name: base64.b64encode(content).decode() for name, content in files.items()}
    if snapshot.sentinel is not None:
        found["sentinel"] = sentinels.to_json(snapshot.sentinel)
    return found


def of_parts(settings: RunSettings, plans: Plans, found: Mapping[str, Any]) -> Snapshot:
    """Build a snapshot from what `parts` gave.

    Raises
    ------
    ArtefactMismatch : if something is missing or is not what it should be.
    """
    from mia.encoder.encoder import Encoder

    kinds = {
        "fitted": FittedParameters,
        "scaler": Scaler,
        "regime": regime_detector.RegimeModel,
        "memory": ContextBasis,
        "drift": DriftReference,
    }
    try:
        built = {name: kind.from_json(json.dumps(found[name])) for name, kind in kinds.items() if name in found}
        missing = dict.fromkeys({"memory", "drift"} - set(built))
        encoder = None
        if "encoder" in found:
            files = {name: base64.b64decode(text, validate=True) for name, text in found["encoder"].items()}
            encoder = Encoder.from_files(files)
        sentinel = sentinels.of_json(settings, plans, found["sentinel"]) if "sentinel" in found else None
        return Snapshot(**found["snapshot"], **built, **missing, encoder=encoder, sentinel=sentinel)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtefactMismatch(f"snapshot: {error} is missing or unknown; fit it again") from error


def save(snapshot: Snapshot, state: Mapping[str, Array], folder: Path) -> None:
    """Write a snapshot and the pipeline's state just before it was adopted."""
    for name, part in parts(snapshot).items():
        store.write_json(folder / f"{name}.json", part)
    np.savez(folder / "state.npz", **state)


def load(settings: RunSettings, plans: Plans, folder: Path, remedy: str) -> tuple[Snapshot, dict[str, Array]]:
    """Read what `save` wrote.

    Raises
    ------
    ArtefactMissing, ArtefactMismatch
    """
    names = {path.stem for path in folder.glob("*.json")}
    found = {name: store.read_json(folder / f"{name}.json", remedy) for name in names}
    try:
        with np.load(folder / "state.npz", allow_pickle=False) as arrays:
            state = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError) as error:
        raise ArtefactMismatch(f"{folder / 'state.npz'} is not readable ({error}); run {remedy}") from error
    return of_parts(settings, plans, found), state
