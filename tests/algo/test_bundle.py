"""Bundles come back as they were, and whatever else lies in the folder is refused, never executed."""

import hashlib
import json
import pickle
import struct
import zipfile
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from safetensors.numpy import save as pack_tensors

from mia.algo import bundle as bundles
from mia.algo.bundle import MANIFEST, WEIGHTS, Bundle
from mia.algo.policy import TrainedPolicy
from mia.algo.settings import VoteSettings
from mia.algo.vote import VotePolicy
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


RULE = VoteSettings(forgetting=0.98, edge=0.25, clip=3.0, doubt=2.0, least_blocks=10.0, patience=10, voice=0.05)


def ensemble(**changes):
    values = {
        "algo": "ensemble",
        "members": {
            "sac": replace(
                policy(0), layers=(*policy(0).layers[:1], single_output()), algo="sac", actions="continuous"
            ),
            "ppo": policy(0, algo="ppo", activation="tanh"),
            "qr_dqn": policy(2, risk_level=0.5),
        },
        "weights": (0.5, 0.25, 0.25),
        "prior": (0.4, 0.3, 0.3),
        "rule": RULE,
        "abstains": False,
        "card": {"seed": 3, "cpu_s": 9.0, "members": {"sac": {"seed": 7, "cpu_s": 2.0}}},
    }
    return VotePolicy(**values | changes)


def single_output():
    rng = np.random.default_rng(6)
    return rng.standard_normal((1, 8)).astype(np.float32), rng.standard_normal(1).astype(np.float32)


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


@pytest.fixture
def voting(tmp_path):
    path = tmp_path / "voting"
    bundles.save(path, bundle(policy=ensemble()))
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


def edit_part(folder, what, **changes):
    """Change the first member, or the vote, of a manifest."""
    manifest = json.loads((folder / MANIFEST).read_text())
    if what == "member":
        manifest["members"][0] |= changes
    else:
        manifest["vote"] |= changes
    (folder / MANIFEST).write_text(json.dumps(manifest))


def tensors(folder, **changes):
    saved = bundles.load(folder).policy.layers
    named = {}
    for i, (matrix, bias) in enumerate(saved):
        named |= {f"member0.layer{i}.weight": matrix, f"member0.layer{i}.bias": bias}
    changes = {f"member0.{key}": value for key, value in changes.items()}
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
        {"schema": 1},
        {"schema": True},
        {"schema": "2"},
        {"extra": 1},
        {"abstains": "no"},
        {"observation": ["a", "b", "c", 4]},
        {"members": []},
        {"members": ["qr_dqn"]},
        {"vote": []},
        {"algo": "ppo"},
        {"files": {}},
    ],
)
def test_manifest_of_another_schema_or_type_is_refused(folder, changes):
    edit(folder, **changes)
    assert_refused(folder, MANIFEST)


@pytest.mark.parametrize(
    "changes",
    [
        {"extra": 1},
        {"name": "ppo"},
        {"name": 4},
        {"activation": "__import__"},
        {"actions": "any"},
        {"n_quantiles": -1},
        {"n_quantiles": 10**9},
        {"value_cents": 0.0},
        {"value_cents": 1},
        {"weights": [[8, -5], [6, 8]]},
        {"weights": [[8, 5.0], [6, 8]]},
        {"weights": []},
    ],
)
def test_member_of_another_kind_or_type_is_refused(folder, changes):
    edit_part(folder, "member", **changes)
    assert_refused(folder, MANIFEST)


@pytest.mark.parametrize("changes", [{"actions": "continuous"}, {"risk_level": 0.0}, {"risk_level": 1.5}])
def test_member_that_contradicts_its_own_outputs_is_refused(folder, changes):
    edit_part(folder, "member", **changes)
    assert_refused(folder, "policy qr_dqn")


def test_manifest_that_contradicts_the_weights_is_refused(folder):
    edit_part(folder, "member", n_quantiles=3)
    assert_refused(folder, "outputs")
    edit_part(folder, "member", n_quantiles=2)
    edit(folder, observation=["a", "b"])
    assert_refused(folder, "observation")


def test_ensemble_comes_back_as_it_was(voting):
    back, first = bundles.load(voting).policy, ensemble()
    assert isinstance(back, VotePolicy)
    assert back.digest == first.digest
    assert list(back.members) == ["sac", "ppo", "qr_dqn"]
    assert [(m.algo, m.actions, m.risk_level) for m in back.members.values()] == [
        ("sac", "continuous", 1.0),
        ("ppo", "discrete", 1.0),
        ("qr_dqn", "discrete", 0.5),
    ]
    assert back.members["sac"].card == {"seed": 7, "cpu_s": None}
    assert back.card["cpu_s"] is None
    obs = np.random.default_rng(1).standard_normal((50, 4)).astype(np.float32)
    held = np.array([-1.0, 0.0, 1.0])
    assert np.array_equal(back.table(obs, held), first.table(obs, held))
    assert len(np.unique(back.table(obs, held))) > 2


def test_ensemble_whose_members_all_failed_and_a_continuous_policy_come_back(tmp_path):
    idle = ensemble(weights=(0.0, 0.0, 0.0), abstains=True)
    bundles.save(tmp_path / "idle", bundle(policy=idle))
    assert bundles.load(tmp_path / "idle").policy.weights == (0.0, 0.0, 0.0)
    bundles.save(tmp_path / "sac", bundle(policy=ensemble().members["sac"]))
    assert bundles.load(tmp_path / "sac").policy.actions == "continuous"


def test_slower_training_of_members_gives_the_same_bytes(tmp_path):
    card = ensemble().card
    slow = ensemble(card=card | {"cpu_s": 99.0, "members": {"sac": {"seed": 7, "cpu_s": 50.0}}})
    assert bundles.save(tmp_path / "a", bundle(policy=slow)) == bundles.save(tmp_path / "b", bundle(policy=ensemble()))


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


# What someone who means harm, or a failing disk, may leave in place of a bundle. Each is given the folder of a good
# bundle of an ensemble and the path of a file that must not come into being.


def _archive(path, marker):
    """What Stable-Baselines3 saves: an archive with a pickle inside."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", json.dumps({"policy_class": {":serialized:": pickle.dumps(Bomb(marker)).hex()}}))
        archive.writestr("policy.pth", pickle.dumps(Bomb(marker)))


def _drop(name):
    return lambda folder, marker: (folder / name).write_bytes(pickle.dumps(Bomb(marker)))


def _archived(name):
    return lambda folder, marker: _archive(folder / name, marker)


def _in_place(name, listed=True):
    def harm(folder, marker):
        content = pickle.dumps(Bomb(marker))
        if listed:
            rewrite(folder, name, content)
        else:
            (folder / name).write_bytes(content)

    return harm


def _archive_in_place(folder, marker):
    _archive(folder.parent / "model.zip", marker)
    rewrite(folder, WEIGHTS, (folder.parent / "model.zip").read_bytes())


def _numpy_pickle(folder, marker):
    np.save(folder.parent / "x.npy", np.array([Bomb(marker)], dtype=object), allow_pickle=True)
    rewrite(folder, WEIGHTS, (folder.parent / "x.npy").read_bytes())


def _listed(name):
    """A file the manifest lists with its right hash."""

    def harm(folder, marker):
        content = pickle.dumps(Bomb(marker))
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        files = json.loads((folder / MANIFEST).read_text())["files"]
        edit(folder, files=files | {name: hashlib.sha256(content).hexdigest()})

    return harm


def _manifest(**changes):
    return lambda folder, marker: edit(folder, **changes)


def _vote(**changes):
    return lambda folder, marker: edit_part(folder, "vote", **changes)


def _member(**changes):
    return lambda folder, marker: edit_part(folder, "member", **changes)


def _text(old, new, name=MANIFEST):
    """Change the bytes of a file, as no JSON library would write them."""

    def harm(folder, marker):
        content = (folder / name).read_bytes()
        assert old in content
        rewrite(folder, name, content.replace(old, new, 1)) if name != MANIFEST else (folder / name).write_bytes(
            content.replace(old, new, 1)
        )

    return harm


def _header(**entries):
    """Weights whose header says something else than they hold."""

    def harm(folder, marker):
        head = json.dumps(
            {"member0.layer0.weight": {"dtype": "F32", "shape": [8, 5], "data_offsets": [0, 160]} | entries}
        )
        rewrite(folder, WEIGHTS, struct.pack("<Q", len(head)) + head.encode() + b"\0" * 160)

    return harm


def _link(name):
    def harm(folder, marker):
        content = (folder / name).read_bytes()
        (folder.parent / "elsewhere").write_bytes(content)
        (folder / name).unlink()
        (folder / name).symlink_to(folder.parent / "elsewhere")

    return harm


def _member_lost(folder, marker):
    manifest = json.loads((folder / MANIFEST).read_text())
    edit(folder, members=manifest["members"][:2])


def _member_twice(folder, marker):
    manifest = json.loads((folder / MANIFEST).read_text())
    edit(folder, members=[manifest["members"][0], *manifest["members"][:2]])


def _members_without_end(folder, marker):
    manifest = json.loads((folder / MANIFEST).read_text())
    edit(folder, members=manifest["members"] * 1000)


def _folder_in_place(folder, marker):
    (folder / "card.json").unlink()
    (folder / "card.json").mkdir()


def _cut(name):
    return lambda folder, marker: (folder / name).write_bytes((folder / name).read_bytes()[:-7])


HARM = {
    "pickle dropped in": _drop("extra.pkl"),
    "torch file dropped in": _drop("policy.pt"),
    "joblib file dropped in": _drop("scaler.joblib"),
    "cloudpickle dropped in": _drop(".hidden"),
    "archive of Stable-Baselines3 dropped in": _archived("model.zip"),
    "python file dropped in": lambda folder, marker: (folder / "__init__.py").write_text(f"open({str(marker)!r}, 'w')"),
    "pickle as weights": _in_place(WEIGHTS),
    "pickle as card": _in_place("card.json"),
    "pickle as part": _in_place("scaler.json"),
    "pickle as manifest": _in_place(MANIFEST, listed=False),
    "archive of Stable-Baselines3 as weights": _archive_in_place,
    "numpy file of objects as weights": _numpy_pickle,
    "pickle listed in the manifest": _listed("policy.pkl"),
    "file in a folder listed in the manifest": _listed("sub/scaler.json"),
    "file above the folder listed in the manifest": _listed("../secret.json"),
    "link in place of the weights": _link(WEIGHTS),
    "link in place of the manifest": _link(MANIFEST),
    "folder in place of the card": _folder_in_place,
    "weights cut short": _cut(WEIGHTS),
    "manifest cut short": _cut(MANIFEST),
    "header of huge shapes": _header(shape=[2**40, 2**40]),
    "header of negative shapes": _header(shape=[-8, 5]),
    "header that points beyond the file": _header(data_offsets=[0, 2**62]),
    "header of an unknown number type": _header(dtype="PICKLE"),
    "header longer than the file": lambda folder, marker: rewrite(folder, WEIGHTS, struct.pack("<Q", 2**63) + b"{}"),
    "layer shapes of billions": _member(weights=[[2**40, 5], [1, 2**40]]),
    "weight of the vote that is NaN": _text(b'"weights": [\n   0.5', b'"weights": [\n   NaN'),
    "weight of the vote beyond all numbers": _text(b'"weights": [\n   0.5', b'"weights": [\n   1e999'),
    "weight of the vote that is negative": _vote(weights=[1.25, -0.5, 0.25]),
    "weights of the vote that sum to more than 1": _vote(weights=[0.5, 0.5, 0.5]),
    "weights of the vote that are texts": _vote(weights=["0.5", "0.25", "0.25"]),
    "weights of too few members": _vote(weights=[0.5, 0.5]),
    "prior of 0": _vote(prior=[1.0, 0.0, 0.0]),
    "rule of the vote out of bounds": _vote(rule={"forgetting": 9.0}),
    "rule of the vote with a method's name": _vote(rule={"__class__": 1.0}),
    "vote missing": _manifest(vote=None),
    "member lost": _member_lost,
    "member named twice": _member_twice,
    "members without end": _members_without_end,
    "member called like a path": _member(name="../sac"),
    "activation that names a function": _member(activation="os.system"),
    "quantiles without end": _member(n_quantiles=10**30),
    "value beyond all numbers": _text(b'"value_cents": 125.5', b'"value_cents": 1e999'),
    "whole number of a million digits": _text(b'"schema": 2', b'"schema": ' + b"9" * 10**6),
    "key that comes twice": _text(b'"schema": 2', b'"schema": 2, "schema": 2'),
    "lists nested without end": lambda folder, marker: rewrite(folder, "scaler.json", b"[" * 10**6),
    "objects nested without end": lambda folder, marker: rewrite(folder, "card.json", b'{"a":' * 10**6),
    "text that is no text": lambda folder, marker: rewrite(folder, "card.json", b'{"a": "\xff\xfe"}'),
    "card that is no object": lambda folder, marker: rewrite(folder, "card.json", b"[]"),
}


def test_there_are_at_least_twenty_ways_to_do_harm():
    assert len(HARM) >= 20


@pytest.mark.parametrize("what", HARM)
def test_malicious_or_damaged_bundle_is_refused_and_executes_nothing(voting, tmp_path, what):
    assert bundles.load(voting).market == "MNQ"
    marker = tmp_path / "executed"
    HARM[what](voting, marker)
    assert_refused(voting)
    assert not marker.exists()


def test_the_pickles_above_would_leave_their_mark_if_they_were_loaded(tmp_path):
    pickle.loads(pickle.dumps(Bomb(tmp_path / "executed")))  # noqa: S301 - to show that the test above can fail
    assert (tmp_path / "executed").exists()
