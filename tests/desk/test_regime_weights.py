"""Columns that count more or less by regime: the weights a configuration names, and what they do to a row."""

import numpy as np
import pytest

from mia.desk.observation import ObservationTemplate
from mia.desk.regime_weights import RegimeWeightSettings
from mia.domain.errors import ArtefactMismatch, ConfigurationError
from mia.domain.rng import generator

REGIMES = ("trend", "range", "defensive")
COLUMNS = ("mm_score", "hft_score", "hft_score_5", "hfty", "atr_dynamic")


def settings(**weights):
    return RegimeWeightSettings(name="test", weights=weights)


def template(weights=(), selected=("b", "a")):
    return ObservationTemplate(
        view=("a", "b", "c"), selected=selected, masks=("bars",), regimes=REGIMES, clip=3.0, weights=weights
    )


def test_a_weight_holds_for_the_column_and_for_all_that_begin_with_its_name():
    table = settings(trend={"hft_score": 1.5}, range={"mm_score": 0.5}).columns(REGIMES, COLUMNS)
    assert table == ((1.0, 1.5, 1.5, 1.0, 1.0), (0.5, 1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 1.0, 1.0, 1.0))


def test_the_longer_name_wins_whatever_the_order():
    for weights in ({"hft": 2.0, "hft_score": 3.0}, {"hft_score": 3.0, "hft": 2.0}):
        assert settings(trend=weights).columns(REGIMES, COLUMNS)[0] == (1.0, 3.0, 3.0, 1.0, 1.0)


@pytest.mark.parametrize("weights", [{}, {"trend": {}}, {"trend": {"elsewhere": 2.0}}, {"trend": {"mm_score": 1.0}}])
def test_weights_of_one_are_no_weights(weights):
    assert settings(**weights).columns(REGIMES, COLUMNS) == ()


def test_an_unknown_regime_is_refused_by_name():
    with pytest.raises(ConfigurationError, match="unknown regime calm; known are trend, range, defensive"):
        settings(calm={"mm_score": 2.0}).columns(REGIMES, COLUMNS)


@pytest.mark.parametrize("weight", [0.0, -1.0, 100.0, float("nan")])
def test_a_weight_that_blanks_turns_or_blows_up_a_column_is_refused(weight):
    with pytest.raises(ConfigurationError, match=r"regime_weights test: range.mm_score must lie in \(0, 100\)"):
        settings(range={"mm_score": weight})


def test_a_row_is_multiplied_by_the_beliefs_mean_of_the_weights():
    made = template(((2.0, 1.0), (1.0, 0.5), (0.5, 4.0)))
    row = made.row(np.array([1.0, -2.0, 9.0]), np.array([1.0]), np.array([0.5, 0.25, 0.25]))
    # b: -2 x (0.5 x 2 + 0.25 x 1 + 0.25 x 0.5) = -2.75; a: 1 x (0.5 x 1 + 0.25 x 0.5 + 0.25 x 4) = 1.625
    assert row.tolist() == [-2.75, 1.625, 1.0, 0.5, 0.25, 0.25]


def test_the_clip_comes_after_the_weight_and_masks_and_belief_are_not_weighted():
    made = template(((50.0, 0.01),) * 3)
    row = made.row(np.array([200.0, 1.0, 0.0]), np.array([1.0]), np.array([0.2, 0.3, 0.5]))
    assert row.tolist() == np.array([3.0, 2.0, 1.0, 0.2, 0.3, 0.5], np.float32).tolist()


def test_a_missing_value_stays_neutral_under_any_weight():
    row = template(((50.0, 50.0),) * 3).row(np.array([np.nan, 0.0, 0.0]), np.zeros(1), np.ones(3) / 3)
    assert row[:2].tolist() == [0.0, 0.0]


def test_off_is_the_observation_without_weights_bit_for_bit():
    rng = generator(0, "test", "weights")
    view, masks, belief = rng.standard_normal((200, 3)), np.ones((200, 1)), rng.dirichlet(np.ones(3), 200)
    off = settings().columns(REGIMES, ("b", "a"))
    plain = template().batch(view, masks, belief, names=("a", "b", "c"))
    assert template(off).batch(view, masks, belief, names=("a", "b", "c")).tobytes() == plain.tobytes()
    assert template(off).digest == template().digest
    assert np.array_equal(plain[:, :2], np.clip(view[:, [1, 0]], -3, 3).astype(np.float32))


def test_batch_equals_rows_bit_for_bit_with_weights():
    rng = generator(1, "test", "weights")
    made = template(tuple(tuple(rng.uniform(0.1, 3.0, 2)) for _ in REGIMES))
    view, masks, belief = 4 * rng.standard_normal((500, 3)), np.ones((500, 1)), rng.dirichlet(np.ones(3), 500)
    view[rng.random(view.shape) < 0.1] = np.nan
    batch = made.batch(view, masks, belief, names=("a", "b", "c"))
    rows = np.stack([made.row(v, m, b) for v, m, b in zip(view, masks, belief, strict=True)])
    assert batch.tobytes() == rows.tobytes()
    mean = np.clip(np.nan_to_num(view[:, [1, 0]]) * (belief @ np.array(made.weights)), -3, 3)
    assert np.allclose(batch[:, :2], mean, rtol=1e-6, atol=1e-7)


def test_weights_are_part_of_what_a_policy_was_trained_on():
    weighted = template(((2.0, 1.0),) * 3)
    assert weighted.digest != template().digest
    again = ObservationTemplate.from_json(weighted.to_json())
    assert again == weighted
    with pytest.raises(ArtefactMismatch, match="not readable"):
        ObservationTemplate.from_json(weighted.to_json().replace('"weights"', '"wights"'))


@pytest.mark.parametrize("weights", [((1.0, 1.0),) * 2, ((1.0,),) * 3, ((1.0, 2.0, 3.0),) * 3])
def test_weights_that_are_not_one_per_regime_and_column_are_refused(weights):
    with pytest.raises(ConfigurationError, match="weights must be 3 rows of 2"):
        template(weights)


def test_the_option_method3_weighs_what_the_configuration_says(root):
    import yaml

    plain = yaml.safe_load((root / "conf" / "regime_weights" / "method3.yaml").read_text(encoding="utf-8"))
    made = RegimeWeightSettings(**plain)
    table = made.columns(REGIMES, ("mm_score", "breakout_score", "rsi_14", "hmm_state_distribution_trend"))
    assert table == ((1.5, 1.0, 1.0, 1.2), (1.0, 1.5, 1.0, 1.0), (0.5, 0.5, 1.0, 0.8))
