"""Fit the encoders on training rows. task/ calls `fit`; torch and Lightning are imported only then."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mia.domain import digest
from mia.domain.errors import ConfigurationError
from mia.domain.progress import Progress
from mia.domain.rng import generator
from mia.domain.series import CNN_WIDTH, LSTM_WIDTH
from mia.encoder.alignment import Axes, aligned_axes, own_axes
from mia.encoder.batches import Lesson, book_lesson, view_lesson
from mia.encoder.encoder import CnnWeights, Encoder, LstmWeights
from mia.encoder.linear import linear_check
from mia.encoder.rows import EncoderRows, Split, Targets, split, targets
from mia.encoder.settings import CNN_KIND, LSTM_KIND, EncoderSettings

Array = np.ndarray


def fit(
    rows: EncoderRows,
    settings: EncoderSettings,
    seed: int,
    *,
    bar_minutes: float,
    previous: Encoder | None = None,
    progress: Progress | None = None,
    folder: Path | None = None,
    logger: Any = None,
) -> Encoder:
    """Train the encoders the settings ask for.

    Parameters
    ----------
    rows : training rows only; nothing after them is ever seen
    settings : see `EncoderSettings`
    seed : the same seed and rows give the same bytes
    bar_minutes : length of a bar [minutes]
    previous : encoder of the fit before; the axes are turned towards its axes
    progress : called with (gradient steps done, in all)
    folder : where checkpoints are kept; training that was interrupted goes on from there, and a finished one of
        the same rows, settings and seed is not repeated
    logger : a Lightning logger, or None

    Returns
    -------
    Encoder with its card: losses by look, steps, seconds, agreement of axes, comparison with a linear model.

    Raises
    ------
    ConfigurationError : if there are too few rows, or none with a complete book for the CNN.
    """
    rows = rows.part(max(0, len(rows) - settings.max_rows), len(rows))
    started = time.process_time()
    card: dict[str, Any] = {"settings": asdict(settings), "seed": seed, "rows": len(rows), "kinds": {}}
    parts: dict[str, Any] = {LSTM_KIND: None, CNN_KIND: None}
    if settings.kinds:
        found = targets(rows, settings, bar_minutes)
        parted = split(len(rows), settings, found.longest)
        identity = _identity(rows, settings, seed, bar_minutes, previous)
        steps = _Steps(progress, settings.epochs * settings.steps, len(settings.kinds))
        card |= {"learnt_rows": parted.learn, "validation_rows": len(rows) - parted.validate}
        for kind in settings.kinds:
            lesson = _lesson(kind, rows, found, parted, settings)
            parts[kind], card["kinds"][kind] = _train(lesson, settings, seed, steps, identity, folder, logger)
    encoder = _aligned(rows, settings, parts, previous, card)
    if settings.kinds:
        # The validation part chose when to stop, so its figures flatter the encoder a little; reports judge again
        # on later rows.
        card["linear"] = linear_check(
            encoder,
            rows.part(0, parted.learn),
            rows.part(parted.validate, len(rows)),
            settings,
            bar_minutes=bar_minutes,
        )
    card["cpu_s"] = round(time.process_time() - started, 3)
    return encoder


class _Steps:
    """Progress of several trainings as one; a kind that stops early is done."""

    def __init__(self, progress: Progress | None, steps: int, kinds: int) -> None:
        self._progress, self._steps, self._kinds, self._finished = progress, steps, kinds, 0

    def __call__(self, done: int) -> None:
        if self._progress is not None:
            self._progress(self._finished * self._steps + min(done, self._steps), self._kinds * self._steps)

    def finish(self) -> None:
        """Count the present training as complete."""
        self(self._steps)
        self._finished += 1


def _identity(
    rows: EncoderRows, settings: EncoderSettings, seed: int, bar_minutes: float, previous: Encoder | None
) -> str:
    """What a checkpoint must have been made from to be gone on with."""
    facts = [rows.fingerprint, asdict(settings), seed, bar_minutes, previous.version if previous else None]
    return digest.of_json(facts)


def _lesson(kind: str, rows: EncoderRows, found: Targets, parted: Split, settings: EncoderSettings) -> Lesson:
    if kind == LSTM_KIND:
        if not rows.inputs:
            raise ConfigurationError(
                f"encoder {settings.name}: none of the features it reads is computed; choose others in "
                f"conf/encoder/{settings.name}.yaml or set encoder=none"
            )
        return view_lesson(rows, found, parted, settings)
    return book_lesson(rows, found, parted, settings)


def _train(
    lesson: Lesson,
    settings: EncoderSettings,
    seed: int,
    steps: _Steps,
    identity: str,
    folder: Path | None,
    logger: Any,
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Weights and card of one kind; axes as they came."""
    from mia.encoder import fitting  # pays for torch and Lightning

    start = int(generator(seed, "encoder", lesson.kind, "weights").integers(2**62))
    learnt = fitting.run(lesson, settings, seed, start, steps, identity, folder, logger)
    steps.finish()
    pack = _pack_lstm if lesson.kind == LSTM_KIND else _pack_cnn
    return pack(learnt.weights, lesson, len(settings.horizons)), learnt.card


def _input_major(matrix: Array) -> Array:
    return np.ascontiguousarray(matrix.T, dtype=np.float64)


def _pack_lstm(weights: dict[str, Array], lesson: Lesson, horizons: int) -> dict[str, Array]:
    # Of the return heads only the published horizon is kept; the others were there to learn from.
    kept = [0, horizons, *range(2 * horizons, 2 * horizons + 5)]
    return {
        "from_input": _input_major(weights["cell.weight_ih_l0"]),
        "from_hidden": _input_major(weights["cell.weight_hh_l0"]),
        "bias": weights["cell.bias_ih_l0"].astype(np.float64) + weights["cell.bias_hh_l0"],
        "narrow": _input_major(weights["narrow.weight"]),
        "narrow_bias": weights["narrow.bias"].astype(np.float64),
        "head": _input_major(weights["head.weight"][kept]),
        "head_bias": weights["head.bias"][kept].astype(np.float64),
        "back": _input_major(weights["back.weight"]),
        "back_bias": weights["back.bias"].astype(np.float64),
        "units": lesson.units,
    }


def _pack_cnn(weights: dict[str, Array], lesson: Lesson, horizons: int) -> dict[str, Array]:
    packed = {"center": lesson.center, "spread": lesson.spread}
    for layer in range(3):
        taps = weights[f"layers.{layer}.weight"].transpose(2, 1, 0)  # (outputs, inputs, taps) as torch stores it
        packed[f"taps_{layer + 1}"] = np.ascontiguousarray(taps, dtype=np.float64)
        packed[f"bias_{layer + 1}"] = weights[f"layers.{layer}.bias"].astype(np.float64)
    return packed | {
        "narrow": _input_major(weights["narrow.weight"]),
        "narrow_bias": weights["narrow.bias"].astype(np.float64),
        "head": _input_major(weights["head.weight"][2 * horizons :]),
        "head_bias": weights["head.bias"][2 * horizons :].astype(np.float64),
    }


def _aligned(
    rows: EncoderRows,
    settings: EncoderSettings,
    parts: dict[str, Any],
    previous: Encoder | None,
    card: dict[str, Any],
) -> Encoder:
    """Turn the axes towards the previous encoder's on the last training rows, which both can read."""

    def assemble(axes: dict[str, Axes]) -> Encoder:
        made: dict[str, Any] = {LSTM_KIND: None, CNN_KIND: None}
        for kind, kind_of, width in ((LSTM_KIND, LstmWeights, LSTM_WIDTH), (CNN_KIND, CnnWeights, CNN_WIDTH)):
            if parts[kind] is not None:
                chosen = axes.get(kind)
                turn = np.eye(width) if chosen is None else np.ascontiguousarray(chosen.turn)
                shift = np.zeros(width) if chosen is None else chosen.shift
                made[kind] = kind_of(**parts[kind], turn=turn, shift=shift)
        return Encoder(
            inputs=rows.inputs,
            fit_end=rows.fit_end,
            window=settings.lstm_window,
            clip=float(settings.clip),
            card=card,
            **made,
        )

    plain = assemble({})
    anchors = rows.part(max(0, len(rows) - settings.anchor_rows - settings.lstm_window), len(rows))
    raw, before = _sums(plain, anchors), None
    if previous is not None and previous.inputs == rows.inputs:
        before = _sums(previous, anchors)
    axes = {kind: _axes(raw[kind], None if before is None else before.get(kind)) for kind in raw}
    for kind, chosen in axes.items():
        card["kinds"][kind]["agreement"] = [float(value) for value in chosen.agreement]
    return assemble(axes)


def _sums(encoder: Encoder, rows: EncoderRows) -> dict[str, Array]:
    """Published values before squashing, (N, E) per kind trained; NaN where the encoder is silent."""
    told = encoder.advance(encoder.initial_state(), rows.view, rows.depth, rows.vix)
    places = {LSTM_KIND: slice(0, LSTM_WIDTH), CNN_KIND: slice(told.shape[1] - CNN_WIDTH - 3, told.shape[1] - 3)}
    trained = {LSTM_KIND: encoder.lstm is not None, CNN_KIND: encoder.cnn is not None}
    edge = 1.0 - 2.0**-50  # where tanh says 1, its argument is lost
    return {kind: np.arctanh(np.clip(told[:, place], -edge, edge)) for kind, place in places.items() if trained[kind]}


def _axes(raw: Array, before: Array | None) -> Axes:
    both = np.isfinite(raw).all(axis=1)
    if before is not None:
        both &= np.isfinite(before).all(axis=1)
    least = 2 * raw.shape[1]
    if before is not None and both.sum() >= least:
        return aligned_axes(raw[both], before[both])
    known = raw[np.isfinite(raw).all(axis=1)]
    if len(known) < least:
        raise ConfigurationError(
            f"encoder: only {len(known)} of the last training rows can be encoded; raise encoder.anchor_rows or give "
            "it rows with a complete book"
        )
    return own_axes(known)
