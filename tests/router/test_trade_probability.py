"""Told probabilities come true where there is something to know, are the base rate where there is not, and stay put."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import yaml

from mia.domain.errors import ArtefactMismatch, ConfigurationError, DataError
from mia.domain.rng import generator
from mia.evaluation.calibration import brier_skill, ece, ece_of_perfect
from mia.router.settings import RouterSettings
from mia.router.trade_probability import TradeProbability, vetoes

NAMES = ("edge", "nothing", "constant")


@pytest.fixture(scope="module")
def settings(root):
    return RouterSettings(**yaml.safe_load((root / "conf/router/default.yaml").read_text(encoding="utf-8")))


def trades(n, seed, strength=1.0):
    """Evidence of which the first says something, by a logistic law."""
    rng = generator(seed, "trades")
    X = np.column_stack([3.0 + 2.0 * rng.standard_normal(n), rng.standard_normal(n), np.full(n, 0.7)])
    truth = 1.0 / (1.0 + np.exp(-(strength * (X[:, 0] - 3.0) / 2.0 - 0.4)))
    return X, rng.random(n) < truth, truth


def test_told_probabilities_are_those_of_the_law_they_were_drawn_from(settings):
    X, happened, _ = trades(8000, 1)
    model = TradeProbability.fit(NAMES, X, happened, settings)
    fresh, came, truth = trades(8000, 2)
    told = model.of(fresh)
    assert np.abs(told - truth).max() < 0.06
    assert model.weights[0] == pytest.approx(1.0, abs=0.15)
    assert abs(model.weights[1]) < 0.1
    assert model.weights[2] == pytest.approx(0.0, abs=1e-9)
    assert (model.slope, model.offset) == pytest.approx((1.0, 0.0), abs=0.15)
    skill, low, _ = brier_skill(told, came, generator(3, "skill"), base_rate=model.base_rate)
    assert 0 < low < skill < 0.3
    assert ece(told, came) < 1.5 * ece_of_perfect(told, generator(4, "perfect"))


def test_without_anything_to_know_the_skill_is_none(settings):
    rng = generator(5, "null")
    X, happened = rng.standard_normal((3000, 3)), rng.random(3000) < 0.4
    model = TradeProbability.fit(NAMES, X, happened, settings)
    fresh, came = rng.standard_normal((3000, 3)), rng.random(3000) < 0.4
    told = model.of(fresh)
    _, low, high = brier_skill(told, came, rng, base_rate=model.base_rate)
    assert low < 0 < high or abs(low) < 0.01
    assert low <= 0
    assert np.abs(told - 0.4).max() < 0.15


def test_calibration_corrects_a_law_that_became_weaker(settings):
    """The first trades promise more than the last, on which told and happened are made to agree, keep."""
    first, won, _ = trades(4000, 6, strength=3.0)
    later, came, _ = trades(4000, 7, strength=0.8)
    X, happened = np.concatenate([first, later]), np.concatenate([won, came])
    model = TradeProbability.fit(NAMES, X, happened, replace(settings, calibrate_share=0.5, penalty=10.0, anchor=20.0))
    assert 0.15 < model.slope < 0.5
    fresh, came, truth = trades(4000, 8, strength=0.8)
    assert np.abs(model.of(fresh) - truth).mean() < 0.03
    unchanged = replace(model, slope=1.0, offset=0.0)
    assert np.abs(unchanged.of(fresh) - truth).mean() > 0.1


def test_one_row_gives_the_same_bits_as_many(settings):
    X, happened, _ = trades(500, 9)
    model = TradeProbability.fit(NAMES, X, happened, settings)
    X[::7, 0] = np.nan
    many = model.of(X)
    assert [float(model.of(row)[0]) for row in X] == many.tolist()
    assert np.all((many >= 0) & (many <= 1))


def test_probability_of_one_trade_is_the_one_computed_by_hand():
    model = TradeProbability(
        names=("a", "b"),
        centre=(1.0, 0.0),
        scale=(2.0, 1.0),
        weights=(0.5, -1.0),
        intercept=0.2,
        slope=2.0,
        offset=-0.1,
        base_rate=0.5,
        trades=10,
    )
    logit = 2.0 * (0.2 + 0.5 * (4.0 - 1.0) / 2.0 - 1.0 * 0.3) - 0.1
    assert model.of(np.array([4.0, 0.3]))[0] == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-14)
    missing = 2.0 * (0.2 - 0.3) - 0.1
    assert model.of(np.array([np.nan, 0.3]))[0] == pytest.approx(1 / (1 + math.exp(-missing)), rel=1e-14)
    far = model.of(np.array([[1e9, 0.0], [17.0, 0.0], [-1e9, 0.0]]))
    assert far[0] == far[1] > 0.99 > 0.01 > far[2] > 0.0


@pytest.mark.parametrize(("won", "n"), [(8, 20), (0, 200), (200, 200)])
def test_too_few_trades_or_one_kind_of_outcome_tell_the_base_rate(settings, won, n):
    X, _, _ = trades(n, 10)
    model = TradeProbability.fit(NAMES, X, np.arange(n) < won, settings)
    np.testing.assert_allclose(model.of(X), (won + 1) / (n + 2))


def test_evidence_that_is_missing_or_wild_breaks_nothing(settings):
    X, happened, _ = trades(1000, 11)
    X[:, 1] = np.nan
    X[5, 0], X[6, 0] = np.inf, -np.inf
    model = TradeProbability.fit(NAMES, X, happened, settings)
    assert np.isfinite(model.of(X)).all()
    assert model.weights[1] == 0.0


def test_json_goes_there_and_back_and_anything_else_is_refused(settings):
    X, happened, _ = trades(500, 12)
    model = TradeProbability.fit(NAMES, X, happened, settings)
    back = TradeProbability.from_json(model.to_json())
    assert back == model
    assert np.array_equal(back.of(X), model.of(X))
    plain = json.loads(model.to_json())
    for harm in (
        {"weights": [1.0]},
        {"slope": "x"},
        {"scale": [0.0, 1.0, 1.0]},
        {"extra": 1},
        {"names": []},
        {"offset": None},
    ):
        with pytest.raises(ArtefactMismatch):
            TradeProbability.from_json(json.dumps(plain | harm))
    for text in (
        "",
        "[]",
        '{"slope": NaN}',
        "[" * 100_000,
        model.to_json().replace('"slope": ', '"slope": 1e999, "s": '),
    ):
        with pytest.raises(ArtefactMismatch):
            TradeProbability.from_json(text)


def test_evidence_that_does_not_fit_is_refused(settings):
    X, happened, _ = trades(100, 13)
    with pytest.raises(DataError, match="none fits"):
        TradeProbability.fit(NAMES, X, happened[:-1], settings)
    with pytest.raises(DataError, match="none fits"):
        TradeProbability.fit(NAMES, X[:0], happened[:0], settings)
    model = TradeProbability.fit(NAMES, X, happened, settings)
    with pytest.raises(ArtefactMismatch, match="reads 3 kinds"):
        model.of(X[:, :2])


def test_a_veto_needs_to_be_switched_on(settings):
    assert settings.trade_threshold == 0.65
    assert not settings.veto
    assert not vetoes(0.1, settings)
    strict = replace(settings, veto=True)
    assert vetoes(0.649, strict)
    assert vetoes(float("nan"), strict)
    assert not vetoes(0.65, strict)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trade_threshold", 1.5),
        ("cvar_tail", 0.0),
        ("learn_share", 0.95),
        ("fit_share", 0.5),
        ("least_trades", 1),
        ("sources", {"vote": 1}),
        ("sources", {"vote": 1, "quantile": 2, "lagrangian": 3}),
    ],
)
def test_impossible_settings_are_refused(settings, field, value):
    with pytest.raises(ConfigurationError, match=field):
        replace(settings, **{field: value})
