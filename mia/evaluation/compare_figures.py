"""Charts of task=compare: every run as a dot beside what is typical of its group, and who beats whom."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from mia.evaluation.figures import GRID, LINE, POLICY_COLOUR, colours, house, safe
from mia.evaluation.seeds import Duel, Standing

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "pentagon")
NEUTRAL = "#475569"
DOTS_BELOW, MEAN_ABOVE, JITTER = 0.16, 0.2, 0.13  # places within a group's row of height 1


def scores(
    standings: Sequence[Standing], label: str, tick_format: str, confidence: float, optimum: float | None = None
) -> go.Figure:
    """One row per group: a dot per run, a ring round the worst, interquartile mean with its interval above them.

    Parameters
    ----------
    standings : best first; the best is drawn on top
    label, tick_format : of the scores' axis
    confidence : coverage of the intervals
    optimum : a line is drawn there
    """
    given = colours([standing.group for standing in sorted(standings, key=lambda s: s.group)])
    strata = list(dict.fromkeys(score.stratum for standing in standings for score in standing.scores))
    figure = go.Figure()
    for row, standing in enumerate(reversed(standings)):
        colour = given[standing.group]
        _dots(figure, standing, row, colour, strata)
        _mean(figure, standing, row, colour)
    _legend(figure, strata, confidence)
    house(figure)
    names = [safe(standing.group) for standing in reversed(standings)]
    figure.update_layout(height=130 + 74 * len(standings), hovermode="closest")
    figure.update_xaxes(title_text=safe(label), tickformat=tick_format, showgrid=True, gridcolor=GRID, zeroline=True)
    figure.update_xaxes(zerolinecolor=LINE)
    figure.update_yaxes(
        showgrid=False,
        automargin=True,
        tickvals=list(range(len(names))),
        ticktext=names,
        range=[-0.55, len(names) - 0.45],
    )
    if optimum is not None:
        _line(figure, optimum, "optimum")
    return figure


def _dots(figure: go.Figure, standing: Standing, row: int, colour: str, strata: Sequence[str]) -> None:
    found = sorted(standing.scores, key=lambda score: score.value)
    # Neighbours in value get different heights, so that equal ones do not hide one another.
    spread = np.array([(-1, 0, 1)[i % 3] for i in range(len(found))]) * JITTER
    at = row - DOTS_BELOW + spread
    figure.add_scatter(
        x=[score.value for score in found],
        y=at,
        mode="markers",
        name="one run",
        showlegend=False,
        marker={
            "size": 8,
            "color": colour,
            "opacity": 0.7,
            "symbol": [SYMBOLS[strata.index(score.stratum) % len(SYMBOLS)] for score in found],
        },
        text=[f"{safe(standing.group)}, seed {score.seed}<br>{safe(score.stratum)}" for score in found],
        hovertemplate="%{text}: %{x}<extra></extra>",
    )
    figure.add_scatter(
        x=[found[0].value],
        y=at[:1],
        mode="markers",
        name="worst run",
        showlegend=False,
        marker={"size": 15, "color": colour, "symbol": "circle-open", "line": {"width": 2}},
        hovertemplate=f"{safe(standing.group)}, worst: seed {standing.worst.seed}: %{{x}}<extra></extra>",
    )


def _mean(figure: go.Figure, standing: Standing, row: int, colour: str) -> None:
    low, high = standing.interval or (standing.iqm, standing.iqm)
    figure.add_scatter(
        x=[standing.iqm],
        y=[row + MEAN_ABOVE],
        mode="markers",
        name="interquartile mean",
        showlegend=False,
        marker={"size": 12, "color": colour, "symbol": "diamond"},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - standing.iqm],
            "arrayminus": [standing.iqm - low],
            "thickness": 3,
            "width": 0,
            "color": colour,
        },
        customdata=[[low, high]],
        hovertemplate=f"{safe(standing.group)}: %{{x}}"
        + (" (%{customdata[0]:.4g} to %{customdata[1]:.4g})" if standing.interval else ", too few runs for an interval")
        + "<extra></extra>",
    )


def _legend(figure: go.Figure, strata: Sequence[str], confidence: float) -> None:
    """Say what the marks mean, in no group's colour; strata get their symbol where there are several."""
    places = strata if len(strata) > 1 else ["one run"]
    marks = [(safe(place), {"size": 8, "symbol": SYMBOLS[i % len(SYMBOLS)]}) for i, place in enumerate(places)]
    marks.append(("worst run", {"size": 13, "symbol": "circle-open", "line": {"width": 2}}))
    marks.append((f"interquartile mean, {confidence:.0%} interval", {"size": 11, "symbol": "diamond"}))
    for name, marker in marks:
        figure.add_scatter(x=[None], y=[None], mode="markers", name=name, marker={**marker, "color": NEUTRAL})


def improvements(duels: Sequence[Duel]) -> go.Figure:
    """One row per pair: how probably a run of the group ahead beats one of the group behind, with its interval."""
    names = [f"{safe(duel.ahead)} over {safe(duel.behind)}" for duel in reversed(duels)]
    figure = go.Figure()
    for decided, word, colour in ((True, "told apart", POLICY_COLOUR), (False, "not told apart", NEUTRAL)):
        rows = [row for row, duel in enumerate(reversed(duels)) if duel.decided is decided]
        if not rows:
            continue
        shown = [list(reversed(duels))[row] for row in rows]
        spans = [duel.interval or (duel.probability, duel.probability) for duel in shown]
        figure.add_scatter(
            x=[duel.probability for duel in shown],
            y=rows,
            mode="markers",
            name=word,
            showlegend=True,
            marker={
                "size": 11,
                "color": colour,
                "symbol": "circle" if decided else "circle-open",
                "line": {"width": 2},
            },
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [span[1] - duel.probability for span, duel in zip(spans, shown, strict=True)],
                "arrayminus": [duel.probability - span[0] for span, duel in zip(spans, shown, strict=True)],
                "thickness": 2.5,
                "width": 0,
                "color": colour,
            },
            text=[
                f"{names[row]}: {duel.probability:.2f}"
                + (f" ({duel.interval[0]:.2f} to {duel.interval[1]:.2f})" if duel.interval else "")
                for row, duel in zip(rows, shown, strict=True)
            ],
            hovertemplate="%{text}<extra></extra>",
        )
    house(figure)
    figure.update_layout(height=130 + 34 * len(duels), hovermode="closest")
    figure.update_xaxes(title_text="probability of improvement", range=[-0.02, 1.02], showgrid=True, gridcolor=GRID)
    figure.update_xaxes(tickformat=".0%")
    figure.update_yaxes(
        showgrid=False,
        automargin=True,
        tickvals=list(range(len(names))),
        ticktext=names,
        range=[-0.6, len(names) - 0.4],
    )
    _line(figure, 0.5, "a coin toss")
    return figure


def _line(figure: go.Figure, at: float, word: str) -> None:
    dashes = {"color": LINE, "width": 1.5, "dash": "6px,3px"}
    figure.add_shape(type="line", x0=at, x1=at, y0=0, y1=1, yref="paper", layer="below", line=dashes)
    place = {"x": at, "y": 0, "yref": "paper", "xanchor": "right", "yanchor": "bottom", "xshift": -4}
    figure.add_annotation(text=word, showarrow=False, font={"size": 11}, **place)
