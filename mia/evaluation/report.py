"""One run as one HTML page that opens anywhere without a network: verdict, figures, charts.

Called by the evaluation task with plain arrays and dictionaries; it judges nothing itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mia.domain.errors import DataError
from mia.evaluation import formats
from mia.evaluation.report_parts import TONES, charts, esc, head, number, rows_table, statistics, store, table

if TYPE_CHECKING:
    import plotly.graph_objects as go

Array = np.ndarray
Metrics = Mapping[str, Any]

LAST_FILLS = 500
SAME_FOR_ALL_FILLS = ("gross_usd", "trades", "turnover", "exposure")  # a phone shows them once


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Importance:
    """What the selection found.

    Parameters
    ----------
    names : S features
    shap : (S,) mean absolute SHAP value
    stability : (S,) share of resamples that chose the feature, 0-1
    """

    names: Sequence[str]
    shap: Array
    stability: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantiles:
    """What a distributional policy expected.

    Parameters
    ----------
    ts : (N,) int64 [ns UTC]
    values : (N, A, Q) quantiles of each action's return
    levels : (Q,) increasing, inside 0-1
    actions : A names
    unit : unit of `values`, e.g. "reward" or "USD"
    """

    ts: Array
    values: Array
    levels: Array
    actions: Sequence[str]
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReportContent:
    """Everything the report shows. What is empty or None is left out, with a sentence saying why.

    A *metrics* mapping has any of: net_usd, gross_usd, cost_usd, sharpe (annual), sharpe_ci (low, high),
    max_drawdown_usd, cvar95_usd, trades [count], turnover [contracts per session], exposure [share of bars].
    T is the number of rows judged; all (T,) arrays are aligned.

    Parameters
    ----------
    title : one line, e.g. "MNQ · qr_dqn"
    facts : label -> value: market, algorithm, source, seed, dates, digests; shown in order
    verdict : one sentence
    tone : "good" (not luck), "open" (not told from luck) or "bad" (loses, or a law is broken)
    warnings : sentences the reader must see before any number, e.g. "Data is simulated: …"
    headline : fill model -> metrics of the policy, kindest first
    headline_fill : the fill model the verdict rests on
    policy : name of the judged policy in `baselines`, `equity_cents`
    baselines : name -> metrics on the rows judged, policy included, under `headline_fill`
    reference : rule -> metrics over the full sample (no learning, hence no split)
    folds : one mapping per walk-forward fold, same keys in the same order; keys ending in _usd are money,
        in _share shares; other cells are written by type
    ts : (T,) int64, bar closes [ns UTC]
    equity_cents : name -> (T,) int64 net profit since the start [cents]
    price_ticks : (T, 4) open, high, low, close [ticks]
    tick_size : [points], needed for prices and fills
    fills : equally long columns row (bar at whose open it filled), ts [ns UTC], price_ticks, side (+1/-1),
        contracts, cost_cents; a dict, a structured array or a table
    belief : (T, K) filtered regime probabilities
    regimes : K names
    importance : outcome of the feature selection
    quantiles : expectations of a distributional policy
    calibration : whether the quantiles came true on the rows judged: rows of `mia.evaluation.calibration.coverage`
    calibration_note : one sentence on what they are quantiles of
    limits : one mapping per fold on the limit the policy was trained under, same keys in the same order
    limit_looks : rows of `training_figures.risk`, of the newest fold
    limit_note : one sentence on what is limited
    learning : curve name -> (N,) score per training step; with `learning_steps` (N,) and `learning_unit`
    data_quality : one mapping per check, same keys in the same order
    statistics : label -> value, e.g. "Trials counted", "Deflated Sharpe", "PBO"
    absent : part -> reason it is missing, replacing the standard sentence; parts are the keys of `PARTS`

    Raises
    ------
    DataError : if `tone` is unknown or the lengths of time-aligned arrays disagree.
    """

    title: str
    facts: Mapping[str, Any]
    verdict: str
    tone: str
    warnings: Sequence[str] = ()
    headline: Mapping[str, Metrics] = field(default_factory=dict)
    headline_fill: str = "pessimistic"
    policy: str = "policy"
    baselines: Mapping[str, Metrics] = field(default_factory=dict)
    reference: Mapping[str, Metrics] = field(default_factory=dict)
    folds: Sequence[Mapping[str, Any]] = ()
    ts: Array | None = None
    equity_cents: Mapping[str, Array] = field(default_factory=dict)
    price_ticks: Array | None = None
    tick_size: float | None = None
    fills: Any = None
    belief: Array | None = None
    regimes: Sequence[str] = ("trend", "range", "defensive")
    importance: Importance | None = None
    quantiles: Quantiles | None = None
    calibration: Sequence[Mapping[str, Any]] = ()
    calibration_note: str = ""
    limits: Sequence[Mapping[str, Any]] = ()
    limit_looks: Sequence[Mapping[str, Any]] = ()
    limit_note: str = ""
    learning: Mapping[str, Array] = field(default_factory=dict)
    learning_steps: Array | None = None
    learning_unit: str = "score"
    data_quality: Sequence[Mapping[str, Any]] = ()
    statistics: Mapping[str, Any] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.tone not in TONES:
            raise DataError(f"report: tone must be one of {', '.join(TONES)}, was {self.tone!r}")
        unknown = set(self.absent) - set(PARTS)
        if unknown:
            raise DataError(f"report: absent names unknown parts {sorted(unknown)}; known: {', '.join(PARTS)}")
        rows = None if self.ts is None else len(self.ts)
        aligned = {f"equity_cents[{name}]": values for name, values in self.equity_cents.items()}
        aligned |= {"price_ticks": self.price_ticks, "belief": self.belief}
        for name, values in aligned.items():
            if values is not None and len(values) != rows:
                raise DataError(f"report: {name} has {len(values)} rows but ts has {rows}; pass aligned arrays")


PARTS: dict[str, tuple[str, str, str]] = {
    "accounts": (
        "Policy and baselines",
        (
            "The same bars, costs and rules for everyone. A policy earns trust only by beating the best "
            "simple rule, and intervals that overlap are not told apart by this much data."
        ),
        "No baselines were handed to the report.",
    ),
    "luck": (
        "How much is luck",
        "Every try counts, failed ones too: the more that were made, the better the best looks by chance.",
        "The trial ledger was not read for this run.",
    ),
    "equity": (
        "Profit and drawdown",
        "Net of all costs, under the fills the verdict rests on. Drag to zoom, double-click to return.",
        "No equity curves were handed to the report.",
    ),
    "folds": (
        "Walk-forward folds",
        "Each row was decided by a policy that had seen only earlier data.",
        "The run was not walked forward: there are no folds.",
    ),
    "price": (
        "Price and fills",
        "Decisions are taken at a bar's close and filled at the next bar's open.",
        "No prices were handed to the report.",
    ),
    "belief": (
        "Regime belief",
        "What the filter believed at each bar, from the past alone.",
        "No regime model took part in this run.",
    ),
    "importance": (
        "Features",
        (
            "Mean absolute SHAP value of the surrogate model on training rows. It says what the choice "
            "rested on, not what causes prices."
        ),
        "No feature selection took part in this run.",
    ),
    "quantiles": (
        "Expected returns",
        "The policy predicts a distribution for each action, not one number.",
        "The algorithm does not predict return distributions; only distributional ones such as QR-DQN do.",
    ),
    "calibration": (
        "Do the quantiles come true?",
        (
            "Of outcomes a tenth should come at or below the quantile of 10 %. Measured on the rows judged, at the "
            "decisions the policy took; one that stays flat is asked what it would have done."
        ),
        "",
    ),
    "learning": (
        "Learning",
        "Measured on training data while learning; the verdict uses none of it.",
        "No learning curve was recorded.",
    ),
    "limit": (
        "The limit on risk",
        (
            "What the worst episodes of the training fold lose, beside what they may lose, and the price put on it. "
            "It is no promise for rows unlike those."
        ),
        "",
    ),
    "reference": (
        "Rules over the full sample",
        (
            "Fixed rules learn nothing, so they need no split: this is how they fare over all bars, "
            "training years included."
        ),
        "The rules were not run over the full sample.",
    ),
    "quality": (
        "Data quality",
        "What was found in the rows before anything was learned from them.",
        "No data-quality checks were handed to the report.",
    ),
    "fills": (
        "Fills",
        "Newest first; a heading sorts.",
        "The policy did not trade on the rows judged.",
    ),
}
"""Part -> heading, how to read it, why it may be missing; in page order."""

ONLY_WHERE_ASKED = ("calibration", "limit")
"""Parts that concern some learners only: the page of another does not mention them."""


def write(path: Path, content: ReportContent) -> None:
    """Write the report as one self-contained HTML file, whole or not at all.

    Raises
    ------
    OSError : if the folder cannot be written; an earlier report is then untouched.
    """
    store(Path(path), render(content))


def figures(content: ReportContent) -> dict[str, "go.Figure"]:
    """Draw every chart the content allows: name -> figure; the tracker logs the same ones."""
    from mia.evaluation import figures as draw

    made: dict[str, go.Figure] = {}
    if any(m.get("sharpe") is not None for m in content.baselines.values()):
        made["sharpe"] = draw.sharpe_intervals(content.baselines, content.policy)
    if content.ts is not None and len(content.ts):
        made |= _time_figures(content)
    if content.importance is not None and len(content.importance.names):
        found = content.importance
        made["importance"] = draw.importance(found.names, found.shap, found.stability)
    if content.quantiles is not None and len(content.quantiles.ts):
        seen = content.quantiles
        made["quantile_fan"] = draw.quantile_fan(seen.ts, seen.values, seen.levels, seen.unit)
        made["quantile_actions"] = draw.quantile_actions(seen.values, seen.levels, seen.actions, seen.unit)
    if content.calibration:
        from mia.evaluation.reliability_page import coverage

        made["calibration"] = coverage(content.calibration)
    if content.limit_looks:
        from mia.evaluation.training_figures import risk

        made["limit"] = risk(content.limit_looks)
    if content.learning and content.learning_steps is not None:
        made["learning"] = draw.learning(content.learning_steps, content.learning, content.learning_unit)
    return made


def render(content: ReportContent) -> str:
    """Return the page's text; `write` stores it."""
    from mia.evaluation.report_page import page

    drawn = figures(content)
    sections = {
        "accounts": _accounts(content, drawn),
        "luck": statistics(content.statistics),
        "equity": charts(
            drawn, {"equity": ("Net profit", ""), "drawdown": ("Drawdown", "the worst bar of each stretch")}
        ),
        "folds": rows_table(content.folds),
        "price": _price(content, drawn),
        "belief": charts(drawn, {"belief": ("Probability of each regime", "averaged over each drawn stretch")}),
        "importance": charts(drawn, {"importance": (_importance_caption(content), "")}),
        "quantiles": charts(
            drawn,
            {
                "quantile_fan": ("The action it preferred, over time", "averaged over each drawn stretch"),
                "quantile_actions": ("Each action, all bars together", ""),
            },
        ),
        "calibration": _calibration(content, drawn),
        "learning": charts(drawn, {"learning": ("Score while training", "")}),
        "limit": _limit(content, drawn),
        "reference": _metrics_table(content.reference, None, {}),
        "quality": rows_table(content.data_quality),
        "fills": _fills_table(content),
    }
    body = [
        _head(content),
        _nav(sections),
        *(_section(part, sections[part], content) for part in PARTS if _concerns(part, sections[part], content)),
        _foot(content),
    ]
    texts = {f"figure-{name}": figure.to_json() for name, figure in drawn.items()}
    return page(content.title, "\n".join(body), texts)


def _time_figures(content: ReportContent) -> dict[str, "go.Figure"]:
    from mia.evaluation import figures as draw

    made = {}
    if content.equity_cents:
        made["equity"] = draw.equity(content.ts, content.equity_cents, content.policy)
        made["drawdown"] = draw.drawdown(content.ts, content.equity_cents, content.policy)
    if content.price_ticks is not None and content.tick_size is not None:
        price = np.asarray(content.price_ticks, dtype=float) * content.tick_size
        made["price"] = draw.price_overview(content.ts, price, _points(content) if _fill_count(content) else None)
        if _fill_count(content):
            made["trades"] = draw.price_detail(content.ts, price, _points(content))
    if content.belief is not None:
        made["belief"] = draw.belief(content.ts, np.asarray(content.belief), content.regimes)
    return made


def _fill_count(content: ReportContent) -> int:
    return 0 if content.fills is None else len(content.fills["row"])


def _points(content: ReportContent) -> dict[str, Array]:
    """Fills in people's units: points and dollars."""
    fills = content.fills
    columns = {name: np.asarray(fills[name]) for name in ("row", "ts", "side", "contracts")}
    columns["price"] = np.asarray(fills["price_ticks"], dtype=float) * (content.tick_size or 1.0)
    columns["cost_usd"] = np.asarray(fills["cost_cents"], dtype=float) / 100
    return columns


def _head(content: ReportContent) -> str:
    return head(
        "Evaluation report",
        content.title,
        content.facts,
        content.verdict,
        content.tone,
        content.warnings,
        _cards(content),
    )


def _years_needed(sharpe: object) -> str:
    """Years until a true Sharpe ratio of this size has t = 2, were returns independent: (2 / sharpe)^2."""
    if formats.missing(sharpe) or float(sharpe) <= 0.05:
        return formats.NONE
    return f"{(2 / float(sharpe)) ** 2:,.1f} years"


def _cards(content: ReportContent) -> str:
    cards = []
    for fill, metrics in content.headline.items():
        main = fill == content.headline_fill
        note = "net profit: the verdict rests on this one" if main else "net profit, all costs paid"
        cards.append(
            f'<div class="card{" main" if main else ""}"><p class="kind">{esc(fill.capitalize())} fills</p>'
            f'<p class="big">{number(formats.metric(metrics, "net_usd"))}</p><p class="unit">{note}</p>'
            f"<dl>{_card_rows(metrics)}</dl></div>"
        )
    return f'<div class="cards" id="headline">{"".join(cards)}</div>' if cards else ""


def _card_rows(metrics: Metrics) -> str:
    keys = [key for key in formats.METRICS if key in metrics and key != "net_usd"]
    rows = [(formats.METRICS[key][0], formats.metric(metrics, key), key in SAME_FOR_ALL_FILLS) for key in keys]
    if "sharpe" in metrics:
        rows.append(("To tell from luck", _years_needed(metrics["sharpe"]), False))
    mark = {True: ' class="same"', False: ""}
    return "".join(
        f"<dt{mark[same]}>{esc(label)}</dt><dd{mark[same]}>{number(text)}</dd>" for label, text, same in rows
    )


def _nav(sections: Mapping[str, str]) -> str:
    links = "".join(f'<a href="#{part}">{esc(PARTS[part][0])}</a>' for part in PARTS if sections[part])
    return f'<nav aria-label="Contents">{links}</nav>'


def _concerns(part: str, inner: str, content: ReportContent) -> bool:
    return bool(inner) or part not in ONLY_WHERE_ASKED or part in content.absent


def _section(part: str, inner: str, content: ReportContent) -> str:
    heading, lede, why = PARTS[part]
    if inner:
        return f'<section id="{part}"><h2>{esc(heading)}</h2><p class="lede">{esc(lede)}</p>{inner}</section>'
    reason = content.absent.get(part, why)
    return (
        f'<section id="{part}"><h2>{esc(heading)}</h2><p class="lede"></p>'
        f'<p class="absent">Left out. {esc(reason)}</p></section>'
    )


def _accounts(content: ReportContent, drawn: Mapping[str, "go.Figure"]) -> str:
    from mia.evaluation.figures import colours

    if not content.baselines:
        return ""
    accounts = _metrics_table(content.baselines, content.policy, colours(list(content.baselines), content.policy))
    return accounts + charts(drawn, {"sharpe": ("Sharpe ratio with its 95 % interval", "")})


def _price(content: ReportContent, drawn: Mapping[str, "go.Figure"]) -> str:
    from mia.evaluation.figures import CANDLES

    if "price" not in drawn:
        return ""
    rows = len(content.ts)
    merged = f"{rows:,} bars in {CANDLES} candles" if rows > CANDLES else "one candle per bar"
    overview = charts(drawn, {"price": ("All bars judged", merged)})
    if "trades" not in drawn:
        return f'{overview}<p class="absent">No fills to show: the policy did not trade.</p>'
    return overview + charts(
        drawn,
        {
            "trades": (
                "The busiest stretch",
                f"every fill shown; {_fill_count(content):,} in the whole span",
            )
        },
    )


def _calibration(content: ReportContent, drawn: Mapping[str, "go.Figure"]) -> str:
    if not content.calibration:
        return ""
    rows = [
        {
            "quantile_share": row["level"],
            "came_at_or_below_share": row["covered"],
            "from_share": row["low"],
            "to_share": row["high"],
            "as_told": row["within"],
            "rows": row["n"],
        }
        for row in content.calibration
    ]
    note = f'<p class="lede">{esc(content.calibration_note)}</p>'
    return (
        note
        + charts(drawn, {"calibration": ("Told and came", "bars are 95 % intervals")})
        + rows_table(rows, "quantiles")
    )


def _limit(content: ReportContent, drawn: Mapping[str, "go.Figure"]) -> str:
    if not content.limits:
        return ""
    note = f'<p class="lede">{esc(content.limit_note)}</p>'
    figure = charts(drawn, {"limit": ("CVaR, limit and multiplier while training", "the newest fold")})
    return note + figure + rows_table(content.limits, "limit")


def _importance_caption(content: ReportContent) -> str:
    if content.importance is None:
        return ""
    total = len(content.importance.names)
    return f"The {min(30, total)} most important of {total} features"


def _metrics_table(accounts: Mapping[str, Metrics], policy: str | None, swatches: Mapping[str, str]) -> str:
    if not accounts:
        return ""
    keys = [key for key in formats.METRICS if any(key in metrics for metrics in accounts.values())]
    heading = "".join(f'<th scope="col">{esc(formats.METRICS[key][0])}</th>' for key in keys)
    names = sorted(accounts, key=lambda name: name != policy)
    body = []
    for name in names:
        mark = (
            f'<span class="swatch" style="background:var(--s-{swatches[name][1:]})"></span>' if name in swatches else ""
        )
        cells = "".join(f"<td>{number(formats.metric(accounts[name], key))}</td>" for key in keys)
        body.append(f'<tr{" class=main" if name == policy else ""}><th scope="row">{mark}{esc(name)}</th>{cells}</tr>')
    return table(f'<th scope="col" class="text">Account</th>{heading}', "".join(body), "metrics")


def _fills_table(content: ReportContent) -> str:
    total = _fill_count(content)
    if not total:
        return ""
    from mia.evaluation.figures import labels

    fills = {name: values[-LAST_FILLS:][::-1] for name, values in _points(content).items()}
    write_price: Callable[[float], str] = f"{{:,.{_decimals(content.tick_size)}f}}".format
    when = labels(fills["ts"])
    columns = ("Time [UTC]", "Side", "Contracts", "Price [points]", "Cost [USD]")
    heading = "".join(
        f'<th scope="col"{" class=text" if i < 2 else ""}><button type="button">{name}</button></th>'
        for i, name in enumerate(columns)
    )
    body = "".join(
        f'<tr><td class="text">{when[i]}</td>'
        f'<td class="text">{"buy" if fills["side"][i] > 0 else "sell"}</td>'
        f'<td data-v="{int(fills["contracts"][i])}">{int(fills["contracts"][i]):,}</td>'
        f'<td data-v="{fills["price"][i]:.10g}">{write_price(fills["price"][i])}</td>'
        f'<td data-v="{fills["cost_usd"][i]:.2f}">${fills["cost_usd"][i]:,.2f}</td></tr>'
        for i in range(len(when))
    )
    note = f'<p class="lede">The last {LAST_FILLS} of {total:,}.</p>' if total > LAST_FILLS else ""
    return note + table(heading, body, "fills", tall=True)


def _decimals(tick_size: float | None) -> int:
    """Decimals a price needs: 0.25 -> 2, 0.5 -> 1, 5 -> 0."""
    text = f"{tick_size or 1:.10f}".rstrip("0")
    return len(text.split(".")[1])


def _foot(content: ReportContent) -> str:
    return (
        "<footer>Past results, measured or simulated, promise nothing. Prices are in points, money in US "
        f"dollars, times in UTC. Headline figures assume {esc(content.headline_fill)} fills.</footer>"
    )
