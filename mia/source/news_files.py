"""Headlines and economic releases from files, in the order in which they were received; called by the ingest task."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mia.domain.errors import DataError
from mia.domain.news import NewsItem, Release
from mia.domain.series import NEWS_TOPICS
from mia.source.joined_settings import NewsFileSettings, ReleaseFileSettings
from mia.source.joined_table import JoinedTable, tables
from mia.source.quality import stamp

Array = np.ndarray

MINUTE_NS = 60_000_000_000
LEAST_SURPRISES = 5
_WHERE, _RELEASES = "source.news", "source.releases"


class NewsFiles:
    """Reads headlines.

    Parameters
    ----------
    settings : what the file holds
    root : folder that a relative path starts from
    """

    def __init__(self, settings: NewsFileSettings, root: Path) -> None:
        self._settings = settings
        self._root = root
        self._read: list[NewsItem] | None = None
        self._received = np.zeros(0, np.int64)

    def items(self) -> Iterator[NewsItem]:
        """Every headline in order of `received_at`; what was received together keeps the file's order.

        Raises
        ------
        ConfigurationError, DataError : one line naming the setting or row, what is wrong and the remedy.
        """
        if self._read is None:
            made: list[NewsItem] = []
            for table in tables(self._settings.path, self._settings.filters, self._root, _WHERE):
                made += self._items(table)
            if not made:
                raise DataError(f"{_WHERE}: every headline of {self._settings.path} is empty; name another column")
            self._read = sorted(made, key=lambda item: item.received_at)
            self._received = np.array([item.received_at for item in self._read], dtype=np.int64)
        return iter(self._read)

    def alive(self, ts: Array) -> Array:
        """(N,) bool: a headline came at most `max_silence_minutes` ago; a record keeps no other heartbeat."""
        self.items()
        last = np.searchsorted(self._received, ts, side="right") - 1
        age = ts - self._received[np.maximum(last, 0)]
        return (last >= 0) & (age <= self._settings.max_silence_minutes * MINUTE_NS)

    def _items(self, table: JoinedTable) -> Iterator[NewsItem]:
        s, count = self._settings, len(table)
        received = table.stamps(s.received, s.timezone, "received")
        published = received if s.published is None else table.stamps(s.published, s.timezone, "published")
        headline = table.texts(s.headline, "headline")
        source = table.texts(s.source, "source") if s.source else [""] * count
        symbols = table.texts(s.symbols, "symbols") if s.symbols else [""] * count
        topic = self._topics(table, count)
        sentiment = self._within(table, s.sentiment, "sentiment", -1.0, np.nan)
        relevance = self._within(table, s.relevance, "relevance", 0.0, 1.0)
        for k in range(count):
            if headline[k]:
                yield NewsItem(
                    received_at=int(received[k]),
                    published_at=int(published[k]),
                    headline=headline[k],
                    source=source[k],
                    symbols=tuple(word for word in re.split(r"[,;\s]+", symbols[k]) if word),
                    sentiment=float(sentiment[k]),
                    relevance=float(relevance[k]),
                    topic=topic[k],
                )

    def _topics(self, table: JoinedTable, count: int) -> list[str]:
        if self._settings.topic is None:
            return [""] * count
        found = [word.lower() for word in table.texts(self._settings.topic, "topic")]
        for row, word in enumerate(found):
            if word and word not in NEWS_TOPICS:
                raise DataError(
                    f"{table.file.name}: topic {word!r} in row {row + 1} is none of {', '.join(NEWS_TOPICS)}; "
                    "rename it or leave source.news.topic out"
                )
        return found

    def _within(self, table: JoinedTable, column: str | None, option: str, low: float, missing: float) -> Array:
        """(N,) float64 in [low, 1], `missing` where empty."""
        if column is None:
            return np.full(len(table), missing)
        values = table.numbers(column, option)
        wrong = (values < low) | (values > 1)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                f"{table.file.name}: {option} {values[row]:g} in row {row + 1} lies outside [{low:g}, 1]; "
                f"rescale it or leave {_WHERE}.{option} out"
            )
        return np.where(np.isnan(values), missing, values)


class ReleaseFiles:
    """Reads economic releases and works out how unusual each surprise was.

    Parameters
    ----------
    settings : what the file holds
    root : folder that a relative path starts from
    """

    def __init__(self, settings: ReleaseFileSettings, root: Path) -> None:
        self._settings = settings
        self._root = root

    def releases(self) -> Iterator[Release]:
        """First prints in order of `received_at`, each with the deviation (ddof 1) of its event's earlier surprises.

        Before there are `least` earlier ones a release is only remembered. A later row of the same event and time
        is a revision and is left out.

        Raises
        ------
        ConfigurationError, DataError : one line naming the setting or row, what is wrong and the remedy.
        """
        rows = []
        for table in tables(self._settings.path, self._settings.filters, self._root, _RELEASES):
            rows += self._rows(table)
        rows.sort(key=lambda row: (row[0], row[1]))
        least = LEAST_SURPRISES if self._settings.least is None else self._settings.least
        printed: set[tuple[str, int]] = set()
        surprises: dict[str, list[float]] = {}
        for received, at, event, actual, consensus in rows:
            if (event, at) in printed:
                continue
            printed.add((event, at))
            earlier = surprises.setdefault(event, [])
            deviation = float(np.std(earlier, ddof=1)) if len(earlier) >= least else 0.0
            if deviation > 0:
                yield Release(
                    received_at=received, event=event, actual=actual, consensus=consensus, deviation=deviation
                )
            earlier.append(actual - consensus)

    def _rows(self, table: JoinedTable) -> list[tuple[int, int, str, float, float]]:
        s = self._settings
        at = table.stamps(s.time, s.timezone, "time")
        received = at if s.received is None else table.stamps(s.received, s.timezone, "received")
        if np.any(received < at):
            row = int(np.argmax(received < at))
            raise DataError(
                f"{table.file.name}: row {row + 1} was received {stamp(received[row])}, before its release at "
                f"{stamp(at[row])}; correct {_RELEASES} time or received"
            )
        event = table.texts(s.event, "event")
        actual, consensus = table.numbers(s.actual, "actual"), table.numbers(s.consensus, "consensus")
        if "" in event:
            raise DataError(f"{table.file.name}: the event is empty in row {event.index('') + 1} ({_RELEASES}.event)")
        usable = np.isfinite(actual) & np.isfinite(consensus)
        return [
            (int(received[k]), int(at[k]), event[k], float(actual[k]), float(consensus[k]))
            for k in np.flatnonzero(usable)
        ]
