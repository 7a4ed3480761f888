"""Choosing features: SHAP equal to the library's, planted signals found, the same seed the same list."""

from dataclasses import replace

import numpy as np
import pytest
import shap
from shap_cases import SETTINGS, Spec, case, choose, prices, settings_of, slow

from mia.domain.errors import ConfigurationError, DataError
from mia.domain.rng import generator
from mia.features.shap_weighting import Selection, select, stability, targets, trees
from mia.features.shap_weighting.choose import regime_of
from mia.features.shap_weighting.clusters import clusters


@pytest.fixture(scope="module")
def found():
    return choose()


def fitted(classes):
    rng = generator(3, "trees")
    rows = rng.standard_normal((600, 10)).astype(np.float32)
    label = rows[:, 0] * rows[:, 1] + 0.5 * rows[:, 2] + 0.1 * rng.standard_normal(600)
    if classes:
        label = np.digitize(label, [-0.3, 0.3]).astype(float)
    settings = replace(SETTINGS, min_leaf_rows=20)
    return trees.fit_trees(trees.binned(rows), label, np.ones(600), settings, 1, classes=classes), rows[:100]


def test_contributions_of_the_trees_equal_those_of_tree_explainer():
    booster, rows = fitted(0)
    ours = trees.shap_values(booster, rows)
    assert ours.shape == (100, 1, 10)
    np.testing.assert_allclose(ours[:, 0], shap.TreeExplainer(booster).shap_values(rows), atol=1e-12)
    assert np.abs(ours).max() > 0.1


def test_contributions_to_each_class_equal_those_of_tree_explainer():
    booster, rows = fitted(3)
    assert booster.num_trees() == 3 * (SETTINGS.trees // 3)
    ours = trees.shap_values(booster, rows)
    theirs = np.array(shap.TreeExplainer(booster).shap_values(rows))
    if theirs.shape[0] == 3:
        theirs = np.moveaxis(theirs, 0, 2)
    np.testing.assert_allclose(ours, np.moveaxis(theirs, 2, 1), atol=1e-12)


def test_trees_stop_early_when_the_judging_rows_gain_nothing():
    rng = generator(4, "trees")
    rows, noise = rng.standard_normal((800, 10)).astype(np.float32), rng.standard_normal(800)
    settings = replace(SETTINGS, trees=100, min_leaf_rows=10, learning_rate=0.3, early_stop_rounds=5)
    train = trees.binned(rows[:400])
    valid = (trees.binned(rows[400:], reference=train), noise[400:], np.ones(400))
    booster = trees.fit_trees(train, noise[:400], np.ones(400), settings, 1, valid=valid)
    assert booster.num_trees() < 50


def test_column_that_moves_the_price_comes_first_and_its_copy_is_in_its_cluster(found):
    assert found.names[0] in ("f3", "f4")
    assert found.clusters == (("f3", "f4"),)
    assert found.pi[found.names[0]] == pytest.approx(1.0)
    assert found.beats[found.names[0]] == pytest.approx(1.0)
    # Slow noise fits overlapping labels by chance; shadows as slow as it keep it from counting.
    assert 1 <= found.n_significant <= 4
    assert found.n_significant == sum(share >= SETTINGS.shadow_share for share in found.beats.values())


def test_signals_among_many_correlated_copies_are_found_once_each_before_noise():
    rng = generator(5, "copies")
    view = slow(rng, 5000, 40)
    drift = 1.6 * (view[:, 0] + view[:, 10] + view[:, 20])
    for origin in (0, 10, 20):
        copies = slice(origin + 1, origin + 7)
        view[:, copies] = view[:, [origin]] + 0.3 * rng.standard_normal((5000, 6))
    specs = [Spec(f"f{j}") for j in range(40)]
    settings = replace(SETTINGS, horizons=(5,), barrier_bars=5)
    chosen = choose(settings, made=(view, prices(rng, drift), np.arange(5000) // 250, specs))
    families = [int(name[1:]) // 10 for name in chosen.names[:3]]
    assert sorted(families) == [0, 1, 2]  # one speaker of each group, not three copies of the strongest
    assert {len(group) for group in chosen.clusters} == {7}


def test_column_that_matters_only_through_another_is_found():
    rng = generator(6, "interaction")
    view = slow(rng, 5000, 24, memory=0.95)
    drift = 3.0 * view[:, 5] * view[:, 6]
    drift -= view @ np.linalg.lstsq(view, drift, rcond=None)[0]  # no column alone says anything
    close = prices(rng, drift)
    specs = [Spec(f"f{j}") for j in range(24)]
    settings = replace(SETTINGS, horizons=(5,), barrier_bars=5, max_rows=3000, trees=60, column_share=0.6)
    chosen = choose(settings, stop=5000, made=(view, close, np.arange(5000) // 250, specs))
    assert abs(np.corrcoef(view[:-1, 5], np.diff(close))[0, 1]) < 0.05
    assert set(chosen.names[:2]) == {"f5", "f6"}


def test_clusters_join_rank_copies_of_either_sign_and_nothing_else():
    rng = generator(7, "clusters")
    data = rng.standard_normal((500, 5))
    data[:, 3] = -np.exp(data[:, 1])  # same ranks, turned round
    assert clusters(data, 0.3)[1] == clusters(data, 0.3)[3]
    assert len(set(clusters(data, 0.3))) == 4
    assert clusters(data[:, :1], 0.3).tolist() == [0]


def test_cluster_counts_the_sum_of_its_members_row_by_row():
    values = np.array([[[1.0, 2.0, -2.0]], [[1.0, -1.0, 1.0]]])
    by_cluster = stability._by_cluster(values, np.array([1, 0, 0]))
    # Members 1 and 2 cancel in every row: together they say nothing, whatever each says alone.
    np.testing.assert_allclose(by_cluster, [0.0, 1.0])


def test_sum_of_a_cluster_goes_to_its_speaker_and_is_split_among_the_others():
    run = stability.Run(np.array([0.3, 0.1, 0.2]), np.array([0.36, 0.2]), 0.0, np.zeros((0, 3)))
    groups = np.array([0, 0, 1])
    speaker = stability.speakers(run.own, groups)
    assert speaker.tolist() == [True, False, True]
    np.testing.assert_allclose(stability.shared(run, groups, speaker), [0.36, 0.09, 0.2])


def test_list_has_exactly_the_asked_length_and_always_the_mandatory_columns(found):
    assert len(found.names) == len(set(found.names)) == 8
    assert {"f10", "f20"} <= set(found.names)
    assert found.mandatory == ("f10", "f20")
    assert found.origin == "fold"


def test_shares_of_importance_add_up_to_what_the_shadows_leave(found):
    assert 0.5 < sum(found.shap.values()) <= 1.0
    assert all(0 <= value <= 1 + 1e-9 for value in found.pi.values())


def test_bonus_moves_mandatory_columns_up_keeps_the_others_in_order_and_is_reported():
    run = [choose(replace(SETTINGS, bonus=b)) for b in (1.0, 1000.0)]
    assert set(run[0].names) == set(run[1].names)
    assert set(run[1].names[:2]) == {"f10", "f20"}
    others = [[n for n in r.names if n not in ("f10", "f20")] for r in run]
    assert others[0] == others[1]
    assert all(without == lifted for without, lifted in run[0].bonus_effect.values())
    for name in ("f10", "f20"):
        assert run[1].bonus_effect[name] == (run[0].names.index(name) + 1, run[1].names.index(name) + 1)


def test_exempt_columns_are_never_fitted_and_are_in_only_if_mandatory():
    view, close, session, specs = case()
    specs[3] = replace(specs[3], family="self")  # the strongest column, were it asked
    specs[20] = replace(specs[20], family="self")
    chosen = choose(made=(view, close, session, specs), exempt=("self", "f4"))
    assert not {"f3", "f4", "f20"} & set(chosen.pi)
    assert "f20" in chosen.names
    assert not {"f3", "f4"} & set(chosen.names)
    view[:, [3, 4, 20]] = generator(1, "else").standard_normal((5000, 3))
    assert choose(made=(view, close, session, specs), exempt=("self", "f4")).to_json() == chosen.to_json()
    roomy = choose(replace(SETTINGS, top_k=24), made=(view, close, session, specs), exempt=("self", "f4"))
    assert len(roomy.names) == 24
    assert set(roomy.names[-2:]) == {"f3", "f4"}


def test_importance_in_each_regime_is_measured_on_its_own_rows():
    rng = generator(8, "regimes")
    view = slow(rng, 6000, 12)
    regime = np.arange(6000) // 100 % 2  # hand over every hundred bars
    drift = 3.0 * np.where(regime == 0, view[:, 2], view[:, 7])
    view[:, 0] = regime
    belief = np.column_stack([regime == 0, regime == 1, np.zeros(6000)]) * 0.9 + 0.1 / 3
    specs = [Spec(f"f{j}") for j in range(12)]
    settings = replace(SETTINGS, horizons=(5,), barrier_bars=5, trees=60, column_share=0.8, max_rows=3000)
    made = (view, prices(rng, drift), np.arange(6000) // 250, specs)
    chosen = choose(settings, stop=6000, made=made, belief=belief)
    assert set(chosen.regime_importance) == {"trend", "range"}  # the third never happened
    trend, other = chosen.regime_importance["trend"], chosen.regime_importance["range"]
    assert sum(trend.values()) == pytest.approx(1.0)
    assert trend["f2"] > 1.2 * other["f2"]
    assert other["f7"] > 1.2 * trend["f7"]
    weights = chosen.regime_weights(("trend", "range", "defensive"))
    at = {name: i for i, name in enumerate(chosen.names)}
    assert weights[0, at["f2"]] > 1.05 > 0.95 > weights[1, at["f2"]]
    assert (weights[2] == 1.0).all()
    assert weights.min() >= 0.5
    assert weights.max() <= 2.0
    assert chosen.names == choose(settings, stop=6000, made=made).names


def test_regime_of_a_row_is_the_likeliest_and_unknown_where_the_belief_is_a_tie_or_missing():
    belief = np.array([[0.2, 0.7, 0.1], [0.4, 0.4, 0.2], [np.nan, 0.5, 0.5], [0.0, 0.1, 0.9]])
    assert regime_of(belief, 4).tolist() == [1, -1, -1, 2]
    assert regime_of(None, 2).tolist() == [-1, -1]


def test_columns_that_are_rarely_available_or_never_vary_are_no_candidates():
    view, close, session, specs = case()
    view[:, 7] = 3.25
    view[: int(0.5 * 4000), 8] = np.nan
    availability = np.isfinite(view[:4000]).mean(axis=0)
    availability[9] = 0.1
    chosen = choose(made=(view, close, session, specs), availability=availability)
    assert chosen.dropped == {
        "f7": "does not vary",
        "f8": "available in 50% of rows",
        "f9": "available in 10% of rows",
    }
    assert not {"f7", "f8", "f9"} & set(chosen.names)


def test_all_available_columns_are_kept_when_there_are_fewer_than_asked():
    view, close, session, specs = case()
    view[:, 10] = 0.0  # mandatory, but it has not moved yet
    chosen = choose(replace(SETTINGS, top_k=150), made=(view, close, session, specs))
    assert len(chosen.names) == 24
    assert "f10" in chosen.names
    assert "fewer than 150 are available" in chosen.note


def test_method_all_keeps_every_column_in_its_order():
    made = case(rows=300)
    chosen = choose(settings_of("all"), stop=200, made=made)
    assert chosen.names == tuple(spec.name for spec in made[3])
    assert chosen.method == "all"


def test_method_random_draws_among_available_columns_and_keeps_the_mandatory_ones():
    settings = replace(settings_of("random"), top_k=8)
    view, close, session, specs = case(rows=300)
    view[:, 5] = 0.0
    lists = [choose(settings, seed=seed, stop=200, made=(view, close, session, specs)) for seed in range(40)]
    assert all(len(chosen.names) == 8 and {"f10", "f20"} <= set(chosen.names) for chosen in lists)
    drawn = {name for chosen in lists for name in chosen.names}
    assert drawn == {f"f{j}" for j in range(24) if j != 5}
    again = choose(settings, seed=3, stop=200, made=(view, close, session, specs))
    assert again.to_json() == lists[3].to_json()
    assert (again.method, again.pi, again.shap) == ("random", {}, {})


def test_same_seed_gives_the_same_artefact_and_another_seed_other_figures(found):
    assert choose().to_json() == found.to_json()
    assert choose(seed=2).shap != found.shap


def test_every_option_is_possible_and_thorough_has_the_full_sizes():
    thorough = settings_of("thorough")
    assert (thorough.splits, thorough.bootstraps, thorough.trees) == (5, 10, 200)
    assert {settings_of(name).method for name in ("shap", "all", "random", "thorough")} == {"shap", "all", "random"}


def test_shapes_that_disagree_are_refused():
    view, close, session, specs = case(rows=300)
    with pytest.raises(DataError, match="does not fit"):
        select(view, close, session, slice(0, 200), specs[:-1], SETTINGS, generator(1, "select"))
    with pytest.raises(DataError, match="belief"):
        choose(stop=200, made=(view, close, session, specs), belief=np.ones((300, 2)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("method", "lasso"),
        ("top_k", 0),
        ("horizons", ()),
        ("bonus", 0.5),
        ("column_share", 0.0),
        ("barrier_bars", -1),
        ("barrier_width", 0.0),
        ("hysteresis", 1.5),
        ("regime_min_rows", 0),
        ("early_stop_rounds", -1),
    ],
)
def test_impossible_settings_are_refused_naming_the_field(field, value):
    with pytest.raises(ConfigurationError, match=field):
        replace(SETTINGS, **{field: value})


def test_selection_is_what_the_package_says_it_is(found):
    assert isinstance(found, Selection)
    assert targets.CLASSES == 3
