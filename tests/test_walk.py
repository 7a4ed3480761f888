"""The ten lines of the README's walk: one bar from source to decision, row by row as live, equal to the batch."""

from dataclasses import replace

import numpy as np
import pytest
import small_walk

from mia.algo import bundle
from mia.broker.terms import terms
from mia.desk.backtest import run_policy
from mia.desk.feature_pipeline import FeaturePipeline
from mia.risk.limits import limits
from mia.task import desk, train


@pytest.fixture(scope="module")
def walk():
    """All rows by the fold's own snapshot from the first bar on, as a desk that starts from its bundle sees them."""
    made = small_walk.make("MNQ")
    pipeline = FeaturePipeline(made.table.plans, made.settings.market, made.settings.memory)
    pipeline.adopt(made.state.snapshot)
    bars = made.made.bars
    table = replace(made.table, block=pipeline.advance(bars.ts, bars.values), snapshots=[made.state.snapshot])
    return small_walk.of_table(made, made.made, table)


@pytest.fixture(scope="module")
def decisions(walk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "fold_0"
    train.bundle_of(walk.settings, walk.made, walk.lesson, walk.policy, folder)
    loaded = bundle.load(folder, market="MNQ", features_sha256=walk.lesson.template.digest)
    trader = desk.assemble(walk.settings, loaded, walk.table.plans, walk.made.bars.bar_minutes)
    bars = walk.made.bars
    return [trader.see(int(ts), row) for ts, row in zip(bars.ts, bars.values, strict=True)]


def test_the_desk_sees_row_by_row_what_the_batch_saw_bit_for_bit(walk, decisions):
    observations = np.stack([decision.observation for decision in decisions])
    assert np.array_equal(observations, walk.lesson.tape.obs)


def test_the_desk_believes_row_by_row_what_the_batch_believed_bit_for_bit(walk, decisions):
    beliefs = np.stack([decision.belief for decision in decisions])
    assert np.array_equal(beliefs, walk.lesson.tape.belief)


def test_the_desk_holds_and_earns_row_by_row_what_the_backtest_did_to_the_cent(walk, decisions):
    settings = walk.settings
    track = run_policy(
        walk.lesson.tape,
        walk.policy,
        terms(settings.market, settings.broker.model(settings.broker.headline)),
        limits(settings.risk, settings.market),
        close_at_end=False,
    )
    assert np.abs(np.diff(track.position)).sum() > 100, "a policy that does not trade would prove nothing"
    assert [d.position for d in decisions] == track.position.tolist()
    assert [d.equity_cents for d in decisions] == track.equity_cents.tolist()


def test_no_position_is_held_over_the_end_of_a_session(walk, decisions):
    session = walk.lesson.tape.session
    last_rows = np.flatnonzero(np.diff(session))
    assert all(decisions[row].position == 0 for row in last_rows)
    assert all(decisions[row].target == 0 for row in last_rows)
