"""What stands for a missing bounded feature: the value that says nothing, not always the middle of its range."""

import numpy as np
import pytest
from feature_bench import FACTS, option, plan_of

from mia.domain.errors import ConfigurationError
from mia.features.catalogue import expand
from mia.features.normalisation import Scaler
from mia.features.settings import ScalerSettings

SETTINGS = ScalerSettings(clip=5.0, level_clip=10.0, slot_rows=20)
LINES = {
    "rsi": {"op": "take", "in": "bar.close", "range": [0, 100]},
    "p": {"op": "take", "in": "bar.open", "range": [0, 1], "neutral": "1/3"},
    "drop": {"op": "take", "in": "bar.high", "range": [0, 1], "neutral": 0},
    "level": {"op": "take", "in": "bar.low", "norm": "z"},
}


@pytest.fixture(scope="module")
def scaler():
    plan = plan_of(LINES)
    table = np.column_stack([np.full(10, 50.0), np.full(10, 0.5), np.full(10, 0.5), np.arange(10.0)])
    return Scaler.fit(plan, table, np.zeros(10), slice(None), ts=np.arange(10), settings=SETTINGS)


def test_missing_is_the_scaled_neutral_point_and_zero_without_one(scaler):
    view, masks = scaler.transform(np.full((1, 4), np.nan), np.zeros(1))
    assert view[0] == pytest.approx([0, 2 / 3 - 1, -1, 0], abs=1e-15)
    assert (masks == 0).all(), "a neutral value is still not there"


def test_a_missing_value_looks_exactly_like_its_neutral_point(scaler):
    missing, _ = scaler.transform(np.full((1, 4), np.nan), np.zeros(1))
    there, _ = scaler.transform(np.array([[50.0, 1 / 3, 0.0, 4.5]]), np.zeros(1))
    assert there.tobytes() == missing.tobytes()


def test_neutral_points_survive_json_bit_for_bit(scaler):
    copy = Scaler.from_json(scaler.to_json())
    assert copy.neutral.tobytes() == scaler.neutral.tobytes()
    assert copy.fingerprint == scaler.fingerprint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"neutral": 0.5, "norm": "z"}, "neutral needs norm none"),
        ({"neutral": 0.5, "range": [0, None]}, "range with both ends"),
        ({"neutral": 2, "range": [0, 1]}, r"must lie in \[0, 1\], was 2"),
        ({"neutral": "middle", "range": [0, 1]}, "was 'middle'"),
    ],
)
def test_a_neutral_point_that_means_nothing_is_refused(line, message):
    content = {"g": {"family": "f", "specs": {"x": FACTS | {"op": "take", "in": "bar.close"} | line}}}
    with pytest.raises(ConfigurationError, match=message):
        expand(content)


def test_probabilities_and_weights_of_the_catalogue_are_a_third_when_missing():
    specs = expand(option("full350")["groups"])
    thirds = {spec.name for spec in specs if spec.neutral == 1 / 3}
    assert thirds == {
        *(f"hmm_state_distribution_{name}" for name in ("trend", "range", "defensive")),
        *(f"ensemble_weight_{name}" for name in ("sac", "ppo", "ddpg")),
        "lstm_prob_up_15",
        "lstm_prob_down_15",
        "prediction_confidence",
    }


def test_a_scale_may_be_plain_arithmetic():
    (spec,) = expand({"g": {"family": "f", "specs": {"x": FACTS | {"op": "take", "in": "bar.close", "scale": "1/4"}}}})
    assert spec.scale == 0.25
