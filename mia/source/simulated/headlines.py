"""News about the simulated market: headlines and scheduled figures as they come in. For task only."""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mia.domain.bars import Bars
from mia.domain.market import Market
from mia.domain.news import NewsItem, Release
from mia.domain.rng import generator
from mia.domain.series import NEWS_TOPICS
from mia.domain.sessions import Sessions
from mia.source.simulated import wording
from mia.source.simulated.market import market_scale
from mia.source.simulated_settings import RELEASES, SimulatedSettings

Array = np.ndarray
_MINUTE = 60_000_000_000
_HOUR = 60 * _MINUTE
_LOOK_BACK_MINUTES = 30
_MOST = 6  # headlines in a minute
_DRAWS = 14  # uniform numbers each of them takes
_BURST_MINUTES = 15.0
_REMEMBERED = 40  # headlines that can be repeated
_TOPIC_SHARES = (0.2, 0.12, 0.13, 0.08, 0.2, 0.22, 0.05)  # in the order of NEWS_TOPICS
_NAMED_TOPIC_SHARE = 0.15  # of items whose publisher says the topic


@dataclass(frozen=True, slots=True)
class _Day:
    """What a session draws once: how many come in each minute if nothing happens, and all they are made of."""

    date: int
    rate: Array
    count: Array
    draws: Array
    normal: Array


class SimulatedNews:
    """Headlines and releases around one market.

    All draws of a session are made at once from generators named by its trade date, and closes and headlines
    remembered are held here: pieces of any size give the same items, and later bars never change earlier ones.

    Parameters
    ----------
    market : the market whose returns set the tone
    settings : see `SimulatedSettings`
    seed : any whole number >= 0
    """

    def __init__(self, market: Market, settings: SimulatedSettings, seed: int) -> None:
        self._market = market
        self._settings = settings
        self._seed = seed
        self._sd = market_scale(market, settings).minute_sd_ticks * math.sqrt(_LOOK_BACK_MINUTES)
        self._day: _Day | None = None
        self._closes: deque[float] = deque()
        self._told: deque[NewsItem] = deque(maxlen=_REMEMBERED)

    def items(self, bars: Bars, sessions: Sessions) -> Iterator[NewsItem]:
        """Headlines received during these bars; call again with the bars that follow.

        Their tone follows bars that had closed before the bar in which they come. They come more often by day and
        after economic events (cal.event_code, cal.event_lag; NaN: no event).

        Yields
        ------
        Items by `received_at`, each after the bar's beginning and not after its close.
        """
        if self._settings.news_per_hour == 0 or len(bars) == 0:
            return
        at = sessions.index(bars.ts)
        close, length = bars.column("bar.close"), bars.bar_minutes
        code, lag = bars.column("cal.event_code"), bars.column("cal.event_lag")
        back = max(1, _LOOK_BACK_MINUTES // length)
        for t in range(len(bars)):
            day = self._of_day(sessions, int(at[t]))
            opened = int(sessions.open_ns[at[t]])
            last = -(-(int(bars.ts[t]) - opened) // _MINUTE)  # minutes [first, last) of the session
            first = (last - 1) // length * length
            event = int(code[t]) if code[t] == code[t] else 0
            for minute in range(first, last):
                since = float(lag[t]) - (last - 1 - minute) if event else -1.0
                count = self._count(day, minute, since)
                if count:
                    yield from self._minute(day, minute, count, opened, event if since >= 0 else 0, int(bars.ts[t]))
            self._closes.append(float(close[t]))
            while len(self._closes) > back + 1:
                self._closes.popleft()

    def releases(self, bars: Bars, sessions: Sessions) -> Iterator[Release]:
        """Scheduled figures received during these bars, from cal.event_code and cal.event_lag.

        Surprises are drawn and know nothing of prices. Each is received one to four seconds after its time. Bars
        of an hour or more no longer say when an event was: they give no figures.
        """
        terms = {release.event: release for release in self._settings.releases}
        code, lag = bars.column("cal.event_code"), bars.column("cal.event_lag")
        length = bars.bar_minutes
        at = sessions.index(bars.ts)
        for t in np.flatnonzero((code > 0) & (lag >= 0) & (lag <= length + 1)):
            event = RELEASES[int(code[t]) - 1]
            if event not in terms:
                continue
            scheduled = int(bars.ts[t]) - round(float(lag[t]) * 60) * 10**9
            rng = generator(self._seed, "simulated", "release", event, str(scheduled))
            received = scheduled + int((1 + 3 * rng.random()) * 1e9)
            begin = bars.ts[t] - (length * _MINUTE)
            if not max(begin, sessions.open_ns[at[t]]) < received <= bars.ts[t]:
                continue
            term = terms[event]
            consensus = _stepped(term.level + term.spread * rng.standard_normal(), term.step)
            actual = _stepped(consensus + term.deviation * rng.standard_normal(), term.step)
            yield Release(
                received_at=received, event=event, actual=actual, consensus=consensus, deviation=term.deviation
            )

    def _of_day(self, sessions: Sessions, index: int) -> _Day:
        date = int(sessions.trade_date[index])
        if self._day is None or self._day.date != date:
            minutes = -(-(int(sessions.close_ns[index]) - int(sessions.open_ns[index])) // _MINUTE)
            rng = generator(self._seed, "simulated", self._market.name, str(date), "news")
            begin = (int(sessions.rth_open_ns[index]) - int(sessions.open_ns[index])) // _MINUTE
            end = (int(sessions.rth_close_ns[index]) - int(sessions.open_ns[index])) // _MINUTE
            rate = self._settings.news_per_hour / 60 * _profile(np.arange(minutes), begin, end)
            draws = rng.random((minutes, _MOST, _DRAWS))
            self._day = _Day(date, rate, rng.random(minutes), draws, rng.standard_normal((minutes, _MOST)))
        return self._day

    def _count(self, day: _Day, minute: int, since: float) -> int:
        """Number of headlines in a minute: a Poisson number, read off from one uniform draw."""
        rate = float(day.rate[minute])
        if since >= 0:
            rate *= 1 + self._settings.news_burst * math.exp(-since / _BURST_MINUTES)
        draw = float(day.count[minute])
        count, term = 0, math.exp(-rate)
        total = term
        while draw > total and count < _MOST:
            count += 1
            term *= rate / count
            total += term
        return count

    def _minute(self, day: _Day, minute: int, count: int, opened: int, event: int, until: int) -> Iterator[NewsItem]:
        move = (self._closes[-1] - self._closes[0]) / self._sd if self._closes else 0.0
        begin = opened + minute * _MINUTE
        span = min(begin + _MINUTE, until) - begin
        times = [begin + 1 + int(day.draws[minute, k, 0] * (span - 1)) for k in range(count)]
        for k in np.argsort(times, kind="stable"):
            draws = [float(u) for u in day.draws[minute, k, 1:]]
            mood = math.tanh(self._settings.news_follows * move + 0.7 * float(day.normal[minute, k]))
            yield self._item(times[k], mood, event, draws)

    def _item(self, received: int, mood: float, event: int, u: list[float]) -> NewsItem:
        """One item from its mood in (-1, 1), the event just past (0: none) and uniform draws."""
        settings = self._settings
        published = received - round((2 + 18 * u[0] ** 3) * 1e9)
        if u[1] < settings.news_backdated_share:
            published = received - round((0.1 + 0.9 * u[2]) * _HOUR)
        if u[3] < settings.news_repeat_share and self._told:
            old = self._told[int(u[4] * len(self._told))]
            text = old.headline if u[5] < 0.5 else wording.pick(wording.UPDATES, u[6]) + old.headline
            return _received(old, received, published, text, wording.pick(wording.PUBLISHERS, u[7]))
        about_event = event in wording.EVENTS and u[4] < 0.6
        topic = wording.EVENTS[event][0] if about_event else NEWS_TOPICS[_bin(u[5])]
        tone = wording.TONES[int(np.searchsorted((-0.75, -0.25, 0.25, 0.75), mood))]
        text, subject = wording.headline(topic, tone, (u[6], u[8], u[9]), event if about_event else 0)
        ticker = next((symbol for name, symbol in wording.TICKERS.items() if subject.startswith(name)), None)
        low = 0.3 if topic in ("company", "earnings", "other") else 0.6
        item = NewsItem(
            received_at=received,
            published_at=published,
            headline=text,
            source=wording.pick(wording.PUBLISHERS, u[7]),
            symbols=(ticker,) if ticker else (self._market.name,) if topic == "markets" else (),
            sentiment=math.nan,
            relevance=round(low + 0.4 * u[10], 2),
            topic=topic if u[11] < _NAMED_TOPIC_SHARE else "",
        )
        self._told.append(item)
        return item


def _received(old: NewsItem, received: int, published: int, text: str, source: str) -> NewsItem:
    """An earlier item told again."""
    return NewsItem(
        received_at=received,
        published_at=published,
        headline=text,
        source=source,
        symbols=old.symbols,
        sentiment=math.nan,
        relevance=old.relevance,
        topic=old.topic,
    )


def _profile(minute: Array, begin: int, end: int) -> Array:
    """Rate through a session, mean one: most before and in regular hours, little at night."""
    shape = np.where(minute < begin - 180, 0.3, np.where(minute < begin, 1.4, np.where(minute < end, 2.3, 0.8)))
    return shape / shape.mean()


def _bin(draw: float) -> int:
    """Topic on which a uniform draw falls."""
    total = 0.0
    for k, share in enumerate(_TOPIC_SHARES):
        total += share
        if draw < total:
            return k
    return len(_TOPIC_SHARES) - 1


def _stepped(value: float, step: float) -> float:
    return round(round(value / step) * step, 9)
