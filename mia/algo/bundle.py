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
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mia.algo.compiled_policy import ACTIVATIONS
from mia.algo.policy import TrainedPolicy
from mia.algo.settings.ensemble import MOST_MEMBERS, VoteSettings
from mia.algo.vote import Policy, VotePolicy
from mia.domain.errors import ArtefactMismatch, ConfigurationError

Array = np.ndarray

SCHEMA = 2
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
    "abstains": bool,
    "market": str,
    "observation": list,
    "features_sha256": str,
    "data_digest": str,
    "members": list,
    "vote": (dict, type(None)),
    "files": dict,
}
_MEMBER_KEYS = {
    "name": str,
    "algo": str,
    "activation": str,
    "actions": str,
    "n_quantiles": int,
    "risk_level": float,
    "value_cents": float,
    "weights": list,
}
_VOTE_KEYS = {"weights": list, "prior": list, "rule": dict}


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """A policy and what belongs to it.

    Parameters
    ----------
    policy : the trained policy, or several that vote, with its card
    market : name of the market it was trained on
    observation : (Dm,) names of the market part of the observation, in order
    features_sha256 : fingerprint of the feature list the names were chosen from
    data_digest : fingerprint of the rows it was trained on
    parts : JSON-able parts by name: scaler, regime, template, fitted parameters, whatever task/ needs

    Raises
    ------
    ArtefactMismatch : if the observation does not fit the policy or a part's name is no plain word.
    """

    policy: Policy
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
    members = _members(policy)
    files = {f"{name}.json": _json(part, f"part {name}") for name, part in bundle.parts.items()}
    files["card.json"] = _json(_timeless(policy.card), "the card")
    files[WEIGHTS] = _weights(members)
    manifest = {
        "schema": SCHEMA,
        "algo": policy.algo,
        "abstains": policy.abstains,
        "market": bundle.market,
        "observation": list(bundle.observation),
        "features_sha256": bundle.features_sha256,
        "data_digest": bundle.data_digest,
        "members": [_described(name, member) for name, member in members.items()],
        "vote": _vote_of(policy),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
    }
    files[MANIFEST] = _json(manifest, "the manifest")
    _replace(folder, files)
    return hashlib.sha256(files[MANIFEST]).hexdigest()


def _members(policy: Policy) -> Mapping[str, TrainedPolicy]:
    """The policies to be written, by name; one alone bears its learner's."""
    return policy.members if isinstance(policy, VotePolicy) else {policy.algo: policy}


def _timeless(card: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out how long training took: it differs from run to run, and the same training shall give the same bytes."""
    plain = {**card, "cpu_s": None}
    if isinstance(card.get("members"), Mapping):
        plain["members"] = {name: _timeless(part) for name, part in card["members"].items()}
    return plain


def _described(name: str, member: TrainedPolicy) -> dict[str, Any]:
    return {
        "name": name,
        "algo": member.algo,
        "activation": member.activation,
        "actions": member.actions,
        "n_quantiles": member.n_quantiles,
        "risk_level": float(member.risk_level),
        "value_cents": float(member.value_cents),
        "weights": [list(matrix.shape) for matrix, _ in member.layers],
    }


def _vote_of(policy: Policy) -> dict[str, Any] | None:
    if not isinstance(policy, VotePolicy):
        return None
    return {"weights": list(policy.weights), "prior": list(policy.prior), "rule": asdict(policy.rule)}


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


def _weights(members: Mapping[str, TrainedPolicy]) -> bytes:
    from safetensors.numpy import save as pack_tensors

    tensors = {}
    for m, policy in enumerate(members.values()):
        for i, (matrix, bias) in enumerate(policy.layers):
            if not (np.isfinite(matrix).all() and np.isfinite(bias).all()):
                raise ArtefactMismatch(
                    f"bundle: layer {i} of {policy.algo} holds a number that is not finite; train again"
                )
            tensors[f"member{m}.layer{i}.weight"] = np.ascontiguousarray(matrix)
            tensors[f"member{m}.layer{i}.bias"] = np.ascontiguousarray(bias)
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
    layers = _read_weights(contents.pop(WEIGHTS), [part["weights"] for part in manifest["members"]], folder / WEIGHTS)
    parts = {name.removesuffix(".json"): _parse(text, folder / name) for name, text in contents.items()}
    card = parts.pop("card")
    if not isinstance(card, dict):
        raise ArtefactMismatch(f"bundle {folder}: card.json must hold an object; train again")
    policy = _policy(manifest, layers, card, folder)
    return Bundle(
        policy=policy,
        market=manifest["market"],
        observation=tuple(manifest["observation"]),
        features_sha256=manifest["features_sha256"],
        data_digest=manifest["data_digest"],
        parts=parts,
    )


def _policy(manifest: Mapping[str, Any], layers: list[Any], card: Mapping[str, Any], folder: Path) -> Policy:
    """Build what the manifest describes; it has been checked, how its parts fit together has not."""
    cards = card.get("members") if manifest["vote"] is not None else None
    cards = cards if isinstance(cards, dict) else {}
    members = {
        part["name"]: TrainedPolicy(
            algo=part["algo"],
            layers=pairs,
            activation=part["activation"],
            actions=part["actions"],
            n_quantiles=part["n_quantiles"],
            risk_level=part["risk_level"],
            value_cents=part["value_cents"],
            abstains=manifest["abstains"] if manifest["vote"] is None else False,
            card=card if manifest["vote"] is None else cards.get(part["name"], {}),
        )
        for part, pairs in zip(manifest["members"], layers, strict=True)
    }
    if manifest["vote"] is None:
        return next(iter(members.values()))
    try:
        rule = VoteSettings(**manifest["vote"]["rule"])
    except (TypeError, ConfigurationError) as error:
        raise ArtefactMismatch(f"bundle {folder}: {MANIFEST} has no rule of a vote ({error}); train again") from error
    return VotePolicy(
        algo=manifest["algo"],
        members=members,
        weights=tuple(manifest["vote"]["weights"]),
        prior=tuple(manifest["vote"]["prior"]),
        rule=rule,
        abstains=manifest["abstains"],
        card=card,
    )


def _read(folder: Path, name: str, limit: int) -> bytes:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise ArtefactMismatch(f"bundle {folder}: {name} is missing or not a plain file; train again")
    size = path.stat().st_size
    if size > limit:
        raise ArtefactMismatch(f"bundle {folder}: {name} has {size} bytes, more than the {limit} allowed")
    return path.read_bytes()


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is no number JSON can hold")
    return value


def _whole(text: str) -> int:
    # Longer ones would cost time quadratic in their length, and nothing in a bundle needs them.
    if len(text) > 40:
        raise ValueError(f"{text[:40]}... is too long a number")
    return int(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A key that comes twice means one thing to us and may mean another to whoever checked it before."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _parse(content: bytes, path: Path) -> Any:
    try:
        return json.loads(
            content.decode("utf-8"),
            parse_constant=_finite,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_once,
        )
    except (ValueError, RecursionError) as error:
        raise ArtefactMismatch(f"bundle {path.parent}: {path.name} is not readable ({error}); train again") from error


def _check_manifest(manifest: Any, folder: Path) -> None:
    def refuse(why: str) -> None:
        raise ArtefactMismatch(f"bundle {folder}: {MANIFEST} {why}; train again")

    if not isinstance(manifest, dict):
        refuse("must hold an object")
    if manifest.get("schema") != SCHEMA or isinstance(manifest.get("schema"), bool):
        refuse(f"has schema {str(manifest.get('schema'))[:40]!r}, this version reads {SCHEMA}")
    _check_keys(manifest, _KEYS, "it", refuse)
    if not all(isinstance(name, str) for name in manifest["observation"]):
        refuse("has an observation name that is no text")
    members = manifest["members"]
    if not 1 <= len(members) <= MOST_MEMBERS or not all(isinstance(part, dict) for part in members):
        refuse(f"must describe 1 to {MOST_MEMBERS} members")
    for part in members:
        _check_member(part, refuse)
    _check_vote(manifest, refuse)
    files = manifest["files"]
    for name, sha in files.items():
        if name != WEIGHTS and not (name.endswith(".json") and _PART.match(name.removesuffix(".json"))):
            refuse(f"names the file {name!r}, which no bundle holds")
        if not isinstance(sha, str) or not _SHA.match(sha):
            refuse(f"has no SHA-256 for {name}")
    if WEIGHTS not in files or "card.json" not in files or MANIFEST in files:
        refuse("does not list the files of a bundle")


def _check_keys(found: Mapping[str, Any], keys: Mapping[str, Any], what: str, refuse: Callable[[str], None]) -> None:
    if set(found) != set(keys):
        refuse(f"has other keys in {what} than it should: {', '.join(sorted(set(found) ^ set(keys)))[:200]}")
    for key, kind in keys.items():
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if type(found[key]) not in kinds:
            refuse(f"has {key} of type {type(found[key]).__name__}, not {kinds[0].__name__}")


def _check_member(part: Mapping[str, Any], refuse: Callable[[str], None]) -> None:
    _check_keys(part, _MEMBER_KEYS, "a member", refuse)
    if not _PART.match(part["name"]):
        refuse(f"names a member {part['name'][:40]!r}, which is no plain lower-case word")
    if part["activation"] not in ACTIVATIONS:
        refuse(f"names the unknown activation {part['activation'][:40]!r}")
    if part["actions"] not in ("discrete", "continuous"):
        refuse(f"names the unknown kind of actions {part['actions'][:40]!r}")
    if not 0 <= part["n_quantiles"] <= 1000:
        refuse(f"has {part['n_quantiles']} quantiles")
    if not part["value_cents"] > 0:
        refuse(f"has value_cents {part['value_cents']}")
    shapes = part["weights"]
    whole = all(
        isinstance(shape, list) and len(shape) == 2 and all(type(n) is int and 1 <= n <= 65536 for n in shape)
        for shape in shapes
    )
    if not (whole and 1 <= len(shapes) <= MAX_LAYERS):
        refuse("has impossible layer shapes")


def _check_vote(manifest: Mapping[str, Any], refuse: Callable[[str], None]) -> None:
    names = [part["name"] for part in manifest["members"]]
    vote = manifest["vote"]
    if vote is None:
        if names != [manifest["algo"]] or manifest["members"][0]["algo"] != manifest["algo"]:
            refuse("has no vote, so it must describe one member, called as its learner")
        return
    if len(set(names)) != len(names):
        refuse("names a member twice")
    _check_keys(vote, _VOTE_KEYS, "vote", refuse)
    for what in ("weights", "prior"):
        if len(vote[what]) != len(names) or not all(type(value) is float for value in vote[what]):
            refuse(f"must give each of its {len(names)} members one number in vote.{what}")
    if not all(type(value) in (int, float) for value in vote["rule"].values()):
        refuse("has a rule of the vote that is no number")


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


def _read_weights(content: bytes, members: list[list[list[int]]], path: Path) -> list[tuple[tuple[Array, Array], ...]]:
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
    expected = {
        f"member{m}.layer{i}.{part}"
        for m, shapes in enumerate(members)
        for i in range(len(shapes))
        for part in ("weight", "bias")
    }
    if set(tensors) != expected:
        raise refuse("does not hold the layers the manifest names")
    return [
        tuple(_layer(tensors, f"member{m}.layer{i}", shape, refuse) for i, shape in enumerate(shapes))
        for m, shapes in enumerate(members)
    ]


def _layer(
    tensors: Mapping[str, Array], name: str, shape: list[int], refuse: Callable[[str], ArtefactMismatch]
) -> tuple[Array, Array]:
    matrix, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    if matrix.shape != tuple(shape) or bias.shape != (shape[0],):
        raise refuse(f"holds {name} with shapes {matrix.shape} and {bias.shape}, not {tuple(shape)}")
    if matrix.dtype != np.float32 or bias.dtype != np.float32:
        raise refuse(f"holds {name} as {matrix.dtype}, not float32")
    if not (np.isfinite(matrix).all() and np.isfinite(bias).all()):
        raise refuse(f"holds a number in {name} that is not finite")
    return matrix, bias
