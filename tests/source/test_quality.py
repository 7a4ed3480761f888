"""The data-quality report: each defect is found where it was put, and limits decide what stops a run."""

import json

import numpy as np
import pytest
import yaml

from mia.domain.market import Market
from mia.domain.rng import generator
from mia.domain.sessions import Sessions
from mia.source.quality import Finding, QualityReport, finding, in_roll_week, inspect_bars

MINUTE = 60_000_000_000
DAY = 1440 * MINUTE
START = 20_157 * DAY  # 2025-03-10


@pytest.fixture(scope="module")
def market(root) -> Market:
    plain = yaml.safe_load((root / "conf/market/ES.yaml").read_text())
    return Market(**{**plain, "roll_months": tuple(plain["roll_months"])})


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    opens = START + np.arange(3) * DAY
    return Sessions(
        open_ns=opens,
        close_ns=opens + 1200 * MINUTE,
        rth_open_ns=opens + 600 * MINUTE,
        rth_close_ns=opens + 900 * MINUTE,
        trade_date=np.array([20250310, 20250311, 20250312]),
        full_minutes=1200,
    )


def clean(sessions: Sessions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ts = np.concatenate(
        [np.arange(o + MINUTE, c + 1, MINUTE) for o, c in zip(sessions.open_ns, sessions.close_ns, strict=True)]
    )
    close = 20_000 + np.cumsum(generator(1, "quality").integers(-3, 4, len(ts)))
    ohlc = np.stack([np.concatenate([close[:1], close[:-1]]), close + 5, close - 5, close], axis=1).astype(float)
    return ts, ohlc, np.full(len(ts), 10.0)


def look(sessions, market, ts, ohlc, volume, rolls=None):
    rolls = np.zeros(len(ts), bool) if rolls is None else rolls
    found, measures = inspect_bars(ts, ohlc, volume, 1, sessions, market, rolls)
    return QualityReport(findings=tuple(found), measures=measures)


def test_clean_bars_have_no_findings(sessions, market):
    report = look(sessions, market, *clean(sessions))
    assert report.table() == ()
    assert report.measures == {"longest gap [minutes]": 0}


def test_a_gap_is_counted_once_and_measured_in_missing_minutes(sessions, market):
    ts, ohlc, volume = clean(sessions)
    keep = np.ones(len(ts), bool)
    keep[100:107] = False
    keep[300] = False
    report = look(sessions, market, ts[keep], ohlc[keep], volume[keep])
    assert report.count("gaps") == 2
    assert report.measures["longest gap [minutes]"] == 7
    assert report.table()[0]["first"] == "2025-03-10 01:48:00 UTC"


def test_the_break_between_sessions_is_no_gap(sessions, market):
    ts, ohlc, volume = clean(sessions)
    report = look(sessions, market, ts[1100:1300], ohlc[1100:1300], volume[1100:1300])
    assert report.count("gaps") == 0


def test_quarter_hours_of_silence_in_regular_hours_are_halts(sessions, market):
    ts, ohlc, volume = clean(sessions)
    volume[700:715] = 0  # fifteen minutes, regular
    volume[720:734] = 0  # fourteen
    volume[50:90] = 0  # before regular hours
    report = look(sessions, market, ts, ohlc, volume)
    assert report.count("halts") == 1
    assert report.count("zero volume") == 15 + 14 + 40


def test_outliers_are_returns_beyond_twenty_robust_deviations(sessions, market):
    ts, ohlc, volume = clean(sessions)
    ohlc[500, 3] += 400
    report = look(sessions, market, ts, ohlc, volume)
    assert report.count("outliers") == 2  # there and back


def test_a_missing_and_a_short_session_are_named_by_their_trade_date(sessions, market):
    ts, ohlc, volume = clean(sessions)
    keep = (sessions.index(ts) != 1) & ~((sessions.index(ts) == 2) & (ts > sessions.open_ns[2] + 100 * MINUTE))
    report = look(sessions, market, ts[keep], ohlc[keep], volume[keep])
    rows = {r["name"]: r for r in report.table()}
    assert rows["missing sessions"]["count"] == 1
    assert "20250311" in rows["missing sessions"]["first"]
    assert "20250312" in rows["short sessions"]["first"]


def test_a_marked_roll_is_not_reported_again(sessions, market):
    ts, ohlc, volume = clean(sessions)
    ts, sessions_roll = ts + 4 * DAY, None  # 14 March, a week before expiry on the 21st
    moved = Sessions(
        open_ns=sessions.open_ns + 4 * DAY,
        close_ns=sessions.close_ns + 4 * DAY,
        rth_open_ns=sessions.rth_open_ns + 4 * DAY,
        rth_close_ns=sessions.rth_close_ns + 4 * DAY,
        trade_date=sessions.trade_date,
        full_minutes=1200,
    )
    ohlc[1200:] += 240
    assert look(moved, market, ts, ohlc, volume).count("unmarked roll jumps") == 1
    rolls = np.zeros(len(ts), bool)
    rolls[1200] = True
    assert look(moved, market, ts, ohlc, volume, rolls).count("unmarked roll jumps") == 0
    assert sessions_roll is None


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2025-03-13", True),
        ("2025-03-12", False),
        ("2025-03-21", True),
        ("2025-03-25", False),
        ("2025-04-15", False),
    ],
)
def test_the_roll_week_is_eight_days_before_the_third_friday_of_a_roll_month(market, day, expected):
    ns = int(np.datetime64(day + "T12:00", "ns").astype(np.int64))
    assert in_roll_week(ns, market) is expected


def test_limits_name_what_passed_them_and_nothing_else():
    report = QualityReport(
        findings=(
            Finding(name="outliers", count=3, first="then", severity="warning", remedy="look at it"),
            Finding(name="gaps", count=5, first="now", severity="warning"),
        ),
        measures={"longest gap [minutes]": 9},
    )
    limits = {"outliers": 2, "gaps": None, "longest gap [minutes]": 8, "duplicates": 0}
    assert report.failures(limits) == [
        "outliers: 3, allowed 2, first then; look at it",
        "longest gap [minutes]: 9, allowed 8",
    ]
    assert report.failures({"outliers": 3}) == []


def test_the_report_survives_json():
    report = QualityReport(
        findings=(finding("gaps", np.array([False, True]), np.array([0, MINUTE]), "warning", what=np.array([7, 8])),),
        measures={"rows read": 2},
    )
    again = json.loads(json.dumps(report.to_json()))
    assert again["findings"][0] == {
        "name": "gaps",
        "count": 1,
        "first": "1970-01-01 00:01:00 UTC (8)",
        "severity": "warning",
        "remedy": "",
    }
    assert again["measures"] == {"rows read": 2}
