"""A desk is put together from one bundle or not at all: another list of features is refused before the first bar."""

import json
from dataclasses import replace

import pytest
import small_walk

from mia.algo import bundle
from mia.domain.errors import ArtefactMismatch
from mia.features.shap_weighting import Selection
from mia.task import desk, features, train


@pytest.fixture(scope="module")
def walk():
    words = ("features=bars_only", "encoder.kinds=[]", "awareness=off", "selection.method=random", "selection.top_k=60")
    return small_walk.make("MNQ", *words)


@pytest.fixture(scope="module")
def folder(walk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "fold_0"
    train.bundle_of(walk.settings, walk.made, walk.lesson, walk.policy, folder)
    return folder


@pytest.fixture(scope="module")
def loaded(walk, folder):
    return bundle.load(folder, market="MNQ", features_sha256=walk.lesson.template.digest)


def assemble(walk, given):
    return desk.assemble(walk.settings, given, walk.table.plans, 1)


def with_part(loaded, name, text):
    return replace(loaded, parts=loaded.parts | {name: json.loads(text)})


def test_a_bundle_of_the_desks_own_features_trades(walk, loaded):
    trader = assemble(walk, loaded)
    bars = walk.made.bars
    decision = trader.see(int(bars.ts[0]), bars.values[0])
    assert decision.observation.shape == (len(walk.lesson.template.names),)


def other_list(selection):
    """The same columns but for one, which a rebuilt selection chose instead."""
    chosen = selection.names
    outside = next(name for name in selection_universe(selection) if name not in chosen)
    return (*chosen[:-1], outside)


def selection_universe(selection):
    return [*selection.names, "volume", "rsi_7", "adx_7", "momentum_5", "log_return_1", "vpin_50", "macd_line"]


def test_a_selection_of_other_columns_than_the_template_reads_is_refused(walk, loaded):
    template = walk.lesson.template
    for names in (other_list(walk.lesson.selection), tuple(reversed(template.selected)), template.selected[:-1]):
        other = replace(template, selected=names, weights=())
        with pytest.raises(ArtefactMismatch) as caught:
            assemble(walk, with_part(loaded, "template", other.to_json()))
        assert "\n" not in str(caught.value)


def test_the_selection_names_the_first_column_that_differs(walk):
    selection = walk.lesson.selection
    selection.check(walk.lesson.template.selected)
    with pytest.raises(ArtefactMismatch, match=other_list(selection)[-1]):
        selection.check(other_list(selection))


def test_a_selection_that_was_edited_by_hand_is_refused(walk, loaded):
    text = walk.lesson.selection.to_json()
    names = walk.lesson.selection.names
    swapped = (
        text.replace(f'"{names[0]}"', '"?"').replace(f'"{names[1]}"', f'"{names[0]}"').replace('"?"', f'"{names[1]}"')
    )
    assert swapped != text
    with pytest.raises(ArtefactMismatch):
        assemble(walk, with_part(loaded, "selection", swapped))
    with pytest.raises(ArtefactMismatch):
        Selection.from_json("{}")


def test_another_feature_set_is_refused(walk, loaded):
    groups = {name: group for name, group in walk.settings.features.groups.items() if name != "trend_memory"}
    fewer = replace(walk.settings.features, groups=groups, expected_count=117 - 10)
    settings = replace(walk.settings, features=replace(fewer, expected_count=_count(walk, groups)))
    plans = features.plans_of(settings, 1, 390)
    with pytest.raises(ArtefactMismatch, match="another feature set"):
        desk.assemble(settings, loaded, plans, 1)


def _count(walk, groups):
    from mia.features.catalogue import expand

    return sum(spec.published for spec in expand(groups))


def test_a_bundle_that_policies_of_other_features_ask_for_is_refused_at_the_door(folder):
    with pytest.raises(ArtefactMismatch, match="features"):
        bundle.load(folder, market="MNQ", features_sha256="0" * 64)


@pytest.mark.parametrize("part", ["template", "view", "selection", "snapshot", "scaler", "regime", "fitted"])
def test_a_bundle_without_one_of_its_parts_is_refused(walk, loaded, part):
    parts = {name: content for name, content in loaded.parts.items() if name != part}
    with pytest.raises(ArtefactMismatch) as caught:
        assemble(walk, replace(loaded, parts=parts))
    assert "\n" not in str(caught.value)


def test_the_same_walk_gives_the_same_bundle_byte_for_byte(walk, folder, tmp_path):
    train.bundle_of(walk.settings, walk.made, walk.lesson, walk.policy, tmp_path / "again")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(folder)).read_bytes() == path.read_bytes(), path.name
