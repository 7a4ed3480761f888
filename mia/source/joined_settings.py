"""Settings of what files join to the bars: other markets' series, option chains, headlines, releases.

Nested in `FilesSettings`; keys that may be left out are None here. Cheap to import.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mia.domain.errors import ConfigurationError
from mia.domain.series import BAR, CALENDAR, INDEX, NEWS, OPTIONS
from mia.source.publication import Publication

LABELS = ("open", "close", "day", "available")


def refuse_zone(zone: str | None, option: str) -> None:
    """Raise ConfigurationError unless `zone` is None or known."""
    if zone is None:
        return
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(
            f"{option} must be UTC or an IANA zone such as America/New_York, was {zone!r}"
        ) from None


def _refuse_negative(value: float | None, option: str) -> None:
    if value is not None and not 0 <= value < float("inf"):
        raise ConfigurationError(f"{option} must not be negative, was {value:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossSettings:
    """One series of another market, joined to the bars as it became known.

    Parameters
    ----------
    series : base series it fills, e.g. xa.vix
    path : file, folder or glob pattern
    column : column with the values
    label : what a row's stamp means: "open" (known `minutes` later), "close" (known then), "day" (a date, known
        at `published`), "available" (the column `available` says when it was known)
    time : column with the stamps; None: the one called ts, timestamp, datetime, date or time
    timezone : zone of stamps that name none
    minutes : length of a bar [minutes], for label open
    published : e.g. "16:15 America/New_York" or "18:00 America/New_York next day", for label day
    available : column with the time a value was known, for label available
    max_age_minutes : a value is used this long after it was known [minutes]; None: `source.max_age_minutes`
    scale : factor from the file's values to the series' unit; None: 1
    filters : column -> value a row must have; None: all rows

    Raises
    ------
    ConfigurationError : naming the key, its value and the remedy.
    """

    series: str
    path: str
    column: str
    label: str
    time: str | None = None
    timezone: str | None = None
    minutes: int | None = None
    published: str | None = None
    available: str | None = None
    max_age_minutes: int | None = None
    scale: float | None = None
    filters: dict[str, str] | None = None

    def __post_init__(self) -> None:
        where = f"source.cross {self.series}"
        if self.series not in INDEX or self.series in (*BAR, *OPTIONS, *NEWS, *CALENDAR):
            raise ConfigurationError(f"source.cross: {self.series!r} cannot be joined; name a series such as xa.vix")
        if self.label not in LABELS:
            raise ConfigurationError(f"{where}: label must be one of {', '.join(LABELS)}, was {self.label!r}")
        for label, field in (("open", "minutes"), ("day", "published"), ("available", "available")):
            given = getattr(self, field) is not None
            if given != (self.label == label):
                raise ConfigurationError(
                    f"{where}: {field} belongs to label {label} and must be given with it alone; "
                    f"label is {self.label}, {field} is {getattr(self, field)!r}"
                )
        if self.minutes is not None and self.minutes < 1:
            raise ConfigurationError(f"{where}: minutes must be at least 1, was {self.minutes}")
        if self.published is not None:
            Publication.parse(self.published, f"{where}: published")
        refuse_zone(self.timezone, f"{where}: timezone")
        _refuse_negative(self.max_age_minutes, f"{where}: max_age_minutes")
        if self.scale is not None and not (abs(self.scale) < float("inf") and self.scale != 0):
            raise ConfigurationError(f"{where}: scale must be a number other than 0, was {self.scale:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSettings:
    """Option quotes in files, one row per option and stamp.

    Parameters
    ----------
    path : file, folder or glob pattern; several files must follow each other in time by their names
    minutes : how long after its stamp a row's quotes were taken [minutes]; 1 for minute bars stamped at their
        open, 0 for snapshots
    delay_minutes : how long after they were taken quotes could be read [minutes]; 15 for a delayed feed
    every_minutes : distance of snapshots [minutes]; 0: one per stamp
    quote_max_age_minutes : a quote stands this long without a new row [minutes]
    reference_max_age_minutes : a bar's close is the market's price this long [minutes]
    settles : when an option expires whose expiry is a date, e.g. "16:00 America/New_York"
    multiplier : value of one point of one option [USD]
    rate : continuously compounded interest rate [1/year]
    time, timezone : column with the stamps and the zone of those that name none; None: as for bars
    expiry, strike, right, bid, ask : their columns; None: the column of that name
    volume, forward : columns; None: the file has none
    open_interest : column; None: the file has none
    open_interest_path : file with columns of the same names that holds the open interest; None: it stands in `path`
    open_interest_published : when the open interest of a row's date became known: "06:00 America/Chicago same day"
        if rows repeat what the morning published, "06:00 America/Chicago next day" if they hold the day's end
    open_interest_max_age_days : [days]
    root : column that names the class of an option; None: the file has none
    am_settled : values of `root` that settle in the morning, at 09:30 New York time
    filters : column -> value a row must have; None: all rows
    """

    path: str
    minutes: int
    delay_minutes: int
    every_minutes: int
    quote_max_age_minutes: int
    reference_max_age_minutes: int
    settles: str
    multiplier: float
    rate: float
    time: str | None = None
    timezone: str | None = None
    expiry: str | None = None
    strike: str | None = None
    right: str | None = None
    bid: str | None = None
    ask: str | None = None
    volume: str | None = None
    forward: str | None = None
    open_interest: str | None = None
    open_interest_path: str | None = None
    open_interest_published: str | None = None
    open_interest_max_age_days: int | None = None
    root: str | None = None
    am_settled: tuple[str, ...] | None = None
    filters: dict[str, str] | None = None

    def __post_init__(self) -> None:
        for field in (
            "minutes",
            "delay_minutes",
            "every_minutes",
            "quote_max_age_minutes",
            "reference_max_age_minutes",
            "open_interest_max_age_days",
        ):
            _refuse_negative(getattr(self, field), f"source.chain.{field}")
        if not 0 < self.multiplier < float("inf"):
            raise ConfigurationError(f"source.chain.multiplier must be positive, was {self.multiplier:g}; SPX has 100")
        if not -0.1 < self.rate < 0.5:
            raise ConfigurationError(f"source.chain.rate must be a yearly rate such as 0.04, was {self.rate:g}")
        refuse_zone(self.timezone, "source.chain.timezone")
        Publication.parse(self.settles, "source.chain.settles")
        self._check_open_interest()
        if self.am_settled and self.root is None:
            raise ConfigurationError("source.chain.am_settled needs source.chain.root, the column it speaks of")

    def _check_open_interest(self) -> None:
        if self.open_interest is None:
            if self.open_interest_path is not None:
                raise ConfigurationError("source.chain.open_interest must name the column of open_interest_path")
            return
        if self.open_interest_published is None:
            raise ConfigurationError(
                "source.chain.open_interest_published is not declared; open interest is published once a day: add "
                '"06:00 America/Chicago same day" if rows repeat what the morning published, "06:00 '
                'America/Chicago next day" if they hold the end of their own day'
            )
        if self.open_interest_max_age_days is None:
            raise ConfigurationError("source.chain.open_interest_max_age_days is not declared; 4 spans a long weekend")
        Publication.parse(self.open_interest_published, "source.chain.open_interest_published")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsFileSettings:
    """Headlines in files, one row each.

    Parameters
    ----------
    path : file, folder or glob pattern
    received : column that says when a headline could be read; the only time that places it
    headline : column with the text
    max_silence_minutes : the feed counts as up this long after a headline [minutes]
    timezone : zone of stamps that name none
    published : column with the publisher's stamp, kept but never used; None: the file has none
    source : column with the publisher; None: unknown
    symbols : column with what it is about, separated by commas, semicolons or blanks; None: unknown
    sentiment : column with the vendor's sentiment [-1, 1]; None: the words decide
    relevance : column with the vendor's relevance [0, 1]; None: 1
    topic : column with one of `mia.domain.series.NEWS_TOPICS`; None: the words decide
    filters : column -> value a row must have; None: all rows
    """

    path: str
    received: str | None
    headline: str
    max_silence_minutes: int
    timezone: str | None = None
    published: str | None = None
    source: str | None = None
    symbols: str | None = None
    sentiment: str | None = None
    relevance: str | None = None
    topic: str | None = None
    filters: dict[str, str] | None = None

    def __post_init__(self) -> None:
        if not self.received:
            raise ConfigurationError(
                "source.news.received is not declared; name the column that says when a headline could be read "
                "(a publisher's own stamp may be set back: it looks ahead)"
            )
        if self.max_silence_minutes < 1:
            raise ConfigurationError(
                f"source.news.max_silence_minutes must be at least 1, was {self.max_silence_minutes}"
            )
        refuse_zone(self.timezone, "source.news.timezone")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFileSettings:
    """Economic releases in files, one row each; a second row of the same event and time is a revision, unused.

    Parameters
    ----------
    path : file, folder or glob pattern
    event, actual, consensus : columns: name of the release, its first print, what was expected before
    time : column with the time of the release; None: ts, timestamp, datetime, date or time
    timezone : zone of stamps that name none
    received : column that says when the number could be read; None: at `time`
    least : earlier surprises of an event that its deviation needs [count]; None: 5
    filters : column -> value a row must have; None: all rows
    """

    path: str
    event: str
    actual: str
    consensus: str
    time: str | None = None
    timezone: str | None = None
    received: str | None = None
    least: int | None = None
    filters: dict[str, str] | None = None

    def __post_init__(self) -> None:
        refuse_zone(self.timezone, "source.releases.timezone")
        if self.least is not None and self.least < 2:
            raise ConfigurationError(f"source.releases.least must be at least 2, was {self.least}")


def check_max_ages(ages: Mapping[str, int], cross: tuple[CrossSettings, ...]) -> None:
    """Refuse ages of unknown series, negative ones, and a joined series that has none.

    Raises
    ------
    ConfigurationError : naming the series.
    """
    for name, age in ages.items():
        if name not in INDEX:
            raise ConfigurationError(f"source.max_age_minutes: {name!r} is no base series; see mia/domain/series.py")
        _refuse_negative(age, f"source.max_age_minutes {name}")
    seen: set[str] = set()
    for one in cross:
        if one.series in seen:
            raise ConfigurationError(f"source.cross fills {one.series} twice; keep one of the two")
        seen.add(one.series)
        if one.max_age_minutes is None and one.series not in ages:
            raise ConfigurationError(f"source.cross {one.series}: max_age_minutes is not declared; 15 suits an index")
