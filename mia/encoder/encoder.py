"""A trained encoder: numbers only, run by compiled loops. desk/ advances it; task/ stores it beside its snapshot."""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

from mia.domain import digest
from mia.domain.errors import ArtefactMismatch
from mia.domain.series import CNN, CNN_WIDTH, LSTM, LSTM_WIDTH
from mia.encoder import kernels

Array = np.ndarray

SCHEMA = 1
FACTS, WEIGHTS = "encoder.json", "encoder.safetensors"
MAX_BYTES = 64 << 20
MAX_WIDTH = 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LstmWeights:
    """Arguments of `kernels.lstm_rows` in its order, float64, input-major."""

    from_input: Array
    from_hidden: Array
    bias: Array
    narrow: Array
    narrow_bias: Array
    turn: Array
    shift: Array
    head: Array
    head_bias: Array
    back: Array
    back_bias: Array
    units: Array

    @staticmethod
    def shapes(width: int, inputs: int) -> dict[str, tuple[int, ...]]:
        """Shape of every array for `width` cells."""
        code = LSTM_WIDTH
        return {
            "from_input": (inputs, 4 * width),
            "from_hidden": (width, 4 * width),
            "bias": (4 * width,),
            "narrow": (width + 3 * inputs, code),
            "narrow_bias": (code,),
            "turn": (code, code),
            "shift": (code,),
            "head": (code, 7),
            "head_bias": (7,),
            "back": (code, inputs),
            "back_bias": (inputs,),
            "units": (5,),
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CnnWeights:
    """Arguments of `kernels.cnn_rows` in its order, float64, input-major."""

    center: Array
    spread: Array
    taps_1: Array
    bias_1: Array
    taps_2: Array
    bias_2: Array
    taps_3: Array
    bias_3: Array
    narrow: Array
    narrow_bias: Array
    turn: Array
    shift: Array
    head: Array
    head_bias: Array

    @staticmethod
    def shapes(width: int, _: int) -> dict[str, tuple[int, ...]]:
        """Shape of every array for `width` channels per convolution."""
        code, channels = CNN_WIDTH, kernels.CHANNELS
        return {
            "center": (channels,),
            "spread": (channels,),
            "taps_1": (kernels.KERNEL, channels, width),
            "bias_1": (width,),
            "taps_2": (kernels.KERNEL, width + channels, width),
            "bias_2": (width,),
            "taps_3": (kernels.KERNEL, width + channels, width),
            "bias_3": (width,),
            "narrow": (width + 4 * channels, code),
            "narrow_bias": (code,),
            "turn": (code, code),
            "shift": (code,),
            "head": (code, 3),
            "head_bias": (3,),
        }


def _arrays(weights: LstmWeights | CnnWeights) -> list[Array]:
    return [getattr(weights, item.name) for item in fields(weights)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoder:
    """What training left.

    Parameters
    ----------
    inputs : (L,) names of the scaled features the LSTM reads
    fit_end : close time of the last row it was fitted on [ns UTC]
    window : rows before the LSTM's first output
    clip : bound of every input [deviations]
    lstm, cnn : weights, None where the kind was not trained
    card : how it was trained and what it is worth, for people; no part of `version`

    Raises
    ------
    ArtefactMismatch : if arrays do not fit together or hold a number that is not finite.
    """

    inputs: tuple[str, ...]
    fit_end: int
    window: int
    clip: float
    lstm: LstmWeights | None
    cnn: CnnWeights | None
    card: Mapping[str, Any] = field(repr=False)

    def __post_init__(self) -> None:
        for kind, weights in self._parts().items():
            width = len(weights.from_hidden) if isinstance(weights, LstmWeights) else len(weights.bias_1)
            for name, shape in weights.shapes(width, len(self.inputs)).items():
                array = getattr(weights, name)
                if array.shape != shape or array.dtype != np.float64 or not array.flags.c_contiguous:
                    raise ArtefactMismatch(
                        f"encoder: {kind}.{name} must be float64 of shape {shape}, was {array.dtype} {array.shape}; "
                        "fit it again"
                    )
                if not np.isfinite(array).all():
                    raise ArtefactMismatch(f"encoder: {kind}.{name} holds a number that is not finite; fit it again")
        if self.cnn is not None and not (self.cnn.spread > 0).all():
            raise ArtefactMismatch("encoder: cnn.spread must be positive; fit it again")

    def _parts(self) -> dict[str, LstmWeights | CnnWeights]:
        return {kind: part for kind, part in (("lstm", self.lstm), ("cnn", self.cnn)) if part is not None}

    @cached_property
    def version(self) -> str:
        """SHA-256 of everything that makes its outputs."""
        facts = [list(self.inputs), self.fit_end, self.window, self.clip, list(self._parts())]
        arrays = [array for part in self._parts().values() for array in _arrays(part)]
        return digest.of_json([*facts, digest.of_arrays(*arrays)])

    @cached_property
    def _lstm_state(self) -> int:
        if self.lstm is None:
            return 0
        return 1 + 2 * len(self.lstm.from_hidden) + len(kernels.MEANS) * len(self.inputs)

    def initial_state(self) -> Array:
        """State before any row: one float64 array, to be copied to remember it."""
        if self.cnn is None:
            return np.zeros(self._lstm_state)
        book = np.zeros(kernels.cnn_state_size(len(self.cnn.bias_1)))
        book[kernels.MID] = np.nan
        return np.concatenate([np.zeros(self._lstm_state), book])

    def advance(self, state: Array, view: Array, depth: Array, vix: Array | None = None) -> Array:
        """Encode n more rows and move `state` on; any cutting of rows into calls gives the same bits.

        Parameters
        ----------
        state : from `initial_state`, changed in place
        view : (n, L) scaled features in the order of `inputs`; 0 or NaN where missing
        depth : (n, 20) base series in the order of settings.BOOK_SERIES, NaN where missing
        vix : (n,) volatility index [vol points]; without it the predicted index is NaN

        Returns
        -------
        (n, 35) in the order of series.LSTM and series.CNN. NaN until `window` rows (LSTM) and 64 complete rows of
        the book without a gap (CNN) were seen, and for a kind not trained.

        Raises
        ------
        ArtefactMismatch : if shapes do not fit.
        """
        view = np.ascontiguousarray(view, dtype=np.float64)
        depth = np.ascontiguousarray(depth, dtype=np.float64)
        rows = len(view)
        known = np.full(rows, np.nan) if vix is None else np.ascontiguousarray(vix, dtype=np.float64)
        if (
            view.shape != (rows, len(self.inputs))
            or depth.shape != (rows, kernels.CHANNELS)
            or known.shape != (rows,)
            or state.dtype != np.float64
            or state.shape != (len(self.initial_state()),)
        ):
            raise ArtefactMismatch(
                f"encoder: reads {len(self.inputs)} features, 20 book columns and its own state, got view "
                f"{view.shape}, depth {depth.shape}, vix {known.shape}, state {state.shape}; use rows made for it"
            )
        lstm_out, cnn_out = np.full((rows, len(LSTM)), np.nan), np.full((rows, len(CNN)), np.nan)
        at = self._lstm_state
        if self.lstm is not None:
            kernels.lstm_rows(state[:at], view, known, *_arrays(self.lstm), self.window, self.clip, lstm_out)
        if self.cnn is not None:
            kernels.cnn_rows(state[at:], depth, *_arrays(self.cnn), self.clip, cnn_out)
        return np.concatenate([lstm_out, cnn_out], axis=1)

    def to_files(self) -> dict[str, bytes]:
        """Everything as JSON and safetensors; the same encoder always gives the same bytes."""
        from safetensors.numpy import save

        tensors = {
            f"{kind}.{item.name}": getattr(part, item.name)
            for kind, part in self._parts().items()
            for item in fields(part)
        }
        weights = save(tensors)
        facts = {
            "schema": SCHEMA,
            "version": self.version,
            "inputs": list(self.inputs),
            "fit_end": self.fit_end,
            "window": self.window,
            "clip": self.clip,
            "widths": {kind: _width(part) for kind, part in self._parts().items()},
            "card": _plain(self.card),
        }
        text = json.dumps(facts, indent=1, sort_keys=True, allow_nan=False) + "\n"
        return {FACTS: text.encode(), WEIGHTS: weights}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "Encoder":
        """Read what `to_files` wrote, trusting nothing in it; no code in it is ever run.

        Raises
        ------
        ArtefactMismatch : one line naming the file and what is wrong with it.
        """
        if set(files) != {FACTS, WEIGHTS} or max(len(content) for content in files.values()) > MAX_BYTES:
            raise ArtefactMismatch(f"encoder: needs {FACTS} and {WEIGHTS} of at most {MAX_BYTES} bytes; fit it again")
        facts = _facts(files[FACTS])
        tensors = _tensors(files[WEIGHTS])
        parts: dict[str, Any] = {"lstm": None, "cnn": None}
        expected: set[str] = set()
        for kind, width in facts["widths"].items():
            kind_of = LstmWeights if kind == "lstm" else CnnWeights
            names = kind_of.shapes(width, len(facts["inputs"]))
            expected |= {f"{kind}.{name}" for name in names}
            missing = [name for name in names if f"{kind}.{name}" not in tensors]
            if missing:
                raise ArtefactMismatch(f"encoder: {WEIGHTS} lacks {kind}.{missing[0]}; fit it again")
            parts[kind] = kind_of(**{name: np.ascontiguousarray(tensors[f"{kind}.{name}"]) for name in names})
        if set(tensors) != expected:
            raise ArtefactMismatch(f"encoder: {WEIGHTS} holds tensors that belong to no encoder; fit it again")
        made = cls(
            inputs=tuple(facts["inputs"]),
            fit_end=facts["fit_end"],
            window=facts["window"],
            clip=facts["clip"],
            card=facts["card"],
            **parts,
        )
        if {kind: _width(part) for kind, part in made._parts().items()} != facts["widths"]:
            raise ArtefactMismatch(f"encoder: {FACTS} names other widths than {WEIGHTS} holds; fit it again")
        if made.version != facts["version"]:
            raise ArtefactMismatch("encoder: weights are not those that were saved (version differs); fit it again")
        return made


def _width(part: LstmWeights | CnnWeights) -> int:
    return len(part.from_hidden) if isinstance(part, LstmWeights) else len(part.bias_1)


def _plain(value: Any) -> Any:
    """Numbers that JSON knows; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


_KINDS_OF_FACTS = {
    "schema": int,
    "version": str,
    "inputs": list,
    "fit_end": int,
    "window": int,
    "clip": float,
    "widths": dict,
    "card": dict,
}


def _facts(content: bytes) -> dict[str, Any]:
    def refuse(why: str) -> ArtefactMismatch:
        return ArtefactMismatch(f"encoder: {FACTS} {why}; fit it again")

    try:
        facts = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise refuse(f"is not readable ({error})") from error
    if not isinstance(facts, dict) or set(facts) != set(_KINDS_OF_FACTS):
        raise refuse("has other keys than it should")
    for key, kind in _KINDS_OF_FACTS.items():
        if type(facts[key]) is not kind:
            raise refuse(f"has {key} of type {type(facts[key]).__name__}, not {kind.__name__}")
    if facts["schema"] != SCHEMA:
        raise refuse(f"has schema {facts['schema']}, this version reads {SCHEMA}")
    if not all(isinstance(name, str) for name in facts["inputs"]) or len(facts["inputs"]) > MAX_WIDTH:
        raise refuse("has an input that is no name")
    if not (facts["window"] >= 1 and math.isfinite(facts["clip"]) and facts["clip"] > 0):
        raise refuse(f"has window {facts['window']} and clip {facts['clip']}")
    widths = facts["widths"]
    if not set(widths) <= {"lstm", "cnn"} or not all(type(n) is int and 1 <= n <= MAX_WIDTH for n in widths.values()):
        raise refuse(f"has impossible widths {widths!r}")
    return facts


def _tensors(content: bytes) -> dict[str, Array]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    # The header's length comes first; a huge one would be parsed before anything else is checked.
    if len(content) < 8 or struct.unpack("<Q", content[:8])[0] > min(1 << 20, len(content) - 8):
        raise ArtefactMismatch(f"encoder: {WEIGHTS} has an impossible header; fit it again")
    try:
        return load(content)
    except (SafetensorError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise ArtefactMismatch(f"encoder: {WEIGHTS} is not readable ({error}); fit it again") from error
