"""What stands beside the bars: other markets from files, option chains and news, joined as they became known."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mia.domain.bars import Bars
from mia.domain.chain import Chain
from mia.domain.news import NewsItem, Release
from mia.domain.series import INDEX, NEWS, OPTIONS
from mia.domain.sessions import Sessions
from mia.source.as_of import Carrier
from mia.task.settings import RunSettings

Array = np.ndarray

MINUTE_NS = 60_000_000_000
_OPTIONS = slice(INDEX[OPTIONS[0]], INDEX[OPTIONS[-1]] + 1)
_NEWS = slice(INDEX[NEWS[0]], INDEX[NEWS[-1]] + 1)
_ONCE = np.array([name == "opt.signed_delta" for name in OPTIONS])


class Companions:
    """Fills cross-asset, option and news columns of consecutive pieces of bars.

    Parameters
    ----------
    settings : of the run
    sessions : the market's schedule
    """

    def __init__(self, settings: RunSettings, sessions: Sessions) -> None:
        kind = {"simulated": _Simulated, "files": _Files}[settings.source.kind]
        self._world = kind(settings, sessions)
        self._carrier = Carrier(len(OPTIONS), round(settings.options.max_age_minutes * MINUTE_NS), once=_ONCE)
        self._metrics: Any = None
        self._analyzer: Any = None
        self._settings = settings

    def fill(self, bars: Bars) -> Bars:
        """Return the bars with the columns of their companions; `bars` is not changed."""
        values = bars.values.copy()
        for name, column in self._world.cross(bars).items():
            values[:, INDEX[name]] = column
        bars = replace(bars, values=values)
        if self._world.has_chains:
            values[:, _OPTIONS] = self._options(bars)
        if self._world.has_news:
            values[:, _NEWS] = self._news(bars)
        return bars

    def _options(self, bars: Bars) -> Array:
        from mia.features.options import OptionsMetrics

        found = list(self._world.chains(bars))
        if found and self._metrics is None:
            self._metrics = OptionsMetrics(self._settings.options, self._settings.market)
        at = np.array([chain.available_at for chain in found], dtype=np.int64)
        rows = np.array([self._metrics.row(chain) for chain in found]).reshape(-1, len(OPTIONS))
        return self._carrier.advance(bars.ts, at, rows)

    def _news(self, bars: Bars) -> Array:
        from mia.features.news.news_analyzer import NewsAnalyzer

        if self._analyzer is None:
            self._analyzer = NewsAnalyzer(self._settings.news, self._settings.market)
        items, releases, alive = self._world.news(bars)
        rows = self._analyzer.advance(items, releases, bars.ts, alive)
        if not self._world.has_headlines:  # releases alone are no news feed: silence would not mean quiet
            rows[:, [k for k, name in enumerate(NEWS) if name != "news.surprise"]] = np.nan
        return rows

    def check(self) -> None:
        """Refuse, after the last piece, a joined series that no bar ever found a value of."""
        self._world.check()


class _Simulated:
    """The simulated market makes its companions itself; its feed is always up."""

    def __init__(self, settings: RunSettings, sessions: Sessions) -> None:
        from mia.source.simulated import SimulatedChains, SimulatedNews

        arguments = (settings.market, settings.source, settings.seed)
        self._sessions = sessions
        self._chains, self._news = SimulatedChains(*arguments), SimulatedNews(*arguments)
        self.has_chains, self.has_headlines = settings.source.chain_minutes > 0, settings.source.news_per_hour > 0
        self.has_news = self.has_headlines or bool(settings.source.releases)

    def check(self) -> None:
        """Nothing is joined."""

    def cross(self, bars: Bars) -> dict[str, Array]:  # noqa: ARG002 - they came with the bars
        return {}

    def chains(self, bars: Bars) -> Iterator[Chain]:
        return self._chains.snapshots(bars, self._sessions)

    def news(self, bars: Bars) -> tuple[list[NewsItem], list[Release], Array]:
        items = list(self._news.items(bars, self._sessions))
        return items, list(self._news.releases(bars, self._sessions)), np.ones(len(bars), bool)


class _Files:
    """What the user's own files hold; nothing else."""

    def __init__(self, settings: RunSettings, sessions: Sessions) -> None:  # noqa: ARG002 - files bring their times
        from mia.source.chain_files import ChainFiles
        from mia.source.news_files import NewsFiles, ReleaseFiles
        from mia.source.series_files import CrossFiles

        source, root = settings.source, Path.cwd()
        self._cross = CrossFiles(source.cross, source.max_age_minutes, root)
        self._chains = ChainFiles(source.chain, settings.market, root) if source.chain else None
        self._items = NewsFiles(source.news, root) if source.news else None
        self._releases = ReleaseFiles(source.releases, root).releases() if source.releases else iter(())
        self._news_items = self._items.items() if self._items else iter(())
        self._next_item: NewsItem | None = None
        self._next_release: Release | None = None
        self.has_chains, self.has_news = bool(source.chain), bool(source.news or source.releases)
        self.has_headlines = source.news is not None

    def check(self) -> None:
        """Refuse a series that no bar found a value of."""
        self._cross.check()

    def cross(self, bars: Bars) -> dict[str, Array]:
        return self._cross.columns(bars.ts)

    def chains(self, bars: Bars) -> Iterator[Chain]:
        return self._chains.snapshots(bars) if self._chains else iter(())

    def news(self, bars: Bars) -> tuple[list[NewsItem], list[Release], Array]:
        last = int(bars.ts[-1])
        items, self._next_item = _until(self._news_items, self._next_item, last)
        releases, self._next_release = _until(self._releases, self._next_release, last)
        alive = self._items.alive(bars.ts) if self._items else np.ones(len(bars), bool)
        return items, releases, alive


def _until(source: Iterator[Any], first: Any, last: int) -> tuple[list[Any], Any]:
    """Take what was received up to `last`; returns it and the one after it."""
    found, at = [], first if first is not None else next(source, None)
    while at is not None and at.received_at <= last:
        found.append(at)
        at = next(source, None)
    return found, at
