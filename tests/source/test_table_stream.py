"""Bars that pass through disk in pieces come back bit for bit, and a damaged table is refused in one line."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mia.domain.bars import Bars
from mia.domain.errors import ArtefactMissing, DataError
from mia.domain.rng import generator
from mia.domain.series import SERIES, WIDTH
from mia.source.table_stream import Writer, chunks

ROWS = 700


@pytest.fixture(scope="module")
def bars():
    rng = generator(0, "test", "stream")
    values = rng.standard_normal((ROWS, WIDTH))
    values[rng.random((ROWS, WIDTH)) < 0.2] = np.nan
    values[3, :4] = [np.inf, -np.inf, -0.0, 5e-324]
    ts = 1_736_000_000_000_000_001 + np.cumsum(rng.integers(1, 10**12, ROWS))
    return Bars(market="ES", bar_minutes=5, ts=ts, available_at=ts + rng.integers(0, 10**9, ROWS), values=values)


def part(bars, start, stop):
    columns = {name: getattr(bars, name)[start:stop] for name in ("ts", "available_at", "values")}
    return Bars(market=bars.market, bar_minutes=bars.bar_minutes, **columns)


def write(bars, path, edges):
    writer = Writer(path)
    for start, stop in pairwise(edges):
        writer.add(part(bars, start, stop))
    writer.close()


def read(path, rows):
    return list(chunks(path, market="ES", bar_minutes=5, rows=rows))


@pytest.mark.parametrize("edges", [[0, ROWS], [0, 1, 2, 699, ROWS], [0, 350, 350, ROWS]])
@pytest.mark.parametrize("rows", [7, 64, 350, 10_000])
def test_every_bit_comes_back_however_it_was_written_and_is_read(bars, tmp_path, edges, rows):
    write(bars, tmp_path / "bars.parquet", edges)
    pieces = read(tmp_path / "bars.parquet", rows)
    assert all(0 < len(piece) <= rows for piece in pieces)
    for name in ("ts", "available_at", "values"):
        joined = np.concatenate([getattr(piece, name) for piece in pieces])
        assert joined.dtype == getattr(bars, name).dtype
        assert joined.tobytes() == getattr(bars, name).tobytes()
    assert {(piece.market, piece.bar_minutes) for piece in pieces} == {("ES", 5)}


def test_people_can_read_the_table_without_the_project(bars, tmp_path):
    import pandas as pd

    write(bars, tmp_path / "bars.parquet", [0, 300, ROWS])
    frame = pd.read_parquet(tmp_path / "bars.parquet")
    assert list(frame) == ["ts", "available_at", *SERIES]
    assert str(frame["ts"].dtype) == "datetime64[ns, UTC]"
    assert np.array_equal(frame["bar.close"], bars.column("bar.close"), equal_nan=True)


def test_a_table_that_is_not_there_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(ArtefactMissing, match="run task=ingest first"):
        read(tmp_path / "bars.parquet", 10)


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "unfinished"])
def test_a_damaged_file_is_refused(bars, tmp_path, damage):
    path = tmp_path / "bars.parquet"
    write(bars, path, [0, ROWS])
    content = path.read_bytes()
    spoilt = {"cut": content[: len(content) // 2], "empty": b"", "garbage": b"x" * 1000, "unfinished": content[:-8]}
    path.write_bytes(spoilt[damage])
    with pytest.raises(DataError, match="no readable Parquet file") as caught:
        read(path, 10)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_file_with_one_flipped_byte_is_refused_in_one_line(bars, tmp_path, place):
    path = tmp_path / "bars.parquet"
    write(bars, path, [0, ROWS])
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="no readable Parquet file") as caught:
        read(path, 100)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", ["fewer", "renamed", "moved"])
def test_a_table_of_other_series_is_refused(bars, tmp_path, change):
    write(bars, tmp_path / "bars.parquet", [0, ROWS])
    table = pq.read_table(tmp_path / "bars.parquet")
    names = list(table.column_names)
    if change == "fewer":
        table = table.drop_columns([SERIES[-1]])
    elif change == "renamed":
        table = table.rename_columns([*names[:-1], "cal.unknown"])
    else:
        table = table.select([*names[:2], names[3], names[2], *names[4:]])
    pq.write_table(table, tmp_path / "other.parquet")
    with pytest.raises(DataError, match="holds other series than this version knows"):
        read(tmp_path / "other.parquet", 10)


def test_an_empty_table_has_no_piece(bars, tmp_path):
    write(bars, tmp_path / "bars.parquet", [0])
    assert read(tmp_path / "bars.parquet", 10) == []
    assert pq.read_schema(tmp_path / "bars.parquet").names[2:] == list(SERIES)
    assert isinstance(pq.read_table(tmp_path / "bars.parquet"), pa.Table)
