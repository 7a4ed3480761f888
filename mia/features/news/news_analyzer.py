"""Headlines and releases to base series, bar by bar; called by whoever hands bars to the feature pipeline."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from mia.domain.market import Market
from mia.domain.news import NewsItem, Release
from mia.domain.series import NEWS, NEWS_TOPICS
from mia.features.news import lexicon
from mia.features.news.settings import NewsSettings
from mia.features.news.similarity import RecentHeadlines
from mia.features.news.topics import Phrases, topic_of

Array = np.ndarray

MINUTE_NS = 60_000_000_000
HOUR_NS = 60 * MINUTE_NS
_ALIVE, _COUNT, _SENTIMENT, _WEIGHT = (NEWS.index(f"news.{n}") for n in ("alive", "count", "sentiment", "weight"))
_SURPRISE = NEWS.index("news.surprise")
_TOPIC = {topic: NEWS.index(f"news.{topic}") for topic in NEWS_TOPICS}
_PARTED = "\x1f"  # between symbols in a saved state


class Reader(Protocol):
    """Whatever reads a sentiment out of a headline."""

    def __call__(self, headline: str) -> float: ...


class NewsAnalyzer:
    """Turns items as they were received into one row of news series per bar.

    An item belongs to the first bar that closes at or after `received_at`; nothing else about time is looked at.
    Its weight is relevance x novelty, novelty one less its greatest similarity with the headlines of the day
    before. What a bar holds never depends on how bars and items are cut into calls.

    Parameters
    ----------
    settings : method, windows, what is relevant
    market : the market that is traded

    Raises
    ------
    ConfigurationError : if a transformer is asked for that cannot be loaded.
    """

    def __init__(self, settings: NewsSettings, market: Market) -> None:
        self._settings = settings
        self._symbols = frozenset(symbol.upper() for symbol in settings.symbols.get(market.name, ()))
        self._words = Phrases(dict.fromkeys(settings.words.get(market.name, ()), market.name))
        self._read: Reader = lexicon.score
        if settings.sentiment == "transformer":
            from mia.features.news.transformer import TransformerReader

            self._read = TransformerReader(str(settings.model))
        self._recent = RecentHeadlines(round(settings.novelty_hours * HOUR_NS))
        self._items: list[NewsItem] = []
        self._releases: list[Release] = []

    def advance(self, items: Sequence[NewsItem], releases: Sequence[Release], ts: Array, alive: Array) -> Array:
        """Rows of the bars that closed since the last call.

        Parameters
        ----------
        items, releases : received since the last call, in any order; those received after the last of these bars
            wait for the next call. One that is handed over too late for its bar goes to the next bar.
        ts : (n,) int64 closes, increasing [ns UTC]
        alive : (n,) bool, whether the feed was known to be up

        Returns
        -------
        (n, len(NEWS)) float64; `news.alive` is 0 or 1, all else NaN while it is 0 and 0 where nothing was received.
        """
        self._items = sorted([*self._items, *items], key=lambda item: item.received_at)
        self._releases = sorted([*self._releases, *releases], key=lambda release: release.received_at)
        out = np.zeros((len(ts), len(NEWS)))
        if not len(ts):
            return out
        done = 0
        for item in self._items:
            if item.received_at > ts[-1]:
                break
            self._add(item, out, ts)
            done += 1
        del self._items[:done]
        done = 0
        for release in self._releases:
            if release.received_at > ts[-1]:
                break
            bar = int(np.searchsorted(ts, release.received_at, side="left"))
            if self._in_time(release.received_at, int(ts[bar])):
                clip = self._settings.surprise_clip
                out[bar, _SURPRISE] += min(max(release.surprise, -clip), clip)
            done += 1
        del self._releases[:done]
        up = np.asarray(alive, bool)
        out[~up] = np.nan
        out[:, _ALIVE] = up
        return out

    def _in_time(self, received_at: int, close: int) -> bool:
        return close - received_at <= self._settings.max_wait_minutes * MINUTE_NS

    def _add(self, item: NewsItem, out: Array, ts: Array) -> None:
        """Add one item to its bar; every item is remembered, also one that waited too long."""
        novelty = self._recent.novelty(item.received_at, item.headline)
        bar = int(np.searchsorted(ts, item.received_at, side="left"))
        if not self._in_time(item.received_at, int(ts[bar])):
            return
        sentiment = item.sentiment if item.sentiment == item.sentiment else self._read(item.headline)
        weight = self.relevance(item) * novelty
        out[bar, _COUNT] += 1
        out[bar, _SENTIMENT] += sentiment * weight
        out[bar, _WEIGHT] += weight
        out[bar, _TOPIC[item.topic or topic_of(item.headline)]] += sentiment * weight

    def relevance(self, item: NewsItem) -> float:
        """The item's own relevance x how much its symbols, else its words, speak of the market, in [0, 1]."""
        if item.symbols:
            named = any(symbol.upper() in self._symbols for symbol in item.symbols)
            return item.relevance * (1.0 if named else self._settings.other_relevance)
        named = bool(self._words.found(item.headline))
        return item.relevance * (1.0 if named else self._settings.silent_relevance)

    @property
    def state(self) -> dict[str, Array]:
        """All that a restart needs: recent headlines and what waits for its bar."""
        texts = ("headline", "source", "topic")
        numbers = ("received_at", "published_at", "sentiment", "relevance")
        waiting = {name: np.array([getattr(i, name) for i in self._items], str) for name in texts}
        waiting |= {name: np.array([getattr(i, name) for i in self._items]) for name in numbers}
        waiting["symbols"] = np.array([_PARTED.join(i.symbols) for i in self._items], str)
        fields = ("received_at", "event", "actual", "consensus", "deviation")
        return {
            **{f"recent.{name}": array for name, array in self._recent.state.items()},
            **{f"item.{name}": array for name, array in waiting.items()},
            **{f"release.{name}": np.array([getattr(r, name) for r in self._releases]) for name in fields},
        }

    @state.setter
    def state(self, state: dict[str, Array]) -> None:
        self._recent.state = {name[7:]: array for name, array in state.items() if name.startswith("recent.")}
        self._releases = [
            Release(
                received_at=int(received), event=str(event), actual=float(a), consensus=float(c), deviation=float(d)
            )
            for received, event, a, c, d in zip(
                *(state[f"release.{n}"] for n in ("received_at", "event", "actual", "consensus", "deviation")),
                strict=True,
            )
        ]
        self._items = [
            NewsItem(
                received_at=int(state["item.received_at"][k]),
                published_at=int(state["item.published_at"][k]),
                headline=str(state["item.headline"][k]),
                source=str(state["item.source"][k]),
                symbols=tuple(part for part in str(state["item.symbols"][k]).split(_PARTED) if part),
                sentiment=float(state["item.sentiment"][k]),
                relevance=float(state["item.relevance"][k]),
                topic=str(state["item.topic"][k]),
            )
            for k in range(len(state["item.headline"]))
        ]


def heard(ts: Array, beats: Array, max_age_minutes: float) -> Array:
    """(n,) bool: the feed gave a sign of life at most `max_age_minutes` before each close.

    Parameters
    ----------
    ts : (n,) int64 closes [ns UTC]
    beats : (m,) int64 signs of life in order: heartbeats, items, answers [ns UTC]
    """
    last = np.searchsorted(beats, ts, side="right") - 1
    if not len(beats):
        return np.zeros(len(ts), bool)
    return (last >= 0) & (ts - beats[np.maximum(last, 0)] <= round(max_age_minutes * MINUTE_NS))
