"""Options and news beside the bars: carried as long as they hold, placed by when they were received, however cut."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import small_walk

from mia.domain.bars import Bars
from mia.domain.series import INDEX, NEWS, OPTIONS
from mia.features.options import OptionsMetrics
from mia.source.simulated import SimulatedChains, SimulatedNews
from mia.task import ingest
from mia.task.watch import Watch

MINUTE = 60_000_000_000
BLOCKS = {name: slice(INDEX[names[0]], INDEX[names[-1]] + 1) for name, names in (("opt", OPTIONS), ("news", NEWS))}
ONCE = OPTIONS.index("opt.signed_delta")


@pytest.fixture(scope="module")
def watch():
    return Watch(quiet=True)


@pytest.fixture(scope="module")
def settings():
    """Chains every 15 minutes that hold for 9, so that some bars know none."""
    words = ("features=bars_only", "source.hours=rth", "source.sessions=2", "options.max_age_minutes=9")
    return small_walk.compose("ES", "awareness=off", *words)


@pytest.fixture(scope="module")
def made(settings, watch):
    return ingest.make(settings, watch).bars


@pytest.fixture(scope="module")
def bare(settings, watch):
    """The market's own rows, without calendar and companions, and their schedule."""
    feed = ingest.opened(settings, watch)
    return ingest._joined(list(feed.pieces)), feed.sessions


def cut(bars, edges):
    for start, stop in pairwise(edges):
        columns = {name: getattr(bars, name)[start:stop] for name in ("ts", "available_at", "values")}
        yield Bars(market=bars.market, bar_minutes=bars.bar_minutes, **columns)


def completed(settings, bare, edges):
    bars, sessions = bare
    feed = ingest.Feed(pieces=cut(bars, edges), sessions=sessions, facts={})
    return np.concatenate([piece.values for piece in ingest.complete(settings, feed)])


@pytest.mark.parametrize("edges", [[0, 780], [0, 1, 2, 14, 15, 16, 389, 391, 780], [*range(0, 780, 7), 780]])
def test_how_the_bars_are_cut_changes_no_bit(settings, bare, made, edges):
    assert completed(settings, bare, edges).tobytes() == made.values.tobytes()


def test_an_option_value_holds_as_long_as_configured_and_no_longer(settings, bare, made):
    _, sessions = bare
    chains = list(SimulatedChains(settings.market, settings.source, settings.seed).snapshots(made, sessions))
    metrics = OptionsMetrics(settings.options, settings.market)
    known = [(chain.available_at, metrics.row(chain)) for chain in chains]
    stale, before = 0, 0
    for row, ts in enumerate(made.ts):
        past = [(at, found) for at, found in known if at <= ts]
        got = made.values[row, BLOCKS["opt"]]
        if not past or ts - past[-1][0] > 9 * MINUTE:
            assert np.isnan(got).all()
            stale += 1
            before = ts
            continue
        expected = past[-1][1].copy()
        expected[ONCE] = sum(found[ONCE] for at, found in past if at > before)
        assert np.array_equal(got, expected, equal_nan=True), row
        before = ts
    assert 200 < stale < 580, "with and without a chain must both occur"


def test_news_count_on_the_first_bar_that_closes_after_they_were_received(settings, bare, made):
    _, sessions = bare
    items = list(SimulatedNews(settings.market, settings.source, settings.seed).items(made, sessions))
    assert len(items) > 20
    expected = np.zeros(len(made))
    for item in items:
        expected[next(row for row, ts in enumerate(made.ts) if ts >= item.received_at)] += 1
    assert np.array_equal(made.column("news.count"), expected)
    assert (made.column("news.alive") == 1).all()
    published = [next((row for row, ts in enumerate(made.ts) if ts >= item.published_at), -1) for item in items]
    assert np.bincount([row for row in published if row >= 0], minlength=len(made)).tolist() != expected.tolist()


def test_a_world_without_options_or_news_leaves_their_columns_missing(settings, watch):
    off = replace(
        settings, source=replace(settings.source, chain_minutes=0, news_per_hour=0.0, releases=(), sessions=1)
    )
    bars = ingest.make(off, watch).bars
    assert np.isnan(bars.values[:, BLOCKS["opt"]]).all()
    assert np.isnan(bars.values[:, BLOCKS["news"]]).all()
    assert "options" not in bars.sources_present()
    assert np.isfinite(bars.column("bar.close")).all()


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Bars of one morning in a file, and a way to ingest them with headlines and figures beside them."""
    monkeypatch.chdir(tmp_path)
    start = pd.Timestamp("2025-01-07 09:30", tz="America/New_York")
    close = 6000 + 0.25 * np.round(8 * np.sin(np.arange(120) / 9))
    stamps = pd.date_range(start, periods=120, freq="1min").tz_convert("UTC")
    prices = {"open": close, "high": close + 0.5, "low": close - 0.5, "close": close, "volume": 100}
    pd.DataFrame({"ts": stamps, **prices}).to_csv("bars.csv", index=False)

    def run(news=None, releases=None, *, cut_at=ingest.CHUNK_ROWS):
        words = ["source=files", "source.path=bars.csv", "source.label=open", "features=bars_only", "awareness=off"]
        words.append("source.hours=rth")
        if news is not None:
            news.to_csv("news.csv", index=False)
            words.append("source.news={path: news.csv, received: got, headline: title, max_silence_minutes: 30}")
        if releases is not None:
            releases.to_csv("releases.csv", index=False)
            words.append("source.releases={path: releases.csv, event: what, actual: real, consensus: guess}")
        monkeypatch.setattr(ingest, "CHUNK_ROWS", cut_at)
        return ingest.make(small_walk.compose("ES", *words), Watch(quiet=True)).bars

    return run, start


def at(start, **offset):
    return (start + pd.Timedelta(**offset)).tz_convert("UTC").isoformat()


def test_recorded_news_fall_on_the_bar_that_closes_at_or_after_their_receipt(recorded):
    run, start = recorded
    got = [
        at(start, minutes=10),  # to the nanosecond the close of bar 9
        at(start, minutes=10, microseconds=1),  # one microsecond later: bar 10
        at(start, minutes=50, seconds=30),
        at(start, minutes=50, seconds=31),
        at(start, hours=12),  # after the last bar: nobody has read it yet
    ]
    news = pd.DataFrame({"got": got, "title": ["Stocks rise", "Stocks fall", "Fed cuts", "Fed holds", "Late news"]})
    bars = run(news)
    count = bars.column("news.count")
    assert np.flatnonzero(count > 0).tolist() == [9, 10, 50]
    assert count[50] == 2
    alive = bars.column("news.alive")
    expected = np.zeros(120)
    expected[9:40] = expected[50:80] = 1  # bars that close within half an hour of a receipt
    assert alive.tolist() == expected.tolist()
    assert np.isnan(count[alive == 0]).all()
    again = run(news, cut_at=13)
    assert again.values.tobytes() == bars.values.tobytes()


def test_without_a_file_of_news_its_columns_are_missing(recorded):
    run, _ = recorded
    bars = run()
    assert np.isnan(bars.values[:, BLOCKS["news"]]).all()
    assert bars.sources_present() == ("bars", "calendar")
