"""Sets any runs side by side: what is typical over seeds, who is better, and what luck explains of the best."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.evaluation import compare_verdict, formats, report_parts
from mia.evaluation.compare_report import LEEWAY, CompareContent, Panel, duel_rows, group_rows, render
from mia.evaluation.seeds import Score, common_strata, standings
from mia.task import compare_limits, compare_luck, compare_runs, store
from mia.task.compare_luck import MarketLuck
from mia.task.compare_runs import Metric, Run
from mia.task.settings import RunSettings
from mia.task.watch import Watch

SCHEMA = 1


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Read the runs, rank their groups, judge the best of all trials, and leave compare.json and report.html."""
    warnings: list[str] = []
    with watch.step("read the runs"):
        runs = _runs(settings, warnings)
        places = compare_runs.strata(runs)
    with watch.step("compare the groups"):
        panels = _panels(settings, runs, places, warnings)
        _say_what_is_mixed(settings, runs, places, warnings)
    with watch.step("judge the best of all trials"):
        lucks = compare_luck.judge(settings, runs)
    verdict, tone = compare_verdict.verdict(
        panels,
        {own.market: own.counted for own in lucks},
        {own.market: [found for _, found in own.best] for own in lucks if own.best},
        settings.evaluation,
        settings.compare,
    )
    content = CompareContent(
        title=_title(settings, runs),
        facts={
            "Runs": len(runs),
            "Grouped by": settings.compare.by,
            "Groups": len({compare_runs.group(run, settings.compare.by) for run in runs}),
            "Judged on": "; ".join(dict.fromkeys(places)),
        },
        verdict=verdict,
        tone=tone,
        warnings=warnings,
        panels=panels,
        limits=compare_limits.rows(runs, places, settings.compare.by),
        luck=[{"market": own.market, "data": data[:8], **found.row()} for own in lucks for data, found in own.best],
        luck_note=" ".join(own.note for own in lucks if own.note),
        statistics={f"Trials counted, {own.market}": own.counted for own in lucks},
        runs=_run_rows(settings, runs, places),
        confidence=settings.evaluation.confidence,
    )
    store.write_json(directory / "compare.json", _record(settings, content, lucks))
    report_parts.store(directory / "report.html", render(content))
    _show(watch, settings, content, directory)


def _runs(settings: RunSettings, warnings: list[str]) -> list[Run]:
    """The runs asked for, repeats left out."""
    runs, problems = compare_runs.found(settings.compare.runs, settings.outputs)
    warnings += problems
    if settings.market is not None:
        runs = [run for run in runs if run.market == settings.market.name]
    if not runs:
        where = ", ".join(settings.compare.runs) or Path(settings.outputs, "runs")
        whose = f" of {settings.market.name}" if settings.market else ""
        raise ConfigurationError(
            f"no finished runs{whose} in {where}{_remembered(settings)}; run some first: "
            "python -m mia -m +market=MNQ algo=qr_dqn,ppo 'seed=range(0,10)'"
        )
    kept: dict[tuple[str, ...], Run] = {}
    for run in runs:
        result = (str(run.summary["digest"]), run.sections.get("source", ""))
        kept.setdefault((compare_runs.group(run, settings.compare.by), *result), run)
    repeats = len(runs) - len(kept)
    if repeats:
        was = "run repeats the result of another and was" if repeats == 1 else "runs repeat results of others and were"
        warnings.append(f"{repeats} {was} left out here; the ledger counts every one.")
    return list(kept.values())


def _remembered(settings: RunSettings) -> str:
    book = compare_luck.ledger(settings)
    count = book.trials() if book else 0
    return f" (the ledger counts {count} trial{'' if count == 1 else 's'})" if count else ""


def _panels(settings: RunSettings, runs: Sequence[Run], places: Sequence[str], warnings: list[str]) -> list[Panel]:
    """For every metric one panel over the strata all groups have in common, then each stratum on its own."""
    families: dict[Metric, list[Score]] = {}
    without = []
    for run, place in zip(runs, places, strict=True):
        metric = compare_runs.metric_of(run, settings.compare.metric)
        reached = compare_runs.value(run, metric)
        if reached is None:
            without.append(run)
            continue
        group = compare_runs.group(run, settings.compare.by)
        families.setdefault(metric, []).append(Score(group=group, stratum=place, seed=run.seed, value=reached))
    if not families:
        raise ConfigurationError(
            f"compare.metric={settings.compare.metric}: none of {len(runs)} runs has it; choose one of "
            f"auto, {', '.join(compare_runs.METRICS)} or a key of {without[0].directory / compare_runs.SUMMARY}"
        )
    if without:
        warnings.append(f"{len(without)} of {len(runs)} runs have no {settings.compare.metric} and were left out.")
    _refuse_single_runs(settings, [score for family in families.values() for score in family])
    main, rest = [], []
    for metric, scores in families.items():
        common = common_strata(scores)
        alone = list(dict.fromkeys(score.stratum for score in scores))
        if common:
            pooled = [score for score in scores if score.stratum in common]
            main.append(_panel(settings, metric, ", ".join(common), pooled, main=True))
        elif len(alone) > 1:
            warnings.append(
                "No market, world or span was judged by all groups: they are compared where they met, never across."
            )
        if alone != common or len(common) > 1:
            rest += [
                _panel(settings, metric, place, [s for s in scores if s.stratum == place], main=not common)
                for place in alone
            ]
    return sorted(main + rest, key=lambda panel: not panel.main)


def _refuse_single_runs(settings: RunSettings, scores: Sequence[Score]) -> None:
    sizes: dict[tuple[str, str], int] = {}
    for score in scores:
        sizes[score.group, score.stratum] = sizes.get((score.group, score.stratum), 0) + 1
    if max(sizes.values()) < 2:
        group, stratum = next(iter(sizes))
        raise ConfigurationError(
            f"every group is a single run ({group} on {stratum} has one): nothing can be told from one seed; run more, "
            "-m 'seed=range(0,10)', or group by something coarser with compare.by"
        )


def _panel(settings: RunSettings, metric: Metric, title: str, scores: Sequence[Score], main: bool) -> Panel:
    judge = settings.evaluation
    rng = generator(settings.seed, "compare", metric.path, title)
    ranked, duels = standings(scores, rng, judge.bootstrap_samples, judge.confidence)
    return Panel(
        title=title,
        label=metric.label,
        tick_format=metric.tick_format,
        unit=metric.unit,
        optimum=metric.optimum,
        standings=ranked,
        duels=duels,
        main=main,
    )


def _say_what_is_mixed(settings: RunSettings, runs: Sequence[Run], places: Sequence[str], warnings: list[str]) -> None:
    """Warn of pooled configurations, several sets of data, few seeds and made-up markets."""
    by_group: dict[str, list[Run]] = {}
    seeds: dict[str, dict[str, int]] = {}
    for run, place in zip(runs, places, strict=True):
        name = compare_runs.group(run, settings.compare.by)
        by_group.setdefault(name, []).append(run)
        seeds.setdefault(name, {})[place] = seeds.get(name, {}).get(place, 0) + 1
    for name, own in by_group.items():
        apart = compare_runs.choices_apart(own, settings.compare.by)
        if apart:
            more = f" and {len(apart) - 3} more" if len(apart) > 3 else ""
            warnings.append(
                f"{name} pools runs that differ in {', '.join(apart[:3])}{more}; "
                f"compare.by={settings.compare.by}+{apart[0]} tells them apart."
            )
    apart = list(dict.fromkeys(places))
    if len(apart) > 1:
        warnings.append(
            f"The runs were judged on {len(apart)} different markets, worlds, spans or rules: each is a stratum of its "
            "own, within which alone runs are resampled and meet."
        )
    least = settings.compare.least_seeds
    few = [f"{name} ({min(own.values())})" for name, own in seeds.items() if min(own.values()) < least]
    if few:
        warnings.append(f"Fewer than {least} seeds: {', '.join(few)}. This is for development, not for claims.")
    if any(run.summary.get("data", {}).get("data") == "simulated" for run in runs):
        warnings.append("Simulated markets are among them: they say nothing about profit on a real one.")


def _title(settings: RunSettings, runs: Sequence[Run]) -> str:
    groups = list(dict.fromkeys(compare_runs.group(run, settings.compare.by) for run in runs))
    return ", ".join(groups) if len(groups) <= 6 else f"{len(groups)} groups by {settings.compare.by}"


def _run_rows(settings: RunSettings, runs: Sequence[Run], places: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for run, place in zip(runs, places, strict=True):
        metric = compare_runs.metric_of(run, settings.compare.metric)
        rows.append(
            {
                "group": compare_runs.group(run, settings.compare.by),
                "judged on": place,
                "seed": run.seed,
                "score": compare_runs.value(run, metric),
                "metric": metric.path,
                "run": str(run.directory),
            }
        )
    return sorted(rows, key=lambda row: (row["group"], row["judged on"], row["seed"]))


def _record(settings: RunSettings, content: CompareContent, lucks: Sequence[MarketLuck]) -> dict[str, Any]:
    """Everything of the page, for programs."""
    return {
        "schema": SCHEMA,
        "by": settings.compare.by,
        "metric": settings.compare.metric,
        "verdict": content.verdict,
        "warnings": list(content.warnings),
        "trials": {own.market: own.counted for own in lucks},
        "panels": [_panel_record(panel) for panel in content.panels],
        "limits": list(content.limits),
        "luck": [
            {"market": own.market, "data_digest": data, **found.record(settings.evaluation, settings.compare)}
            for own in lucks
            for data, found in own.best
        ],
        "luck_note": content.luck_note,
        "runs": list(content.runs),
    }


def _panel_record(panel: Panel) -> dict[str, Any]:
    return {
        "judged_on": panel.title,
        "metric": panel.label,
        "groups": [
            {
                "group": standing.group,
                "seeds": standing.seeds,
                "iqm": standing.iqm,
                "interval": standing.interval,
                "worst": {"seed": standing.worst.seed, "score": standing.worst.value},
                "scores": [
                    {"judged_on": score.stratum, "seed": score.seed, "score": score.value} for score in standing.scores
                ],
            }
            for standing in panel.standings
        ],
        "pairs": [
            {
                "ahead": duel.ahead,
                "behind": duel.behind,
                "probability_of_improvement": duel.probability,
                "interval": duel.interval,
                "decided": duel.decided,
            }
            for duel in panel.duels
        ],
    }


def _show(watch: Watch, settings: RunSettings, content: CompareContent, directory: Path) -> None:
    """Print tables, warnings and the verdict."""
    for panel in content.panels:
        title = f"{panel.title}: {panel.label}, {content.confidence:.0%} interval"
        watch.rows(title, _written(group_rows(panel)))
        if panel.duels and panel.main:
            watch.rows("who beats whom", _written(duel_rows(panel)))
    if content.limits:
        title = f"limits: kept if the interval's upper end is at most {LEEWAY:g} times the limit"
        watch.rows(title, _written([_shortened(row) for row in content.limits]))
    watch.say("; ".join(f"{name}: {number}" for name, number in content.statistics.items()))
    if content.luck:
        keys = ("market", "sessions", "trials", "SPA p, flat", "SPA p, baseline", "PBO", "deflated Sharpe")
        watch.rows("the best of all trials", _written([{key: row[key] for key in keys} for row in content.luck]))
        watch.say(content.luck_note)
    watch.terminal.verdict(content.verdict, tuple(content.warnings))
    watch.say(f"report: {directory / 'report.html'}")


def _shortened(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of limits with headers a terminal has room for."""
    words = {"worst_cvar_high": "worst", "stay_flat": "flat", "worst_seed": "seed", "judged_on": "on"}
    return {words.get(key, key): value for key, value in row.items()}


def _written(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Rows as text for the terminal, units told by the key's suffix."""
    return [
        {
            key.removesuffix("_usd") + (" [USD]" if key.endswith("_usd") else ""): formats.plain(v, key)
            for key, v in row.items()
        }
        for row in rows
    ]
