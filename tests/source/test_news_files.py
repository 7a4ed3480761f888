"""Headlines and releases from files: placed by when they were received, first prints only, refused in one line."""

import numpy as np
import pandas as pd
import pytest

from mia.domain.errors import ConfigurationError, MiaError
from mia.source.joined_settings import NewsFileSettings, ReleaseFileSettings
from mia.source.news_files import NewsFiles, ReleaseFiles

MINUTE = 60_000_000_000


def headlines(**changes) -> pd.DataFrame:
    plain = {
        "got": ["2025-03-17 15:00Z", "2025-03-17 14:00Z", "2025-03-17 14:30Z"],
        "printed": ["2025-03-17 13:00Z", "2025-03-17 13:59Z", "2025-03-17 14:31Z"],
        "title": ["Third", "First", "Second"],
    }
    return pd.DataFrame({**plain, **changes})


@pytest.fixture
def items(tmp_path):
    def run(frame: pd.DataFrame, **changes):
        path = tmp_path / "news.csv"
        frame.to_csv(path, index=False)
        plain = {"path": str(path), "received": "got", "headline": "title", "max_silence_minutes": 60}
        return NewsFiles(NewsFileSettings(**{**plain, **changes}), tmp_path)

    return run


def test_items_come_in_the_order_in_which_they_were_received(items):
    made = list(items(headlines(), published="printed").items())
    assert [item.headline for item in made] == ["First", "Second", "Third"]
    assert made[0].received_at == pd.Timestamp("2025-03-17 14:00Z").value
    assert made[2].published_at == pd.Timestamp("2025-03-17 13:00Z").value
    assert np.isnan(made[0].sentiment)
    assert (made[0].relevance, made[0].topic, made[0].symbols) == (1.0, "", ())


def test_what_the_vendor_says_is_kept(items):
    frame = headlines(
        tone=[0.5, -1, None], weight=[1, 0.25, None], about=["SPY;QQQ", "ES", ""], kind=["Macro", "", "policy"]
    )
    made = list(
        items(frame, sentiment="tone", relevance="weight", symbols="about", topic="kind", source="title").items()
    )
    assert made[0].sentiment == -1
    assert np.isnan(made[1].sentiment)
    assert [item.relevance for item in made] == [0.25, 1.0, 1.0]
    assert [item.symbols for item in made] == [("ES",), (), ("SPY", "QQQ")]
    assert [item.topic for item in made] == ["", "policy", "macro"]


def test_the_feed_counts_as_up_for_a_while_after_each_headline_and_never_before_the_first(items):
    first = pd.Timestamp("2025-03-17 14:00Z").value
    ts = first + MINUTE * np.array([-1, 0, 29, 89, 90, 120, 121])
    assert items(headlines()).alive(ts).tolist() == [False, True, True, True, True, True, False]


@pytest.mark.parametrize(
    ("frame", "changes", "says"),
    [
        (headlines(), {"headline": "text"}, "no column 'text'"),
        (headlines(got=["2025-03-17 14:00"] * 3), {}, "timezone"),
        (headlines(got=["2025-03-17 14:00Z", None, "2025-03-17 14:00Z"]), {}, "missing"),
        (headlines(title=["", " ", ""]), {}, "every headline"),
        (headlines(tone=[2, 0, 0]), {"sentiment": "tone"}, r"outside \[-1, 1\]"),
        (headlines(tone=["good", "", ""]), {"sentiment": "tone"}, "not a number"),
        (headlines(weight=[-0.5, 0, 0]), {"relevance": "weight"}, r"outside \[0, 1\]"),
        (headlines(kind=["sport", "", ""]), {"topic": "kind"}, "is none of"),
    ],
)
def test_unusable_headlines_are_refused_in_one_line(items, frame, changes, says):
    with pytest.raises(MiaError, match=says) as caught:
        list(items(frame, **changes).items())
    assert "\n" not in str(caught.value)


def test_the_time_of_receipt_must_be_declared(items):
    with pytest.raises(ConfigurationError, match="received is not declared"):
        items(headlines(), received=None)


@pytest.fixture
def releases(tmp_path):
    def run(frame: pd.DataFrame, **changes):
        path = tmp_path / "releases.csv"
        frame.to_csv(path, index=False)
        plain = {"path": str(path), "event": "event", "actual": "actual", "consensus": "expected", "time": "ts"}
        return list(ReleaseFiles(ReleaseFileSettings(**{**plain, **changes}), tmp_path).releases())

    return run


def monthly(surprises, event="CPI", first="2024-01-11 13:30Z") -> pd.DataFrame:
    stamps = pd.date_range(first, periods=len(surprises), freq="30D")
    return pd.DataFrame({"ts": stamps, "event": event, "actual": 3.0 + np.array(surprises), "expected": 3.0})


def test_a_surprise_is_measured_by_five_or_more_earlier_ones_and_never_by_its_own(releases):
    surprises = [0.1, -0.1, 0.2, 0.0, -0.2, 5.0, 0.1]
    made = releases(monthly(surprises))
    assert len(made) == 2
    assert made[0].deviation == pytest.approx(np.std(surprises[:5], ddof=1))
    assert made[1].deviation == pytest.approx(np.std(surprises[:6], ddof=1))
    assert made[0].surprise == pytest.approx(5.0 / np.std(surprises[:5], ddof=1))


def test_events_do_not_mix(releases):
    both = pd.concat([monthly([0.1, -0.1, 0.2, 0.0, -0.2, 0.1]), monthly([9, -9, 8, 7, 5, 1], event="NFP")])
    made = {release.event: release.deviation for release in releases(both)}
    assert made["CPI"] < 1 < made["NFP"]


def test_revisions_change_nothing(releases):
    frame = monthly([0.1, -0.1, 0.2, 0.0, -0.2, 0.3]).assign(got=lambda f: f.ts)
    revised = frame.iloc[[2]].assign(actual=99.0, got=lambda f: f.ts + pd.Timedelta(days=20))
    assert releases(pd.concat([frame, revised]), received="got") == releases(frame, received="got")


def test_later_releases_change_no_earlier_one(releases):
    frame = monthly([0.1, -0.1, 0.2, 0.0, -0.2, 0.3, 4.0, -3.0])
    assert releases(frame[:7]) == releases(frame)[:2]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"actual": "high"}, "not a number"),
        ({"event": ""}, "event is empty"),
        ({"ts": "2024-01-11 13:30"}, "timezone"),
    ],
)
def test_unusable_releases_are_refused_in_one_line(releases, change, says):
    with pytest.raises(MiaError, match=says) as caught:
        releases(monthly([0.1]).assign(**change))
    assert "\n" not in str(caught.value)


def test_recorded_headlines_are_placed_an_hour_after_their_stamp(shared_data, tmp_path):
    declared = NewsFileSettings(
        path=str(shared_data / "news/sp500_headlines_finbert_hourly.parquet"),
        received="available_ts",
        published="ts",
        headline="headline",
        source="source",
        sentiment="avg_sentiment",
        max_silence_minutes=1440,
    )
    made = list(NewsFiles(declared, tmp_path).items())
    assert len(made) > 15_000
    assert all(item.received_at - item.published_at == 60 * MINUTE for item in made)
    assert np.all(np.diff([item.received_at for item in made]) >= 0)
