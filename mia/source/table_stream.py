"""Closed bars as a Parquet file written and read piece by piece: memory is that of one piece."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mia.domain.bars import Bars
from mia.domain.errors import ArtefactMissing, DataError
from mia.domain.series import SERIES

_STAMP = pa.timestamp("ns", tz="UTC")
_SCHEMA = pa.schema(
    [pa.field("ts", _STAMP), pa.field("available_at", _STAMP), *(pa.field(name, pa.float64()) for name in SERIES)]
)


class Writer:
    """A table of bars that grows.

    Parameters
    ----------
    path : file to make; it is complete only after `close`
    """

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetWriter(
            path, _SCHEMA, compression="zstd", write_statistics=False, write_page_checksum=True
        )

    def add(self, bars: Bars) -> None:
        """Write more bars."""
        columns = [pa.array(bars.ts, _STAMP), pa.array(bars.available_at, _STAMP)]
        columns += [pa.array(np.ascontiguousarray(column)) for column in bars.values.T]
        self._file.write_table(pa.Table.from_arrays(columns, schema=_SCHEMA))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def chunks(path: Path, *, market: str, bar_minutes: int, rows: int) -> Iterator[Bars]:
    """Read bars in the order written, at most `rows` at a time.

    Raises
    ------
    ArtefactMissing : if there is no such file.
    DataError : if it is no table of bars of this version.
    """
    if not path.is_file():
        raise ArtefactMissing(f"no table of bars at {path}; run task=ingest first")
    damaged = DataError(f"{path} is no readable Parquet file; write it again with task=ingest")
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError):
        raise damaged from None
    with file:
        if file.schema_arrow.names != _SCHEMA.names:
            raise DataError(f"{path} holds other series than this version knows; write it again with task=ingest")
        batches = file.iter_batches(batch_size=rows)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError):
                raise damaged from None
            if batch is None:
                return
            yield _bars(batch, market, bar_minutes)


def _bars(batch: pa.RecordBatch, market: str, bar_minutes: int) -> Bars:
    values = np.column_stack([batch.column(name).to_numpy(zero_copy_only=False) for name in SERIES])
    return Bars(
        market=market,
        bar_minutes=bar_minutes,
        ts=batch.column("ts").cast(pa.int64()).to_numpy(),
        available_at=batch.column("available_at").cast(pa.int64()).to_numpy(),
        values=np.ascontiguousarray(values),
    )
