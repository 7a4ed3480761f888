"""Closed bars as a Parquet file, whole or not at all; written by the ingest stage, read by the later ones."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mia.domain import digest
from mia.domain.bars import Bars
from mia.domain.errors import ArtefactMissing, DataError
from mia.domain.series import INDEX, SERIES, WIDTH

_STAMP = pa.timestamp("ns", tz="UTC")


def write(bars: Bars, path: Path, *, single: bool = False) -> Path:
    """Write bars with the base series that hold anything, replacing `path` in one step.

    Parameters
    ----------
    single : round fractions to float32, half the size; prices, sizes and counts stay exact

    Notes
    -----
    Whole numbers are stored as the smallest integer that holds them, so reading gives the same bits.
    """
    columns = {"ts": pa.array(bars.ts, _STAMP), "available_at": pa.array(bars.available_at, _STAMP)}
    for name in SERIES:
        values = bars.column(name)
        if not np.all(np.isnan(values)):
            columns[name] = _packed(values, single=single)
    rounded = _values(pa.table(columns), len(bars))
    about = {
        "market": bars.market,
        "bar_minutes": str(bars.bar_minutes),
        "sha256": digest.of_arrays(bars.ts, bars.available_at, rounded),
    }
    table = pa.table(columns).replace_schema_metadata(about)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(
            table,
            fresh,
            compression="zstd",
            compression_level=19,
            use_dictionary=True,
            write_statistics=False,
        )
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return path


def read(path: Path) -> Bars:
    """Read what `write` wrote, bit for bit.

    Raises
    ------
    ArtefactMissing : if there is no such file.
    DataError : if the file is no table of bars, is damaged, or was altered.
    """
    if not path.is_file():
        raise ArtefactMissing(f"no table of bars at {path}; run task=ingest first")
    try:
        table = pq.read_table(path, memory_map=False)
    except (pa.ArrowException, OSError):
        raise DataError(f"{path} is no readable Parquet file; write it again with task=ingest") from None
    about = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items() if k != b"ARROW:schema"}
    if not {"market", "bar_minutes", "sha256"} <= set(about) or not {"ts", "available_at"} <= set(
        table.column_names
    ):
        raise DataError(f"{path} is no table of bars written by mia; read it with source=files")
    unknown = [n for n in table.column_names if n not in INDEX and n not in ("ts", "available_at")]
    if unknown:
        raise DataError(f"{path} holds the unknown series {unknown[0]}; write it again with task=ingest")
    ts, available_at = (table[n].cast(pa.int64()).to_numpy() for n in ("ts", "available_at"))
    values = _values(table, len(ts))
    if digest.of_arrays(ts, available_at, values) != about["sha256"]:
        raise DataError(f"{path} was altered since it was written (its SHA-256 differs); write it again")
    return Bars(
        market=about["market"],
        bar_minutes=int(about["bar_minutes"]),
        ts=ts,
        available_at=available_at,
        values=values,
    )


def _packed(values: np.ndarray, *, single: bool) -> pa.Array:
    """Column of the smallest type that holds the values; missing ones become nulls."""
    missing = np.isnan(values)
    plain = np.where(missing, 0.0, values)
    # -0.0 would come back as 0.0
    whole = (
        np.all(plain == np.rint(plain))
        and np.all(np.abs(plain) < 2**53)
        and not np.any(np.signbit(plain) & (plain == 0))
    )
    if whole:
        for kind in (np.int8, np.int16, np.int32, np.int64):
            if plain.min(initial=0) >= np.iinfo(kind).min and plain.max(initial=0) <= np.iinfo(kind).max:
                return pa.array(plain.astype(kind), mask=missing)
    halves = 2 * plain
    if single and not np.all(halves == np.rint(halves)):
        return pa.array(plain.astype(np.float32), mask=missing)
    return pa.array(plain, mask=missing)


def _values(table: pa.Table, rows: int) -> np.ndarray:
    values = np.full((rows, WIDTH), np.nan)
    for name in table.column_names:
        if name in INDEX:
            values[:, INDEX[name]] = table[name].cast(pa.float64()).to_numpy()
    return values
