"""What is fitted of options and news: components of the volatility surface, and how much each topic moves prices."""

import numpy as np
import pytest
from feature_bench import FACTS
from synthetic_rows import MARKET, SESSION_MINUTES, synthetic_rows, without

from mia.domain.rng import generator
from mia.domain.series import INDEX, NEWS_TOPICS
from mia.features.catalogue import expand
from mia.features.engine import FeatureEngine
from mia.features.fitted import fit
from mia.features.plan import compile_plan

CLOCK = ["cal.minute", "cal.session", "cal.dow"]
LINES = {
    **{f"pca_iv_{k}": {"op": "pca_score", "in": "opt.grid_1..15", "p": {"component": k}} for k in (1, 2, 3)},
    "news_impact_score": {"op": "news_impact", "in": ["news.alive", *(f"news.{t}" for t in NEWS_TOPICS), *CLOCK]},
}
SESSIONS = 40
TRAIN = slice(0, 36 * SESSION_MINUTES)


@pytest.fixture(scope="module")
def plan():
    specs = {name: FACTS | line for name, line in LINES.items()}
    return compile_plan(
        expand({"g": {"family": "g", "specs": specs}}), MARKET, bar_minutes=1, session_minutes=SESSION_MINUTES
    )


@pytest.fixture(scope="module")
def values():
    return synthetic_rows(SESSIONS, name="context fits")


def learn(plan, values, rows=TRAIN):
    return fit(plan, values, FeatureEngine(plan).batch(values), rows)


def test_components_of_the_surface_are_those_of_numpy(plan, values):
    learnt = learn(plan, values)
    got = FeatureEngine(plan.with_parameters(learnt.params)).batch(values)[:, :3]
    grid = values[:, [INDEX[f"opt.grid_{k}"] for k in range(1, 16)]]
    train = grid[TRAIN][np.isfinite(grid[TRAIN]).all(axis=1)]
    center = np.median(train, axis=0)
    spread = 1.4826022185056018 * np.median(np.abs(train - center), axis=0)
    view = np.clip((grid - center) / spread, -5, 5)
    fitted = view[TRAIN][np.isfinite(view[TRAIN]).all(axis=1)]
    variances, vectors = np.linalg.eigh(np.cov(fitted, rowvar=False))
    for k in (1, 2, 3):
        loading = vectors[:, -k] * np.sign(vectors[np.argmax(np.abs(vectors[:, -k])), -k])
        want = np.clip((view - fitted.mean(axis=0)) @ loading / np.sqrt(variances[-k]), -6, 6)
        np.testing.assert_allclose(got[:, k - 1], want, atol=1e-9)


def test_components_of_the_surface_are_missing_without_a_chain(plan, values):
    learnt = learn(plan, without(values, "options"))
    assert set(learnt.unavailable) == {"pca_iv_1", "pca_iv_2", "pca_iv_3"}
    whole = learn(plan, values)
    got = FeatureEngine(plan.with_parameters(whole.params)).batch(without(values, "options"))
    assert np.isnan(got[:, :3]).all()


def world(effects, *, every=53, seed=3):
    """Forty sessions of small moves; a topic's items are followed by 15 minutes of `effect` times larger ones."""
    values = synthetic_rows(SESSIONS, name="news world")
    rng = generator(seed, "news world")
    T = len(values)
    size = np.full(T, 1e-4)
    for name in NEWS_TOPICS:
        values[:, INDEX[f"news.{name}"]] = 0.0
    values[:, INDEX["news.count"]] = 0.0
    values[:, INDEX["news.alive"]] = 1.0
    starts = np.arange(20, T - 20, every)
    topics = rng.integers(0, len(effects), len(starts))
    for start, topic in zip(starts, topics, strict=True):
        values[start, INDEX[f"news.{NEWS_TOPICS[topic]}"]] = rng.choice([-0.5, 0.5])
        values[start, INDEX["news.count"]] = 1.0
        size[start + 1 : start + 16] *= effects[topic]
    values[:, INDEX["bar.close"]] = 20000 * np.exp(np.cumsum(rng.normal(0, 1, T) * size))
    return values


def test_multiples_of_topics_are_recovered(plan):
    found = np.array([learn(plan, world([1.0, 2.0], seed=seed)).params["news_impact_score"] for seed in range(12)])
    assert found[:, 0].mean() == pytest.approx(1.0, abs=0.15)
    assert found[:, 1].mean() == pytest.approx(2.0, abs=0.35)
    assert np.all(found[:, 2:] == 1.0), "topics without items"


def test_a_multiple_is_capped_at_three(plan):
    assert learn(plan, world([6.0])).params["news_impact_score"][0] == 3.0


def test_a_multiple_is_the_mean_ratio_of_absolute_returns(plan):
    """All bars of one size but those after news: the ratio is then known without any statistics."""
    values = world([1.0])
    step = np.full(len(values), 1e-4)
    for start in np.flatnonzero(values[:, INDEX["news.count"]]):
        step[start + 1 : start + 16] = 2.5e-4
    values[:, INDEX["bar.close"]] = 20000 * np.exp(np.cumsum(step))
    assert learn(plan, values).params["news_impact_score"][0] == pytest.approx(2.5, rel=1e-9)


def test_a_topic_with_few_items_stays_at_one(plan):
    values = world([4.0], every=240)  # 18 items within the training rows
    assert np.all(learn(plan, values).params["news_impact_score"] == 1.0)


def test_news_after_the_training_rows_teach_nothing(plan):
    values = world([1.0, 2.0])
    spoilt = values.copy()
    spoilt[TRAIN.stop :, INDEX["bar.close"]] *= 7
    spoilt[TRAIN.stop :, INDEX["news.macro"]] = 1.0
    assert learn(plan, spoilt).to_json() == learn(plan, values).to_json()


def test_without_a_feed_nothing_is_fitted(plan, values):
    learnt = learn(plan, without(values, "news"))
    assert "news feed" in learnt.unavailable["news_impact_score"]
