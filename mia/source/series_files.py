"""Series of other markets from files, joined to the bars as they became known; called by the ingest task."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mia.domain.bars import Bars
from mia.domain.errors import DataError
from mia.source import as_of
from mia.source.joined_settings import CrossSettings
from mia.source.joined_table import JoinedTable, tables
from mia.source.publication import Publication
from mia.source.quality import stamp

Array = np.ndarray

MINUTE_NS = 60_000_000_000
CONFLICT_SHARE = 0.01  # stamps with two values beyond this share: two instruments in one table


class KnownSeries:
    """The values of one series in the order in which they became known.

    Parameters
    ----------
    settings : what the file holds
    root : folder that a relative path starts from

    Attributes
    ----------
    available : (M,) int64, when each value was known, not decreasing [ns UTC]
    values : (M,) float64, none missing

    Raises
    ------
    ConfigurationError, DataError : one line naming the setting or file, what is wrong and the remedy.
    """

    def __init__(self, settings: CrossSettings, root: Path) -> None:
        self._settings = settings
        where = f"source.cross {settings.series}"
        parts = [self._read(table) for table in tables(settings.path, settings.filters, root, where)]
        at, available, values = (np.concatenate(p) for p in zip(*parts, strict=True))
        self._one_instrument(at, available, values, where)
        given = np.isfinite(values)
        if not given.any():
            raise DataError(f"{where}: column {settings.column!r} of {settings.path} is empty; name another column")
        at, available, values = at[given], available[given], values[given]
        order = as_of.in_order(at, available)
        self.available = available[order]
        self.values = values[order] * (1.0 if settings.scale is None else settings.scale)

    def join(self, ts: Array, max_age_ns: int) -> Array:
        """(N,) float64 newest known value at each stamp, NaN where there is none or it is too old."""
        return as_of.carry(ts, self.available, self.values[:, None], max_age_ns)[:, 0]

    def _read(self, table: JoinedTable) -> tuple[Array, Array, Array]:
        s = self._settings
        values = table.numbers(s.column, "column")
        if s.label == "day":
            days, whole = table.days(s.time or table.usual_stamp("time"), "time")
            if not whole.all():
                raise DataError(
                    f"{table.file.name}: label is day, but row {int(np.argmin(whole)) + 1} has a time of day "
                    f"({table.where} label); use label open or close"
                )
            return days, Publication.parse(str(s.published), f"{table.where} published").of_days(days), values
        at = table.stamps(s.time, s.timezone, "time")
        if s.label == "available":
            known = table.stamps(s.available, s.timezone, "available")
            if np.any(known < at):
                row = int(np.argmax(known < at))
                raise DataError(
                    f"{table.file.name}: row {row + 1} was known at {stamp(known[row])}, before its own time "
                    f"{stamp(at[row])}; correct {table.where} time or available"
                )
            return at, known, values
        return at, at + (s.minutes or 0) * MINUTE_NS, values

    def _one_instrument(self, at: Array, available: Array, values: Array, where: str) -> None:
        """Refuse a table in which many rows share both times but not the value."""
        order = np.lexsort((available, at))
        same = (np.diff(at[order]) == 0) & (np.diff(available[order]) == 0)
        differ = same & (np.abs(np.diff(values[order])) > 0)  # false where one of the two is missing
        if differ.sum() > CONFLICT_SHARE * len(at):
            raise DataError(
                f"{where}: {int(differ.sum())} rows of {self._settings.path} share a stamp but not the value; "
                "choose one instrument with filters, e.g. filters: {symbol: VIX}"
            )


class CrossFiles:
    """All series that files join to the bars; read once, then asked piece by piece.

    Parameters
    ----------
    specs : `source.cross`
    max_age_minutes : series -> how long a value is used, where its spec says nothing [minutes]
    root : folder that relative paths start from
    """

    def __init__(self, specs: Sequence[CrossSettings], max_age_minutes: Mapping[str, int], root: Path) -> None:
        self._known = {spec.series: KnownSeries(spec, root) for spec in specs}
        self._minutes = {
            spec.series: max_age_minutes[spec.series] if spec.max_age_minutes is None else spec.max_age_minutes
            for spec in specs
        }
        self._found = dict.fromkeys(self._known, 0)
        self._span: tuple[int, int] | None = None

    def columns(self, ts: Array) -> dict[str, Array]:
        """Series -> (N,) float64: the newest value known at each close [ns UTC], NaN if none or too old."""
        out = {name: known.join(ts, self._minutes[name] * MINUTE_NS) for name, known in self._known.items()}
        for name, column in out.items():
            self._found[name] += int(np.isfinite(column).sum())
        if len(ts):
            self._span = (self._span[0] if self._span else int(ts[0]), int(ts[-1]))
        return out

    def check(self) -> None:
        """Refuse a series that no bar found a value of, which a wrong zone or label looks like.

        Raises
        ------
        DataError : naming the series, what the file covers and what the bars cover.
        """
        for name, count in self._found.items():
            if count == 0 and self._span is not None:
                first, last = (stamp(t) for t in self._known[name].available[[0, -1]])
                raise DataError(
                    f"source.cross {name}: no bar finds a value: its file was known from {first} to {last}, bars run "
                    f"from {stamp(self._span[0])} to {stamp(self._span[1])}; "
                    f"check label, timezone and max_age_minutes ({self._minutes[name]})"
                )


def join_series(
    bars: Bars, specs: Sequence[CrossSettings], max_age_minutes: Mapping[str, int], root: Path
) -> dict[str, Array]:
    """Read every declared series and join it to one whole table: `CrossFiles` in one call.

    Returns
    -------
    series -> (T,) float64; a bar holds the newest value known at its close.
    """
    files = CrossFiles(specs, max_age_minutes, root)
    columns = files.columns(bars.ts)
    files.check()
    return columns
