"""Simulated news: tone follows the past, figures come when scheduled, nothing is known early."""

import dataclasses
import datetime as dt
import itertools
import math
import re

import numpy as np
import pytest
from simulated_world import load_market, load_settings

from mia.calendar import economic
from mia.calendar.clock import annotate
from mia.calendar.exchange import sessions
from mia.domain.bars import Bars
from mia.domain.errors import DataError
from mia.domain.news import Release
from mia.domain.series import CALENDAR, INDEX, NEWS_TOPICS, WIDTH
from mia.source.simulated import SimulatedNews, wording
from mia.source.simulated_settings import RELEASES

MINUTE = 60_000_000_000
START = dt.date(2025, 1, 6)
GOOD = {"surged", "soared", "beat", "improved", "better", "gains", "gained", "rose", "strong", "record", "progress",
        "optimism", "profitable", "favorable", "boosted", "rallied", "rebound", "optimistic", "relief"}  # fmt: skip
BAD = {"plunged", "collapsed", "losses", "loss", "declined", "decline", "worse", "weakened", "weak", "missed", "fell",
       "crisis", "default", "feared", "fears", "fraud", "lawsuit", "downgraded", "warned", "concerns", "concern",
       "short", "threats", "failed", "tumbled", "panic", "worries", "recession", "bankruptcy", "risks"}  # fmt: skip


class World:
    """A walk as the market's close, and the news about it. News reads no more than the close and the calendar."""

    def __init__(self, root, name="ES", days=45, seed=3, **changes):
        self.market = load_market(root, name)
        self.settings = load_settings(root, **changes)
        self.days = sessions(self.market, START, START + dt.timedelta(days=days))
        length = self.settings.bar_minutes * MINUTE
        spans = zip(self.days.open_ns, self.days.close_ns, strict=True)
        ts = np.concatenate([np.arange(opened + length, closed + 1, length) for opened, closed in spans])
        values = np.full((len(ts), WIDTH), np.nan)
        steps = np.random.default_rng(9).standard_normal(len(ts)) * 4.5 * math.sqrt(self.settings.bar_minutes)
        values[:, INDEX["bar.close"]] = 24000 + np.round(np.cumsum(steps))
        bars = Bars(market=name, bar_minutes=self.settings.bar_minutes, ts=ts, available_at=ts.copy(), values=values)
        self.bars = annotate(bars, self.days, self.market)
        self.items = list(self.source(seed).items(self.bars, self.days))
        self.releases = list(self.source(seed).releases(self.bars, self.days))

    def source(self, seed=3):
        return SimulatedNews(self.market, self.settings, seed)

    def rows(self):
        """Row in whose bar each item came."""
        return np.searchsorted(self.bars.ts, [item.received_at for item in self.items])

    def piece(self, a, b):
        bars = self.bars
        return dataclasses.replace(bars, ts=bars.ts[a:b], available_at=bars.available_at[a:b], values=bars.values[a:b])


@pytest.fixture(scope="module")
def world(root):
    return World(root)


def score(text):
    words = re.findall(r"[a-z]+", text.lower())
    return sum(word in GOOD for word in words) - sum(word in BAD for word in words)


def test_items_come_in_order_inside_sessions_and_say_what_they_must(world):
    received = np.array([item.received_at for item in world.items])
    assert np.all(np.diff(received) >= 0)
    assert np.all(world.days.index(received) >= 0)
    for item in world.items:
        assert item.headline
        assert item.source in wording.PUBLISHERS
        assert math.isnan(item.sentiment)
        assert item.topic in ("", *NEWS_TOPICS)
        assert 0 < item.received_at - item.published_at <= 60 * MINUTE
    assert 0.8 < np.mean([item.topic == "" for item in world.items]) < 0.9
    late = np.mean([item.received_at - item.published_at > 5 * MINUTE for item in world.items])
    assert late == pytest.approx(world.settings.news_backdated_share, abs=0.015)


def test_they_come_as_often_as_asked_and_more_by_day_and_after_events(root, world):
    hours = len(world.bars) / 60
    assert world.settings.news_per_hour < len(world.items) / hours < 1.25 * world.settings.news_per_hour
    quiet = World(root, news_burst=0.0)
    mean = world.settings.news_per_hour * hours
    assert len(quiet.items) == pytest.approx(mean, abs=4 * math.sqrt(mean))
    regular = world.bars.column("cal.rth")[quiet.rows()] == 1
    assert regular.mean() > 0.5
    code, lag = world.bars.column("cal.event_code"), world.bars.column("cal.event_lag")
    after = (code > 0) & (lag >= 0) & (lag <= 10)
    per_bar = np.bincount(world.rows(), minlength=len(world.bars))
    calm = np.bincount(quiet.rows(), minlength=len(world.bars))
    assert per_bar[after].mean() > 4 * calm[after].mean()
    spoken = [wording.EVENTS[int(code[row])][1] in item.headline
              for row, item in zip(world.rows(), world.items, strict=True) if after[row]]  # fmt: skip
    assert np.mean(spoken) > 0.4
    far = ~((code > 0) & (lag >= -1))
    leads, seen = tuple(lead for _, lead in wording.EVENTS.values()), set()
    for row, item in zip(world.rows(), world.items, strict=True):
        text = original(item.headline)
        assert not (far[row] and text.startswith(leads)) or text in seen  # only told again
        seen.add(text)


def original(text):
    """What a repeated headline repeats."""
    return text.split("-", 1)[1] if text.startswith(wording.UPDATES) else text


def test_tone_follows_the_last_half_hour_and_not_the_next(world):
    close, rows = world.bars.column("bar.close"), world.rows()
    tone = np.array([score(item.headline) for item in world.items], float)
    usable = (rows > 40) & (rows < len(close) - 40)
    rows, tone = rows[usable], tone[usable]
    past = close[rows - 1] - close[rows - 31]
    bound = 3 / np.sqrt(len(rows))
    assert np.corrcoef(tone, past)[0, 1] > 0.35
    for ahead in (0, 1, 5, 30):  # ahead = 0: the very bar in which it came
        future = close[rows + ahead] - close[rows - 1]
        assert abs(np.corrcoef(tone, future)[0, 1]) < bound


def test_every_tone_of_every_topic_can_be_read_off_its_words():
    for tone, sign in zip(wording.TONES, (-1, -1, 0, 1, 1), strict=True):
        for topic in NEWS_TOPICS:
            for first in np.linspace(0, 0.99, 12):
                for second in np.linspace(0, 0.99, 6):
                    text, _ = wording.headline(topic, tone, (first, second, 0.0))
                    assert np.sign(score(text)) == sign, text


def test_some_headlines_come_again_word_by_word_or_nearly(world):
    texts = [item.headline for item in world.items]
    seen, again, near = set(), 0, 0
    for text in texts:
        again += text in seen
        near += text.startswith(wording.UPDATES) and text.split("-", 1)[1] in seen
        seen.add(text)
    assert near / len(texts) == pytest.approx(world.settings.news_repeat_share / 2, abs=0.02)
    assert again / len(texts) > world.settings.news_repeat_share / 2 - 0.02
    assert not any(text.count("UPDATE") > 1 for text in texts)


@pytest.mark.parametrize("length", [1, 5])
def test_pieces_cuts_and_later_rows_change_nothing(root, world, length):
    whole = world if length == 1 else World(root, days=10, bar_minutes=length)
    source, items, releases = whole.source(), [], []
    edges = [0, 1, 200, 276, 277, 1000, len(whole.bars)]
    for a, b in itertools.pairwise(edges):
        items += source.items(whole.piece(a, b), whole.days)
        releases += source.releases(whole.piece(a, b), whole.days)
    assert list(map(repr, items)) == list(map(repr, whole.items))
    assert releases == whole.releases
    for cut in (300, 777, 1200):
        edge = whole.bars.ts[cut - 1]
        head = list(whole.source().items(whole.bars.head(cut), whole.days))
        assert list(map(repr, head)) == [repr(item) for item in whole.items if item.received_at <= edge]
        first = list(whole.source().releases(whole.bars.head(cut), whole.days))
        assert first == [release for release in whole.releases if release.received_at <= edge]
        values = whole.bars.values.copy()
        later = np.arange(len(values)) >= cut
        market = [k for k in range(WIDTH) if k not in {INDEX[name] for name in CALENDAR}]
        values[np.ix_(later, market)] = 1e6
        poisoned = list(whole.source().items(dataclasses.replace(whole.bars, values=values), whole.days))
        assert [repr(i) for i in poisoned if i.received_at <= edge] == list(map(repr, head))


def test_more_sessions_change_nothing_earlier_and_the_seed_everything(root, world):
    short = World(root, days=5)
    assert list(map(repr, short.items)) == list(map(repr, world.items[: len(short.items)]))
    assert short.releases == world.releases[: len(short.releases)]
    other = World(root, days=5, seed=4)
    assert [item.received_at for item in other.items] != [item.received_at for item in short.items]


@pytest.mark.parametrize("length", [1, 5])
def test_figures_come_seconds_after_their_scheduled_time_once_each(root, length):
    world = World(root, bar_minutes=length)
    events = economic.load()
    inside = (events.ts > world.bars.ts[0]) & (events.ts < world.bars.ts[-1]) & (world.days.index(events.ts) >= 0)
    scheduled = {(int(ts), RELEASES[code - 1]) for ts, code in zip(events.ts[inside], events.code[inside], strict=True)}
    found = [(release.received_at // (60 * 10**9) * 60 * 10**9, release.event) for release in world.releases]
    assert len(found) >= 8
    assert sorted(found) == sorted(scheduled)
    for release in world.releases:
        assert 1e9 <= release.received_at % (60 * 10**9) <= 4e9
        assert math.isfinite(release.surprise)
        step = next(term.step for term in world.settings.releases if term.event == release.event)
        for value in (release.actual, release.consensus):
            assert abs(value / step - round(value / step)) < 1e-6


def test_surprises_are_of_the_size_they_say(root):
    world = World(root, days=330, news_per_hour=0.0, bar_minutes=30)
    surprises = np.array([release.surprise for release in world.releases if release.event != "FOMC"])
    assert len(surprises) > 30
    assert 0.6 < surprises.std() < 1.4
    assert abs(surprises.mean()) < 3 / np.sqrt(len(surprises))


def test_event_names_are_those_of_the_calendar():
    assert {name: k + 1 for k, name in enumerate(RELEASES)} == economic.CODES
    assert set(wording.EVENTS) == set(economic.CODES.values())
    assert set(wording.SUBJECTS) == set(NEWS_TOPICS)


def test_both_can_be_switched_off_and_a_bare_calendar_is_no_event(root):
    off = World(root, days=5, news_per_hour=0.0, releases=())
    assert off.items == off.releases == []
    bare = World(root, days=1)
    values = bare.bars.values.copy()
    values[:, [INDEX[name] for name in CALENDAR]] = np.nan
    plain = dataclasses.replace(bare.bars, values=values)
    assert len(list(bare.source().items(plain, bare.days))) > 20
    assert list(bare.source().releases(plain, bare.days)) == []


def test_a_figure_without_scale_is_refused():
    good = {"received_at": 1, "event": "CPI", "actual": 0.4, "consensus": 0.3, "deviation": 0.1}
    assert Release(**good).surprise == pytest.approx(1.0)
    for change in ({"deviation": 0.0}, {"deviation": math.nan}, {"actual": math.nan}, {"consensus": math.inf}):
        with pytest.raises(DataError, match="release CPI"):
            Release(**{**good, **change})
