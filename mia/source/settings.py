"""Settings of data in files; conf/source/files.yaml makes one. Cheap to import: no numba, no pandas."""

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mia.domain.errors import ConfigurationError
from mia.domain.series import INDEX
from mia.source.joined_settings import (
    ChainSettings,
    CrossSettings,
    NewsFileSettings,
    ReleaseFileSettings,
    check_max_ages,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSettings:
    """Which column of the file holds what; None where the file has no such column.

    Parameters
    ----------
    timestamp : stamp of the row; None: the one column called ts, timestamp, datetime, date or time
    time : time of day, where `timestamp` holds the date alone
    open, high, low, close, volume : of a bar; volume may be None
    price, size, side : of a trade; size and side may be None
    bid, ask, bid_size, ask_size : best quotes standing when the row was written; may be None
    roll : true on the first row of a new contract, or the name of the contract; may be None
    """

    timestamp: str | None
    time: str | None
    open: str | None
    high: str | None
    low: str | None
    close: str | None
    volume: str | None
    price: str | None
    size: str | None
    side: str | None
    bid: str | None
    ask: str | None
    bid_size: str | None
    ask_size: str | None
    roll: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesSettings:
    """Bars or ticks of anybody's making, in CSV or Parquet.

    Parameters
    ----------
    name, kind : option name; "files"
    path : file, folder or glob pattern
    content : "bars", "ticks", or "series" (a table of base series in ticks, as `mia.source.table` writes)
    label : "open" or "close", the end of a bar its stamp stands for; must be declared for bars
    timezone : zone of stamps that name none themselves, "UTC" or IANA
    bar_minutes : length of a bar [minutes]; None: found from the stamps (ticks must declare it)
    price_scale : factor from the file's prices to the market's points, > 0
    hours : "globex" or "rth", the sessions wanted
    calendar : replaces the market's exchange calendar
    start, end : first and last trade date wanted, ISO; None: all
    columns : names of the file's columns
    simulated : the rows were made up, not recorded; every report made from them says so
    series : further base series by name -> column, taken as they are
    filters : column -> value a row must have to be used
    on_quality : "fail" stops on data outside the limits below, "warn" only reports it
    allow_unsorted : False refuses rows that are not in order of time
    max_bad_rows : rows without a usable price [count]
    max_duplicates, max_outliers, max_missing_sessions : [count]; None: any
    max_gap_minutes : longest hole within a session [minutes]; None: any
    cross : series of other markets in files of their own
    max_age_minutes : series -> how long a joined value is used after it was known [minutes]
    chain, news, releases : option quotes, headlines, economic releases in files; None: there are none

    Raises
    ------
    ConfigurationError : naming the setting, its value and the remedy.
    """

    name: str
    kind: str
    path: str | None
    content: str
    label: str | None
    timezone: str | None
    bar_minutes: int | None
    price_scale: float
    hours: str
    calendar: str | None
    start: str | None
    end: str | None
    columns: ColumnSettings
    simulated: bool
    series: dict[str, str]
    filters: dict[str, str]
    on_quality: str
    allow_unsorted: bool
    max_bad_rows: int | None
    max_duplicates: int | None
    max_outliers: int | None
    max_missing_sessions: int | None
    max_gap_minutes: int | None
    cross: tuple[CrossSettings, ...]
    max_age_minutes: dict[str, int]
    chain: ChainSettings | None
    news: NewsFileSettings | None
    releases: ReleaseFileSettings | None

    def __post_init__(self) -> None:
        self._check_choices()
        if not self.path:
            raise ConfigurationError("source.path is not set; add source.path=FILE, a folder or a glob pattern")
        if not 0 < self.price_scale < float("inf"):
            raise ConfigurationError(
                f"source.price_scale must be positive, was {self.price_scale:g}; 1 if the file holds points"
            )
        if self.bar_minutes is not None and self.bar_minutes < 1:
            raise ConfigurationError(f"source.bar_minutes must be at least 1, was {self.bar_minutes}")
        if self.content == "ticks" and self.bar_minutes is None:
            raise ConfigurationError("source.bar_minutes must be declared for ticks, e.g. source.bar_minutes=1")
        if self.content == "bars" and self.label is None:
            raise ConfigurationError(
                "source.label is not declared; add source.label=open if a bar is stamped with the time it "
                "opens, source.label=close if with the time it is complete: a wrong one looks ahead"
            )
        _check_zone(self.timezone)
        for field in ("start", "end"):
            _check_date(field, getattr(self, field))
        self._check_columns()
        check_max_ages(self.max_age_minutes, self.cross)

    def _check_choices(self) -> None:
        for field, choices in (
            ("kind", ("files",)),
            ("content", ("bars", "ticks", "series")),
            ("label", (None, "open", "close")),
            ("hours", ("globex", "rth")),
            ("on_quality", ("fail", "warn")),
        ):
            if getattr(self, field) not in choices:
                wanted = ", ".join(str(c) for c in choices if c is not None)
                raise ConfigurationError(f"source.{field} must be one of {wanted}, was {getattr(self, field)!r}")

    def _check_columns(self) -> None:
        needed = {"bars": ("open", "high", "low", "close"), "ticks": ("price",), "series": ()}[self.content]
        for field in needed:
            if getattr(self.columns, field) is None:
                raise ConfigurationError(
                    f"source.columns.{field} must name a column for content {self.content}, was null"
                )
        for one, other in (("bid", "ask"), ("bid_size", "ask_size")):
            if (getattr(self.columns, one) is None) != (getattr(self.columns, other) is None):
                raise ConfigurationError(f"source.columns.{one} and {other} must be given together")
        for name in self.series:
            if name not in INDEX:
                raise ConfigurationError(f"source.series: {name!r} is no base series; see mia/domain/series.py")


def _check_zone(zone: str | None) -> None:
    if zone is None:
        return
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(
            f"source.timezone must be UTC or an IANA zone such as America/New_York, was {zone!r}"
        ) from None


def _check_date(field: str, value: str | None) -> None:
    if value is None:
        return
    try:
        dt.date.fromisoformat(value)
    except ValueError:
        raise ConfigurationError(f"source.{field} must be a date like 2025-01-31, was {value!r}") from None
