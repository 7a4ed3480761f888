"""The page of a fine-tuning, online or meta-learning task: verdict, charts, rows. Called by mia.task.adapting."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mia.evaluation import figures, report_parts
from mia.evaluation.report_page import page

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Content:
    """What the page shows.

    Parameters
    ----------
    what, title, facts : the head
    verdict, tone : in words; "good", "open" or "bad"
    warnings : what must be known before any number
    drawn : figures by name
    captions : name -> (caption, note), in the page's order
    tables : heading -> rows with the same keys
    """

    what: str
    title: str
    facts: Mapping[str, Any]
    verdict: str
    tone: str
    warnings: Sequence[str]
    drawn: Mapping[str, go.Figure]
    captions: Mapping[str, tuple[str, str]]
    tables: Mapping[str, Sequence[Mapping[str, Any]]]


def write(path: Path, content: Content) -> None:
    """Write the page whole or not at all."""
    body = report_parts.head(
        content.what, content.title, content.facts, content.verdict, content.tone, content.warnings, ""
    )
    body += report_parts.charts(content.drawn, content.captions)
    for heading, rows in content.tables.items():
        if rows:
            body += f"<h2>{report_parts.esc(heading)}</h2>{report_parts.rows_table(rows, heading)}"
    data = {f"figure-{name}": figure.to_json() for name, figure in content.drawn.items()}
    report_parts.store(path, page(f"{content.title} {content.what}", body, data))


def evidence(series: Mapping[str, Array], levels: Mapping[str, float]) -> go.Figure:
    """Wealth of the sequential tests after each window, and what it has to reach.

    Parameters
    ----------
    series : name -> (n,) evidence
    levels : name of a line -> the wealth that decides
    """
    figure = go.Figure()
    given = figures.colours([*series, *levels])
    count = max((len(values) for values in series.values()), default=0)
    for name, values in series.items():
        figure.add_scatter(x=np.arange(len(values)), y=np.asarray(values), name=name, line={"color": given[name]})
    for name, value in levels.items():
        line = {"color": given[name], "dash": "dash"}
        figure.add_scatter(x=[0, max(count - 1, 1)], y=[value, value], name=name, mode="lines", line=line)
    figure.update_xaxes(title_text="window")
    figure.update_yaxes(title_text="wealth per unit staked", type="log")
    figure.update_layout(height=360)
    return figure


def intervals(rows: Sequence[Mapping[str, Any]], unit: str) -> go.Figure:
    """One dot with its interval for each row of name, value, low, high."""
    figure = go.Figure()
    names = [figures.safe(row["name"]) for row in rows]
    value = np.array([row["value"] for row in rows], dtype=np.float64)
    low, high = (np.array([row[key] for row in rows], dtype=np.float64) for key in ("low", "high"))
    reach = {"type": "data", "symmetric": False, "array": high - value, "arrayminus": value - low}
    marker = {"color": figures.POLICY_COLOUR, "size": 9}
    figure.add_scatter(x=value, y=names, mode="markers", error_x=reach, marker=marker, showlegend=False)
    figure.add_vline(x=0, line={"color": figures.LINE, "width": 1})
    figure.update_xaxes(title_text=unit)
    figure.update_layout(height=120 + 44 * max(len(rows), 1))
    return figure


def curves(counts: Sequence[int], series: Mapping[str, Sequence[Mapping[str, float]]], unit: str) -> go.Figure:
    """Adaptation curves: for each name mean, low and high after each count of updates."""
    figure = go.Figure()
    given = figures.colours(list(series), next(iter(series), None))
    for name, points in series.items():
        mean = np.array([point["mean"] for point in points], dtype=np.float64)
        low, high = (np.array([point[key] for point in points], dtype=np.float64) for key in ("low", "high"))
        reach = {"type": "data", "symmetric": False, "array": high - mean, "arrayminus": mean - low}
        text = [str(count) for count in counts]
        figure.add_scatter(x=text, y=mean, name=name, mode="lines+markers", error_y=reach, line={"color": given[name]})
    figure.update_xaxes(title_text="gradient steps on the new task", type="category")
    figure.update_yaxes(title_text=unit)
    figure.update_layout(height=380)
    return figure
