"""News by bar: only what was received counts, a repeat is no news, and cuts change nothing."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from mia.domain.errors import ConfigurationError
from mia.domain.market import Market
from mia.domain.news import NewsItem, Release
from mia.domain.rng import generator
from mia.domain.series import NEWS, NEWS_TOPICS
from mia.features.news.news_analyzer import NewsAnalyzer, heard
from mia.features.news.settings import NewsSettings
from mia.features.news.similarity import RecentHeadlines
from mia.features.news.topics import topic_of

MINUTE = 60_000_000_000
HOUR = 60 * MINUTE
START = 1_742_220_000_000_000_000
COLUMN = {name: k for k, name in enumerate(NEWS)}


@pytest.fixture(scope="module")
def settings(root) -> NewsSettings:
    plain = yaml.safe_load((root / "conf/news/default.yaml").read_text())
    return NewsSettings(**plain)


@pytest.fixture(scope="module")
def market(root) -> Market:
    plain = yaml.safe_load((root / "conf/market/ES.yaml").read_text())
    return Market(**{**plain, "roll_months": tuple(plain["roll_months"])})


@pytest.fixture
def analyzer(settings, market) -> NewsAnalyzer:
    return NewsAnalyzer(settings, market)


def item(minute: float, headline: str = "Wall Street waits", **changes) -> NewsItem:
    received = START + round(minute * MINUTE)
    plain = {
        "received_at": received,
        "published_at": received,
        "headline": headline,
        "source": "",
        "symbols": (),
        "sentiment": 0.5,
        "relevance": 1.0,
        "topic": "",
    }
    return NewsItem(**{**plain, **changes})


def closes(count: int, first: int = 1) -> np.ndarray:
    return START + MINUTE * np.arange(first, first + count)


def up(count: int) -> np.ndarray:
    return np.ones(count, bool)


def column(rows: np.ndarray, name: str) -> list[float]:
    return rows[:, COLUMN[name]].tolist()


def test_an_item_belongs_to_the_first_bar_that_closes_at_or_after_its_receipt(analyzer):
    items = [item(2), item(2 + 1e-6, "Another thing"), item(2.5, "A third matter")]
    rows = analyzer.advance(items, [], closes(4), up(4))
    assert column(rows, "news.count") == [0, 1, 2, 0]
    assert column(rows, "news.alive") == [1, 1, 1, 1]


def test_a_publishers_stamp_set_back_or_forward_changes_nothing(settings, market):
    items = [item(1.5), item(2.5, "Fed raises rates", sentiment=-1.0)]
    moved = [replace(items[0], published_at=START - HOUR), replace(items[1], published_at=START + 9 * HOUR)]
    plain, odd = (NewsAnalyzer(settings, market).advance(i, [], closes(4), up(4)) for i in (items, moved))
    assert plain.tobytes() == odd.tobytes()


def test_a_repeat_is_no_news_for_a_day_and_news_again_afterwards(analyzer):
    same = "Fed raises rates by 25 basis points"
    minutes = (0.5, 30.5, 24 * 60 + 30.5, 48 * 60 + 31.5)
    ts = START + np.array([1, 31, 24 * 60 + 31, 48 * 60 + 32]) * MINUTE
    rows = analyzer.advance([item(m, same) for m in minutes], [], ts, up(4))
    assert column(rows, "news.weight") == [1.0, 0.0, 0.0, 1.0]
    assert column(rows, "news.sentiment") == [0.5, 0.0, 0.0, 0.5]
    assert column(rows, "news.count") == [1, 1, 1, 1]


def test_novelty_is_one_less_the_greatest_cosine_of_word_counts():
    recent = RecentHeadlines(24 * HOUR)
    assert recent.novelty(0, "stocks rally strongly") == 1.0
    assert recent.novelty(1, "bonds tumble") == 1.0
    # {stocks, rally, bonds} shares two of three words with the first and one of two with the second
    assert recent.novelty(2, "stocks rally bonds") == pytest.approx(1 - 2 / 3)
    assert recent.novelty(3, "Stocks, RALLY; strongly!") == 0.0
    assert recent.novelty(4, "stocks stocks") == pytest.approx(1 - 2 / np.sqrt(4 * 3))


def test_a_silent_feed_that_is_up_gives_zero_and_one_that_is_down_gives_nothing(analyzer):
    alive = np.array([True, False, True])
    rows = analyzer.advance([item(1.5)], [], closes(3), alive)
    assert column(rows, "news.alive") == [1, 0, 1]
    assert np.all(rows[[0, 2], 1:] == 0)
    assert np.all(np.isnan(rows[1, 1:]))


def test_a_headline_without_a_vendors_sentiment_is_read_by_the_lexicon(analyzer):
    items = [
        item(0.5, "Profit fell sharply, stocks tumble", sentiment=np.nan),
        item(1.5, "Stocks soar", sentiment=np.nan),
    ]
    rows = analyzer.advance(items, [], closes(2), up(2))
    assert rows[0, COLUMN["news.sentiment"]] < 0 < rows[1, COLUMN["news.sentiment"]]


def test_relevance_follows_symbols_then_words(analyzer, settings):
    assert analyzer.relevance(item(0, "x", symbols=("spy",))) == 1.0
    assert analyzer.relevance(item(0, "Stocks", symbols=("KO",), relevance=0.5)) == 0.5 * settings.other_relevance
    assert analyzer.relevance(item(0, "S&P 500 slips")) == 1.0
    assert analyzer.relevance(item(0, "Cat video")) == settings.silent_relevance
    assert analyzer.relevance(item(0, "Confederate flag")) == settings.silent_relevance  # "fed" is not a part of a word


@pytest.mark.parametrize(
    ("headline", "topic"),
    [
        ("Powell says the Fed may pause rate hikes", "policy"),
        ("CPI rises 0.4 % as inflation persists", "macro"),
        ("Apple beats estimates, quarterly revenue up", "earnings"),
        ("Missile attack near the border", "geopolitics"),
        ("Microsoft CEO sues former supplier", "company"),
        ("Wall Street closes at a record high", "markets"),
        ("A day at the lake", "other"),
    ],
)
def test_topics_are_found_by_words(headline, topic):
    assert topic_of(headline) == topic


def test_a_bar_sums_sentiment_weights_and_topics(analyzer):
    items = [
        item(0.2, "alpha beta", symbols=("ES",), topic="macro", sentiment=0.5),
        item(0.4, "gamma delta", symbols=("KO",), topic="macro", sentiment=-1.0),
        item(0.6, "epsilon zeta", symbols=("ES",), relevance=0.5, topic="company", sentiment=1.0),
    ]
    rows = analyzer.advance(items, [], closes(1), up(1))
    assert column(rows, "news.weight") == [pytest.approx(1.0 + 0.2 + 0.5)]
    assert column(rows, "news.sentiment") == [pytest.approx(0.5 - 0.2 + 0.5)]
    assert column(rows, "news.macro") == [pytest.approx(0.3)]
    assert column(rows, "news.company") == [0.5]
    assert sum(rows[0, COLUMN[f"news.{t}"]] for t in NEWS_TOPICS) == pytest.approx(rows[0, COLUMN["news.sentiment"]])


def release(minute: float, actual: float) -> Release:
    return Release(received_at=START + round(minute * MINUTE), event="CPI", actual=actual, consensus=3.0, deviation=0.1)


def test_releases_are_summed_in_deviations_clipped_and_placed_like_items(analyzer, settings):
    made = [release(1, 3.2), release(1.5, 2.9), release(2.5, 99.0)]
    rows = analyzer.advance([], made, closes(3), up(3))
    assert column(rows, "news.surprise") == pytest.approx([2.0, -1.0, settings.surprise_clip])
    assert column(rows, "news.count") == [0, 0, 0]


def test_a_weekends_headlines_do_not_arrive_at_the_open_but_are_remembered(analyzer):
    ts = np.array([START, START + 48 * HOUR, START + 48 * HOUR + MINUTE])
    items = [item(40 * 60, "Truce signed"), item(48 * 60 + 0.5, "Truce signed")]
    rows = analyzer.advance(items, [release(40 * 60, 3.2)], ts, up(3))
    assert column(rows, "news.count") == [0, 0, 1]
    assert column(rows, "news.weight") == [0, 0, 0]
    assert column(rows, "news.surprise") == [0, 0, 0]


@pytest.fixture(scope="module")
def stream():
    """Three days of headlines that share words, at random times."""
    rng = generator(5, "tests", "news")
    vocabulary = ["fed", "rates", "stocks", "rally", "oil", "tumble", "profit", "rose", "apple", "cpi", "weak", "gold"]
    items = [
        item(
            float(minute),
            " ".join(rng.choice(vocabulary, rng.integers(2, 7))),
            sentiment=float(rng.choice([np.nan, 0.3, -0.7])),
            symbols=("ES",) if rng.random() < 0.3 else (),
        )
        for minute in np.sort(rng.uniform(0, 3 * 1440, 800))
    ]
    releases = [
        release(float(m), float(a)) for m, a in zip(rng.uniform(0, 3 * 1440, 40), rng.normal(3, 0.2, 40), strict=True)
    ]
    ts = closes(3 * 1440)[rng.random(3 * 1440) < 0.8]
    return items, releases, ts, rng.random(len(ts)) < 0.97


def test_any_cut_of_bars_and_items_gives_the_same_bits(stream, settings, market):
    items, releases, ts, alive = stream
    whole = NewsAnalyzer(settings, market).advance(items, releases, ts, alive)
    assert np.isfinite(whole).any()
    for size in (1, 13, 700):
        one, parts, last = NewsAnalyzer(settings, market), [], 0
        for k in range(0, len(ts), size):
            end = ts[min(k + size, len(ts)) - 1]
            new = [i for i in items if last < i.received_at <= end]
            figures = [r for r in releases if last < r.received_at <= end]
            parts.append(one.advance(new, figures, ts[k : k + size], alive[k : k + size]))
            last = end
        assert np.concatenate(parts).tobytes() == whole.tobytes(), size


def test_what_follows_changes_no_row_before_it(stream, settings, market):
    items, releases, ts, alive = stream
    whole = NewsAnalyzer(settings, market).advance(items, releases, ts, alive)
    for cut in (1, 500, 1999):
        now = ts[cut - 1]
        noise = [item(float(m), "poison stocks fed", sentiment=1.0) for m in (now - START) / MINUTE + np.arange(1, 9)]
        known = [i for i in items if i.received_at <= now]
        got = NewsAnalyzer(settings, market).advance([*noise, *known], releases, ts[:cut], alive[:cut])
        assert got.tobytes() == whole[:cut].tobytes()


def test_a_restart_from_the_saved_state_goes_on_with_the_same_bits(stream, settings, market):
    items, releases, ts, alive = stream
    whole = NewsAnalyzer(settings, market).advance(items, releases, ts, alive)
    first = NewsAnalyzer(settings, market)
    first.advance(items, releases, ts[:1200], alive[:1200])  # all that follows waits inside
    state = first.state
    assert all(array.dtype != object for array in state.values())
    second = NewsAnalyzer(settings, market)
    second.state = state
    assert second.advance([], [], ts[1200:], alive[1200:]).tobytes() == whole[1200:].tobytes()


def test_memory_of_headlines_does_not_grow_with_history():
    recent = RecentHeadlines(HOUR)
    sizes = []
    for k in range(6000):
        recent.novelty(k * MINUTE, f"headline number {k}")
        sizes.append(len(recent._received))
    assert max(sizes[3000:]) <= max(sizes[:3000]) < 2500
    assert len(recent.state["received"]) == 61


def test_an_item_handed_over_too_late_goes_to_the_next_bar(analyzer):
    analyzer.advance([], [], closes(3), up(3))
    rows = analyzer.advance([item(2.5)], [], closes(2, first=4), up(2))
    assert column(rows, "news.count") == [1, 0]


def test_the_feed_is_up_for_five_minutes_after_a_sign_of_life():
    beats = START + MINUTE * np.array([1, 2])
    assert heard(closes(8, first=0), beats, 5).tolist() == [False, True, True, True, True, True, True, True]
    assert heard(closes(3, first=6), beats, 5).tolist() == [True, True, False]
    assert not heard(closes(3), np.zeros(0, np.int64), 5).any()


def test_a_transformer_that_is_not_there_is_refused_in_one_line(settings, market, tmp_path):
    with pytest.raises(ConfigurationError, match=r"news\.model must name"):
        replace(settings, sentiment="transformer")
    with pytest.raises(ConfigurationError, match="safetensors"):
        NewsAnalyzer(replace(settings, sentiment="transformer", model=str(tmp_path)), market)


def test_a_transformer_without_its_package_names_the_extra(settings, market, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)  # makes the import fail whether it is installed or not
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"mia-futures\[sentiment\]") as caught:
        NewsAnalyzer(replace(settings, sentiment="transformer", model=str(tmp_path)), market)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"sentiment": "guess"},
        {"novelty_hours": 0.0},
        {"max_wait_minutes": -1.0},
        {"other_relevance": 1.5},
        {"silent_relevance": -0.1},
    ],
)
def test_impossible_settings_are_refused(settings, change):
    with pytest.raises(ConfigurationError, match=f"news.{next(iter(change))}"):
        replace(settings, **change)


def test_the_menu_says_what_is_relevant_to_every_market(settings, root):
    markets = {path.stem for path in (root / "conf/market").glob("*.yaml")}
    assert set(settings.symbols) == set(settings.words) == markets
