"""The feature table: the same bits in one piece, in chunks and through disk; a bundle's rows know no later fit."""

import csv
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import small_walk

from mia.desk.feature_pipeline import Block, FeaturePipeline
from mia.domain.errors import ArtefactMismatch, ArtefactMissing, ConfigurationError
from mia.domain.series import INDEX
from mia.task import features, ingest, regime, snapshots, store
from mia.task.watch import Watch

SESSION = 1380
NIGHTS = {"overnight_high", "overnight_low", "gap_open"}  # regular hours have none
SIZES = {"absorption_bid", "absorption_ask", "absorption_strength"}  # a large trade is one by five prior sessions
NOWHERE = {"open_interest"}  # of the future itself; the simulated market publishes none
PARTS = ("features", "model", "own", "belief")


class InPieces:
    """Stored bars that come a few hundred at a time, whatever is asked for."""

    def __init__(self, stored, rows):
        self._stored, self._rows = stored, rows

    def __getattr__(self, name):
        return getattr(self._stored, name)

    def chunks(self):
        return self._stored.chunks(self._rows)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Everything on: encoders, memory and a policy that trades along, with two fits."""
    words = (*small_walk.QUICK, "source.sessions=4", "evaluation.n_folds=1", "evaluation.min_train_sessions=2")
    outputs = tmp_path_factory.mktemp("outputs")
    return small_walk.compose("ES", *words, "evaluation.min_train_share=0", f"outputs={outputs}")


@pytest.fixture(scope="module")
def watch():
    return Watch(quiet=True)


@pytest.fixture(scope="module")
def bars(settings, watch):
    """Bars on disk."""
    return ingest.ensured(settings, watch)


@pytest.fixture(scope="module")
def made(settings, bars):
    return ingest.load(settings)


@pytest.fixture(scope="module")
def table(settings, made, watch):
    """The walk in one piece, in memory."""
    found = features.make(settings, made, watch)
    assert [snapshot.fit_stop for snapshot in found.snapshots] == [780, 1170]
    assert all(snapshot.encoder and snapshot.sentinel and snapshot.memory for snapshot in found.snapshots)
    return found


@pytest.fixture(scope="module")
def folder(settings):
    return store.folder(settings.outputs, "features", "ES")


@pytest.fixture(scope="module")
def catalogue(settings, bars, folder, watch):
    """What `write` returns, having walked pieces that fit neither sessions nor fits."""
    return features.write(settings, InPieces(bars, 317), folder, watch)


@pytest.fixture(scope="module")
def stored(settings, bars, catalogue):
    return features.Stored(settings, bars)


def assert_same(one, other):
    for name in PARTS:
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name


def test_the_walk_in_chunks_through_disk_gives_the_table_of_the_walk_in_one_piece(stored, table):
    read = stored.table()
    assert read.plans.fingerprint == table.plans.fingerprint
    assert_same(read.block, table.block)


def test_fits_and_states_come_back_from_disk_as_they_were(stored, table):
    assert [snapshots.parts(s) for s in stored.snapshots] == [snapshots.parts(s) for s in table.snapshots]
    assert len(stored.states) == len(table.states) == 2
    for read, kept in zip(stored.states, table.states, strict=True):
        assert set(read) == set(kept)
        for name, array in kept.items():
            assert read[name].dtype == array.dtype, name
            assert read[name].tobytes() == array.tobytes(), name
    assert {name.split(".")[0] for name in stored.states[1]} == {
        *("market", "belief", "model", "self", "encoder", "memory", "awareness", "drift", "sentinel")
    }


def test_blocks_cut_at_the_fits_join_to_all_rows_and_some_rows_can_be_asked_for(stored, table):
    blocks = list(stored.blocks())
    assert sum(map(len, blocks)) == len(table.block)
    sample = np.array([0, 316, 317, 779, 780, 1169, 1170, 1559])
    assert_same(stored.rows(sample), table.block.take(sample))


@pytest.mark.parametrize("pieces", [(1, 779, 1, 389, 390), (200, 580, 700, 80)])
def test_any_chunks_give_the_same_rows_and_fits(settings, made, table, watch, pieces):
    def chunks():
        at = 0
        for length in pieces:
            yield made.bars.ts[at : at + length], made.bars.values[at : at + length]
            at += length

    block, fits, done = Block.empty(1560, table.plans), [], 0
    for piece in features.walk(settings, table.plans, 1, chunks(), watch):
        assert piece.start == done
        assert np.array_equal(piece.ts, made.bars.ts[done : done + len(piece.ts)])
        block.put(done, piece.block)
        done += len(piece.ts)
        if piece.learned:
            assert piece.start == piece.learned[0].fit_stop
            fits.append(snapshots.parts(piece.learned[0]))
    assert done == 1560
    assert fits == [snapshots.parts(s) for s in table.snapshots]
    assert_same(block, table.block)


def by_hand(settings, made, table, last, stop):
    """Rows by the fits up to number `last`, walked without any of the task's own bookkeeping."""
    pipeline, done = FeaturePipeline(table.plans, settings.market, settings.memory), 0
    block = Block.empty(stop, table.plans)
    for snapshot in [*table.snapshots[: last + 1], None]:
        end = snapshot.fit_stop if snapshot else stop
        block.put(done, pipeline.advance(made.bars.ts[done:end], made.bars.values[done:end]))
        if snapshot:
            lesson = features.Recent(settings.snapshots.most_rows, 1)
            lesson.add(made.bars.ts[:end], made.bars.values[:end], block.part(0, end))
            pipeline.adopt(snapshot, lesson.lesson().past)
        done = end
    return block


def test_frozen_rows_equal_those_of_a_pipeline_that_never_adopts_another_fit(settings, made, table):
    snapshot, block = features.frozen(settings, made, table, 1000, 1500)
    assert snapshot is table.snapshots[0]
    assert len(block) == 1500
    assert_same(block, by_hand(settings, made, table, 0, 1500))


def test_frozen_rows_never_use_a_later_fit(settings, made, table):
    empty = dict.fromkeys(("scaler", "fitted", "regime", "encoder", "memory", "drift", "sentinel"))
    blinded = replace(table, snapshots=[table.snapshots[0], replace(table.snapshots[1], **empty)])
    _, plain = features.frozen(settings, made, table, 1000, 1560)
    _, blind = features.frozen(settings, made, blinded, 1000, 1560)
    assert_same(plain, blind)
    assert_same(plain.part(0, 1170), table.block.part(0, 1170))
    after = slice(1170, 1560)
    for name in ("features", "model", "own", "belief"):
        unequal = getattr(plain, name)[after] != getattr(table.block, name)[after]
        assert unequal.any(), f"the second fit changed nothing in {name}: the test would prove nothing"


def test_rows_before_the_next_fit_are_the_tables_own(settings, made, table):
    snapshot, block = features.frozen(settings, made, table, 1000, 1170)
    assert snapshot is table.snapshots[0]
    assert np.shares_memory(block.features, table.block.features)
    snapshot, block = features.frozen(settings, made, table, 1170, 1560)
    assert snapshot is table.snapshots[1]
    assert_same(block, table.block)


def test_training_that_ends_before_the_first_fit_is_refused_in_one_line(settings, table):
    with pytest.raises(ConfigurationError, match="training ends at bar 779 but snapshots") as caught:
        features.newest(settings, table.snapshots, 779)
    assert "\n" not in str(caught.value)
    assert features.newest(settings, table.snapshots, 780) is table.snapshots[0]


def test_a_restart_is_possible_after_a_fit_without_encoder_or_sentinel(settings, made, table):
    """What an earlier fit remembered must not lie about in the state of one that has no use for it."""
    bare = replace(table.snapshots[1], encoder=None, sentinel=None)
    pipeline = FeaturePipeline(table.plans, settings.market, settings.memory)
    pipeline.adopt(table.snapshots[0])
    pipeline.advance(made.bars.ts[780:1170], made.bars.values[780:1170])
    pipeline.adopt(bare)
    again = FeaturePipeline(table.plans, settings.market, settings.memory)
    again.adopt(bare)
    again.state = pipeline.state
    rows = slice(1170, 1200)
    assert_same(
        pipeline.advance(made.bars.ts[rows], made.bars.values[rows]),
        again.advance(made.bars.ts[rows], made.bars.values[rows]),
    )


def test_a_state_of_other_parts_is_refused(settings, table):
    pipeline = FeaturePipeline(table.plans, settings.market, settings.memory)
    with pytest.raises(ArtefactMismatch, match="adopt its snapshot first"):
        pipeline.state = table.states[1]


def test_the_table_has_350_columns_as_declared_and_says_when_each_row_could_be_known(
    root, folder, catalogue, made, table
):
    frame = pd.read_parquet(folder / "features.parquet")
    names = [spec.name for spec in table.plans.specs]
    lines = (root / "tests" / "features" / "feature_names.txt").read_text().splitlines()
    known = [word for line in lines if not line.startswith("#") for word in line.partition(":")[2].split()]
    assert frame.shape == (1560, 350)
    assert list(frame) == names == [row["name"] for row in catalogue]
    assert sorted(names) == sorted(known)
    assert isinstance(frame.index, pd.DatetimeIndex)
    assert frame.index.name == "available_at"
    assert str(frame.index.tz) == "UTC"
    assert np.array_equal(frame.index.as_unit("ns").asi8, made.bars.available_at)
    values = table.block.table(table.plans)
    order = [table.plans.names.index(name) for name in names]
    assert frame.to_numpy().tobytes() == np.ascontiguousarray(values[:, order]).tobytes()


def test_every_column_has_values_once_it_is_warm(catalogue, folder):
    frame = pd.read_parquet(folder / "features.parquet")
    empty = set(frame.columns[frame.iloc[-390:].isna().all()])
    long = {row["name"] for row in catalogue if row["warm_up_bars"] >= 4 * SESSION}
    assert empty <= long | NIGHTS | SIZES | NOWHERE
    assert len(empty) < 30
    assert not np.isinf(frame.to_numpy()).any()
    always = frame[
        ["open", "close", "rsi_14", "atr_14", "log_return_1", "hmm_state_distribution_trend", "time_of_day_sin"]
    ]
    assert np.isfinite(always.iloc[780:]).all(axis=None)


def test_the_catalogue_counts_what_is_in_the_table(catalogue, folder):
    frame = pd.read_parquet(folder / "features.parquet")
    with (folder / "catalogue.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == list(frame)
    for row in rows:
        there = np.flatnonzero(frame[row["name"]].notna())
        assert float(row["available"]) == round(len(there) / len(frame), 4)
        assert row["first_bar"] == (str(there[0]) if len(there) else "")
        assert int(row["warm_up_bars"]) >= 1
        assert row["unit"]
        assert row["sources"]
        assert row["status"].startswith("masked") == (len(there) == 0)
    by_name = {row["name"]: row for row in rows}
    assert by_name["rsi_14"]["sources"] == "bars"
    assert by_name["mm_score"]["status"] == by_name["latent_vol_regime_vec_1"]["status"] == "fitted as history grows"
    families = features.family_rows(catalogue)
    assert families[-1]["family"] == "all"
    assert families[-1]["columns"] == 350 == sum(row["columns"] for row in families[:-1])


def test_bars_alone_leave_117_columns_and_the_catalogue_says_what_the_others_lack(table):
    """Each column present if and only if all it needs is there, as files of bars give it."""
    counts = features.Counts(350)
    present = {"bars", "calendar", "regime"}
    there = [set(table.plans.sources(name)) <= present for name in table.plans.names]
    counts.add(np.where(there, 1.0, np.nan)[None])
    rows = features.catalogue_rows(table.plans, ("bars", "calendar"), counts)
    market = [row for row in rows if row["name"] in table.plans.market.names]
    assert sum(not row["status"].startswith("masked") for row in market) == 117
    by_name = {row["name"]: row["status"] for row in rows}
    assert by_name["delta_ratio"].startswith("masked: no trades")
    assert by_name["iv_atm"].startswith("masked: no options")
    assert by_name["mm_score"].startswith("masked: ")
    assert by_name["hmm_state_distribution_range"] == "fitted as history grows"


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("settings", lambda s: replace(s, seed=s.seed + 1)),
        ("settings", lambda s: replace(s, snapshots=replace(s.snapshots, first_sessions=3))),
        ("settings", lambda s: replace(s, memory=replace(s.memory, k=9))),
        ("features", lambda s: replace(s, market=replace(s.market, round_step=50.0))),
    ],
)
def test_a_table_made_with_other_settings_is_refused(settings, bars, catalogue, what, change):
    with pytest.raises(ArtefactMismatch, match=f"made with other {what}; run python -m mia .market=ES task=features"):
        features.Stored(change(settings), bars)


def test_a_table_made_of_other_bars_is_refused(settings, bars, catalogue):
    with pytest.raises(ArtefactMismatch, match="made with other bars"):
        features.Stored(settings, replace(bars, digest="0" * 64))


def test_a_table_that_was_never_made_is_missed_with_its_command(settings, bars, tmp_path):
    with pytest.raises(ArtefactMissing, match="task=features"):
        features.Stored(replace(settings, outputs=str(tmp_path)), bars)


def test_the_regime_stage_writes_the_views_and_beliefs_of_the_walk_in_memory(settings, made, table, catalogue, watch):
    regime.main(settings, {}, None, watch)
    states = regime.all_folds(settings, made, table, watch)
    loaded = regime.load(settings, made, table)
    assert [s.view.to_json() for s in loaded] == [s.view.to_json() for s in states]
    assert [s.snapshot.index for s in loaded] == [s.snapshot.index for s in states]
    frame = pd.read_parquet(store.folder(settings.outputs, "regime", "ES") / "regimes.parquet")
    assert frame[["trend", "range", "defensive"]].to_numpy().tobytes() == table.block.belief.tobytes()
    assert frame["regime"].tolist() == [("trend", "range", "defensive")[k] for k in table.block.belief.argmax(axis=1)]


def test_at_most_so_many_training_rows_are_read_evenly_spread():
    assert regime.thinned(slice(5, 50), 45) == slice(5, 50)
    rows = regime.thinned(slice(100, 1100), 50)
    assert len(rows) == 50
    assert (rows[0], rows[-1]) == (100, 1099)
    assert set(np.diff(rows)) <= {20, 21}


def test_the_book_is_read_by_the_columns_the_pipeline_names(made):
    """The encoders' inputs exist in the simulated world; without them the walk above would prove little."""
    assert np.isfinite(made.bars.values[:, INDEX["dom.bid_sz_1"]]).all()
