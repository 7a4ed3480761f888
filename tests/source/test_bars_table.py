"""Tables of bars on disk: the same bits come back, and anything else is refused."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mia.domain.bars import Bars
from mia.domain.errors import ArtefactMissing, DataError
from mia.domain.rng import generator
from mia.domain.series import INDEX, WIDTH
from mia.source import table

MINUTE = 60_000_000_000


@pytest.fixture
def bars() -> Bars:
    rng = generator(3, "tests", "table")
    values = np.full((500, WIDTH), np.nan)
    values[:, INDEX["bar.close"]] = 20_000 + np.cumsum(rng.integers(-3, 4, 500))
    values[:, INDEX["bar.volume"]] = rng.integers(0, 10**6, 500)
    values[:, INDEX["dom.ofi_1"]] = rng.integers(-900, 900, 500)
    values[:, INDEX["qot.mid"]] = values[:, INDEX["bar.close"]] + 0.5
    values[:, INDEX["trd.hawkes_all"]] = rng.exponential(20, 500)
    values[:, INDEX["trd.eff_spread_vw"]] = np.where(rng.random(500) < 0.2, np.nan, rng.random(500))
    values[:, INDEX["trd.pv2"]] = rng.integers(0, 2**50, 500)
    values[::7, INDEX["dom.bid_px_10"]] = 19_990
    values[0, INDEX["xa.vix"]] = -0.0
    values[1:, INDEX["xa.vix"]] = 15.0
    ts = np.arange(1, 501, dtype=np.int64) * MINUTE
    return Bars(market="ES", bar_minutes=1, ts=ts, available_at=ts + 5, values=values)


def test_what_was_written_comes_back_bit_for_bit(bars, tmp_path):
    again = table.read(table.write(bars, tmp_path / "deep" / "bars.parquet"))
    assert again.values.tobytes() == bars.values.tobytes()
    assert np.array_equal(again.ts, bars.ts)
    assert np.array_equal(again.available_at, bars.available_at)
    assert (again.market, again.bar_minutes) == ("ES", 1)


def test_fewer_bits_touch_only_fractions_and_make_a_smaller_file(bars, tmp_path):
    exact = table.write(bars, tmp_path / "exact.parquet")
    packed = table.write(bars, tmp_path / "bars.parquet", bits=12)
    assert packed.stat().st_size < exact.stat().st_size
    again = table.read(packed)
    whole = [INDEX[n] for n in ("bar.close", "bar.volume", "dom.ofi_1", "qot.mid", "trd.pv2", "dom.bid_px_10")]
    assert again.values[:, whole].tobytes() == bars.values[:, whole].tobytes()
    assert again.column("trd.hawkes_all") == pytest.approx(bars.column("trd.hawkes_all"), rel=2**-12)


def test_only_series_that_hold_something_are_stored_and_time_is_utc(bars, tmp_path):
    stored = pq.read_schema(table.write(bars, tmp_path / "bars.parquet"))
    assert "bar.open" not in stored.names
    assert stored.field("ts").type == pa.timestamp("ns", tz="UTC")
    assert stored.field("bar.volume").type == pa.int32()


def test_writing_twice_gives_the_same_file(bars, tmp_path):
    one, other = table.write(bars, tmp_path / "a.parquet"), table.write(bars, tmp_path / "b.parquet")
    assert one.read_bytes() == other.read_bytes()


def test_a_failed_write_leaves_the_old_table_and_no_litter(bars, tmp_path, monkeypatch):
    path = table.write(bars, tmp_path / "bars.parquet")
    before = path.read_bytes()

    def broken(*_args, **_kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(table.pq, "write_table", broken)
    with pytest.raises(OSError, match="disk full"):
        table.write(bars.head(3), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["bars.parquet"]


def test_an_altered_table_is_refused(bars, tmp_path):
    path = table.write(bars, tmp_path / "bars.parquet")
    content = pq.read_table(path)
    at = content.column_names.index("bar.close")
    changed = content.set_column(at, "bar.close", pa.array(np.full(500, 1.0)))
    pq.write_table(changed, path)
    with pytest.raises(DataError, match="was altered since it was written"):
        table.read(path)


def test_what_is_no_table_of_bars_is_refused(tmp_path):
    with pytest.raises(ArtefactMissing, match="run task=ingest first"):
        table.read(tmp_path / "bars.parquet")
    path = tmp_path / "garbage.parquet"
    path.write_bytes(b"PAR1 garbage")
    with pytest.raises(DataError, match="no readable Parquet file"):
        table.read(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(DataError, match="no table of bars written by mia"):
        table.read(path)
