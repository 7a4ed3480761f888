"""The performance file as a page: outputs/figures/<market>/train_<algo>_performance.html.

Shows the newest trainings side by side and, of the newest one, what it told of risk, quantiles and weights. The
tasks write it at the end of a training; the tracker gets the same charts.
"""

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mia.evaluation import formats
from mia.evaluation.training_figures import SMALL, TALL, Row, band, canvas, marks, risk, steps_of, values_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

Training = tuple[int, int, int]

MOST_TRAININGS = 10  # the newest in blue and one colour each for nine before it
CAPTIONS = {
    "reward": ("Profit per bar on validation rows", "net of costs, never shaped"),
    "cvar": ("Risk and its price", "CVaR of the loss, in the unit of the learner's limit, and the multiplier on it"),
    "quantiles": ("What the chosen action is expected to earn", "quantiles at each look"),
    "weights": ("Weights of the experts", "posterior probabilities at each look"),
    "trades": ("Trades", "contracts per 1000 validation bars"),
    "violations": ("Violations", "share of episodes whose loss is above the limit"),
    "finetune": ("Fine-tuning loss", "on the regime's rows"),
    "counters": ("Updates after training", "of online and meta-learning"),
    "latency": ("Time of one decision", "median on random rows"),
    "memory": ("Memory", "the largest the process held"),
}
"""Chart -> (caption, note), in the page's order; a chart without figures is left out."""

_ACROSS = ("reward", "cvar", "quantiles", "weights")  # the page's whole width; the others two abreast
_LINES = {
    "reward": ("reward", "profit per bar [USD]", "$,.4~f"),
    "trades": ("trades_per_1000_bars", "contracts per 1000 bars", ",.3~g"),
    "violations": ("violation_rate", "episodes above the limit", ".0%"),
    "finetune": ("finetune_loss", "loss", ".3~g"),
    "latency": ("latency_us", "time [µs]", ",.3~g"),
    "memory": ("memory_mb", "memory [MB]", ",.4~g"),
}
_FROM_ZERO = ("trades", "violations", "latency", "memory")
_COUNTERS = (("online_learning_steps", "online learning"), ("maml_steps", "meta-learning"))


def figure_path(outputs: str | Path, market: str, algo: str) -> Path:
    """Return the page of one algorithm on one market."""
    return Path(outputs, "figures", market, f"train_{algo}_performance.html")


def figures(rows: Sequence[Row]) -> dict[str, "go.Figure"]:
    """Draw what the rows have figures for: names of `CAPTIONS` -> chart.

    Parameters
    ----------
    rows : as `performance_log.read` returns them; the newest `MOST_TRAININGS` trainings are drawn
    """
    shown = _newest(rows)
    drawn = {name: _lines(name, shown) for name in _LINES}
    drawn["cvar"] = _cvar(_last_with(shown, "cvar_loss", "multiplier"))
    drawn["quantiles"] = _quantiles(_last_with(shown, "qr_dqn_quantiles"))
    drawn["weights"] = _weights(_last_with(shown, "ensemble_weights"))
    drawn["counters"] = _counters(_last_with(shown, *(column for column, _ in _COUNTERS)))
    made = {name: drawn[name] for name in CAPTIONS if drawn[name] is not None}
    for name, figure in made.items():
        whose = "the newest thick" if name == "reward" else figure.layout.meta and f"of {figure.layout.meta}"
        figure.update_layout(meta=whose if len(shown) > 1 else None)
    return made


def render(rows: Sequence[Row]) -> str:
    """Return the page as one self-contained HTML text.

    Parameters
    ----------
    rows : at least one, of one algorithm on one market
    """
    from mia.evaluation.report_page import page

    drawn = figures(rows)
    title = f"{rows[-1]['market']} · {rows[-1]['algo']}"
    wide = "".join(_panel(name, drawn) for name in _ACROSS if name in drawn)
    small = [_panel(name, drawn) for name in drawn if name not in _ACROSS]
    least = 300 if len(small) % 3 == 0 else 440  # three abreast where that leaves none alone in its line
    columns = f"display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,{least}px),1fr));column-gap:16px"
    body = (
        f'<header><p class="eyebrow">Training performance</p><h1>{html.escape(title)}</h1>'
        f'<dl class="facts">{_facts(rows)}</dl></header>{wide}<div style="{columns}">{"".join(small)}</div>'
        f"<footer>Every look of every training is a line of logs/{html.escape(str(rows[-1]['market']))}/"
        f"train_{html.escape(str(rows[-1]['algo']))}_performance.csv. Profit on validation rows chose the policy and "
        "is therefore too kind; the report judges it on rows it never saw.</footer>"
    )
    return page(f"{title} training", body, {f"figure-{name}": drawn[name].to_json() for name in drawn})


def _trainings(rows: Sequence[Row]) -> dict[Training, list[Row]]:
    """Rows by training (trial, seed, fold), in the order of their newest rows.

    A training that was interrupted goes on in another run under its own trial and may take a look once more: of
    two rows with the same step the later one counts.
    """
    found: dict[Training, dict[int, Row]] = {}
    for row in rows:
        key = (row["trial"], row["seed"], row["fold"])
        found[key] = {**found.pop(key, {}), row["step"]: row}
    return {key: sorted(part.values(), key=lambda row: row["step"]) for key, part in found.items()}


def _newest(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The newest trainings by the name they are told apart by, the newest last."""
    kept = dict(list(_trainings(rows).items())[-MOST_TRAININGS:])
    seeds, folds = len({seed for _, seed, _ in kept}) > 1, len({fold for _, _, fold in kept}) > 1
    by_trial = len({key[1:] for key in kept}) < len(kept)  # equal seeds and folds in several runs

    def name(key: Training) -> str:
        trial, seed, fold = key
        parts = [f"trial {trial}"] if by_trial else []
        parts += [f"seed {seed}"] if seeds or not folds else []
        parts += [f"fold {fold + 1}"] if folds else []
        return ", ".join(parts)

    return {name(key): part for key, part in kept.items()}


def _last_with(shown: Mapping[str, list[Row]], *columns: str) -> tuple[str, list[Row]] | None:
    """The newest training that told one of the columns, and the looks at which it did."""
    for name, rows in reversed(shown.items()):
        told = [row for row in rows if any(row[column] is not None for column in columns)]
        if told:
            return name, told
    return None


def _dollars(values: Any) -> str:
    """Format of an axis of money: as many decimals on every tick as the span of the values needs."""
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    span = float(np.ptp(finite)) if finite.size else 0.0
    span = span or (float(np.abs(finite).max()) if finite.size else 0.0) or 10.0
    # Some five ticks; one decimal is no amount of money.
    decimals = min(max(0, math.ceil(-math.log10(span / 5))), 6)
    return f"$,.{2 if decimals == 1 else decimals}f"


def _lines(kind: str, shown: Mapping[str, list[Row]]) -> "go.Figure | None":
    """One line per training."""
    from mia.evaluation import figures as draw

    column, title, form = _LINES[kind]
    told = {name: [row for row in rows if row[column] is not None] for name, rows in shown.items()}
    if not any(told.values()):
        return None
    newest = list(shown)[-1]
    given = draw.colours(list(shown), newest)
    figure = canvas(title, TALL if kind == "reward" else SMALL)
    for i, (name, rows) in enumerate(told.items()):
        if rows:
            main = name == newest
            dash = "solid" if main else draw.DASHES[i % len(draw.DASHES)]
            figure.add_scatter(
                x=steps_of(rows),
                y=values_of(rows, column),
                name=name,
                mode=marks(rows),
                line={"color": given[name], "width": 2.6 if main else 1.4, "dash": dash},
                marker={"size": 6 if main else 4, "color": given[name]},
                hovertemplate="%{y:" + form + "}",
                legendrank=0 if main else 1000 + i,
            )
    ticks = _dollars([v for rows in told.values() for v in values_of(rows, column)]) if kind == "reward" else form
    figure.update_yaxes(tickformat=ticks, zeroline=kind == "reward")
    if kind in _FROM_ZERO:
        figure.update_yaxes(rangemode="tozero")
    if kind == "reward" and len(figure.data) > 1:
        figure.update_layout(showlegend=True)
    elif len(figure.data) == 1 or kind != "reward":
        figure.update_layout(margin_t=16)
    return figure


def _cvar(told: tuple[str, list[Row]] | None) -> "go.Figure | None":
    return None if told is None else risk(told[1], told[0])


def _quantiles(told: tuple[str, list[Row]] | None) -> "go.Figure | None":
    """Bands of 5-95 % and 25-75 % and the median."""
    from mia.evaluation import figures as draw

    if told is None:
        return None
    rows, x = told[1], steps_of(told[1])
    values = np.array([row["qr_dqn_quantiles"] for row in rows], dtype=float).T
    figure = canvas("expected return [USD]", TALL, told[0])
    band(figure, x, values[0], values[4], "5-95 %", 0.14, "$,.2f")
    band(figure, x, values[1], values[3], "25-75 %", 0.28, "$,.2f")
    figure.add_scatter(
        x=x,
        y=values[2],
        name="median",
        mode=marks(rows),
        line={"width": 2, "color": draw.POLICY_COLOUR},
        marker={"size": 5, "color": draw.POLICY_COLOUR},
        hovertemplate="%{y:$,.2f}",
    )
    figure.update_yaxes(tickformat=_dollars(values), zeroline=True)
    return figure.update_layout(showlegend=True)


def _weights(told: tuple[str, list[Row]] | None) -> "go.Figure | None":
    """Stacked areas, one per expert."""
    from mia.evaluation import figures as draw

    if told is None:
        return None
    rows = told[1]
    names = list(dict.fromkeys(name for row in rows for name in row["ensemble_weights"]))
    palette = (draw.POLICY_COLOUR, *draw.REGIME_COLOURS[1:2], draw.COLOURS[1], *draw.COLOURS[2:])
    figure = canvas("weight", TALL, told[0])
    for i, name in enumerate(names):
        colour = palette[i % len(palette)]
        figure.add_scatter(
            x=steps_of(rows),
            y=[row["ensemble_weights"].get(name, 0.0) for row in rows],
            name=html.escape(name),
            mode="lines",
            stackgroup="weights",
            line={"width": 0.5, "color": colour},
            fillcolor=colour,
            hovertemplate="%{y:.1%}",
        )
    figure.update_yaxes(tickformat=".0%", range=[0, 1])
    return figure.update_layout(showlegend=True)


def _counters(told: tuple[str, list[Row]] | None) -> "go.Figure | None":
    """Updates of online and meta-learning, as steps."""
    from mia.evaluation import figures as draw

    if told is None:
        return None
    rows = told[1]
    figure = canvas("updates", of=told[0])
    for (column, name), colour in zip(_COUNTERS, (draw.POLICY_COLOUR, draw.COLOURS[0]), strict=True):
        if any(row[column] is not None for row in rows):
            figure.add_scatter(
                x=steps_of(rows),
                y=values_of(rows, column),
                name=name,
                mode=marks(rows),
                line={"color": colour, "width": 2, "shape": "hv"},
                marker={"size": 5, "color": colour},
                hovertemplate="%{y:,}",
            )
    figure.update_yaxes(tickformat=",", rangemode="tozero")
    return figure.update_layout(showlegend=True)


def _panel(name: str, drawn: Mapping[str, "go.Figure"]) -> str:
    caption, note = CAPTIONS[name]
    meta = drawn[name].layout.meta
    note = f"{note}; {html.escape(meta)}" if meta else note
    return (
        f'<figure class="panel"><figcaption>{caption}<span>{note}</span></figcaption>'
        f'<div class="chart" data-figure="figure-{name}" style="min-height:{drawn[name].layout.height}px" '
        f'role="img" aria-label="{caption}"></div></figure>'
    )


def _facts(rows: Sequence[Row]) -> str:
    trainings = _trainings(rows)
    newest = list(trainings.values())[-1]
    last = newest[-1]
    facts = {
        "Trainings": formats.count(len(trainings))
        + (f", the newest {MOST_TRAININGS} shown" if len(trainings) > MOST_TRAININGS else ""),
        "Newest": f"trial {last['trial']}, seed {last['seed']}, fold {last['fold'] + 1}",
        "Last look": f"{str(last['when'])[:16].replace('T', ' ')} UTC",
        "Steps": formats.count(last["step"]),
        "CPU": f"{last['cpu_s']:,.0f} s" if last["cpu_s"] is not None else formats.NONE,
    }
    return "".join(f"<div><dt>{label}</dt><dd>{html.escape(str(fact))}</dd></div>" for label, fact in facts.items())
