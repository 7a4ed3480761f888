"""Bundles: a trained policy on disk with everything needed to use it. JSON and safetensors, never code.

task/ saves and loads them. Loading checks every byte against the manifest before anything is built from it,
and refuses what it does not know: a bundle comes from a disk other programs write to.
"""

import hashlib
import json
import math
import os
import re
import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mia.algo.compiled_policy import ACTIVATIONS
from mia.algo.policy import TrainedPolicy
from mia.domain.errors import ArtefactMismatch

Array = np.ndarray

SCHEMA = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
MAX_JSON_BYTES = 64 << 20
MAX_WEIGHT_BYTES = 256 << 20
MAX_HEADER_BYTES = 1 << 20
MAX_LAYERS = 16

_PART = re.compile(r"^[a-z][a-z0-9_]{0,40}$")
_SHA = re.compile(r"^[0-9a-f]{64}$")
_KEYS = {
    "schema": int,
    "algo": str,
    "activation": str,
    "n_quantiles": int,
    "value_cents": float,
    "abstains": bool,
    "market": str,
    "observation": list,
    "features_sha256": str,
    "data_digest": str,
    "weights": list,
    "files": dict,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """A policy and what belongs to it.

    Parameters
    ----------
    policy : the trained policy, with its card
    market : name of the market it was trained on
    observation : (Dm,) names of the market part of the observation, in order
    features_sha256 : fingerprint of the feature list the names were chosen from
    data_digest : fingerprint of the rows it was trained on
    parts : JSON-able parts by name: scaler, regime, template, fitted parameters, whatever task/ needs

    Raises
    ------
    ArtefactMismatch : if the observation does not fit the policy or a part's name is no plain word.
    """

    policy: TrainedPolicy
    market: str
    observation: tuple[str, ...]
    features_sha256: str
    data_digest: str
    parts: Mapping[str, Any] = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.observation) != self.policy.width:
            raise ArtefactMismatch(
                f"bundle {self.market}: {len(self.observation)} observation names for a policy that reads "
                f"{self.policy.width}; train again"
            )
        for name in self.parts:
            if not _PART.match(name) or name in ("manifest", "card"):
                raise ArtefactMismatch(
                    f"bundle {self.market}: part {name!r} must be a plain lower-case word and not manifest or card"
                )


def save(folder: Path, bundle: Bundle) -> str:
    """Write a bundle whole or not at all, replacing one that is there, and return its digest.

    Parameters
    ----------
    folder : where it shall lie
    bundle : what to write

    Returns
    -------
    SHA-256 of the manifest, which holds the SHA-256 of every other file.

    Raises
    ------
    ArtefactMismatch : if a part is not JSON-able, or a number in it or in the weights is not finite.
    """
    policy = bundle.policy
    files = {f"{name}.json": _json(part, f"part {name}") for name, part in bundle.parts.items()}
    # How long training took differs from run to run; without it the same training gives the same bytes.
    files["card.json"] = _json({**policy.card, "cpu_s": None}, "the card")
    files[WEIGHTS] = _weights(policy)
    manifest = {
        "schema": SCHEMA,
        "algo": policy.algo,
        "activation": policy.activation,
        "n_quantiles": policy.n_quantiles,
        "value_cents": float(policy.value_cents),
        "abstains": policy.abstains,
        "market": bundle.market,
        "observation": list(bundle.observation),
        "features_sha256": bundle.features_sha256,
        "data_digest": bundle.data_digest,
        "weights": [list(matrix.shape) for matrix, _ in policy.layers],
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
    }
    files[MANIFEST] = _json(manifest, "the manifest")
    _replace(folder, files)
    return hashlib.sha256(files[MANIFEST]).hexdigest()


def _replace(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder beside the target, then let it take the target's place."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        for name, content in files.items():
            with (fresh / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _json(value: Any, what: str) -> bytes:
    try:
        return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise ArtefactMismatch(f"bundle: {what} cannot be written as JSON ({error})") from error


def _weights(policy: TrainedPolicy) -> bytes:
    from safetensors.numpy import save as pack_tensors

    tensors = {}
    for i, (matrix, bias) in enumerate(policy.layers):
        if not (np.isfinite(matrix).all() and np.isfinite(bias).all()):
            raise ArtefactMismatch(f"bundle: layer {i} of {policy.algo} holds a number that is not finite; train again")
        tensors[f"layer{i}.weight"] = np.ascontiguousarray(matrix)
        tensors[f"layer{i}.bias"] = np.ascontiguousarray(bias)
    return pack_tensors(tensors)


def load(folder: Path, *, market: str | None = None, features_sha256: str | None = None) -> Bundle:
    """Read a bundle, trusting nothing in it.

    Parameters
    ----------
    folder : where it lies
    market, features_sha256 : refuse a bundle made for others, if given

    Raises
    ------
    ArtefactMismatch : one line naming the file and what is wrong with it.
    """
    content = _read(folder, MANIFEST, MAX_JSON_BYTES)
    manifest = _parse(content, folder / MANIFEST)
    _check_manifest(manifest, folder)
    for what, given in (("market", market), ("features_sha256", features_sha256)):
        if given is not None and manifest[what] != given:
            raise ArtefactMismatch(f"bundle {folder}: was made for {what} {manifest[what]}, not {given}; train again")
    _check_names(folder, manifest["files"])
    contents = {name: _verified(folder, name, sha) for name, sha in manifest["files"].items()}
    layers = _read_weights(contents.pop(WEIGHTS), manifest["weights"], folder / WEIGHTS)
    parts = {name.removesuffix(".json"): _parse(text, folder / name) for name, text in contents.items()}
    card = parts.pop("card")
    if not isinstance(card, dict):
        raise ArtefactMismatch(f"bundle {folder}: card.json must hold an object; train again")
    policy = TrainedPolicy(
        algo=manifest["algo"],
        layers=layers,
        activation=manifest["activation"],
        n_quantiles=manifest["n_quantiles"],
        value_cents=manifest["value_cents"],
        abstains=manifest["abstains"],
        card=card,
    )
    return Bundle(
        policy=policy,
        market=manifest["market"],
        observation=tuple(manifest["observation"]),
        features_sha256=manifest["features_sha256"],
        data_digest=manifest["data_digest"],
        parts=parts,
    )


def _read(folder: Path, name: str, limit: int) -> bytes:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise ArtefactMismatch(f"bundle {folder}: {name} is missing or not a plain file; train again")
    size = path.stat().st_size
    if size > limit:
        raise ArtefactMismatch(f"bundle {folder}: {name} has {size} bytes, more than the {limit} allowed")
    return path.read_bytes()


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _parse(content: bytes, path: Path) -> Any:
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ArtefactMismatch(f"bundle {path.parent}: {path.name} is not readable ({error}); train again") from error


def _check_manifest(manifest: Any, folder: Path) -> None:
    def refuse(why: str) -> None:
        raise ArtefactMismatch(f"bundle {folder}: {MANIFEST} {why}; train again")

    if not isinstance(manifest, dict):
        refuse("must hold an object")
    if manifest.get("schema") != SCHEMA or isinstance(manifest.get("schema"), bool):
        refuse(f"has schema {manifest.get('schema')!r}, this version reads {SCHEMA}")
    if set(manifest) != set(_KEYS):
        refuse(f"has other keys than it should: {', '.join(sorted(set(manifest) ^ set(_KEYS)))}")
    for key, kind in _KEYS.items():
        if type(manifest[key]) is not kind:
            refuse(f"has {key} of type {type(manifest[key]).__name__}, not {kind.__name__}")
    if manifest["activation"] not in ACTIVATIONS:
        refuse(f"names the unknown activation {manifest['activation']!r}")
    if not 0 <= manifest["n_quantiles"] <= 1000:
        refuse(f"has {manifest['n_quantiles']} quantiles")
    if not (math.isfinite(manifest["value_cents"]) and manifest["value_cents"] > 0):
        refuse(f"has value_cents {manifest['value_cents']}")
    if not all(isinstance(name, str) for name in manifest["observation"]):
        refuse("has an observation name that is no text")
    shapes = manifest["weights"]
    whole = all(
        isinstance(shape, list) and len(shape) == 2 and all(type(n) is int and 1 <= n <= 65536 for n in shape)
        for shape in shapes
    )
    if not (whole and 1 <= len(shapes) <= MAX_LAYERS):
        refuse("has impossible layer shapes")
    files = manifest["files"]
    for name, sha in files.items():
        if name != WEIGHTS and not (name.endswith(".json") and _PART.match(name.removesuffix(".json"))):
            refuse(f"names the file {name!r}, which no bundle holds")
        if not isinstance(sha, str) or not _SHA.match(sha):
            refuse(f"has no SHA-256 for {name}")
    if WEIGHTS not in files or "card.json" not in files or MANIFEST in files:
        refuse("does not list the files of a bundle")


def _check_names(folder: Path, files: Mapping[str, str]) -> None:
    """Refuse a folder that holds anything the manifest does not list."""
    extra = sorted({path.name for path in folder.iterdir()} - set(files) - {MANIFEST})
    if extra:
        raise ArtefactMismatch(f"bundle {folder}: {extra[0]} does not belong to it; remove it or train again")


def _verified(folder: Path, name: str, sha: str) -> bytes:
    content = _read(folder, name, MAX_WEIGHT_BYTES if name == WEIGHTS else MAX_JSON_BYTES)
    if hashlib.sha256(content).hexdigest() != sha:
        raise ArtefactMismatch(f"bundle {folder}: {name} is not what was saved (SHA-256 differs); train again")
    return content


def _read_weights(content: bytes, shapes: list[list[int]], path: Path) -> tuple[tuple[Array, Array], ...]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as unpack_tensors

    def refuse(why: str) -> ArtefactMismatch:
        return ArtefactMismatch(f"bundle {path.parent}: {path.name} {why}; train again")

    # The header's length comes first; a huge one would be parsed before anything else is checked.
    if len(content) < 8 or struct.unpack("<Q", content[:8])[0] > min(MAX_HEADER_BYTES, len(content) - 8):
        raise refuse("has an impossible header")
    try:
        tensors = unpack_tensors(content)
    except (SafetensorError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise refuse(f"is not readable ({error})") from error
    expected = {f"layer{i}.{part}" for i in range(len(shapes)) for part in ("weight", "bias")}
    if set(tensors) != expected:
        raise refuse("does not hold the layers the manifest names")
    layers = []
    for i, (outputs, inputs) in enumerate(shapes):
        matrix, bias = tensors[f"layer{i}.weight"], tensors[f"layer{i}.bias"]
        if matrix.shape != (outputs, inputs) or bias.shape != (outputs,):
            raise refuse(f"holds layer {i} with shapes {matrix.shape} and {bias.shape}, not {(outputs, inputs)}")
        if matrix.dtype != np.float32 or bias.dtype != np.float32:
            raise refuse(f"holds layer {i} as {matrix.dtype}, not float32")
        if not (np.isfinite(matrix).all() and np.isfinite(bias).all()):
            raise refuse(f"holds a number in layer {i} that is not finite")
        layers.append((matrix, bias))
    return tuple(layers)
