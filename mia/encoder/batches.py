"""What a training reads: inputs, labels and masks as float32, and which sequences make which batch."""

from dataclasses import dataclass

import numpy as np

from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.encoder import kernels, labels
from mia.encoder.rows import EncoderRows, Split, Targets
from mia.encoder.settings import CNN_KIND, LSTM_KIND, EncoderSettings

Array = np.ndarray

_LEAST_LABELS = 50
_VALIDATION_BARS = 512  # rows judged in each validation sequence; parallel sequences are faster than one long one


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """One kind's training data, T rows.

    Parameters
    ----------
    kind : "lstm" or "cnn"
    x : (T, F) float32 inputs
    usable : (T,) bool, rows whose outputs count
    labels : by name, (T, ...) with zeros where unknown; "has_" + name is the mask
    mirror : permutation (F,) and signs (F,) of the inputs that turn the market upside down
    units : returns' and side targets' units, see kernels.lstm_rows
    center, spread : (F,) of the book channels, empty for features
    warm : rows at the start of a sequence whose outputs do not count
    split : the parts
    passed : (learn, P) what reaches the bottleneck beside the network, of the learning part
    passed_mirror : as `mirror`, of those columns
    """

    kind: str
    x: Array
    usable: Array
    labels: dict[str, Array]
    mirror: tuple[Array, Array]
    units: Array
    center: Array
    spread: Array
    warm: int
    split: Split
    passed: Array
    passed_mirror: tuple[Array, Array]


def view_lesson(rows: EncoderRows, found: Targets, parted: Split, settings: EncoderSettings) -> Lesson:
    """What the LSTM learns from."""
    x = np.clip(np.nan_to_num(rows.view, nan=0.0), -settings.clip, settings.clip).astype(np.float32)
    signs = np.array([-1.0 if name in settings.directional else 1.0 for name in rows.inputs], dtype=np.float32)
    known, units = _labels(found, rows.present, parted)
    taught, passed = x[: parted.learn].astype(np.float64), 1 + len(kernels.MEANS)
    return Lesson(
        kind=LSTM_KIND,
        x=x,
        usable=rows.present,
        labels=known,
        mirror=(np.arange(x.shape[1]), signs),
        units=units,
        center=np.empty(0),
        spread=np.empty(0),
        # The state is never reset while it runs, so rows close to the start of a sequence are not what it is for.
        warm=settings.lstm_window // 2,
        split=parted,
        passed=np.hstack([taught, kernels.decaying_means(taught, np.array(kernels.MEANS))]),
        passed_mirror=(np.arange(passed * len(signs)), np.tile(signs, passed)),
    )


def book_lesson(rows: EncoderRows, found: Targets, parted: Split, settings: EncoderSettings) -> Lesson:
    """What the CNN learns from.

    Raises
    ------
    ConfigurationError : if the training rows hold no 64 complete books in a row.
    """
    channels, clean = kernels.book_rows(np.ascontiguousarray(rows.depth, dtype=np.float64))
    usable = rows.present & (clean >= kernels.WINDOW)
    taught = channels[: parted.learn][clean[: parted.learn] > 0]
    if usable[: parted.learn].sum() < _LEAST_LABELS:
        raise ConfigurationError(
            f"encoder {settings.name}: the CNN reads the order book, which these rows do not hold; set encoder=lstm "
            "or encoder=none"
        )
    # Both sides share their statistics, so that turning the market upside down is a swap of the sides.
    sides = np.concatenate([taught[:, : kernels.SIDE], taught[:, kernels.SIDE :]])
    center, spread = np.tile(sides.mean(axis=0), 2), np.tile(sides.std(axis=0), 2)
    spread = np.where(spread > 1e-9, spread, 1.0)
    scaled = np.clip((channels - center) / spread, -settings.clip, settings.clip)
    known, units = _labels(found, usable, parted)
    order = np.concatenate([np.arange(kernels.SIDE, kernels.CHANNELS), np.arange(kernels.SIDE)])
    x = np.where(clean[:, None] > 0, scaled, 0.0)
    return Lesson(
        kind=CNN_KIND,
        x=x.astype(np.float32),
        usable=usable,
        labels=known,
        mirror=(order, np.ones(kernels.CHANNELS, dtype=np.float32)),
        units=units,
        center=center,
        spread=spread,
        warm=kernels.WINDOW - 1,
        split=parted,
        passed=_pooled(x[: parted.learn]),
        passed_mirror=(np.concatenate([order + k * kernels.CHANNELS for k in range(4)]), np.ones(4 * len(order))),
    )


def _pooled(x: Array) -> Array:
    """(T, 80) means over 64, 16 and 4 rows and the row itself, as the convolutions hand them on."""
    parts, mean = [x], x
    for gap in kernels.DILATIONS:
        before = np.vstack([np.zeros(((kernels.KERNEL - 1) * gap, x.shape[1])), mean])
        mean = sum(before[k * gap : k * gap + len(x)] for k in range(kernels.KERNEL)) / kernels.KERNEL
        parts.insert(0, mean)
    return np.hstack(parts)


def _labels(found: Targets, usable: Array, parted: Split) -> tuple[dict[str, Array], Array]:
    """Labels in units of the learning part, zeros and masks where unknown, and those units."""
    learn = slice(0, parted.learn)
    scales = [_moments(found.returns[learn, k])[1] for k in range(found.returns.shape[1])]
    volatility, vix = _moments(found.volatility[learn]), _moments(found.vix[learn])
    values = {
        "returns": found.returns / np.array(scales),
        "volatility": (found.volatility - volatility[0]) / volatility[1],
        "vix": (found.vix - vix[0]) / vix[1],
    }
    known: dict[str, Array] = {}
    for name, value in values.items():
        mask = np.isfinite(value) & (usable[:, None] if value.ndim == 2 else usable)
        # A return of eight deviations is one event; it must not outweigh a day.
        known[name] = np.where(mask, np.clip(value, -8.0, 8.0), 0.0).astype(np.float32)
        known[f"has_{name}"] = mask.astype(np.float32)
    mask = (found.barrier != labels.UNKNOWN) & usable
    known["barrier"] = np.where(mask, found.barrier, labels.FLAT)
    known["has_barrier"] = mask.astype(np.float32)
    return known, np.array([scales[0], *volatility, *vix])


def _moments(values: Array) -> tuple[float, float]:
    """Mean and deviation of what is known; 0 and 1 if too little is."""
    known = values[np.isfinite(values)]
    if len(known) < _LEAST_LABELS or known.std() == 0:
        return 0.0, 1.0
    return float(known.mean()), float(known.std())


def gather(lesson: Lesson, rows: Array, counts: Array) -> dict[str, Array]:
    """Inputs, labels and masks of sequences.

    Parameters
    ----------
    rows : (B, W) row numbers
    counts : (B, W) bool, which of their outputs count
    """
    batch = {name: value[rows] for name, value in lesson.labels.items()}
    for name in [name for name in batch if name.startswith("has_")]:
        batch[name] = batch[name] * (counts[..., None] if batch[name].ndim == 3 else counts)
    batch["counts"] = (counts & lesson.usable[rows]).astype(np.float32)
    batch["x"] = batch["clean"] = lesson.x[rows]
    return batch


def mirrored(lesson: Lesson, batch: dict[str, Array], which: Array) -> dict[str, Array]:
    """The batch with some sequences (B,) turned upside down: up is down, bid is ask.

    Markets fall as they rise, nearly enough; without this, a few weeks that rose teach that markets rise.
    """
    order, signs = lesson.mirror
    turn = which[:, None, None]
    swapped = dict(batch)
    swapped["x"] = swapped["clean"] = np.where(turn, batch["x"][:, :, order] * signs, batch["x"])
    swapped["returns"] = np.where(turn, -batch["returns"], batch["returns"])
    swapped["barrier"] = np.where(which[:, None], labels.DOWN - batch["barrier"], batch["barrier"])
    return swapped


def learning_batches(lesson: Lesson, settings: EncoderSettings, seed: int, epoch: int) -> list[dict[str, Array]]:
    """Batches of one epoch: random sequences of the learning part. They depend on seed and epoch alone, so that an
    interrupted training goes on with the very batches it would have seen.
    """
    rng = generator(seed, "encoder", lesson.kind, "batches", str(epoch))
    length = settings.sequence_bars
    counts = np.tile(np.arange(length) >= lesson.warm, (settings.sequences, 1))
    made = []
    for _ in range(settings.steps):
        starts = rng.integers(0, lesson.split.learn - length + 1, settings.sequences)
        batch = gather(lesson, starts[:, None] + np.arange(length), counts)
        batch = mirrored(lesson, batch, rng.random(settings.sequences) < 0.5)
        heard = rng.random((settings.sequences, 1, lesson.x.shape[1])) >= settings.input_dropout
        batch["x"] = batch["x"] * heard.astype(np.float32)
        made.append(batch)
    return made


def validation_batch(lesson: Lesson) -> dict[str, Array]:
    """The validation part once, as sequences that overlap by their warm-up."""
    first, last = lesson.split.validate, len(lesson.x)
    starts = np.arange(first, last, _VALIDATION_BARS)
    judged = starts[:, None] + np.arange(-lesson.warm, _VALIDATION_BARS)
    counts = (judged >= starts[:, None]) & (judged < last)
    return gather(lesson, np.clip(judged, 0, last - 1), counts)
