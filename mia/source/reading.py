"""Finds, reads and checks CSV and Parquet files of anybody's making; called by `rows` only."""

import csv
import gzip
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mia.domain.errors import ConfigurationError, DataError
from mia.source.settings import FilesSettings

Array = np.ndarray

CSV = (".csv", ".txt", ".csv.gz", ".txt.gz")
PARQUET = (".parquet", ".pq")
STAMPS = ("ts", "timestamp", "datetime", "date", "time")
_ZONED = re.compile(r"(?:[Zz]|[+-]\d{2}:?\d{2})$")


def find_files(settings: FilesSettings, root: Path) -> list[Path]:
    """Files that `path` names, in order of their names.

    Raises
    ------
    ConfigurationError : if there is none.
    """
    path = Path(settings.path or "").expanduser()
    path = path if path.is_absolute() else root / path
    if path.is_file():
        return [path]
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file() and _kind(p) is not None)
        if not found:
            raise ConfigurationError(f"source.path {settings.path} is a folder without .csv or .parquet files")
        return found
    if any(c in str(path) for c in "*?["):
        anchor = Path(path.anchor)
        found = sorted(p for p in anchor.glob(str(path.relative_to(anchor))) if p.is_file())
        if found:
            return found
        raise ConfigurationError(f"source.path {settings.path} matches no file")
    raise ConfigurationError(f"source.path {settings.path} does not exist; it is looked for from {root}")


def _kind(path: Path) -> str | None:
    name = path.name.lower()
    if name.endswith(CSV):
        return "csv"
    return "parquet" if name.endswith(PARQUET) else None


def read_files(settings: FilesSettings, root: Path) -> pd.DataFrame:
    """All rows of all files in one table, filtered, columns renamed to the names `settings.columns` uses.

    Raises
    ------
    ConfigurationError, DataError : naming the file or column, what is wrong, and the remedy.
    """
    parts = []
    for path in find_files(settings, root):
        frame = _read_csv(path) if _kind(path) == "csv" else _read_parquet(path)
        if len(frame):
            parts.append(_rename(_filtered(frame, settings, path), settings, path))
        elif len(frame.columns):
            _rename(frame, settings, path)
    if not parts:
        raise DataError(f"source.path {settings.path} holds no row")
    frame = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0].reset_index(drop=True)
    if not len(frame):
        raise DataError(f"source.filters {settings.filters} leave no row of {settings.path}")
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError):
        raise DataError(f"{path.name} is no readable Parquet file (damaged or cut short); fetch it again") from None
    _no_duplicates(table.column_names, path)
    return table.to_pandas(ignore_metadata=True)


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        opener = gzip.open if path.name.lower().endswith(".gz") else open
        with opener(path, "rt", newline="", encoding="utf-8-sig") as lines:
            sample = lines.readline()
        if "\0" in sample:
            raise UnicodeError  # noqa: TRY301
        if not sample.strip():
            raise DataError(f"{path.name} is empty; fetch it again or correct source.path")
        separator = max(",;\t|", key=sample.count)
        _no_duplicates([c.strip() for c in next(csv.reader([sample], delimiter=separator))], path)
        frame = pd.read_csv(path, sep=separator, skipinitialspace=True, encoding="utf-8-sig", low_memory=False)
    except (UnicodeError, gzip.BadGzipFile, EOFError, csv.Error):
        raise DataError(f"{path.name} is no text in UTF-8, so no CSV; correct source.path or convert it") from None
    except pd.errors.ParserError as error:
        raise DataError(f"{path.name} is no regular CSV ({str(error).splitlines()[-1].strip()})") from None
    return frame.rename(columns=lambda name: str(name).strip())


def _no_duplicates(names: list[str], path: Path) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"{path.name} has two columns called {name!r}; rename or drop one")
        seen.add(name)


def _column(frame: pd.DataFrame, name: str, option: str, path: Path) -> str:
    """The column meant, capitals aside."""
    if name in frame.columns:
        return name
    alike = [c for c in frame.columns if str(c).lower() == name.lower()]
    if len(alike) == 1:
        return alike[0]
    known = ", ".join(str(c) for c in frame.columns[:12])
    raise DataError(f"{path.name} has no column {name!r} ({option}); it has: {known[:200]}")


def _filtered(frame: pd.DataFrame, settings: FilesSettings, path: Path) -> pd.DataFrame:
    for name, value in settings.filters.items():
        column = _column(frame, name, "source.filters", path)
        frame = frame[frame[column].astype(str) == value]
    return frame


def _rename(frame: pd.DataFrame, settings: FilesSettings, path: Path) -> pd.DataFrame:
    """Only the wanted columns, under our names."""
    wanted: dict[str, Any] = {"timestamp": frame[_stamp_column(frame, settings, path)]}
    fields = {
        "bars": ("open", "high", "low", "close", "volume", "roll"),
        "ticks": ("price", "size", "side", "bid", "ask", "bid_size", "ask_size", "roll"),
        "series": (),
    }[settings.content]
    for field in ("time", *fields):
        name = getattr(settings.columns, field)
        if name is not None:
            wanted[field] = frame[_column(frame, name, f"source.columns.{field}", path)]
    for series, name in _series_columns(frame, settings).items():
        wanted[series] = frame[_column(frame, name, f"source.series.{series}", path)]
    return pd.DataFrame(wanted)


def _series_columns(frame: pd.DataFrame, settings: FilesSettings) -> dict[str, str]:
    from mia.domain.series import INDEX

    own = {c: c for c in frame.columns if c in INDEX} if settings.content == "series" else {}
    return {**own, **settings.series}


def _stamp_column(frame: pd.DataFrame, settings: FilesSettings, path: Path) -> str:
    if settings.columns.timestamp is not None:
        return _column(frame, settings.columns.timestamp, "source.columns.timestamp", path)
    found = [c for c in frame.columns if str(c).lower() in STAMPS]
    for wanted in STAMPS:
        named = [c for c in found if str(c).lower() == wanted]
        if named:
            return named[0]
    known = ", ".join(str(c) for c in frame.columns[:12])
    raise DataError(
        f"{path.name} has no column called {', '.join(STAMPS)}; "
        f"name one in source.columns.timestamp, it has: {known[:200]}"
    )


def stamps_ns(frame: pd.DataFrame, settings: FilesSettings) -> tuple[Array, Array]:
    """(N,) int64 stamps [ns UTC] and (N,) bool, True where the stamp does not exist in its zone.

    Raises
    ------
    DataError : if stamps cannot be read or mix zoned and naive ones; ConfigurationError : no zone declared.
    """
    column = frame["timestamp"]
    if "time" in frame:
        column = column.astype(str).str.slice(0, 10) + " " + frame["time"].astype(str)
    if pd.api.types.is_numeric_dtype(column):
        return _from_epoch(column)
    if not isinstance(column.dtype, pd.DatetimeTZDtype) and not pd.api.types.is_datetime64_dtype(column):
        column = _from_text(column.astype(str))
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        utc = column.dt.tz_convert("UTC")
    else:
        if settings.timezone is None:
            raise ConfigurationError(
                "source.timezone is not declared and the stamps name none; "
                "add source.timezone=UTC or e.g. source.timezone=America/New_York"
            )
        utc = column.dt.tz_localize(settings.timezone, ambiguous="NaT", nonexistent="NaT").dt.tz_convert("UTC")
    bad = utc.isna().to_numpy()
    return utc.dt.as_unit("ns").astype("int64").where(~bad, 0).to_numpy(), bad


def _from_epoch(column: pd.Series) -> tuple[Array, Array]:
    """Numbers since 1970: seconds, ms, us or ns by their size."""
    values = column.to_numpy(dtype=float)
    typical = np.nanmedian(np.abs(values))
    for limit, unit in ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000), (1e20, 1)):
        if typical < limit:
            if typical * unit < 3e17:
                break
            bad = np.isnan(values)
            if pd.api.types.is_integer_dtype(column):
                return column.to_numpy(np.int64) * unit, bad
            return np.rint(np.where(bad, 0, values) * unit).astype(np.int64), bad
    raise DataError(f"source.columns.timestamp: {column.iloc[0]} is no time since 1970 in s, ms, us or ns")


def _from_text(text: pd.Series) -> pd.Series:
    zoned = text.str.contains(_ZONED) & text.str.contains(":")
    if zoned.any() and not zoned.all():
        one, other = text[zoned].iloc[0], text[~zoned].iloc[0]
        raise DataError(f"some stamps name a zone and some do not ({one!r}, {other!r}); write all one way")
    try:
        return pd.to_datetime(text, utc=bool(zoned.all()), format="ISO8601")
    except ValueError:
        pass
    try:
        with warnings.catch_warnings():
            # without one format for all rows each is guessed alone: 01/02 could be January or February
            warnings.simplefilter("error", UserWarning)
            return pd.to_datetime(text, utc=bool(zoned.all()))
    except (ValueError, TypeError, UserWarning):
        readable = pd.to_datetime(text, utc=True, errors="coerce", format="mixed")
        first = text[readable.isna()].iloc[0] if readable.isna().any() else text.iloc[0]
        raise DataError(
            f"source.columns.timestamp: {first!r} is no date and time; write like 2025-01-31 09:30:00"
        ) from None


def numbers(frame: pd.DataFrame, name: str) -> Array:
    """(N,) float64 of a column, NaN where empty.

    Raises
    ------
    DataError : if a value is not a number.
    """
    column = frame[name]
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=float, na_value=np.nan)
    values = pd.to_numeric(column, errors="coerce")
    wrong = values.isna() & column.notna() & (column.astype(str).str.strip() != "")
    if wrong.any():
        k = int(np.flatnonzero(wrong.to_numpy())[0])
        raise DataError(
            f"column {column.name!r} for {name} is not a number in {int(wrong.sum())} rows, "
            f"first {column.iloc[k]!r} in row {k + 1}; correct it or name another column"
        )
    return values.to_numpy(dtype=float, na_value=np.nan)
