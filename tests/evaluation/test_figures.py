"""Figures: values against hand computation, colours against WCAG's formula, time axes without gaps."""

import numpy as np
import pytest

from mia.evaluation import figures

DAY = 86_400_000_000_000
START = int(np.datetime64("2024-12-30T14:30", "ns").astype(np.int64))


def stamps(rows, step_minutes=5, per_day=78):
    day, bar = np.divmod(np.arange(rows), per_day)
    return START + day * DAY + bar * step_minutes * 60_000_000_000


def trace(figure, name):
    return next(t for t in figure.data if t.name == name)


def test_equity_is_in_dollars_and_keeps_the_last_bar():
    cents = {"policy": np.array([0, 150, -250, 1000]), "flat": np.zeros(4, dtype=np.int64)}
    figure = figures.equity(stamps(4), cents, "policy")
    assert list(trace(figure, "policy").y) == [0.0, 1.5, -2.5, 10.0]
    assert figure.data[-1].name == "policy"  # drawn last: on top
    long = np.arange(10_001)
    assert figures.equity(stamps(10_001), {"p": long}).data[0].y[-1] == 100.0


def test_drawdown_counts_from_the_start_and_is_never_hidden_by_thinning():
    figure = figures.drawdown(stamps(5), {"p": np.array([-100, 300, 100, 400, 0])}, "p")
    assert list(trace(figure, "p").y) == [-1.0, 0.0, -2.0, 0.0, -4.0]
    cents = np.zeros(50_000, dtype=np.int64)
    cents[31_234] = -98_765
    thin = figures.drawdown(stamps(50_000), {"p": cents}, "p").data[0]
    assert len(thin.y) == figures.POINTS
    assert min(thin.y) == -987.65


def test_merged_candles_keep_open_high_low_close():
    rng = np.random.Generator(np.random.PCG64(3))
    close = np.cumsum(rng.normal(size=960)) + 100
    price = np.column_stack((close - 0.1, close + 1, close - 1, close))
    candle = figures.price_overview(stamps(960), price).data[0]
    assert len(candle.open) == figures.CANDLES  # 960 = 320 stretches of three
    for k in (0, 17, 319):
        part = price[3 * k : 3 * k + 3]
        assert (candle.open[k], candle.high[k], candle.low[k], candle.close[k]) == (
            part[0, 0],
            part[:, 1].max(),
            part[:, 2].min(),
            part[-1, 3],
        )


@pytest.mark.parametrize("rows", [1, 2, 319, 320, 321, 1000, 99_991])
def test_stretches_cover_every_row_once(rows):
    starts = figures.buckets(rows, 320)
    assert starts[0] == 0
    sizes = np.diff(np.append(starts, rows))
    assert sizes.sum() == rows
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1


def test_fills_stand_at_the_bar_that_filled_them():
    ts = stamps(600)
    price = np.tile([10.0, 11.0, 9.0, 10.5], (600, 1))
    fills = {
        "row": np.array([5, 560, 580]),
        "price": np.array([10.0, 10.25, 10.5]),
        "side": np.array([1, -1, 1]),
        "contracts": np.array([1, 2, 1]),
        "cost_usd": np.array([1.0, 2.0, 1.0]),
    }
    figure = figures.price_detail(ts, price, fills, bars=100)
    sell, buy = trace(figure, "sell"), trace(figure, "buy")
    assert list(sell.x) == [figures.labels(ts)[560]]
    assert list(sell.y) == [10.25]
    assert list(buy.x) == [figures.labels(ts)[580]]  # row 5 lies before the shown stretch
    assert len(figure.data[0].x) == 100


def test_belief_is_averaged_and_still_sums_to_one():
    raw = np.random.Generator(np.random.PCG64(1)).random((5000, 3))
    raw /= raw.sum(axis=1, keepdims=True)
    figure = figures.belief(stamps(5000), raw)
    total = sum(np.asarray(t.y, dtype=float) for t in figure.data)
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert [t.name for t in figure.data] == ["trend", "range", "defensive"]
    assert {t.stackgroup for t in figure.data} == {"belief"}


def test_importance_shows_the_largest_on_top():
    bars = figures.importance(["a", "b", "c"], np.array([0.1, 0.3, 0.2]), np.array([1.0, 0.5, 0.9]), top=2).data[0]
    assert list(bars.y) == ["c", "b"]
    assert list(bars.x) == [0.2, 0.3]


def test_quantile_fan_follows_the_better_action():
    levels = np.linspace(0.05, 0.95, 19)
    worse, better = levels * 0, levels * 2
    values = np.stack([np.stack([worse, better]), np.stack([better, worse])])
    figure = figures.quantile_fan(stamps(2), values, levels, "USD")
    np.testing.assert_allclose(trace(figure, "median").y, 1.0)
    np.testing.assert_allclose(trace(figure, "5-95 %").y, 1.9)
    np.testing.assert_allclose(trace(figure, "25-75 %").customdata, 0.5)


def test_sharpe_intervals_reach_exactly_to_their_ends():
    figure = figures.sharpe_intervals({"p": {"sharpe": 0.5, "sharpe_ci": (-0.25, 1.5)}, "flat": {"sharpe": None}}, "p")
    assert len(figure.data) == 1
    assert figure.data[0].error_x.array[0] == 1.0
    assert figure.data[0].error_x.arrayminus[0] == 0.75


def test_closed_hours_take_no_room():
    figure = figures.equity(stamps(400), {"p": np.zeros(400, dtype=np.int64)})
    axis = figure.layout.xaxis
    assert axis.type == "category"
    assert len(set(figure.data[0].x)) == 400
    assert axis.ticktext[0] == "30 Dec<br>2024"
    assert "1 Jan<br>2025" in axis.ticktext
    assert [figure.data[0].x[i][:10] for i in axis.tickvals][:2] == ["2024-12-30", "2024-12-31"]
    assert "UTC" in axis.title.text


def test_one_name_has_one_colour_in_all_charts():
    names = ["flat", "ridge", "policy"]
    curves = {n: np.arange(5) for n in names}
    metrics = {n: {"sharpe": 0.1} for n in names}
    given = figures.colours(names, "policy")
    for figure in (
        figures.equity(stamps(5), curves, "policy"),
        figures.drawdown(stamps(5), curves, "policy"),
    ):
        assert {t.name: t.line.color for t in figure.data} == given
    dots = figures.sharpe_intervals(metrics, "policy")
    assert {t.name: t.marker.color for t in dots.data} == given
    assert given["policy"] == figures.POLICY_COLOUR


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", [figures.POLICY_COLOUR, *figures.COLOURS, figures.BUY_COLOUR, figures.SELL_COLOUR])
def test_lines_stand_out_on_light_and_dark_pages(colour):
    assert contrast(colour, "#ffffff") >= 3  # WCAG 2.1, 1.4.11: graphics
    assert contrast(figures.DARK[colour], "#181d25") >= 3


def test_page_text_is_readable_on_light_and_dark_pages():
    import re

    from mia.evaluation.report_page import STYLE

    blocks = re.findall(r":root\{(--ink.*?)\}", STYLE, flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        value = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", block))
        for text, back in [
            ("ink", "page"), ("ink", "card"),
            ("soft", "page"), ("soft", "card"), ("faint", "page"),
            ("accent", "card"), ("accent", "page"), ("good", "good-bg"), ("open", "open-bg"),
            ("bad", "bad-bg"), ("ink", "open-bg"),
        ]:  # fmt: skip
            assert contrast(value[text], value[back]) >= 4.5, (text, back)  # WCAG 2.1, 1.4.3: text
    assert contrast(figures.TEXT, "#ffffff") >= 4.5
    assert contrast(figures.DARK[figures.TEXT], "#181d25") >= 4.5


def machado(colour, matrix):
    channels = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return np.clip(np.asarray(matrix) @ linear, 0, 1)


# Machado, Oliveira, Fernandes (2009), full severity.
PROTANOPIA = [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
]
DEUTERANOPIA = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
]


@pytest.mark.parametrize("matrix", [PROTANOPIA, DEUTERANOPIA])
def test_regimes_and_sides_stay_apart_for_colour_blind_readers(matrix):
    for group in (figures.REGIME_COLOURS, (figures.BUY_COLOUR, figures.SELL_COLOUR)):
        seen = [machado(colour, matrix) for colour in group]
        for i in range(len(seen)):
            for j in range(i):
                assert np.linalg.norm(seen[i] - seen[j]) > 0.15


def test_neighbouring_lines_differ_in_dash_as_well():
    curves = {f"rule {i}": np.arange(5) for i in range(5)}
    dashes = [t.line.dash for t in figures.equity(stamps(5), curves | {"p": np.arange(5)}, "p").data[:-1]]
    assert len(set(dashes)) == 5


def test_markup_in_names_is_not_rendered():
    figure = figures.equity(stamps(3), {"<a href='x'>free</a>": np.arange(3)})
    assert figure.data[0].name == "&lt;a href='x'&gt;free&lt;/a&gt;"
