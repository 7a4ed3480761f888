"""Every chart of a run, as plotly figures made of plain arrays; report and tracker show the same ones.

Time axes are ordinal (one place per bar), so hours without trading take no room. Strings are escaped, because
plotly renders a little markup in labels.
"""

import html
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

Array = np.ndarray

POLICY_COLOUR = "#0b5fa5"
COLOURS = (
    "#c2410c",  # vermilion
    "#0f766e",  # teal
    "#9d2a8a",  # magenta
    "#8a6100",  # amber
    "#475569",  # slate
    "#b4235a",  # crimson
    "#3f7d20",  # green
    "#5b4bc4",  # indigo
    "#7c4a2d",  # brown
)
DASHES = ("6px,3px", "2px,2px", "8px,3px,2px,3px", "11px,3px", "solid")
BUY_COLOUR, SELL_COLOUR = "#0072b2", "#d55e00"  # a pair that stays apart in every common colour blindness
SIDES = ((1, "buy", "triangle-up", BUY_COLOUR), (-1, "sell", "triangle-down", SELL_COLOUR))
MARKERS = 500  # more would hide the price they stand on
REGIME_COLOURS = ("#178f82", "#d9a441", "#6b4c9a")
TEXT, GRID, LINE, FALLING = "#3a4657", "#e4e8ee", "#8a96a8", "#5d6b80"

DARK = {
    POLICY_COLOUR: "#6db3f2",
    "#c2410c": "#ff9b6a",
    "#0f766e": "#4fd1c0",
    "#9d2a8a": "#eb8fdc",
    "#8a6100": "#e0b64c",
    "#475569": "#aab6c6",
    "#b4235a": "#ff86ad",
    "#3f7d20": "#97d077",
    "#5b4bc4": "#ada2ff",
    "#7c4a2d": "#d3a183",
    BUY_COLOUR: "#56b4e9",
    SELL_COLOUR: "#ff9a4d",
    TEXT: "#c3ccd9",
    GRID: "#2a323e",
    LINE: "#76849a",
    FALLING: "#93a1b5",
}
"""Colour on a light page -> its counterpart on a dark one; regime areas serve both."""

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
POINTS = 1200
CANDLES = 320


def colours(names: Sequence[str], policy: str | None = None) -> dict[str, str]:
    """Give each name one colour, the same in all charts: the policy blue, the others in order."""
    others = [name for name in names if name != policy]
    given = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(others)}
    if policy is not None:
        given[policy] = POLICY_COLOUR
    return given


def labels(ts: Array) -> Array:
    """Write time stamps for people: (T,) int64 [ns UTC] -> 'YYYY-MM-DD HH:MM', with seconds where needed."""
    unit = "m" if np.all(np.asarray(ts) % 60_000_000_000 == 0) else "s"
    text = np.datetime_as_string(np.asarray(ts, dtype="int64").view("M8[ns]").astype(f"M8[{unit}]"))
    return np.char.replace(text, "T", " ")


def buckets(rows: int, limit: int) -> Array:
    """Start rows of at most `limit` equal stretches of `rows` rows."""
    return (np.arange(min(rows, limit), dtype=np.int64) * rows) // max(min(rows, limit), 1)


def _ends(starts: Array, rows: int) -> Array:
    return np.append(starts[1:], rows) - 1


def equity(ts: Array, series: Mapping[str, Array], policy: str | None = None) -> go.Figure:
    """Net profit over time, one line per account.

    Parameters
    ----------
    ts : (T,) int64 [ns UTC]
    series : name -> (T,) net profit since the start [cents]
    policy : name drawn on top and thicker

    Returns
    -------
    Figure of at most `POINTS` points per line, each the last bar of its stretch [USD].
    """
    at = _ends(buckets(len(ts), POINTS), len(ts))
    figure = _lines(labels(ts[at]), {n: np.asarray(v)[at] / 100 for n, v in series.items()}, policy)
    figure.update_yaxes(title_text="net profit [USD]", tickformat="$,.0f", zeroline=True)
    return figure


def drawdown(ts: Array, series: Mapping[str, Array], policy: str | None = None) -> go.Figure:
    """Distance below the highest profit so far (start included); arguments as `equity`.

    Each point is the worst bar of its stretch, so that thinning never hides a loss [USD].
    """
    starts = buckets(len(ts), POINTS)
    below = {}
    for name, cents in series.items():
        values = np.asarray(cents)
        fall = values - np.maximum(np.maximum.accumulate(values), 0)
        below[name] = np.minimum.reduceat(fall, starts) / 100
    figure = _lines(labels(ts[_ends(starts, len(ts))]), below, policy)
    if policy in below:
        figure.update_traces(fill="tozeroy", fillcolor="rgba(11,95,165,0.14)", selector={"name": safe(policy)})
    figure.update_yaxes(title_text="below the peak [USD]", tickformat="$,.0f", rangemode="tozero")
    return figure


def price_overview(ts: Array, price: Array, fills: Mapping[str, Array] | None = None) -> go.Figure:
    """Candles over the whole span, merged to at most `CANDLES`, with the latest `MARKERS` fills.

    Parameters
    ----------
    ts : (T,) int64 [ns UTC]
    price : (T, 4) open, high, low, close [points]
    fills : as in `price_detail`
    """
    starts = buckets(len(ts), CANDLES)
    ends = _ends(starts, len(ts))
    merged = np.column_stack(
        (
            price[starts, 0],
            np.maximum.reduceat(price[:, 1], starts),
            np.minimum.reduceat(price[:, 2], starts),
            price[ends, 3],
        )
    )
    where = labels(ts[ends])
    figure = _candles(where, merged)
    if fills is None or len(fills["row"]) == 0:
        return figure.update_layout(margin_t=16)
    rows = np.asarray(fills["row"], dtype=np.int64)[-MARKERS:]
    side, at = np.asarray(fills["side"])[-MARKERS:], np.asarray(fills["price"], dtype=float)[-MARKERS:]
    candle = np.searchsorted(starts, rows, side="right") - 1
    for way, word, symbol, colour in SIDES:
        pick = side == way
        figure.add_scatter(
            x=where[candle[pick]],
            y=at[pick],
            mode="markers",
            name=word,
            marker={"symbol": symbol, "size": 6, "color": colour, "opacity": 0.75},
            hovertemplate=word + " at %{y:,.2f}<extra></extra>",
        )
    return figure


def price_detail(ts: Array, price: Array, fills: Mapping[str, Array], bars: int = 260) -> go.Figure:
    """Every bar and every fill of the busiest stretch: the `bars` rows with the most fills, the latest of equals.

    Parameters
    ----------
    ts, price : as `price_overview`
    fills : equally long columns `row` (bar at whose open it filled), `price` [points], `side` (+1 buy,
        -1 sell), `contracts`, `cost_usd`
    """
    rows = np.asarray(fills["row"], dtype=np.int64)
    held = [int(np.searchsorted(rows, row, side="right") - np.searchsorted(rows, row - bars + 24)) for row in rows]
    last = int(rows[len(held) - 1 - int(np.argmax(held[::-1]))]) if held else len(ts)
    stop = min(len(ts), last + 12)
    start = max(0, stop - bars)
    where = labels(ts[start:stop])
    figure = _candles(where, price[start:stop])
    inside = (rows >= start) & (rows < stop)
    for side, word, symbol, colour in SIDES:
        pick = inside & (np.asarray(fills["side"]) == side)
        figure.add_scatter(
            x=where[rows[pick] - start],
            y=np.asarray(fills["price"], dtype=float)[pick],
            mode="markers",
            name=word,
            marker={"symbol": symbol, "size": 10, "color": colour, "line": {"width": 1, "color": "#ffffff"}},
            customdata=np.column_stack((np.asarray(fills["contracts"])[pick], np.asarray(fills["cost_usd"])[pick])),
            hovertemplate=word + " %{customdata[0]:.0f} at %{y:,.2f}, cost %{customdata[1]:$,.2f}<extra></extra>",
        )
    return figure


def belief(ts: Array, probabilities: Array, names: Sequence[str] = ("trend", "range", "defensive")) -> go.Figure:
    """Filtered regime probabilities as stacked areas.

    Parameters
    ----------
    ts : (T,) int64 [ns UTC]
    probabilities : (T, K), rows sum to 1; averaged within each drawn stretch
    """
    starts = buckets(len(ts), POINTS // 2)
    ends = _ends(starts, len(ts))
    mean = np.add.reduceat(probabilities, starts, axis=0) / (ends - starts + 1)[:, None]
    x = labels(ts[ends])
    figure = go.Figure()
    for k, name in enumerate(names):
        colour = REGIME_COLOURS[k % len(REGIME_COLOURS)]
        figure.add_scatter(
            x=x,
            y=mean[:, k].astype("f4"),
            name=safe(name),
            mode="lines",
            stackgroup="belief",
            line={"width": 0.5, "color": colour},
            fillcolor=colour,
            hovertemplate="%{y:.0%}",
        )
    _time_axis(figure, x)
    figure.update_yaxes(title_text="probability", tickformat=".0%", range=[0, 1])
    return figure


def importance(names: Sequence[str], shap: Array, stability: Array, top: int = 30) -> go.Figure:
    """The most important features: mean absolute SHAP as bars, selection frequency as dots.

    Parameters
    ----------
    names : S features
    shap : (S,) mean absolute SHAP value [output of the surrogate]
    stability : (S,) share of resamples that chose the feature, 0-1
    top : bars shown
    """
    order = np.argsort(-np.asarray(shap, dtype=float), kind="stable")[:top][::-1]
    short = [safe(names[i]) for i in order]
    chosen = np.asarray(stability, dtype=float)[order]
    figure = go.Figure()
    figure.add_bar(
        y=short,
        x=np.asarray(shap, dtype=float)[order],
        orientation="h",
        name="mean |SHAP|",
        marker={"color": POLICY_COLOUR, "opacity": (0.3 + 0.7 * np.nan_to_num(chosen)).round(3)},
        customdata=chosen,
        hovertemplate="%{y}: %{x:.4f}, chosen in %{customdata:.0%} of resamples<extra></extra>",
    )
    house(figure)
    figure.update_layout(height=110 + 22 * len(order), showlegend=False, hovermode="closest", margin_t=16, bargap=0.35)
    figure.update_xaxes(title_text="mean |SHAP|; faint = seldom chosen", showgrid=True, gridcolor=GRID)
    figure.update_yaxes(showgrid=False, automargin=True, tickfont={"size": 11}, dtick=1)
    return figure


def sharpe_intervals(metrics: Mapping[str, Mapping[str, object]], policy: str | None = None) -> go.Figure:
    """Sharpe ratio per account with its interval: overlapping lines are not told apart by this data.

    Parameters
    ----------
    metrics : name -> mapping with `sharpe` (annual) and `sharpe_ci` (low, high); others are left out
    """
    given = colours(list(metrics), policy)
    shown = [n for n, m in metrics.items() if _finite(m.get("sharpe"))]
    figure = go.Figure()
    for name in reversed(shown):
        low, high = metrics[name].get("sharpe_ci") or (np.nan, np.nan)
        centre = float(metrics[name]["sharpe"])
        error = _finite(low) and _finite(high)
        figure.add_scatter(
            x=[centre],
            y=[safe(name)],
            mode="markers",
            name=safe(name),
            marker={"size": 13 if name == policy else 9, "color": given[name]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - centre if error else 0],
                "arrayminus": [centre - low if error else 0],
                "thickness": 3 if name == policy else 1.5,
                "width": 0,
                "color": given[name],
            },
            hovertemplate="%{y}: %{x:.2f}" + (f" ({low:.2f} to {high:.2f})" if error else "") + "<extra></extra>",
        )
    house(figure)
    figure.update_layout(height=110 + 30 * max(len(shown), 1), showlegend=False, hovermode="closest", margin_t=16)
    figure.update_xaxes(
        title_text="Sharpe ratio, annual", zeroline=True, zerolinecolor=LINE, showgrid=True, gridcolor=GRID
    )
    figure.update_yaxes(showgrid=False, automargin=True, range=[-0.6, max(len(shown), 1) - 0.4])
    return figure


def quantile_fan(ts: Array, values: Array, levels: Array, unit: str) -> go.Figure:
    """What the policy expected of its best action over time: the 5-95 % and 25-75 % bands and the median.

    Parameters
    ----------
    ts : (N,) int64 [ns UTC]
    values : (N, A, Q) quantiles of the return of each action
    levels : (Q,) increasing, inside 0-1
    unit : unit of `values`
    """
    best = np.argmax(values.mean(axis=2), axis=1)
    chosen = values[np.arange(len(values)), best]
    starts = buckets(len(ts), POINTS // 3)
    ends = _ends(starts, len(ts))
    mean = np.add.reduceat(chosen, starts, axis=0) / (ends - starts + 1)[:, None]
    at = {q: _at_level(mean, levels, q) for q in (0.05, 0.25, 0.5, 0.75, 0.95)}
    x = labels(ts[ends])
    figure = go.Figure()
    for low, high, name, alpha in ((0.05, 0.95, "5-95 %", 0.14), (0.25, 0.75, "25-75 %", 0.28)):
        hidden = {"mode": "lines", "line": {"width": 0}, "x": x}
        figure.add_scatter(y=at[low], showlegend=False, hoverinfo="skip", **hidden)
        figure.add_scatter(
            y=at[high],
            name=name,
            fill="tonexty",
            fillcolor=f"rgba(11,95,165,{alpha})",
            customdata=at[low],
            hovertemplate="%{customdata:.2f} to %{y:.2f}",
            **hidden,
        )
    figure.add_scatter(
        x=x,
        y=at[0.5],
        name="median",
        mode="lines",
        line={"width": 1.6, "color": POLICY_COLOUR},
        hovertemplate="%{y:.2f}",
    )
    _time_axis(figure, x)
    figure.update_yaxes(title_text=f"expected return [{safe(unit)}]", zeroline=True, tickformat=",.3~g")
    return figure


def quantile_actions(values: Array, levels: Array, actions: Sequence[str], unit: str) -> go.Figure:
    """The average quantile curve of each action; arguments as `quantile_fan`."""
    figure = go.Figure()
    mean = values.mean(axis=0)
    for k, action in enumerate(actions):
        figure.add_scatter(
            x=np.asarray(levels, dtype=float),
            y=mean[k],
            name=safe(action),
            mode="lines",
            line={
                "width": 2,
                "dash": ("solid", "6px,3px", "2px,2px")[k % 3],
                "color": (SELL_COLOUR, "#475569", BUY_COLOUR)[k % 3],
            },
            hovertemplate="%{y:,.2f}",
        )
    house(figure)
    figure.update_xaxes(title_text="quantile", tickformat=".0%", hoverformat=".0%")
    figure.update_yaxes(title_text=f"expected return [{safe(unit)}]", zeroline=True, tickformat=",.3~g")
    return figure


def learning(steps: Array, curves: Mapping[str, Array], unit: str) -> go.Figure:
    """How training went: one line per fold or seed.

    Parameters
    ----------
    steps : (N,) share of training done [%]
    curves : name -> (N,) score, NaN where not measured
    """
    figure = go.Figure()
    given = colours(list(curves))
    for i, (name, values) in enumerate(curves.items()):
        dash = DASHES[-1 - i % len(DASHES)]
        figure.add_scatter(
            x=np.asarray(steps),
            y=np.asarray(values, dtype=float),
            name=safe(name),
            mode="lines",
            line={"width": 1.6, "dash": dash, "color": given[name]},
        )
    house(figure)
    figure.update_xaxes(title_text="share of training [%]", tickformat=",.0f", hoverformat=",.0f")
    figure.update_yaxes(title_text=safe(unit), tickformat=",.3~g")
    return figure


def safe(text: object) -> str:
    """Text for a label: plotly renders a little markup, so what looks like it is escaped."""
    return html.escape(str(text), quote=False)


def _finite(value: object) -> bool:
    return value is not None and bool(np.isfinite(value))


def _at_level(curves: Array, levels: Array, level: float) -> Array:
    """(N,) value of each (Q,) quantile curve at one level, linear between the known ones."""
    levels = np.asarray(levels, dtype=float)
    right = int(np.clip(np.searchsorted(levels, level), 1, len(levels) - 1)) if len(levels) > 1 else 0
    if right == 0:
        return curves[:, 0]
    share = float(np.clip((level - levels[right - 1]) / (levels[right] - levels[right - 1]), 0, 1))
    return (1 - share) * curves[:, right - 1] + share * curves[:, right]


def _lines(x: Array, series: Mapping[str, Array], policy: str | None) -> go.Figure:
    given = colours(list(series), policy)
    others = [name for name in series if name != policy]
    figure = go.Figure()
    for i, name in enumerate([*others, *([policy] if policy in series else [])]):
        main = name == policy
        figure.add_scatter(
            x=x,
            y=series[name].round(2),
            name=safe(name),
            mode="lines",
            line={
                "color": given[name],
                "width": 2.6 if main else 1.4,
                "dash": "solid" if main else DASHES[i % len(DASHES)],
            },
            hovertemplate="%{y:$,.0f}",
            legendrank=0 if main else 1000 + i,
        )
    _time_axis(figure, x)
    return figure


def _candles(x: Array, price: Array) -> go.Figure:
    figure = go.Figure(
        go.Candlestick(
            x=x,
            open=price[:, 0],
            high=price[:, 1],
            low=price[:, 2],
            close=price[:, 3],
            name="price",
            showlegend=False,
            increasing={"line": {"color": LINE, "width": 1}, "fillcolor": "rgba(0,0,0,0)"},
            decreasing={"line": {"color": FALLING, "width": 1}, "fillcolor": FALLING},
        )
    )
    _time_axis(figure, x)
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(rangeslider={"visible": False})
    figure.update_yaxes(title_text="price [points]", tickformat=",")
    return figure


def _day(label: str, year: bool) -> str:
    text = f"{int(label[8:10])} {MONTHS[int(label[5:7]) - 1]}"
    return f"{text}<br>{label[:4]}" if year else text


def _time_axis(figure: go.Figure, x: Array) -> None:
    """Lay bars side by side and label the first bar of some days, so closed hours leave no gap."""
    days = np.array([label[:10] for label in x])
    starts = np.flatnonzero(np.append(True, days[1:] != days[:-1])) if len(x) else np.array([], dtype=int)
    if len(starts) >= 3:
        ticks = starts[:: -(-len(starts) // 8)]
        # A day cut short at the edge would set two labels on one another.
        ticks = ticks[np.append(np.diff(ticks) * 16 > len(x), True)]
        text = [_day(x[i], year=k == 0 or x[i][:4] != x[ticks[k - 1]][:4]) for k, i in enumerate(ticks)]
    else:
        ticks = np.unique(((np.arange(6) + 0.5) / 6 * len(x)).astype(int))[: len(x)]
        text = [f"{x[i][11:]}<br>{_day(x[i], year=False)}" for i in ticks]
    house(figure)
    figure.update_xaxes(
        type="category",
        tickmode="array",
        tickvals=[int(i) for i in ticks],
        ticktext=text,
        title_text="time [UTC], hours without trading left out",
        showgrid=False,
        ticks="outside",
        tickcolor=LINE,
    )


def house(figure: go.Figure) -> None:
    """Apply the common look: quiet lines, legend above, no background."""
    figure.update_layout(
        template="none",
        height=380,
        margin={"l": 76, "r": 16, "t": 44, "b": 66},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={
            "family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
            "size": 12,
            "color": TEXT,
        },
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "font": {"size": 12},
            "traceorder": "normal",
        },
        hovermode="x unified",
        hoverlabel={"font": {"size": 12}},
        dragmode="zoom",
    )
    figure.update_xaxes(
        showgrid=False,
        linecolor=LINE,
        zeroline=False,
        title_standoff=12,
        title_font_size=12,
        fixedrange=False,
    )
    figure.update_yaxes(gridcolor=GRID, zerolinecolor=LINE, zeroline=False, title_standoff=8, title_font_size=12)
