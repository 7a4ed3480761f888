"""Many runs as one HTML page that opens without a network. Called by task=compare; it judges nothing itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mia.evaluation import report_parts as parts
from mia.evaluation.seeds import Duel, Standing

if TYPE_CHECKING:
    import plotly.graph_objects as go

LEEWAY = 1.1
"""A run keeps its limit if the upper end of the interval of its CVaR is at most so many times it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Groups beside each other on the same strata.

    Parameters
    ----------
    title : what they were judged on
    label, tick_format, unit : how the score is called and written; unit is the suffix of a key, "_usd" or ""
    optimum : best possible score, None where nobody knows it
    standings : best first
    duels : every two of them
    main : whether it is drawn; the others are tables
    """

    title: str
    label: str
    tick_format: str
    unit: str
    optimum: float | None
    standings: Sequence[Standing]
    duels: Sequence[Duel]
    main: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareContent:
    """Everything the page shows.

    Parameters
    ----------
    title : one line
    facts : label -> value
    verdict, tone : one sentence or two, and "good", "open" or "bad"
    warnings : what must be known before any number
    panels : main ones first
    limits : one mapping per group and world with a limit on risk, same keys in the same order
    luck : one mapping per market and data, same keys in the same order
    luck_note : a sentence on what entered there
    statistics : single figures beside it
    runs : one mapping per run
    confidence : coverage of the intervals
    """

    title: str
    facts: Mapping[str, Any]
    verdict: str
    tone: str
    warnings: Sequence[str]
    panels: Sequence[Panel]
    luck: Sequence[Mapping[str, Any]]
    luck_note: str
    statistics: Mapping[str, Any]
    runs: Sequence[Mapping[str, Any]]
    confidence: float
    limits: Sequence[Mapping[str, Any]] = ()


def group_rows(panel: Panel) -> list[dict[str, Any]]:
    """The groups of a panel as rows of a table, for the page and the terminal."""
    several = len({score.stratum for score in panel.standings[0].scores}) > 1
    return [_group_row(standing, panel.unit, several) for standing in panel.standings]


def _group_row(standing: Standing, unit: str, several: bool) -> dict[str, Any]:
    worst = f"seed {standing.worst.seed}" + (f", {standing.worst.stratum}" if several else "")
    return {
        "group": standing.group,
        "runs": len(standing.scores),
        **({"fewest in a stratum": standing.seeds} if several else {}),
        f"interquartile mean{unit}": standing.iqm,
        f"interval{unit}": standing.interval,
        f"worst run{unit}": standing.worst.value,
        "worst": worst,
    }


def duel_rows(panel: Panel) -> list[dict[str, Any]]:
    """The pairs of a panel as rows of a table."""
    return [
        {
            "ahead": duel.ahead,
            "behind": duel.behind,
            "probability of improvement": duel.probability,
            "interval": duel.interval,
            "told apart": "yes" if duel.decided else "no",
        }
        for duel in panel.duels
    ]


def figures(content: CompareContent) -> dict[str, "go.Figure"]:
    """Draw the main panels: name -> figure."""
    from mia.evaluation import compare_figures as draw

    made = {}
    for at, panel in enumerate(panel for panel in content.panels if panel.main):
        made[f"scores_{at}"] = draw.scores(
            panel.standings, panel.label, panel.tick_format, content.confidence, panel.optimum
        )
        if panel.duels:
            made[f"improvements_{at}"] = draw.improvements(panel.duels)
    return made


def render(content: CompareContent) -> str:
    """Return the page's text; `report_parts.store` stores it."""
    from mia.evaluation.report_page import page

    drawn = figures(content)
    sections = {
        "Groups": _main(content, drawn),
        "Who keeps the limit": parts.rows_table(content.limits, "limits"),
        "How much is luck": _luck(content),
    }
    others = [panel for panel in content.panels if not panel.main]
    if others:
        sections["Each stratum on its own"] = "".join(
            f"<h3>{parts.esc(panel.title)}</h3>{parts.rows_table(group_rows(panel), panel.title)}" for panel in others
        )
    sections["All runs"] = parts.rows_table(content.runs, "runs")
    shown = {name: inner for name, inner in sections.items() if inner}
    links = "".join(f'<a href="#part-{at}">{parts.esc(name)}</a>' for at, name in enumerate(shown))
    body = [
        parts.head("Comparison", content.title, content.facts, content.verdict, content.tone, content.warnings, ""),
        f'<nav aria-label="Contents">{links}</nav>',
        *(_section(at, name, inner) for at, (name, inner) in enumerate(shown.items())),
        f"<footer>{parts.esc(FOOT)}</footer>",
    ]
    return page(content.title, "\n".join(body), {f"figure-{name}": figure.to_json() for name, figure in drawn.items()})


FOOT = (
    "Past results, measured or simulated, promise nothing. Intervals resample runs within strata: they tell how much "
    "seeds matter, not how much the days judged do."
)
LEDES = {
    "Groups": (
        "Every run counts, none is picked: the mean of the middle half of the runs, how sure it is, and the worst run. "
        "Probabilities of improvement take one run of each group at random; their intervals are per pair."
    ),
    "Who keeps the limit": (
        "Kept: runs whose mean loss of the worst fresh sessions has an interval that ends at or below "
        f"{LEEWAY:g} times the limit. Who stays flat keeps every limit and earns nothing."
    ),
    "How much is luck": (
        "All trials the ledger holds for a market, chosen here or not: the more were tried, the better the best looks "
        "by chance. Skill needs a small SPA p against the best baseline, a large deflated Sharpe ratio and a small "
        "probability of backtest overfitting (PBO)."
    ),
    "Each stratum on its own": "Runs judged on different worlds, markets or spans are never mixed with one another.",
    "All runs": "What was read, in the order of the groups.",
}


def _section(at: int, name: str, inner: str) -> str:
    lede = f'<p class="lede">{parts.esc(LEDES[name])}</p>'
    return f'<section id="part-{at}"><h2>{parts.esc(name)}</h2>{lede}{inner}</section>'


def _main(content: CompareContent, drawn: Mapping[str, "go.Figure"]) -> str:
    pieces = []
    for at, panel in enumerate(panel for panel in content.panels if panel.main):
        pieces.append(f"<h3>{parts.esc(panel.title)}</h3>")
        pieces.append(parts.rows_table(group_rows(panel), panel.title))
        note = "a dot is a run; larger is better"
        pieces.append(parts.charts(drawn, {f"scores_{at}": (panel.label[:1].upper() + panel.label[1:], note)}))
        pieces.append(parts.charts(drawn, {f"improvements_{at}": ("Who beats whom", "a run of each at random")}))
    return "".join(pieces)


def _luck(content: CompareContent) -> str:
    note = f'<p class="lede">{parts.esc(content.luck_note)}</p>' if content.luck_note else ""
    return parts.statistics(content.statistics) + note + parts.rows_table(content.luck, "luck")
