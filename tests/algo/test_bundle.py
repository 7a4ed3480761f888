"""Bundles come back as they were, and whatever else lies in the folder is refused, never executed."""

import hashlib
import json
import pickle
import struct
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from safetensors.numpy import save as pack_tensors

from mia.algo import bundle as bundles
from mia.algo.bundle import MANIFEST, WEIGHTS, Bundle
from mia.algo.policy import TrainedPolicy
from mia.domain.errors import ArtefactMismatch

PARTS = {"scaler": {"mean": [0.0, 1.5]}, "regime": {"states": 3}, "template": {"clip": 5.0}}


def policy(quantiles=2, **changes):
    rng = np.random.default_rng(5)
    widths = (5, 8, 3 * max(quantiles, 1))
    layers = tuple(
        (rng.standard_normal((b, a)).astype(np.float32), rng.standard_normal(b).astype(np.float32))
        for a, b in pairwise(widths)
    )
    values = {
        "algo": "qr_dqn",
        "layers": layers,
        "activation": "relu",
        "n_quantiles": quantiles,
        "value_cents": 125.5,
        "abstains": False,
        "card": {"seed": 3, "cpu_s": 1.5, "curve": [{"step": 1.0}]},
    }
    return TrainedPolicy(**values | changes)


def bundle(**changes):
    values = {
        "policy": policy(),
        "market": "MNQ",
        "observation": ("a", "b", "c", "d"),
        "features_sha256": "f" * 64,
        "data_digest": "d" * 64,
        "parts": PARTS,
    }
    return Bundle(**values | changes)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "bundle"
    bundles.save(path, bundle())
    return path


def rewrite(folder, name, content):
    """Replace a file and correct the manifest's hash, as someone who means harm would."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))


def edit(folder, **changes):
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | changes))


def tensors(folder, **changes):
    saved = bundles.load(folder).policy.layers
    named = {}
    for i, (matrix, bias) in enumerate(saved):
        named |= {f"layer{i}.weight": matrix, f"layer{i}.bias": bias}
    return pack_tensors({key: np.ascontiguousarray(value) for key, value in (named | changes).items()})


def assert_refused(folder, *words):
    with pytest.raises(ArtefactMismatch) as caught:
        bundles.load(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_bundle_comes_back_as_it_was(folder):
    back, first = bundles.load(folder, market="MNQ", features_sha256="f" * 64), bundle()
    assert back.policy.digest == first.policy.digest
    assert back.policy.card == {**first.policy.card, "cpu_s": None}
    assert (back.market, back.observation, back.data_digest) == ("MNQ", ("a", "b", "c", "d"), "d" * 64)
    assert back.parts == PARTS
    obs = np.random.default_rng(1).standard_normal((50, 4)).astype(np.float32)
    held = np.array([-1.0, 0.0, 1.0])
    assert np.array_equal(back.policy.table(obs, held), first.policy.table(obs, held))


def test_same_bundle_has_the_same_digest_and_leaves_no_partial_folder(tmp_path):
    assert bundles.save(tmp_path / "a", bundle()) == bundles.save(tmp_path / "b", bundle())
    assert bundles.save(tmp_path / "a", bundle(market="ES")) != bundles.save(tmp_path / "b", bundle())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_slower_training_gives_the_same_bytes(tmp_path):
    slow = bundle(policy=policy(card={"seed": 3, "cpu_s": 99.0, "curve": [{"step": 1.0}]}))
    assert bundles.save(tmp_path / "a", slow) == bundles.save(tmp_path / "b", bundle())


def test_failed_save_leaves_the_old_bundle_in_place(folder):
    with pytest.raises(ArtefactMismatch, match="JSON"):
        bundles.save(folder, bundle(parts={"scaler": {"mean": float("nan")}}))
    assert bundles.load(folder).market == "MNQ"


@pytest.mark.parametrize("name", [WEIGHTS, "card.json", "scaler.json"])
def test_truncated_file_is_refused(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    assert_refused(folder, name, "SHA-256")


@pytest.mark.parametrize("at", [0, 9, 60, -1])
def test_flipped_bit_in_the_weights_is_refused(folder, at):
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[at] ^= 4
    (folder / WEIGHTS).write_bytes(bytes(content))
    assert_refused(folder, WEIGHTS, "SHA-256")


def test_wrong_hash_in_the_manifest_is_refused(folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    edit(folder, files=manifest["files"] | {WEIGHTS: "0" * 64})
    assert_refused(folder, WEIGHTS, "SHA-256")


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("name", ["extra.pkl", "model.zip", ".hidden"])
def test_extra_file_is_refused_and_not_executed(folder, tmp_path, name):
    (folder / name).write_bytes(pickle.dumps(Bomb(tmp_path / "executed")))
    assert_refused(folder, name)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", [WEIGHTS, "card.json"])
def test_pickle_in_place_of_a_file_is_refused_and_not_executed(folder, tmp_path, name):
    rewrite(folder, name, pickle.dumps(Bomb(tmp_path / "executed")))
    assert_refused(folder, name)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "name", ["../secret.json", "/etc/passwd", "sub/scaler.json", "..json", "scaler.pkl", "Scaler.json", ""]
)
def test_file_names_that_lead_elsewhere_are_refused(folder, tmp_path, name):
    (tmp_path / "secret.json").write_text("{}")
    manifest = json.loads((folder / MANIFEST).read_text())
    edit(folder, files=manifest["files"] | {name: hashlib.sha256(b"{}").hexdigest()})
    assert_refused(folder, "names the file")


def test_link_in_place_of_a_file_is_refused(folder, tmp_path):
    (tmp_path / "outside.json").write_bytes((folder / "scaler.json").read_bytes())
    (folder / "scaler.json").unlink()
    (folder / "scaler.json").symlink_to(tmp_path / "outside.json")
    assert_refused(folder, "scaler.json", "plain file")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(folder, value):
    bias = np.zeros(8, dtype=np.float32)
    bias[3] = value
    rewrite(folder, WEIGHTS, tensors(folder, **{"layer0.bias": bias}))
    assert_refused(folder, "not finite")


@pytest.mark.parametrize(
    ("key", "array"),
    [
        ("layer0.weight", np.zeros((8, 6), dtype=np.float32)),
        ("layer1.bias", np.zeros(5, dtype=np.float32)),
        ("layer0.weight", np.zeros((8, 5), dtype=np.float64)),
        ("layer2.weight", np.zeros((1, 1), dtype=np.float32)),
    ],
)
def test_weights_of_other_shapes_types_or_names_are_refused(folder, key, array):
    rewrite(folder, WEIGHTS, tensors(folder, **{key: array}))
    assert_refused(folder, WEIGHTS)


@pytest.mark.parametrize("length", [1 << 63, 1 << 40, 1 << 21])
def test_huge_header_is_refused(folder, length):
    rewrite(folder, WEIGHTS, struct.pack("<Q", length) + b"{" * 64)
    assert_refused(folder, WEIGHTS, "header")


def test_deeply_nested_json_is_refused(folder):
    rewrite(folder, "scaler.json", b"[" * 200_000 + b"]" * 200_000)
    assert_refused(folder, "scaler.json")


@pytest.mark.parametrize("name", [WEIGHTS, "card.json", "regime.json", MANIFEST])
def test_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    assert_refused(folder, name, "missing")


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"schema": True},
        {"schema": "1"},
        {"extra": 1},
        {"abstains": "no"},
        {"activation": "__import__"},
        {"n_quantiles": -1},
        {"value_cents": 0.0},
        {"weights": [[8, -5], [6, 8]]},
        {"weights": [[8, 5.0], [6, 8]]},
        {"weights": []},
        {"observation": ["a", "b", "c", 4]},
        {"files": {}},
    ],
)
def test_manifest_of_another_schema_or_type_is_refused(folder, changes):
    edit(folder, **changes)
    assert_refused(folder, MANIFEST)


def test_manifest_that_contradicts_the_weights_is_refused(folder):
    edit(folder, n_quantiles=3)
    assert_refused(folder, "outputs")
    edit(folder, n_quantiles=2, observation=["a", "b"])
    assert_refused(folder, "observation")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": NaN}', "\x00"])
def test_unreadable_manifest_is_refused(folder, text):
    (folder / MANIFEST).write_text(text)
    assert_refused(folder, MANIFEST)


def test_bundle_of_another_market_or_feature_set_is_refused(folder):
    with pytest.raises(ArtefactMismatch, match="MNQ, not ES"):
        bundles.load(folder, market="ES")
    with pytest.raises(ArtefactMismatch, match="features_sha256"):
        bundles.load(folder, features_sha256="0" * 64)


def test_bundle_that_does_not_fit_together_is_not_made():
    with pytest.raises(ArtefactMismatch, match="observation names"):
        bundle(observation=("a",))
    with pytest.raises(ArtefactMismatch, match="plain lower-case"):
        bundle(parts={"../x": {}})
    layers = bundle().policy.layers
    with pytest.raises(ArtefactMismatch, match="layer 0"):
        replace(policy(), layers=((layers[0][0].astype(np.float64), layers[0][1]), layers[1]))


def test_folder_that_is_not_there_is_refused(tmp_path):
    assert_refused(tmp_path / "nothing", MANIFEST, "missing")
