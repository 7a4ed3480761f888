"""All 350 columns over ten sessions: row by row live, with restarts from saved state, the bits of the batch."""

import numpy as np
import pytest

from mia.desk.feature_pipeline import Block, FeaturePipeline, Past
from mia.task import command_line, features, ingest, snapshots
from mia.task.watch import Watch

OVERRIDES = (
    "+market=ES",
    "features=full350",
    "source.sessions=10",
    "snapshots.first_sessions=3",
    "awareness.learner.updates=100",
    "memory.k=10",
    "memory.min_contexts=20",
    "memory.min_distances=20",
)


@pytest.fixture(scope="module")
def settings():
    return command_line.compose(list(OVERRIDES))


@pytest.fixture(scope="module")
def made(settings):
    return ingest.make(settings, Watch(quiet=True))


@pytest.fixture(scope="module")
def table(settings, made):
    return features.make(settings, made, Watch(quiet=True))


@pytest.fixture(scope="module")
def live(settings, made, table, tmp_path_factory):
    """One row at a time; every fit goes through disk, and halfway between two fits the process starts anew."""
    folder = tmp_path_factory.mktemp("live")
    due = {snapshot.fit_stop: snapshot for snapshot in table.snapshots}
    restarts = {snapshot.fit_stop + 700 for snapshot in table.snapshots}
    pipeline = FeaturePipeline(table.plans, settings.market, settings.memory)
    out = Block.empty(len(made.bars), table.plans)
    for row, (ts, values) in enumerate(zip(made.bars.ts, made.bars.values, strict=True)):
        if row in due:
            snapshots.save(due[row], pipeline.state, folder / f"fit_{row}")
            snapshot, _ = snapshots.load(settings, table.plans, folder / f"fit_{row}", "nothing")
            past = Past(ts=made.bars.ts[:row], values=made.bars.values[:row], features=out.features[:row])
            pipeline.adopt(snapshot, past)
        if row in restarts:
            state, snapshot = pipeline.state, pipeline.snapshot
            pipeline = FeaturePipeline(table.plans, settings.market, settings.memory)
            pipeline.adopt(snapshot)
            pipeline.state = state
        out.put(row, pipeline.advance(np.array([ts]), values[None]))
    return out


def test_there_are_350_columns_and_all_that_need_no_longer_history_come_to_life(table):
    values = table.block.table(table.plans)
    assert values.shape[1] == 350
    last = np.isfinite(values[-1380:]).any(axis=0)
    warm = [spec.warm_bars for spec in table.plans.view_specs]
    silent = [name for name, there in zip(table.plans.names, last, strict=True) if not there]
    assert set(silent) <= {name for name, bars in zip(table.plans.names, warm, strict=True) if bars > 10 * 1380}
    assert len(silent) < 10


def test_one_row_at_a_time_with_restarts_gives_the_bits_of_the_batch(table, live):
    batch, rows = table.block.table(table.plans), live.table(table.plans)
    unequal = (batch.view(np.int64) != rows.view(np.int64)).any(axis=0) & ~(np.isnan(batch) & np.isnan(rows)).all(
        axis=0
    )
    assert [name for name, bad in zip(table.plans.names, unequal, strict=True) if bad] == []
    assert live.belief.tobytes() == table.block.belief.tobytes()


def test_rows_before_the_first_fit_have_no_fitted_column(table):
    first = table.snapshots[0].fit_stop
    assert np.isnan(table.block.model[:first]).all()
    assert np.isfinite(table.block.model[first + 200 :, 0]).all()
