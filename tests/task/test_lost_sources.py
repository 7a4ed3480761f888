"""What dropout blanks is what a source that is really lost would blank; and the view that both are read from."""

import json
from dataclasses import replace

import numpy as np
import pytest
import small_walk

from mia.desk.feature_pipeline import FeaturePipeline
from mia.desk.group_columns import ALWAYS, GroupColumns
from mia.desk.model_view import ModelView
from mia.domain.errors import ArtefactMismatch
from mia.domain.rng import generator
from mia.domain.series import INDEX, MARKET_SERIES, SERIES_SETS
from mia.features.normalisation import Scaler

WARM = 1000
SECOND_SOURCE = {  # order flow comes from the book, and from trades where there is no book; components live on
    # while half of their members do
    "trades": {
        *("orderflow_imbalance", "ofi_sum_5", "ofi_sum_20"),
        *("pca_orderflow_1", "pca_orderflow_2", "pca_orderflow_3"),
    },
    "depth": {"orderflow_imbalance"},
}
READ_ON = ("lstm", "memory", "self")
"""Groups of models that go on without a source, on what is left: their columns move, dropout leaves them."""


@pytest.fixture(scope="module")
def walk():
    """Every column observed, unweighted."""
    return small_walk.make("ES", "selection=all", "regime_weights=off")


@pytest.fixture(scope="module")
def groups(walk):
    return walk.lesson.tape.groups


@pytest.fixture(scope="module")
def names(walk):
    return walk.lesson.template.names


def observed(walk, *, without=(), **blinded):
    """Observations of all rows by the fold's fit, some base series never there, some parts of the fit gone."""
    bars = walk.made.bars
    values = bars.values.copy()
    values[:, [INDEX[name] for name in without]] = np.nan
    pipeline = FeaturePipeline(walk.table.plans, walk.settings.market, walk.settings.memory)
    pipeline.adopt(replace(walk.state.snapshot, **blinded))
    block = pipeline.advance(bars.ts, values)
    view, masks = walk.state.view.transform(block, bars.column("cal.slot").astype(np.int64))
    obs = walk.lesson.template.batch(view, masks, block.belief, names=walk.table.plans.names)
    return obs[WARM:], block.table(walk.table.plans)[WARM:]


@pytest.fixture(scope="module")
def whole(walk):
    return observed(walk)


def test_every_source_but_the_bars_themselves_can_be_lost(groups):
    assert groups.names == ("trades", "depth", "cross", "options", "news", "lstm", "cnn", "memory", "self")
    assert not set(groups.names) & set(ALWAYS)


@pytest.mark.parametrize("source", ["trades", "depth", "cross", "options", "news"])
def test_dropout_blanks_what_a_source_that_is_really_lost_blanks(walk, whole, groups, names, source):
    lost, raw = observed(walk, without=MARKET_SERIES.groups[source])
    touches = groups.touches[groups.names.index(source)]
    predicted = np.where(touches, groups.neutral, whole[0])
    plans = walk.table.plans
    market = [at for at, name in enumerate(names) if name in plans.market.names]
    wrong = {names[at] for at in market if not np.array_equal(lost[:, at], predicted[:, at])}
    assert wrong == SECOND_SOURCE.get(source, set())
    for name in wrong:  # they differ because they have another value, not because they lack one
        assert np.isfinite(raw[:, plans.names.index(name)]).mean() > 0.9
    blanked = {names[at] for at in np.flatnonzero(touches)}
    assert f"mask.{source}" in blanked
    assert len(blanked) > 5


@pytest.mark.parametrize("source", ["trades", "depth", "cross", "options", "news"])
def test_masks_go_out_as_they_would_for_a_source_that_is_really_lost(walk, whole, groups, names, source):
    lost, _ = observed(walk, without=MARKET_SERIES.groups[source])
    touches = groups.touches[groups.names.index(source)]
    for at, name in enumerate(names):
        if name.startswith("mask.") and name.removeprefix("mask.") not in READ_ON:
            predicted = np.where(touches[at], 0.0, whole[0][:, at])
            # A row that lacks other columns as well may lose a mask that the source alone would leave.
            assert (lost[:, at] != predicted).mean() < 0.05, name


def test_the_network_that_sees_nothing_but_the_book_is_lost_with_it(walk, groups, names):
    lost, _ = observed(walk, without=MARKET_SERIES.groups["depth"])
    touches = groups.touches[groups.names.index("depth")]
    for name in ("neural_feature_0", "cnn_pressure", "forecast_disagreement", "mask.cnn"):
        at = names.index(name)
        assert touches[at]
        assert (lost[:, at] == groups.neutral[at]).all()


@pytest.mark.parametrize("group", ["lstm", "cnn", "memory", "self"])
def test_dropout_blanks_what_a_model_that_is_really_lost_blanks(walk, whole, groups, names, group):
    encoder = walk.state.snapshot.encoder
    blinded = {
        "lstm": {"encoder": replace(encoder, lstm=None)},
        "cnn": {"encoder": replace(encoder, cnn=None)},
        "memory": {"memory": None},
        "self": {"sentinel": None, "drift": None},
    }[group]
    lost, _ = observed(walk, **blinded)
    touches = groups.touches[groups.names.index(group)]
    predicted = np.where(touches, groups.neutral, whole[0])
    wrong = {name for at, name in enumerate(names) if not np.array_equal(lost[:, at], predicted[:, at])}
    # The policy that trades along sees the gap too, and what it then says becomes the self columns.
    own = {*walk.table.plans.part("self").names, "mask.self"} if group != "self" else set()
    assert not wrong - own
    assert not np.array_equal(lost[:, touches], whole[0][:, touches])


def test_the_belief_is_never_blanked(groups):
    assert not groups.touches[:, -3:].any()


def test_draws_lose_each_group_in_its_share_of_rows_and_always_whole(groups):
    lost = groups.draw(generator(0, "test", "draw"), 20_000, 0.2)
    assert lost.shape == (20_000, groups.touches.shape[1])
    for g, name in enumerate(groups.names):
        alone = groups.touches[g] & ~np.delete(groups.touches, g, axis=0).any(axis=0)
        if alone.any():
            found = lost[:, alone]
            assert (found.all(axis=1) == found.any(axis=1)).all(), name
            assert found[:, 0].mean() == pytest.approx(0.2, abs=0.015)
    untouched = ~groups.touches.any(axis=0)
    assert not lost[:, untouched].any()
    assert not groups.draw(generator(0, "test", "draw"), 50, 0.0).any()


def test_groups_by_hand():
    """Two families over bars and a book; the book holds three of four columns of the first."""
    members = np.array([[1, 1, 1, 1, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 1], [0, 1, 1, 1, 0]])
    made = GroupColumns.of(
        ("flow", "shape", "bars", "depth"), members, ("bars", "depth"), np.array([4, 2, 1]), 3, np.arange(5) / 10
    )
    assert made.names == ("depth",)
    #                            columns 4      2     1     flow  shape  bars   depth  belief
    assert made.touches.tolist() == [[False, True, True, True, False, False, True, False, False, False]]
    assert np.allclose(made.neutral, [0.4, 0.2, 0.1, 0, 0, 0, 0, 0, 0, 0])


def test_half_of_a_group_left_keeps_its_mask():
    members = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1]])
    made = GroupColumns.of(("family", "bars", "news"), members, ("bars", "news"), np.arange(4), 0, np.zeros(4))
    assert made.touches.tolist() == [[False, False, True, True, False, False, True]]


def test_the_view_joins_the_scalers_of_its_plans(walk):
    view, plans, block = walk.state.view, walk.table.plans, walk.seen.block
    slots = walk.made.bars.column("cal.slot").astype(np.int64)[: len(block)]
    assert view.names == plans.names
    assert len(view.scalers) == len(plans.parts) == 3
    together, masks = view.transform(block, slots)
    column = group = 0
    for plan, scaler, values in zip(plans.parts, view.scalers, (block.features, block.model, block.own), strict=True):
        part, there = scaler.transform(values, slots)
        assert scaler.names == plan.names
        assert together[:, column : column + part.shape[1]].tobytes() == np.ascontiguousarray(part).tobytes()
        assert np.array_equal(masks[:, group : group + there.shape[1]], there)
        column, group = column + part.shape[1], group + there.shape[1]
    assert (column, group) == (len(view.names), len(view.groups))
    assert np.array_equal(view.neutral, np.concatenate([scaler.neutral for scaler in view.scalers]))


def test_members_follow_from_what_a_column_needs_and_its_family(walk):
    view, plans = walk.state.view, walk.table.plans
    members = view.members()
    assert members.shape == (len(view.groups), len(view.names))
    assert len(set(view.groups)) == len(view.groups)
    family = {spec.name: spec.family for spec in plans.specs}
    sources = {group for series in SERIES_SETS for group in series.groups}
    for at, name in enumerate(view.names):
        found = {view.groups[row] for row in np.flatnonzero(members[:, at])}
        expected = set(plans.sources(name))
        if name in plans.market.names:
            expected.add(family[name])
        assert found == expected, name
    assert {"bars", "options", "news", "lstm", "cnn", "memory", "self", "regime"} <= set(view.groups) & sources


def test_one_row_gives_the_bits_of_the_batch(walk):
    view, block = walk.state.view, walk.seen.block
    slots = walk.made.bars.column("cal.slot").astype(np.int64)
    together, masks = view.transform(block, slots[: len(block)])
    for row in (0, 779, 780, len(block) - 1):
        one, there = view.transform(block.part(row, row + 1), slots[row : row + 1])
        assert one[0].tobytes() == together[row].tobytes()
        assert there[0].tobytes() == masks[row].tobytes()


def test_a_view_comes_back_from_json_and_another_text_is_refused(walk):
    view, block = walk.state.view, walk.seen.block.part(800, 900)
    again = ModelView.from_json(view.to_json())
    assert again.to_json() == view.to_json()
    assert again.fingerprint == view.fingerprint
    slots = np.arange(100)
    assert again.transform(block, slots)[0].tobytes() == view.transform(block, slots)[0].tobytes()
    for text in ("{", "[1]", json.dumps([{"names": []}]), json.dumps({"scalers": []}), "[]"):
        with pytest.raises(ArtefactMismatch):
            ModelView.from_json(text)


def test_rows_of_other_plans_are_refused(walk):
    block = walk.seen.block.part(0, 5)
    with pytest.raises(ArtefactMismatch, match="made for 3 plans, got 2"):
        walk.state.view.transform(replace(block, own=np.empty((5, 0))), np.arange(5))
    with pytest.raises(ArtefactMismatch, match="refit it with this plan"):
        walk.state.view.transform(replace(block, model=block.model[:, 1:]), np.arange(5))


def test_the_view_is_fitted_on_training_rows_alone(walk):
    train = walk.state.fold.train
    block = walk.seen.block
    poisoned = replace(block, features=block.features.copy(), model=block.model.copy(), own=block.own.copy())
    for part in (poisoned.features, poisoned.model, poisoned.own):
        part[train.stop :] = 1e9
        part[: train.start] = -1e9
    slots, ts = walk.made.bars.column("cal.slot").astype(np.int64), walk.made.bars.ts
    scaler = walk.settings.features.scaler
    fits = [
        ModelView.fit(walk.table.plans, given, slots[: len(block)], train, ts=ts, settings=scaler)
        for given in (block, poisoned)
    ]
    assert fits[0].to_json() == fits[1].to_json()
    assert all(isinstance(part, Scaler) and part.fit_end == ts[train.stop - 1] for part in fits[0].scalers)
