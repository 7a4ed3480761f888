"""Charts of a training over its steps, for the report and the performance page; the CVaR beside its price is both's.

What a row holds is what a learner told at a look: column -> value, None where it told nothing.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import plotly.graph_objects as go

Row = Mapping[str, Any]

TALL, SMALL = 380, 290
"""Heights [px]."""

_SHADE = "rgba(11,95,165,{})"  # the page's script knows its counterpart on a dark page
_FEW_LOOKS = 40  # up to here each look is a dot


def canvas(y_title: str, height: int = SMALL, of: str = "") -> "go.Figure":
    """An empty chart over training steps in the look of the report's; `of` names the training it shows."""
    from mia.evaluation import figures as draw

    figure = draw.learning(np.array([]), {}, y_title)
    figure.update_xaxes(title_text="training steps", tickformat="~s", hoverformat=",", nticks=8)
    return figure.update_layout(height=height, showlegend=False, meta=of)


def steps_of(rows: Sequence[Row]) -> list[int]:
    """The steps of the looks."""
    return [row["step"] for row in rows]


def marks(rows: Sequence[Row]) -> str:
    """How a line through the looks is drawn."""
    return "lines+markers" if len(rows) <= _FEW_LOOKS else "lines"


def values_of(rows: Sequence[Row], key: str) -> list[float]:
    """What was told under a key, NaN where nothing was."""
    return [np.nan if row[key] is None else row[key] for row in rows]


def band(figure: "go.Figure", x: Sequence[int], low: Any, high: Any, name: str, alpha: float, form: str) -> None:
    """Add a shaded band between two lines, with its name in the legend and both values under the pointer."""
    hidden = {"x": x, "mode": "lines", "line": {"width": 0}}
    figure.add_scatter(y=low, showlegend=False, hoverinfo="skip", **hidden)
    figure.add_scatter(
        y=high,
        name=name,
        fill="tonexty",
        fillcolor=_SHADE.format(alpha),
        customdata=low,
        hovertemplate="%{customdata:" + form + "} to %{y:" + form + "}",
        **hidden,
    )


def risk(rows: Sequence[Row], of: str = "") -> "go.Figure":
    """CVaR with its interval and the limit above, the multiplier it drives below, on one axis of steps.

    Parameters
    ----------
    rows : with step, cvar_loss, cvar_low, cvar_high, cvar_limit, multiplier; each line is drawn through the rows that
        told it, at least one of CVaR and multiplier
    of : names the training
    """
    from mia.evaluation import figures as draw

    lines = (
        ("cvar_loss", "CVaR of the loss", draw.POLICY_COLOUR),
        ("multiplier", "multiplier", draw.COLOURS[0]),
    )
    told = {key: [row for row in rows if row[key] is not None] for key, _, _ in lines}
    both = all(told.values())
    figure = canvas("CVaR of the loss", TALL + 60 if both else SMALL, of)
    known = [row for row in rows if row["cvar_low"] is not None and row["cvar_high"] is not None]
    if known:
        low, high = values_of(known, "cvar_low"), values_of(known, "cvar_high")
        band(figure, steps_of(known), low, high, "95 % interval", 0.18, ".3~g")
    for key, name, colour in lines:
        if told[key]:
            figure.add_scatter(
                x=steps_of(told[key]),
                y=values_of(told[key], key),
                name=name,
                mode=marks(told[key]),
                yaxis="y2" if both and key == "multiplier" else "y",
                line={"color": colour, "width": 2.2, "dash": "solid"},
                marker={"size": 5, "color": colour},
                hovertemplate="%{y:.3~g}",
            )
    if told["cvar_loss"]:
        _limit(figure, rows)
    figure.update_yaxes(tickformat=",.3~g", rangemode="tozero")
    if both:
        below = figure.layout.yaxis.to_plotly_json() | {"domain": [0, 0.32], "title": {"text": "multiplier"}}
        figure.update_layout(yaxis_domain=[0.42, 1], yaxis2=below, xaxis_anchor="y2", hoversubplots="axis")
        figure.update_layout(yaxis2_title_font_size=12, yaxis2_title_standoff=8)
    elif not known:
        figure.update_yaxes(title_text=figure.data[0].name)
    return figure.update_layout(showlegend=len(figure.data) > 1, margin_t=44 if len(figure.data) > 1 else 16)


def _limit(figure: "go.Figure", rows: Sequence[Row]) -> None:
    """Add the newest limit as a dashed line along all steps."""
    from mia.evaluation import figures as draw

    limits = [row["cvar_limit"] for row in rows if row["cvar_limit"] is not None]
    if limits:
        figure.add_scatter(
            x=[rows[0]["step"], rows[-1]["step"]],
            y=[limits[-1]] * 2,
            name="limit",
            mode="lines",
            line={"color": draw.TEXT, "width": 1.6, "dash": "6px,4px"},
            hovertemplate="%{y:.3~g}",
        )
