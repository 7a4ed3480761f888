"""Bars on disk: what was made comes back, stale settings are noticed, and an altered table is refused."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_walk

from mia.domain.errors import ArtefactMissing, ConfigurationError, DataError
from mia.task import ingest, store
from mia.task.watch import Watch


@pytest.fixture(scope="module")
def watch():
    return Watch(quiet=True)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("outputs")
    words = ("features=bars_only", "source.hours=rth", "source.sessions=2", f"outputs={outputs}")
    return small_walk.compose("ES", "awareness=off", *words)


@pytest.fixture(scope="module")
def folder(settings):
    return store.folder(settings.outputs, "ingest", "ES")


@pytest.fixture(scope="module")
def made(settings, watch):
    return ingest.make(settings, watch)


@pytest.fixture(scope="module")
def written(settings, folder, watch):
    ingest.write(settings, folder, watch)
    return ingest.stored(settings)


def changed(settings, room, **values):
    return replace(settings, **{room: replace(getattr(settings, room), **values)})


def test_what_was_written_piece_by_piece_is_what_is_made_in_memory(settings, made, written):
    read = ingest.load(settings)
    for name in ("ts", "available_at", "values"):
        assert getattr(read.bars, name).tobytes() == getattr(made.bars, name).tobytes()
    assert read.digest == made.digest == written.digest
    assert (read.session_minutes, read.bars.bar_minutes) == (made.session_minutes, made.bars.bar_minutes) == (390, 1)
    assert read.facts == made.facts
    assert ingest.describe(read) == ingest.describe(made)


def test_the_stage_says_how_many_rows_there_are_and_which_sources(made, written):
    assert written.rows == len(made.bars) == 780
    assert written.sources == made.bars.sources_present()
    assert set(written.sources) == {"bars", "trades", "depth", "cross", "options", "news", "calendar"}


def test_the_digest_follows_from_stamps_and_values_alone(made):
    assert ingest._digest(made.bars) == made.digest
    moved = replace(made.bars, values=np.where(made.bars.values == made.bars.values[5, 3], 1.0, made.bars.values))
    assert ingest._digest(moved) != made.digest


@pytest.mark.parametrize("rows", [7, 390, 5000])
def test_pieces_read_back_hold_at_most_so_many_rows_and_all_of_them(written, made, rows):
    pieces = list(written.chunks(rows))
    assert max(map(len, pieces)) <= rows
    assert np.concatenate([piece.ts for piece in pieces]).tolist() == made.bars.ts.tolist()


def test_bars_that_are_what_is_asked_for_are_not_made_again(settings, folder, written, watch, monkeypatch):
    monkeypatch.setattr(ingest, "write", None)  # calling it would raise
    assert ingest.ensured(settings, watch).digest == written.digest
    assert ingest.ensured(replace(settings, quiet=True), watch).digest == written.digest
    assert ingest.ensured(changed(settings, "risk", max_contracts=2), watch).digest == written.digest


@pytest.mark.parametrize(
    ("room", "values"),
    [
        ("source", {"alpha": 0.1}),
        ("source", {"sessions": 3}),
        ("options", {"max_age_minutes": 10.0}),
        ("news", {"novelty_hours": 2.0}),
        ("market", {"round_step": 50.0}),
        (None, {"seed": 7}),
    ],
)
def test_bars_of_other_settings_are_noticed_and_made_again(settings, written, watch, monkeypatch, room, values):
    asked = []
    monkeypatch.setattr(ingest, "write", lambda settings, target, watch: asked.append(target))
    other = changed(settings, room, **values) if room else replace(settings, **values)
    ingest.ensured(other, watch)
    assert len(asked) == 1


def test_the_seed_does_not_decide_what_is_read_from_files(root):
    words = ("source=files", "source.path=x.csv", "source.label=open", "features=bars_only")
    settings = small_walk.compose("ES", "awareness=off", *words)
    assert ingest.asked(settings) == ingest.asked(replace(settings, seed=3))
    assert ingest.asked(settings) != ingest.asked(changed(settings, "source", path="y.csv"))


def test_a_stage_that_has_not_run_is_missed_with_its_command(settings, tmp_path):
    with pytest.raises(ArtefactMissing, match="task=ingest"):
        ingest.load(replace(settings, outputs=str(tmp_path)))


@pytest.fixture
def altered(settings, written, folder):
    """A way to change the table on disk; it is put back afterwards."""
    path = folder / "bars.parquet"
    kept = path.read_bytes()
    yield lambda change: pq.write_table(change(pq.read_table(path)), path)
    path.write_bytes(kept)


def with_column(table, name, change):
    column = np.array(table.column(name).to_numpy())
    change(column)
    return table.set_column(table.column_names.index(name), table.schema.field(name), pa.array(column))


def raise_one_close(column):
    column[500] += 1.0


@pytest.mark.parametrize(
    "change",
    [
        lambda table: with_column(table, "bar.close", raise_one_close),
        lambda table: table.slice(0, 700),
        lambda table: table.slice(1),
    ],
    ids=["one price", "fewer rows", "another start"],
)
def test_a_table_that_was_altered_is_refused_in_one_line(settings, altered, change):
    altered(change)
    with pytest.raises(DataError, match="was altered since it was written; run python -m mia") as caught:
        ingest.load(settings)
    assert "\n" not in str(caught.value)


def test_a_run_that_fails_leaves_the_bars_of_the_one_before(settings, written, folder, watch, monkeypatch):
    def broken(settings, feed):
        yield next(feed.pieces)
        raise DataError("the cable was pulled")

    monkeypatch.setattr(ingest, "complete", broken)
    with pytest.raises(DataError, match="cable"):
        ingest.write(settings, folder, watch)
    assert ingest.stored(settings).digest == written.digest
    assert sorted(path.name for path in folder.parent.iterdir()) == ["ES"]


def test_a_source_that_is_no_market_is_refused_with_the_task_it_belongs_to(settings, watch):
    with pytest.raises(ConfigurationError, match="task=known_world"):
        ingest.opened(replace(settings, source=small_walk.compose("ES", "source=yardstick").source), watch)
