"""What rewards may know of a row is taken from the features as they are, and is unknown where nobody computes it."""

from dataclasses import replace

import numpy as np
import pytest
import small_walk

from mia.reward.context import CONTEXT
from mia.task import tapes


@pytest.fixture(scope="module")
def walk():
    return small_walk.make("ES", "selection=all")


def published(walk, name):
    table = walk.seen.block.table(walk.table.plans)
    return table[:, walk.table.plans.names.index(name)]


def test_every_column_is_the_feature_of_its_row_in_published_units(walk):
    names = ("news_impact_score", "vix_level", "atr_dynamic", "orderflow_imbalance", "cvar_loss")
    context = walk.lesson.tape.context
    assert context.shape == (len(walk.lesson.tape), len(CONTEXT))
    for at, name in enumerate(names):
        expected = published(walk, name)
        assert np.array_equal(context[:, at], expected, equal_nan=True), name


def test_known_values_are_there_and_lie_where_their_units_say(walk):
    news, vix, _, flow, _ = walk.lesson.tape.context.T
    assert np.isfinite(vix).mean() > 0.9
    assert 5 < np.nanmedian(vix) < 80
    assert np.nanmax(np.abs(news)) <= 1
    assert np.nanmax(np.abs(flow)) <= 1
    assert 0.3 < (flow[np.isfinite(flow)] > 0).mean() < 0.7


def test_vix_is_what_the_market_row_itself_holds(walk):
    rows = walk.made.bars.column("xa.vix")[: len(walk.lesson.tape)]
    vix = walk.lesson.tape.context[:, CONTEXT.index("vix")]
    both = np.isfinite(rows) & np.isfinite(vix)
    assert both.sum() > 500
    assert np.array_equal(vix[both], rows[both])


def test_what_is_not_computed_is_unknown(walk):
    plans, block = walk.table.plans, walk.seen.block
    alone = replace(plans, parts=plans.parts[:1])
    context = tapes.context(alone, replace(block, own=np.empty((len(block), 0))))
    assert np.isnan(context[:, CONTEXT.index("cvar_loss")]).all()
    assert np.isfinite(context[:, CONTEXT.index("vix")]).any()


def test_a_block_without_self_columns_knows_no_cvar_loss(walk):
    block = walk.seen.block
    context = tapes.context(walk.table.plans, replace(block, own=np.empty((len(block), 0))))
    assert np.isnan(context[:, CONTEXT.index("cvar_loss")]).all()


def test_the_context_of_a_row_does_not_depend_on_later_rows(walk):
    """The same fits on the first half of the rows give the same context there."""
    from mia.desk.feature_pipeline import FeaturePipeline

    bars, half = walk.made.bars, len(walk.lesson.tape) // 2
    seen = []
    for rows in (half, len(walk.lesson.tape)):
        pipeline = FeaturePipeline(walk.table.plans, walk.settings.market, walk.settings.memory)
        pipeline.adopt(walk.state.snapshot)
        block = pipeline.advance(bars.ts[:rows], bars.values[:rows])
        seen.append(tapes.context(walk.table.plans, block)[:half])
    assert seen[0].tobytes() == seen[1].tobytes()
    assert np.isfinite(seen[0]).any(axis=0)[: CONTEXT.index("cvar_loss")].sum() >= 3
