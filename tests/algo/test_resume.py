"""An interrupted training that goes on gives what an uninterrupted one gives, bit for bit, whatever learns."""

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch

from mia.algo import LEARNERS, checkpoint, learner
from mia.algo.policy import TrainedPolicy
from mia.algo.settings.effort import shortened
from mia.algo.vote import VotePolicy
from mia.domain.errors import ArtefactMismatch

EFFORT = {"ppo": 0.05, "ppo_lagrangian": 0.05, "qr_dqn": 0.15, "sac": 0.2, "ddpg": 0.2, "ensemble": 0.1}
"""Share of a whole training: some rounds of each learner, some seconds in all."""
IDENTITY = {"what": "a test"}


class Interrupting:
    """A keeper on disk that asks to stop at a boundary, as Ctrl-C does; which one is drawn from a list."""

    def __init__(self, folder, stops):
        self.folder, self.stops, self.boundaries = folder, stops, 0

    def part(self, name):
        return Interrupting(self.folder / name, self.stops)

    def result(self):
        state = checkpoint.read(self.folder / "policy.ckpt", IDENTITY)
        return state and (VotePolicy if "members" in state else TrainedPolicy).from_state(state)

    def finish(self, policy):
        checkpoint.write(self.folder / "policy.ckpt", policy.to_state(), IDENTITY)

    def load(self):
        return checkpoint.read(self.folder / "state.ckpt", IDENTITY)

    def is_due(self):
        return False

    def save(self, state):
        checkpoint.write(self.folder / "state.ckpt", state, IDENTITY)

    def is_stopping(self):
        self.boundaries += 1
        if self.stops and self.boundaries == self.stops[0]:
            self.stops.pop(0)
            return True
        return False


@pytest.mark.parametrize("name", sorted(LEARNERS))
def test_interrupted_twice_and_resumed_equals_uninterrupted(name, algo, tape, terms, tmp_path):
    settings = shortened(algo(name), EFFORT[name])
    rows = tape.slice(0, 12_000)
    whole = learner(settings.kind)(rows, terms, settings, 100)
    stops, interruptions = [2, 2], 0
    while True:
        keeper = Interrupting(tmp_path, stops)
        try:
            resumed = learner(settings.kind)(rows, terms, settings, 100, keeper=keeper)
            break
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions == 2
    assert resumed.digest == whole.digest
    without_time = [json.loads(json.dumps(dict(policy.card))) for policy in (whole, resumed)]
    for card in without_time:
        card["cpu_s"] = None
        for member in card.get("members", {}).values():
            member["cpu_s"] = None
    assert without_time[0] == without_time[1]
    ready = learner(settings.kind)(rows, terms, settings, 100, keeper=Interrupting(tmp_path, []))
    assert ready.digest == whole.digest


STATE = {
    "tensor": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "empty": np.empty((0, 3)),
    "scalar": torch.tensor(2.5),
    "flags": np.array([True, False]),
    "numbers": [1, 2.5, float("inf"), 2**130, None, True, "text"],
    "nested": {3: {"deep": np.arange(3)}},
}


def test_a_state_comes_back_from_disk_as_it_was(tmp_path):
    checkpoint.write(tmp_path / "a.ckpt", STATE, IDENTITY)
    back = checkpoint.read(tmp_path / "a.ckpt", IDENTITY)
    assert torch.equal(back["tensor"], STATE["tensor"])
    assert back["empty"].shape == (0, 3)
    assert back["scalar"].shape == ()
    assert back["scalar"].item() == 2.5
    assert back["flags"].tolist() == [True, False]
    assert back["numbers"] == STATE["numbers"]
    assert back["nested"][3]["deep"].tolist() == [0, 1, 2]


def test_a_state_of_another_training_is_not_used_and_none_is_nothing(tmp_path):
    checkpoint.write(tmp_path / "a.ckpt", STATE, IDENTITY)
    assert checkpoint.read(tmp_path / "a.ckpt", {"what": "else"}) is None
    assert checkpoint.read(tmp_path / "b.ckpt", IDENTITY) is None


@pytest.mark.parametrize("at", [0, 70, 300, -1])
def test_a_damaged_state_is_refused_with_the_remedy(tmp_path, at):
    path = tmp_path / "a.ckpt"
    checkpoint.write(path, STATE, IDENTITY)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtefactMismatch, match="delete it to start anew"):
        checkpoint.read(path, IDENTITY)


@pytest.mark.parametrize("keep", [0, 10, 64, 100])
def test_a_torn_state_is_refused(tmp_path, keep):
    path = tmp_path / "a.ckpt"
    checkpoint.write(path, STATE, IDENTITY)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArtefactMismatch, match="delete it to start anew"):
        checkpoint.read(path, IDENTITY)


def test_a_state_with_a_right_hash_and_a_wrong_inside_is_refused(tmp_path):
    import hashlib

    path = tmp_path / "a.ckpt"
    for body in (b"", struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 2**60) + b"{}", b"\x80\x04cos\nsystem\n."):
        path.write_bytes(hashlib.sha256(body).hexdigest().encode() + body)
        with pytest.raises(ArtefactMismatch, match="delete it to start anew"):
            checkpoint.read(path, IDENTITY)


def test_what_is_no_plain_value_cannot_be_written(tmp_path):
    with pytest.raises(TypeError, match="cannot hold"):
        checkpoint.write(tmp_path / "a.ckpt", {"code": test_what_is_no_plain_value_cannot_be_written}, IDENTITY)
    assert not list(tmp_path.iterdir())


def test_a_warm_start_begins_with_the_given_weights(qr_dqn, trained, tape, terms):
    still = replace(
        qr_dqn, updates=1, updates_per_step=1, learning_rate=1e-8, final_learning_rate=0.0, target_rate=1e-6
    )
    policy = learner("qr_dqn")(tape, terms, still, 7, start=trained)
    for (matrix, _), (before, _) in zip(policy.layers, trained.layers, strict=True):
        np.testing.assert_allclose(matrix, before, atol=1e-6)
    narrow = replace(still, network=(8,))
    with pytest.raises(ArtefactMismatch, match="same network"):
        learner("qr_dqn")(tape, terms, narrow, 7, start=trained)
