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
_STAMPS = ("ts", "available_at")


def write(bars: Bars, path: Path, *, single: bool = False, bits: int | None = None) -> Path:
    """Write bars with the base series that hold anything, replacing `path` in one step.

    Parameters
    ----------
    single : keep series that are neither whole nor half numbers in float32, and pack all tightly
    bits : the same with fewer significant bits, 4-24; 12 is a relative error of 1/8192 at half the size

    Notes
    -----
    Whole numbers take the smallest integer that holds them: prices, sizes, counts and flows are always exact.
    """
    bits = 24 if single and bits is None else bits
    columns = {"ts": pa.array(bars.ts, _STAMP), "available_at": pa.array(bars.available_at, _STAMP)}
    for name in SERIES:
        values = bars.column(name)
        if not np.all(np.isnan(values)):
            columns[name] = _packed(values, bits)
    plain = pa.table(columns)
    about = {
        "market": bars.market,
        "bar_minutes": str(bars.bar_minutes),
        "sha256": digest.of_arrays(bars.ts, bars.available_at, _values(plain, len(bars))),
    }
    dense = [name for name, column in columns.items() if _is_dense(column)]
    split = dict.fromkeys(dense, "BYTE_STREAM_SPLIT")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(
            plain.replace_schema_metadata(about),
            fresh,
            compression="zstd",
            compression_level=3 if bits is None else 19,
            use_dictionary=[name for name in columns if name not in dense and name not in _STAMPS],
            column_encoding={**split, **dict.fromkeys(_STAMPS, "DELTA_BINARY_PACKED")},
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
        table = pq.read_table(path)
    except (pa.ArrowException, OSError):
        raise DataError(f"{path} is no readable Parquet file; write it again with task=ingest") from None
    about = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items() if k != b"ARROW:schema"}
    if not {"market", "bar_minutes", "sha256"} <= set(about) or not {"ts", "available_at"} <= set(table.column_names):
        raise DataError(f"{path} is no table of bars written by mia; read it with source=files")
    unknown = [n for n in table.column_names if n not in INDEX and n not in _STAMPS]
    if unknown:
        raise DataError(f"{path} holds the unknown series {unknown[0]}; write it again with task=ingest")
    ts, available_at = (table[n].cast(pa.int64()).to_numpy() for n in _STAMPS)
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


def _packed(values: np.ndarray, bits: int | None) -> pa.Array:
    """Column of the smallest type that holds the values; missing ones become nulls."""
    missing = np.isnan(values)
    plain = np.where(missing, 0.0, values)
    negative_zero = np.any(np.signbit(plain) & (plain == 0))  # an integer would lose its sign
    if not negative_zero and np.all(plain == np.rint(plain)) and np.all(np.abs(plain) < 2**53):
        for kind in (np.int8, np.int16, np.int32, np.int64):
            if plain.min(initial=0) >= np.iinfo(kind).min and plain.max(initial=0) <= np.iinfo(kind).max:
                return pa.array(plain.astype(kind), mask=missing)
    if bits is not None and not np.all(2 * plain == np.rint(2 * plain)):
        return pa.array(_rounded(plain, bits), mask=missing)
    return pa.array(plain, mask=missing)


def _rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """Nearest float32 with so many significant bits; the zeros that remain cost nothing once packed."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits).astype(np.float32)


def _is_dense(column: pa.Array) -> bool:
    """Whether a column has too many different values for a dictionary to pay."""
    if pa.types.is_timestamp(column.type) or column.type.bit_width < 16:
        return False
    distinct = len(column.unique())
    if pa.types.is_integer(column.type):
        return distinct > 256
    return distinct * 8 > len(column)


def _values(table: pa.Table, rows: int) -> np.ndarray:
    values = np.full((rows, WIDTH), np.nan)
    for name in table.column_names:
        if name in INDEX:
            values[:, INDEX[name]] = table[name].cast(pa.float64()).to_numpy()
    return values
