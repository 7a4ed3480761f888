"""Nothing a fit must not know reaches it: purged rows, rows after the fold, noise dressed up as skill."""

from dataclasses import replace

import numpy as np
import pytest
from shap_cases import SETTINGS, Spec, case, choose, settings_of
from sklearn.linear_model import LogisticRegression

from mia.domain.rng import generator
from mia.features.shap_weighting import select, splits, stability
from mia.features.shap_weighting.choose import regime_of
from mia.features.shap_weighting.stability import Fold
from mia.features.shap_weighting.targets import targets


def test_fitted_rows_keep_the_longest_label_and_the_embargo_away_from_judging_rows_on_both_sides():
    session = np.repeat(np.arange(9), [50, 40, 60, 50, 50, 50, 45, 55, 50])
    settings = replace(SETTINGS, horizons=(5, 20), barrier_bars=25, embargo_bars=7, splits=3)
    assert splits.purge_gap(settings) == 32
    judged = []
    for rest, valid in splits.purged_splits(session, settings):
        assert np.abs(rest[:, None] - valid[None, :]).min() == 33
        assert len(np.unique(session[valid])) == 3
        # Only the gap is lost: everything else is fitted on.
        lost = set(range(450)) - set(rest) - set(valid)
        assert lost == {t for t in range(450) if t not in set(valid) and np.abs(valid - t).min() <= 32}
        judged.append(valid)
    assert np.concatenate(judged).tolist() == list(range(450))


def test_resamples_are_whole_sessions_in_time_order():
    session = np.repeat(np.arange(6), 10)
    rows = np.flatnonzero(session != 2)
    drawn = splits.resampled(rows, session, 1000, generator(1, "resample"))
    days, counts = np.unique(session[rows[drawn]], return_counts=True)
    assert 2 not in days
    assert len(drawn) == 50
    assert (counts % 10 == 0).all()
    assert (counts > 10).any()  # with replacement
    assert (np.diff(session[rows[drawn]]) >= 0).all()
    assert len(splits.resampled(rows, session, 20, generator(1, "resample"))) == 20


@pytest.fixture(scope="module")
def fold():
    view, close, session, _ = case(rows=3000)
    close, session = close[:3000], session[:3000]
    return view, close, session


def one_run(view, close, session, labels=None):
    made = Fold(
        view=view,
        columns=np.arange(view.shape[1]),
        session=session,
        targets=targets(close, session, SETTINGS) if labels is None else labels,
        regime=regime_of(None, len(view)),
    )
    rest, valid = stability.usable_splits(made, SETTINGS)[0]
    rng = generator(1, "run")
    return stability.one_run(made, rest, valid, np.arange(view.shape[1]), 0, SETTINGS, rng), rest, valid


def test_purged_rows_change_nothing_and_fitted_rows_do(fold):
    view, close, session = fold
    plain, rest, valid = one_run(view, close, session)
    purged = np.setdiff1d(np.arange(3000), np.concatenate([rest, valid]))
    assert len(purged) >= splits.purge_gap(SETTINGS)
    labels = targets(close, session, SETTINGS)
    for rows, changes in ((purged, False), (rest, True), (valid, True)):
        poisoned, its = view.copy(), replace(labels, labels=labels.labels.copy(), weights=labels.weights.copy())
        poisoned[rows] = generator(2, "poison").standard_normal((len(rows), view.shape[1])) * 50
        its.labels[rows] = np.where(np.isfinite(its.labels[rows]), 1.0, np.nan)
        its.weights[rows] = 9.0
        run, _, _ = one_run(poisoned, close, session, its)
        assert np.array_equal(run.own, plain.own) is not changes
        assert (run.shadow == plain.shadow) is not changes


def test_rows_that_weigh_nothing_teach_nothing(fold):
    view, close, session = fold
    plain = targets(close, session, SETTINGS)
    silent = np.arange(0, 3000, 7)
    plain.weights[silent] = 0.0
    turned = replace(plain, labels=plain.labels.copy())
    turned.labels[silent] = np.where(np.isfinite(turned.labels[silent]), 2.0, np.nan)
    runs = [one_run(view, close, session, labels)[0] for labels in (plain, turned)]
    assert np.array_equal(runs[0].own, runs[1].own)
    heavy = replace(turned, weights=np.ones_like(turned.weights))
    assert not np.array_equal(one_run(view, close, session, heavy)[0].own, runs[0].own)


def test_rows_outside_the_fold_change_nothing():
    found = choose(belief=np.full((5000, 3), [0.5, 0.3, 0.2]))
    view, close, session, specs = case()
    rng = generator(9, "poison")
    view[4000:] = rng.standard_normal(view[4000:].shape) * 100
    close[4000:] = rng.integers(0, 10**6, len(close) - 4000)
    belief = np.full((5000, 3), [0.5, 0.3, 0.2])
    belief[4000:] = np.nan
    assert choose(made=(view, close, session, specs), belief=belief).to_json() == found.to_json()
    shorter = (view[:4000], close[:4000], session[:4000], specs)
    assert choose(made=shorter, belief=belief[:4000]).to_json() == found.to_json()
    middle = select(
        np.concatenate([view[4000:4300], view]),
        np.concatenate([close[4000:4300], close]),
        np.concatenate([np.full(300, -1), session]),
        slice(300, 4300),
        specs,
        SETTINGS,
        generator(1, "select"),
        belief=np.concatenate([belief[4000:4300], belief]),
    )
    assert middle.to_json() == found.to_json()  # nor does anything before


def skill(seed, leaky):
    """Accuracy on unseen rows of a line through columns chosen among 350 of noise, inside or outside the fold."""
    rows, width, half = 600, 350, 300
    rng = generator(seed, "noise")
    view = rng.standard_normal((rows, width))
    close = 20000 + np.concatenate(([0], np.cumsum(rng.choice([-4, -3, 3, 4], rows - 1))))
    session = np.arange(rows) // 20
    specs = [Spec(f"f{j}") for j in range(width)]
    # Stumps on one-bar labels: the sharpest eye for chance correlations, so the leak has its best chance.
    settings = replace(
        settings_of("shap"),
        top_k=40,
        horizons=(1,),
        barrier_bars=0,
        volatility_bars=2,
        embargo_bars=0,
        splits=6,
        bootstraps=1,
        trees=60,
        leaves=2,
        min_leaf_rows=10,
        learning_rate=0.1,
        shadows=1,
    )
    chosen = select(view, close, session, slice(0, rows if leaky else half), specs, settings, generator(seed, "s"))
    assert chosen.method == "shap"
    at = chosen.columns([spec.name for spec in specs])
    up = np.diff(close) > 0
    line = LogisticRegression(C=0.05).fit(view[:half, at], up[:half])
    return line.score(view[half:-1, at], up[half:])


def test_noise_chosen_inside_the_fold_has_no_skill_and_chosen_outside_it_seems_to():
    seeds = range(8)
    honest = np.mean([skill(seed, leaky=False) for seed in seeds])
    leaky = np.mean([skill(seed, leaky=True) for seed in seeds])
    error = 0.5 / np.sqrt(299 * len(seeds))
    assert abs(honest - 0.5) < 2 * error
    assert leaky > 0.55  # the test can see a leak where there is one
