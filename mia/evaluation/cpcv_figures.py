"""Charts of task=cpcv: the equity of every path, and where the paths' Sharpe ratios lie."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from mia.evaluation import figures
from mia.evaluation.figures import COLOURS, GRID, LINE, POLICY_COLOUR, house, safe

Array = np.ndarray

HOLD_COLOUR, WORST_COLOUR = COLOURS[4], COLOURS[0]
JITTER = 0.12  # neighbours in value stand so far apart, within a row of height 1


def equity(ts: Array, paths: Sequence[Array], hold: Array, worst: int) -> go.Figure:
    """Net profit of every path over the tested sessions, the worst marked, buy and hold beside them.

    Parameters
    ----------
    ts : (T,) int64 [ns UTC]
    paths : per path, (T,) net profit since the start [cents]
    hold : (T,) the same of buy and hold [cents]
    worst : number of the path that ends lowest
    """
    names = [f"path {at + 1}" + (", the worst" if at == worst else "") for at in range(len(paths))]
    figure = figures.equity(ts, {"buy and hold": hold, **dict(zip(names, paths, strict=True))})
    figure.update_traces(line={"color": HOLD_COLOUR, "dash": "6px,3px"}, selector={"name": "buy and hold"})
    for at, name in enumerate(names):
        colour, width = (WORST_COLOUR, 2.4) if at == worst else (POLICY_COLOUR, 1.6)
        line = {"color": colour, "width": width, "dash": "solid"}
        figure.update_traces(line=line, opacity=1.0 if at == worst else 0.6, selector={"name": name})
    return figure


def sharpes(accounts: Mapping[str, Sequence[float]], policy: str, hold: float) -> go.Figure:
    """Where the paths' Sharpe ratios lie: a dot a path, a diamond at the median, a line at buy and hold.

    Parameters
    ----------
    accounts : name -> annual Sharpe ratio of each path
    policy : the judged account, drawn on top
    hold : that of buy and hold
    """
    names = sorted(accounts, key=lambda name: name == policy)
    given = figures.colours(list(accounts), policy)
    figure = go.Figure()
    for row, name in enumerate(names):
        found = sorted(accounts[name])
        heights = row + np.array([(0, 1, -1)[at % 3] for at in range(len(found))]) * JITTER
        dots = {"size": 9, "color": given[name], "opacity": 0.75}
        middle = {"size": 13, "color": given[name], "symbol": "diamond-open", "line": {"width": 2}}
        hover = f"{safe(name)}: %{{x:.2f}}<extra></extra>"
        figure.add_scatter(
            x=found,
            y=heights,
            mode="markers",
            marker=dots,
            name="one path",
            hovertemplate=hover,
            showlegend=name == policy,
        )
        figure.add_scatter(
            x=[float(np.median(found))],
            y=[row + 0.3],
            mode="markers",
            marker=middle,
            name="median",
            hovertemplate=f"median of {hover}",
            showlegend=name == policy,
        )
    house(figure)
    figure.update_layout(height=150 + 74 * len(names), hovermode="closest")
    figure.update_xaxes(title_text="Sharpe ratio, annual", showgrid=True, gridcolor=GRID, zeroline=True)
    figure.update_xaxes(zerolinecolor=LINE)
    shown = [safe(name.replace("_", " ")) for name in names]
    figure.update_yaxes(
        showgrid=False,
        automargin=True,
        tickvals=list(range(len(names))),
        ticktext=shown,
        range=[-0.5, len(names) - 0.3],
    )
    dashes = {"color": HOLD_COLOUR, "width": 1.5, "dash": "6px,3px"}
    figure.add_shape(type="line", x0=hold, x1=hold, y0=0, y1=1, yref="paper", layer="below", line=dashes)
    place = {"x": hold, "y": 0, "yref": "paper", "xanchor": "left", "yanchor": "bottom", "xshift": 4}
    figure.add_annotation(text="buy and hold", showarrow=False, font={"size": 11}, **place)
    return figure
