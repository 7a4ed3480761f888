"""One table of a file that is joined to the bars, with its stamps; called by series, chain and news files.

Reads and refuses as the bar files do (`reading`), in the words of the setting that is at fault.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from mia.domain.errors import ConfigurationError, DataError
from mia.source import reading

Array = np.ndarray


@contextmanager
def speaking_of(where: str, time: str) -> Iterator[None]:
    """Name the setting at fault: `reading` speaks of source.path and source.columns.timestamp."""
    words = {
        "source.columns.timestamp": time,
        "source.path": f"{where} path",
        "source.timezone": f"{where} timezone",
    }
    try:
        yield
    except (ConfigurationError, DataError) as error:
        text = str(error)
        for old, new in words.items():
            text = text.replace(old, new)
        raise type(error)(text) from None


@dataclass(frozen=True, slots=True)
class JoinedTable:
    """Rows of one file.

    Parameters
    ----------
    frame : the file's own columns, filtered, index 0..N-1
    file : the file, for messages
    where : the setting that named it, for messages
    """

    frame: pd.DataFrame
    file: Path
    where: str

    def __len__(self) -> int:
        return len(self.frame)

    def name(self, column: str, option: str) -> str:
        """The column meant, capitals aside; DataError if there is none."""
        return reading._column(self.frame, column, f"{self.where} {option}", self.file)

    def numbers(self, column: str, option: str) -> Array:
        """(N,) float64, NaN where empty; DataError if a value is no number."""
        name = self.name(column, option)
        try:
            return reading.numbers(self.frame, name)
        except DataError as error:
            raise DataError(f"{self.file.name} ({self.where} {option}): {error}") from None

    def texts(self, column: str, option: str) -> list[str]:
        """N stripped texts, "" where empty."""
        values = self.frame[self.name(column, option)]
        return [text.strip() for text in values.astype(object).where(values.notna(), "").map(str)]

    def stamps(self, column: str | None, timezone: str | None, option: str) -> Array:
        """(N,) int64 [ns UTC].

        Raises
        ------
        DataError : if a stamp is missing, unreadable or does not exist in its zone.
        ConfigurationError : if stamps name no zone and none is declared.
        """
        name = self.name(column, option) if column else self.usual_stamp(option)
        empty = self.frame[name].isna().to_numpy()
        if empty.any():
            raise DataError(
                f"{self.file.name}: {int(empty.sum())} stamps in {name!r} ({self.where} {option}) are missing, first "
                f"in row {int(np.argmax(empty)) + 1}; correct or drop those rows"
            )
        table = pd.DataFrame({"timestamp": self.frame[name]})
        with speaking_of(self.where, f"{self.where} {option}"):
            ns, bad = reading.stamps_ns(table, SimpleNamespace(timezone=timezone))  # type: ignore[arg-type]
        if bad.any():
            raise DataError(
                f"{self.file.name}: {int(bad.sum())} stamps in {name!r} ({self.where} {option}) do not exist in "
                f"{timezone}, first in row {int(np.argmax(bad)) + 1}; correct or drop those rows"
            )
        return ns

    def days(self, column: str, option: str) -> tuple[Array, Array]:
        """(N,) int64 dates in days since 1970-01-01 and (N,) bool, True where the stamp is a date alone.

        A date is a naive stamp at midnight, or text without a time of day. Rows that are more than a date have 0.

        Raises
        ------
        DataError : if a value is empty or unreadable.
        """
        values = self.frame[self.name(column, option)]
        if not (isinstance(values.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_dtype(values)):
            values = self._read_dates(values, option)
        if values.isna().any():
            row = int(np.argmax(values.isna().to_numpy())) + 1
            raise DataError(f"{self.file.name}: column {values.name!r} ({self.where} {option}) is empty in row {row}")
        if isinstance(values.dtype, pd.DatetimeTZDtype):
            return np.zeros(len(values), np.int64), np.zeros(len(values), bool)
        naive = values.to_numpy().astype("datetime64[ns]")
        day = naive.astype("datetime64[D]")
        return day.astype(np.int64), naive == day

    def _read_dates(self, values: pd.Series, option: str) -> pd.Series:
        text = values.astype(str).str.strip()
        compact = text.str.fullmatch(r"\d{8}").all()
        try:
            read = pd.to_datetime(text, format="%Y%m%d" if compact else "ISO8601")
        except (ValueError, TypeError):
            good = pd.to_datetime(text, format="%Y%m%d" if compact else "ISO8601", errors="coerce").notna()
            first = text[~good].iloc[0] if not good.all() else text.iloc[0]
            raise DataError(
                f"{self.file.name}: {first!r} in column {values.name!r} ({self.where} {option}) is no date; "
                "write like 2025-01-31"
            ) from None
        return read.rename(values.name)

    def usual_stamp(self, option: str) -> str:
        names = [c for c in self.frame.columns if str(c).lower() in reading.STAMPS]
        if len(names) == 1:
            return str(names[0])
        known = ", ".join(str(c) for c in self.frame.columns[:12])
        found = f"{' and '.join(map(str, names))} could both be" if names else "no column is"
        raise DataError(f"{self.file.name}: {found} the stamp; name it in {self.where} {option}; it has: {known[:200]}")


def tables(path: str, filters: Mapping[str, str] | None, root: Path, where: str) -> Iterator[JoinedTable]:
    """The files that `path` names, one after the other in order of their names; empty ones are left out.

    Raises
    ------
    ConfigurationError, DataError : naming the file, what is wrong and the remedy.
    """
    with speaking_of(where, where):
        files = reading.find_files(SimpleNamespace(path=path), root)  # type: ignore[arg-type]
    found = False
    for file in files:
        with speaking_of(where, where):
            frame = reading._read_csv(file) if reading._kind(file) == "csv" else reading._read_parquet(file)
        frame = _filtered(frame, filters or {}, file, where)
        if len(frame):
            found = True
            yield JoinedTable(frame.reset_index(drop=True), file, where)
    if not found:
        reason = f"its filters {dict(filters)} leave no row of {path}" if filters else f"{path} holds no row"
        raise DataError(f"{where}: {reason}; correct the setting or the file")


def _filtered(frame: pd.DataFrame, filters: Mapping[str, Any], file: Path, where: str) -> pd.DataFrame:
    for name, value in filters.items():
        frame = frame[frame[reading._column(frame, name, f"{where} filters", file)].astype(str) == value]
    return frame
