"""Told probabilities beside what happened, as a figure and a page that opens without a network.

Called by task=trade_probability; what is shown comes from mia.evaluation.calibration.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mia.evaluation import report_parts as parts

if TYPE_CHECKING:
    import plotly.graph_objects as go

HEIGHT = 340  # of the figure of quantiles, which stands among wider ones [px]
FOOT = (
    "Shares take trades as independent; the interval of the skill respects that neighbouring trades are alike. Past "
    "results, measured or simulated, promise nothing."
)


def reliability(rows: Sequence[Mapping[str, Any]], of: str = "trades") -> "go.Figure":
    """How often it happened where about so much was told; on the diagonal a probability keeps its word.

    Parameters
    ----------
    rows : of `calibration.reliability`; without band_low and band_high no band is drawn
    of : what the rows count
    """
    import plotly.graph_objects as go

    from mia.evaluation.figures import FALLING, LINE, colours, house

    blue = next(iter(colours(["policy"], "policy").values()))
    told, happened = [row["told"] for row in rows], [row["happened"] for row in rows]
    figure = go.Figure()
    if "band_low" in rows[0]:
        figure.add_scatter(
            x=[*told, *reversed(told)],
            y=[*(row["band_high"] for row in rows), *(row["band_low"] for row in reversed(rows))],
            fill="toself",
            fillcolor="rgba(147,161,181,0.25)",
            line={"width": 0},
            hoverinfo="skip",
            name=f"where a perfect model of so many {of} would lie (95 %)",
        )
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="told = happened", line={"width": 1, "dash": "dot", "color": LINE}
    )
    figure.add_scatter(
        x=told,
        y=happened,
        mode="lines+markers",
        name="happened",
        line={"width": 1.6, "color": blue},
        marker={"size": 7, "color": blue},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [row["high"] - row["happened"] for row in rows],
            "arrayminus": [row["happened"] - row["low"] for row in rows],
            "color": FALLING,
            "thickness": 1,
        },
        customdata=[row["n"] for row in rows],
        hovertemplate="%{y:.1%} of %{customdata:,} " + of + "<extra></extra>",
    )
    house(figure)
    figure.update_xaxes(title_text="told [share]", range=[0, 1], tickformat=",.0%", hoverformat=",.1%")
    figure.update_yaxes(title_text="happened [share]", range=[0, 1], tickformat=",.0%")
    return figure


def coverage(rows: Sequence[Mapping[str, Any]]) -> "go.Figure":
    """The share of outcomes at or below each told quantile; on the diagonal the quantiles come true.

    Parameters
    ----------
    rows : of `calibration.coverage`
    """
    figure = reliability([{**row, "told": row["level"], "happened": row["covered"]} for row in rows], of="rows")
    figure.update_layout(height=HEIGHT)
    figure.update_xaxes(title_text="told level of the quantile")
    figure.update_yaxes(title_text="outcomes at or below it [share]")
    figure.data[0].name, figure.data[1].name = "as told", "as it came"
    return figure


def render(
    title: str,
    facts: Mapping[str, Any],
    verdict: str,
    tone: str,
    warnings: Sequence[str],
    statistics: Mapping[str, Any],
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    curve: Sequence[Mapping[str, Any]],
) -> str:
    """Return the page.

    Parameters
    ----------
    title, facts, verdict, tone, warnings : as in `report_parts.head`
    statistics : single figures, label -> value
    tables : heading -> rows
    curve : rows of `calibration.reliability`; none: no figure
    """
    from mia.evaluation.report_page import page

    drawn = {"reliability": reliability(curve)} if curve else {}
    caption = {"reliability": ("Told and happened", "bars are 95 % intervals of the share")}
    tables = {**tables, "Told and happened": curve}
    sections = {
        "How well probabilities keep their word": parts.statistics(statistics) + parts.charts(drawn, caption),
        **{name: parts.rows_table(rows, name) for name, rows in tables.items()},
    }
    body = [parts.head("Trade probability", title, facts, verdict, tone, warnings, "")]
    body += [f"<section><h2>{parts.esc(name)}</h2>{inner}</section>" for name, inner in sections.items() if inner]
    body.append(f"<footer>{parts.esc(FOOT)}</footer>")
    return page(title, "\n".join(body), {f"figure-{name}": figure.to_json() for name, figure in drawn.items()})
