"""Encoders on disk: the same numbers back, nothing that runs, nothing damaged."""

import json

import encoder_cases as cases
import numpy as np
import pytest

from mia.domain.errors import ArtefactMismatch
from mia.encoder.encoder import FACTS, WEIGHTS, Encoder
from mia.encoder.training import fit


def test_an_encoder_read_back_gives_the_same_bits(small_encoder):
    again = Encoder.from_files(small_encoder.to_files())
    rows = cases.rows(200)
    a, b = (made.advance(made.initial_state(), rows.view, rows.depth, rows.vix) for made in (small_encoder, again))
    assert a.tobytes() == b.tobytes()
    assert again.version == small_encoder.version
    assert again.to_files() == small_encoder.to_files()


def test_an_empty_encoder_is_read_back_too():
    made = fit(cases.rows(), cases.settings(kinds=()), 7, bar_minutes=1.0)
    assert Encoder.from_files(made.to_files()).version == made.version


def changed(files, **facts):
    return {**files, FACTS: json.dumps({**json.loads(files[FACTS]), **facts}).encode()}


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"schema": 2}, "schema 2"),
        ({"window": 17}, "version differs"),
        ({"clip": 4.0}, "version differs"),
        ({"inputs": ["flow", "move", "other"]}, "version differs"),
        ({"inputs": ["flow", "move"]}, "from_input must be"),
        ({"inputs": ["flow", 3, "size"]}, "no name"),
        ({"widths": {"lstm": 5, "cnn": 4}}, "other widths"),
        ({"widths": {"gru": 4}}, "impossible widths"),
        ({"widths": {"lstm": -4}}, "impossible widths"),
        ({"widths": {"lstm": 4}}, "belong to no encoder"),
        ({"fit_end": "now"}, "fit_end of type str"),
        ({"more": 1}, "other keys"),
    ],
)
def test_altered_facts_are_refused(small_encoder, facts, why):
    with pytest.raises(ArtefactMismatch, match=why):
        Encoder.from_files(changed(small_encoder.to_files(), **facts))


def test_altered_weights_are_refused(small_encoder):
    files = small_encoder.to_files()
    weights = bytearray(files[WEIGHTS])
    weights[-3] ^= 1
    with pytest.raises(ArtefactMismatch):
        Encoder.from_files({**files, WEIGHTS: bytes(weights)})


@pytest.mark.parametrize("content", [b"", b"12345678", b"\xff" * 64, b"\x80\x04cos\nsystem\n(S'true'\ntR."])
def test_what_is_no_safetensors_file_is_refused(small_encoder, content):
    with pytest.raises(ArtefactMismatch, match="encoder"):
        Encoder.from_files({**small_encoder.to_files(), WEIGHTS: content})


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_what_is_no_json_object_is_refused(small_encoder, content):
    with pytest.raises(ArtefactMismatch, match=r"encoder\.json"):
        Encoder.from_files({**small_encoder.to_files(), FACTS: content})


def test_a_missing_or_extra_file_is_refused(small_encoder):
    files = small_encoder.to_files()
    with pytest.raises(ArtefactMismatch, match=r"needs encoder\.json and"):
        Encoder.from_files({FACTS: files[FACTS]})
    with pytest.raises(ArtefactMismatch, match=r"needs encoder\.json and"):
        Encoder.from_files({**files, "more.bin": b""})


def test_a_number_that_is_not_finite_is_refused(small_encoder):
    from safetensors.numpy import load, save

    files = small_encoder.to_files()
    tensors = load(files[WEIGHTS])
    tensors["lstm.bias"][0] = np.nan
    with pytest.raises(ArtefactMismatch, match="not finite"):
        Encoder.from_files({**files, WEIGHTS: save(tensors)})
