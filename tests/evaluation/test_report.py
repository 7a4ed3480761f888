"""The report page: complete, self-contained, escaped, small; oracles are the HTML parser and arithmetic."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from mia.domain.errors import DataError
from mia.domain.rng import generator
from mia.evaluation import formats, report

BASELINES = (
    "flat",
    "buy_and_hold",
    "always_short",
    "random",
    "sma_cross",
    "atr_breakout",
    "ridge",
    "regime_rule",
)


def make_content(sessions: int = 120, seed: int = 7) -> report.ReportContent:
    """A realistic run on `sessions` Globex sessions of five-minute bars: random prices, a losing policy."""
    rng = generator(seed, "report")
    day = 86_400_000_000_000
    start = np.datetime64("2025-01-05T23:00", "ns").astype(np.int64)
    weekdays = [d for d in range(sessions * 7 // 5 + 2) if d % 7 < 5][:sessions]
    ts = np.concatenate([start + d * day + 300_000_000_000 * np.arange(1, 277) for d in weekdays])
    rows = len(ts)
    close = np.round(21000 * 4 + np.cumsum(rng.standard_t(4, rows)) * 14).astype(np.int64)
    opened = np.append(close[0], close[:-1]) + rng.integers(-2, 3, rows)
    high = np.maximum(opened, close) + rng.integers(0, 18, rows)
    low = np.minimum(opened, close) - rng.integers(0, 18, rows)
    position = np.repeat(rng.integers(-1, 2, rows // 40 + 1), 40)[:rows]
    change = np.flatnonzero(np.diff(position)) + 1
    fills = {
        "row": change,
        "ts": ts[change],
        "price_ticks": opened[change],
        "side": np.sign(np.diff(position))[change - 1],
        "contracts": np.abs(np.diff(position))[change - 1],
        "cost_cents": 149 * np.abs(np.diff(position))[change - 1],
    }
    move = np.append(0, np.diff(close)) * 50
    equity = {"qr_dqn": np.cumsum(position * move) - 149 * np.cumsum(np.abs(np.diff(position, prepend=0)))}
    for i, name in enumerate(BASELINES):
        held = {0: 0 * position, 1: 1 + 0 * position, 2: -1 + 0 * position}.get(i, np.roll(position, 997 * i))
        equity[name] = np.cumsum(held * move) - 149 * np.cumsum(np.abs(np.diff(held, prepend=0)))
    walk = np.cumsum(rng.normal(size=(rows, 3)) * 0.12, axis=0)
    walk -= walk.mean(axis=0)
    belief = np.exp(walk) / np.exp(walk).sum(axis=1, keepdims=True)
    at = np.arange(0, rows, 4)
    levels = (np.arange(51) + 0.5) / 51
    spread = 1 + 0.4 * np.sin(at / 900)[:, None, None]
    values = (
        spread * np.log(levels / (1 - levels)) * np.array([1.1, 0.1, 0.9])[:, None]
        + np.array([-0.1, 0.0, 0.12])[:, None]
    )
    return report.ReportContent(
        title="MNQ · qr_dqn",
        facts={
            "Market": "MNQ, five-minute bars",
            "Algorithm": "qr_dqn",
            "Source": "simulated",
            "Seed": "7",
            "Judged": "2025-01-05 to 2025-06-20",
            "Configuration": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "Data": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
        },
        verdict="Not distinguishable from luck: after costs the policy lost money under pessimistic fills "
        "and did not beat the best simple rule (ridge).",
        tone="open",
        warnings=(
            "Data is simulated: nothing here says anything about a real market.",
            "Two features were unavailable.",
        ),
        headline={
            name: metrics(equity["qr_dqn"][-1] / 100 - 180 * k, 0.42 - 0.3 * k)
            for k, name in enumerate(("optimistic", "central", "pessimistic"))
        },
        policy="qr_dqn",
        baselines={name: metrics(curve[-1] / 100, 0.2 * i - 0.7) for i, (name, curve) in enumerate(equity.items())},
        reference={name: metrics(1234.5 * (i - 3), 0.3 * i - 1) for i, name in enumerate(BASELINES)},
        folds=[
            {
                "fold": k + 1,
                "train": f"2025-0{k + 1}-05 to 2025-0{k + 3}-05",
                "test": f"2025-0{k + 3}-06 to 2025-0{k + 4}-05",
                "net_usd": -120.5 + 77 * k,
                "sharpe": -0.2 + 0.21 * k,
                "max_drawdown_usd": -800.0 - 31 * k,
                "trades": 211 + k,
                "stop_step": 12000 * (k + 1),
            }
            for k in range(4)
        ],
        ts=ts,
        equity_cents=equity,
        price_ticks=np.column_stack((opened, high, low, close)),
        tick_size=0.25,
        fills=fills,
        belief=belief,
        importance=report.Importance(
            names=[
                f"{a}_{n}"
                for n in (5, 10, 20, 50, 100)
                for a in (
                    "ret",
                    "atr",
                    "vol_z",
                    "vwap_dist",
                    "imbalance",
                    "range_pos",
                    "slope",
                    "rsi",
                    "kurt",
                    "adx",
                )
            ],
            shap=np.sort(rng.gamma(1.0, 0.02, 50))[::-1],
            stability=np.clip(rng.beta(5, 2, 50), 0, 1),
        ),
        quantiles=report.Quantiles(
            ts=ts[at], values=values, levels=levels, actions=("short", "flat", "long"), unit="reward"
        ),
        calibration=[
            {"level": q, "covered": q + 0.02, "low": q + 0.015, "high": q + 0.025, "n": 19_000, "within": False}
            for q in (0.05, 0.25, 0.5, 0.75, 0.95)
        ],
        calibration_note="They are quantiles of a bar.",
        limits=[
            {"fold": k + 1, "CVaR": 1.4 + k, "interval": (1.3 + k, 1.5 + k), "limit": 1.5, "kept": k == 0}
            for k in range(2)
        ],
        limit_looks=[
            {"step": 100.0, "cvar_loss": 2.0, "cvar_low": 1.9, "cvar_high": 2.1, "cvar_limit": 1.5, "multiplier": None},
            dict.fromkeys(("cvar_loss", "cvar_low", "cvar_high", "cvar_limit")) | {"step": 150, "multiplier": 0.3},
            {"step": 200.0, "cvar_loss": 1.4, "cvar_low": 1.3, "cvar_high": 1.5, "cvar_limit": 1.5, "multiplier": None},
            dict.fromkeys(("cvar_loss", "cvar_low", "cvar_high", "cvar_limit")) | {"step": 250, "multiplier": 0.1},
        ],
        limit_note="CVaR is a mean loss.",
        learning={f"fold {k + 1}": -np.exp(-np.arange(40) / (8 + k)) + 0.02 * rng.normal(size=40) for k in range(4)},
        learning_steps=np.arange(40) * 500,
        learning_unit="profit per bar [reward]",
        data_quality=[
            {
                "check": "missing bars",
                "found": 12,
                "of_rows_share": 0.0004,
                "remark": "calendar minutes without any trade",
            },
            {"check": "duplicate stamps", "found": 0, "of_rows_share": 0.0, "remark": ""},
            {
                "check": "price jumps over 20 robust deviations within one bar",
                "found": 3,
                "of_rows_share": 0.0001,
                "remark": "kept and reported: an outlier may be real news, and deleting it would flatter",
            },
        ],
        statistics={
            "Trials counted": 37,
            "Deflated Sharpe (probability)": 0.18,
            "PBO": 0.55,
            "Best baseline": "ridge",
            "Minimum track record": "41.2 years",
        },
    )


def metrics(net: float, sharpe: float) -> dict:
    return {
        "net_usd": net,
        "gross_usd": net + 812.4,
        "cost_usd": 812.4,
        "sharpe": sharpe,
        "sharpe_ci": (sharpe - 1.31, sharpe + 1.18),
        "max_drawdown_usd": -1834.25,
        "cvar95_usd": -212.337,
        "trades": 1211,
        "turnover": 5.437,
        "exposure": 0.6631,
    }


class Page(HTMLParser):
    """Reads a page back: elements with attributes, visible text, script bodies, unclosed tags."""

    VOID = {"meta", "br", "img", "link", "input", "hr"}  # noqa: RUF012 - read only

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.scripts: dict[str, str] = {}
        self.open: list[tuple[str, str]] = []
        self.mismatched: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append((tag, dict(attrs).get("id", "")))

    def handle_endtag(self, tag):
        if not self.open or self.open[-1][0] != tag:
            self.mismatched.append(tag)
        else:
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1][0] == "script":
            key = self.open[-1][1]
            self.scripts[key] = self.scripts.get(key, "") + data
        elif not (self.open and self.open[-1][0] == "style"):
            self.text.append(data)

    @property
    def visible(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def content():
    return make_content()


@pytest.fixture(scope="module")
def page(content):
    return Page(report.render(content))


def test_page_is_well_formed(page):
    assert page.mismatched == []
    assert page.open == []
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_nothing_is_loaded_from_anywhere(page):
    for tag, attrs in page.elements:
        for name in ("src", "href", "data", "action", "srcset", "poster"):
            if name in attrs:
                assert attrs[name].startswith("#"), (tag, name, attrs[name][:80])
    policies = [a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert "default-src 'none'" in policies[0]
    assert "http" not in policies[0]


def test_style_loads_nothing():
    from mia.evaluation.report_page import STYLE

    assert "@import" not in STYLE
    assert "url(" not in STYLE


def test_every_part_is_present_with_its_content(page):
    sections = {attrs["id"] for tag, attrs in page.elements if tag == "section"}
    assert sections == set(report.PARTS)
    assert "Left out." not in page.visible
    drawn = {attrs["data-figure"] for _, attrs in page.elements if "data-figure" in attrs}
    expected = {
        "sharpe", "equity", "drawdown", "price", "trades", "belief", "importance",
        "quantile_fan", "quantile_actions", "calibration", "learning", "limit",
    }  # fmt: skip
    assert drawn == {f"figure-{name}" for name in expected}


def test_every_chart_has_its_data(page):
    for _, attrs in page.elements:
        if "data-figure" in attrs:
            figure = json.loads(page.scripts[attrs["data-figure"]])
            assert figure["data"], attrs["data-figure"]
            assert figure["layout"]["height"] >= 200


def test_plotly_is_inlined_exactly_once(page):
    assert sum("plotly.js v" in body for body in page.scripts.values()) == 1
    assert page.scripts[""].count("* plotly.js v") == 1


def test_verdict_and_warnings_come_before_any_number(page, content):
    text = page.visible
    verdict, warning = text.index(content.verdict), text.index(content.warnings[0])
    assert verdict < warning < text.index("Optimistic fills") < text.index("Pessimistic fills")
    assert warning < text.index("−$")


def test_headline_card_says_what_the_verdict_rests_on(page, content):
    cards = [
        attrs
        for _, attrs in page.elements
        if attrs.get("class", "").startswith("card") and "cards" not in attrs["class"]
    ]
    assert [attrs["class"] for attrs in cards] == ["card", "card", "card main"]
    net = content.headline["pessimistic"]["net_usd"]
    assert formats.usd(net).replace("-", "−") in page.visible


def test_years_needed_follow_the_two_over_sharpe_rule(content):
    strong = replace(content, headline={"pessimistic": {"net_usd": 1.0, "sharpe": 0.5}})
    assert "16.0 years" in Page(report.render(strong)).visible  # (2 / 0.5)^2


def test_no_long_floats_are_shown(page):
    assert re.findall(r"\d\.\d{5,}", page.visible) == []


def test_names_cannot_inject_markup(content):
    evil = '<script>alert("x")</script>'
    hurt = replace(
        content,
        title=evil,
        verdict=evil,
        warnings=(evil,),
        facts={evil: evil},
        policy=evil,
        baselines={evil: metrics(1.0, 0.1), "</script><b>": metrics(2.0, 0.2)},
        reference={evil: metrics(1.0, 0.1)},
        equity_cents={evil: content.equity_cents["qr_dqn"], "</script><b>": content.equity_cents["flat"]},
        folds=[{evil: evil}],
        data_quality=[{evil: evil}],
        statistics={evil: evil},
        headline={evil: metrics(1.0, 0.1)},
        headline_fill=evil,
        regimes=(evil, "range", "defensive"),
        importance=report.Importance(names=[evil], shap=np.array([1.0]), stability=np.array([1.0])),
        learning={evil: np.zeros(40)},
        learning_unit=evil,
    )
    text = report.render(hurt)
    assert evil not in text
    read = Page(text)
    assert read.mismatched == []
    normal = Page(report.render(content))
    assert [t for t, _ in read.elements].count("script") == [t for t, _ in normal.elements].count("script")
    assert [t for t, _ in read.elements].count("b") == 0
    equity = json.loads(read.scripts["figure-equity"])
    assert {trace["name"] for trace in equity["data"]} == {
        '&lt;script&gt;alert("x")&lt;/script&gt;',
        "&lt;/script&gt;&lt;b&gt;",
    }


def test_missing_parts_are_left_out_with_a_reason():
    bare = report.ReportContent(
        title="ES",
        facts={},
        verdict="Nothing was judged.",
        tone="bad",
        absent={"learning": "The policy was loaded."},
    )
    read = Page(report.render(bare))
    assert read.mismatched == []
    assert read.visible.count("Left out.") == len(report.PARTS) - len(report.ONLY_WHERE_ASKED)
    assert "quantiles come true" not in read.visible
    assert "The policy was loaded." in read.visible
    assert "only distributional ones such as QR-DQN do" in read.visible
    assert not [a for _, a in read.elements if "data-figure" in a]
    assert not any("plotly.js" in body for body in read.scripts.values())


def test_quantiles_that_cannot_be_checked_say_why(content):
    told = replace(content, calibration=(), absent={"calibration": "The reward is shaped."})
    assert "Left out. The reward is shaped." in Page(report.render(told)).visible


def test_the_coverage_chart_shows_what_came_at_each_level_with_its_interval(content):
    figure = report.figures(content)["calibration"]
    came = next(line for line in figure.data if line.name == "as it came")
    assert list(came.x) == [0.05, 0.25, 0.5, 0.75, 0.95]
    assert list(came.y) == pytest.approx([0.07, 0.27, 0.52, 0.77, 0.97])
    assert list(came.error_y.array) == pytest.approx([0.005] * 5)
    assert not any("perfect model" in line.name for line in figure.data)


def test_the_multiplier_is_drawn_below_the_cvar_through_its_own_measurements(content):
    figure = report.figures(content)["limit"]
    by_name = {line.name: line for line in figure.data if line.name}
    assert (list(by_name["multiplier"].x), list(by_name["multiplier"].y)) == ([150, 250], [0.3, 0.1])
    assert (list(by_name["CVaR of the loss"].x), list(by_name["CVaR of the loss"].y)) == ([100.0, 200.0], [2.0, 1.4])
    assert list(by_name["limit"].y) == [1.5, 1.5]
    assert figure.layout.yaxis2.domain[1] < figure.layout.yaxis.domain[0]


def test_a_policy_that_never_traded_says_so(content):
    none = {name: values[:0] for name, values in content.fills.items()}
    read = Page(report.render(replace(content, fills=none)))
    assert "The policy did not trade on the rows judged." in read.visible
    assert "figure-trades" not in read.scripts


def test_only_the_last_fills_are_listed_newest_first(page, content):
    total = len(content.fills["row"])
    assert total > report.LAST_FILLS
    assert f"The last {report.LAST_FILLS} of {total:,}." in page.visible
    stamps = re.findall(r"(\d{4}-\d\d-\d\d \d\d:\d\d) (?:buy|sell)", page.visible)
    assert len(stamps) == report.LAST_FILLS
    assert stamps == sorted(stamps, reverse=True)
    newest = content.fills["ts"][-1].astype("M8[ns]").astype("M8[m]")
    assert stamps[0] == str(newest).replace("T", " ")


def test_fills_may_be_a_structured_array(content):
    table = np.zeros(
        len(content.fills["row"]),
        dtype=[
            ("row", "i8"),
            ("ts", "i8"),
            ("price_ticks", "i8"),
            ("side", "i8"),
            ("contracts", "i8"),
            ("cost_cents", "i8"),
        ],
    )
    for name in table.dtype.names:
        table[name] = content.fills[name]
    assert report.render(replace(content, fills=table)) == report.render(content)


def test_five_years_of_one_minute_bars_stay_below_eight_megabytes(tmp_path, content):
    rows = 5 * 252 * 1380
    ts = content.ts[0] + 60_000_000_000 * np.arange(rows)
    grow = lambda values: np.resize(values, (rows, *values.shape[1:]))  # noqa: E731 - one expression, used below
    long = replace(
        content,
        ts=ts,
        equity_cents={name: grow(values) for name, values in content.equity_cents.items()},
        price_ticks=grow(content.price_ticks),
        belief=grow(content.belief),
    )
    report.write(tmp_path / "report.html", long)
    assert (tmp_path / "report.html").stat().st_size < 8_000_000


def test_writing_is_all_or_nothing(tmp_path, content, monkeypatch):
    path = tmp_path / "deep" / "report.html"
    report.write(path, content)
    before = path.read_text(encoding="utf-8")
    assert before.startswith("<!DOCTYPE html>")

    def full_disk(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        report.write(path, replace(content, title="other"))
    assert path.read_text(encoding="utf-8") == before
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_same_content_gives_the_same_bytes(content):
    assert report.render(content) == report.render(make_content())


def test_unaligned_arrays_are_refused(content):
    with pytest.raises(DataError, match=r"belief has 3 rows but ts has"):
        replace(content, belief=np.zeros((3, 3)))
    with pytest.raises(DataError, match="tone must be one of"):
        replace(content, tone="great")
    with pytest.raises(DataError, match="unknown parts"):
        replace(content, absent={"moon": "why"})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.4, "$1,234"),
        (-1234567.0, "-$1,234,567"),
        (2.5, "$2.50"),
        (0.0, "$0"),
        (-0.001, "$0.00"),
        (float("nan"), "–"),
        (None, "–"),
    ],
)
def test_money_is_written_for_people(value, text):
    assert formats.usd(value) == text


@pytest.mark.parametrize(
    ("value", "key", "text"),
    [
        (0.123456789, "", "0.12"),
        (0.00041, "rows_share", "0.04 %"),
        (0.000012, "", "1.2e-05"),
        (20240105, "test_date", "20240105"),
        (12000, "steps", "12,000"),
        ((-0.5, 1.25), "sharpe_ci", "-0.50 to 1.25"),
        (True, "passed", "yes"),
        (np.int64(7), "n", "7"),
    ],
)
def test_cells_are_written_by_type_and_unit(value, key, text):
    assert formats.plain(value, key) == text


def test_a_browser_draws_every_chart_from_the_file_alone(tmp_path, content):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    path = tmp_path / "report.html"
    report.write(path, content)
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile",
            "--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if "<!DOCTYPE html>" not in done.stdout:
        pytest.skip("Chromium does not start on this machine")
    drawn = re.findall(r'data-figure="(figure-\w+)"[^>]*data-drawn="1"', done.stdout)
    assert len(drawn) == 12
    assert done.stdout.count('class="main-svg"') >= 10
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert console == []
