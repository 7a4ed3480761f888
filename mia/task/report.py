"""What a judged walk leaves behind: summary.json, report.html, the tracker's record and the last words on screen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mia.domain import digest
from mia.evaluation import formats
from mia.evaluation import verdict as verdicts
from mia.evaluation.deflated_sharpe import deflated_sharpe
from mia.evaluation.performance import joined
from mia.evaluation.report import Importance, Quantiles, ReportContent, figures, write
from mia.features.shap_weighting import agreement
from mia.regime.regime_detector import REGIMES
from mia.task import encoders, ingest, judging, limit, quantiles, store, train, trial
from mia.task.features import FeatureTable
from mia.task.ingest import Ingested
from mia.task.judging import POLICY, Judged, Walks
from mia.task.settings import RunSettings
from mia.task.watch import Watch

Array = np.ndarray
SCHEMA = 1
TONES = {"skill": "good", "luck": "open", "loss": "bad"}
MOST_QUANTILE_ROWS = 400
FOLD_COLUMNS = [
    "fold",
    "train_from",
    "train_to",
    "train_bars",
    "test_from",
    "test_to",
    "test_bars",
    "significant",
    "net_usd",
    "trades",
    "abstains",
]


def make(
    settings: RunSettings,
    plain: Mapping[str, Any],
    made: Ingested,
    table: FeatureTable,
    judged: Sequence[Judged],
    number: int,
    directory: Path,
    watch: Watch,
    cpu_seconds: float,
    peak_memory_mb: float,
    shown: Path | None = None,
) -> dict[str, Any]:
    """Walk, judge, write and say; returns the summary. `shown` is where `directory` will be moved to."""
    with watch.step("walk the test rows", len(judged)) as step:
        walks = judging.walk(settings, judged, step)
    with watch.step("judge"):
        fills = {name: judging.figures(settings, parts, "policy") for name, parts in walks.fills.items()}
        oos = fills[settings.broker.headline]
        others = {name: judging.figures(settings, parts, name) for name, parts in walks.names.items() if name != POLICY}
        reference = judging.reference(settings, judged[-1].tape, made.bars.bar_minutes)
        verdict = _verdict(settings, walks, oos, number)
    summary = _summary(settings, plain, made, table, judged, walks, oos, fills, others, reference, verdict)
    summary |= {"cpu_seconds": round(cpu_seconds, 1), "peak_memory_mb": round(peak_memory_mb)}
    with watch.step("judge the quantiles"):
        checked = quantiles.check(settings, [judging.unseen(fold) for fold in judged], train.learning_terms(settings))
    summary |= {"calibration": checked} if checked else {}
    with watch.step("judge the encoders"):
        summary["encoders"] = encoders.checks(settings, made, table)
    with watch.step("write the report"):
        content = _content(settings, made, judged, walks, fills, others, reference, verdict, summary)
        write(directory / "report.html", content)
        store.write_json(directory / "summary.json", summary)
    _track(watch, settings, summary, content, judged, directory)
    _last_words(watch, settings, oos, others, verdict, made, shown or directory)
    return summary


def _verdict(settings: RunSettings, walks: Walks, oos: Mapping[str, Any], number: int) -> verdicts.Verdict:
    book = trial.ledger(settings)
    market = settings.market.name
    days = judging.daily(walks.names[POLICY])
    book.complete(number, daily_net_usd=days.tolist(), sharpe=oos["sharpe"])
    trials = book.trials(market)
    return verdicts.judge(
        oos,
        sessions=len(days),
        trials=trials,
        dsr=deflated_sharpe(days, trials, book.sharpe_variance(market)),
        comparison=judging.compare(walks, settings),
        settings=settings.evaluation,
    )


def _summary(
    settings: RunSettings,
    plain: Mapping[str, Any],
    made: Ingested,
    table: FeatureTable,
    judged: Sequence[Judged],
    walks: Walks,
    oos: Mapping[str, Any],
    fills: Mapping[str, Any],
    others: Mapping[str, Any],
    reference: Mapping[str, Any],
    verdict: verdicts.Verdict,
) -> dict[str, Any]:
    whole = joined(walks.names[POLICY])
    weights = [fold.policy.digest for fold in judged]
    present = made.bars.sources_present()
    market = table.plans.market
    available = [name for name in market.names if set(market.sources(name)) <= set(present)]
    # What models and the policy say has inputs where it ever said something.
    made_by_models = sum(int(np.isfinite(part).any(axis=0).sum()) for part in (table.block.model, table.block.own))
    result = digest.of_json(
        [made.digest, weights, digest.of_arrays(whole.equity_cents, whole.position), dict(oos), settings.seed]
    )
    return {
        "schema": SCHEMA,
        "market": settings.market.name,
        "algo": settings.algo.name,
        "source": settings.source.name,
        "data": made.facts,
        "seed": settings.seed,
        "config_digest": trial.config_digest(plain),
        "data_digest": made.digest,
        "digest": result,
        "bars": len(made.bars),
        "features": {
            "computed": len(table.plans.names),
            "with_inputs": len(available) + made_by_models,
            "sources": list(present),
        },
        "folds": [_fold_row(fold, part) for fold, part in zip(judged, walks.names[POLICY], strict=True)],
        "headline_fill": settings.broker.headline,
        "oos": dict(oos),
        "fills": {name: dict(values) for name, values in fills.items()},
        "baselines": {name: dict(values) for name, values in others.items()},
        "daily_net_usd": {name: judging.daily(parts).tolist() for name, parts in walks.names.items()},
        "reference": {"fill": settings.broker.central.name, **{name: dict(v) for name, v in reference.items()}},
        "trials": verdict.trials,
        "deflated_sharpe": verdict.dsr,
        "verdict_code": verdict.code,
        "verdict": verdict.sentence,
    }


def _fold_row(fold: Judged, part: Any) -> dict[str, Any]:
    span, card = fold.fold, fold.policy.card
    ts, bound = fold.tape.ts, limit.constraint(card)
    return {
        "fold": span.index,
        "train_from": _day(ts[span.train.start]),
        "train_to": _day(ts[span.train.stop - 1]),
        "train_bars": span.train.stop - span.train.start,
        "test_from": _day(ts[span.test.start]),
        "test_to": _day(ts[span.test.stop - 1]),
        "test_bars": span.test.stop - span.test.start,
        "columns": len(fold.selection.names),
        "significant": fold.selection.n_significant,
        "net_usd": float(part.equity_cents[-1]) / 100,
        "trades": part.sides,
        "abstains": bool(fold.policy.abstains),
        "abstains_because": limit.why_flat(fold.policy),
        "train_cpu_s": card["cpu_s"],
        "weights": fold.policy.digest,
        **({"constraint": bound} if bound else {}),
    }


def _day(ts: int) -> str:
    return str(np.datetime64(int(ts), "ns"))[:10]


def _content(
    settings: RunSettings,
    made: Ingested,
    judged: Sequence[Judged],
    walks: Walks,
    fills: Mapping[str, Any],
    others: Mapping[str, Any],
    reference: Mapping[str, Any],
    verdict: verdicts.Verdict,
    summary: Mapping[str, Any],
) -> ReportContent:
    spans = [slice(fold.fold.test.start, fold.fold.test.stop) for fold in judged]
    tape = judged[-1].tape
    price = np.column_stack([tape.open, tape.high, tape.low, tape.close])
    last = judged[-1]
    return ReportContent(
        title=f"{settings.market.name} · {settings.algo.name}",
        facts=_facts(settings, made, summary),
        verdict=verdict.sentence,
        tone=TONES[verdict.code],
        warnings=_warnings(settings, made, judged, summary),
        headline=dict(fills),
        headline_fill=settings.broker.headline,
        policy=POLICY,
        baselines={POLICY: fills[settings.broker.headline], **others},
        reference=dict(reference),
        folds=[{k: v for k, v in row.items() if k in FOLD_COLUMNS} for row in summary["folds"]],
        ts=np.concatenate([tape.ts[span] for span in spans]),
        equity_cents={name: joined(parts).equity_cents for name, parts in walks.names.items()},
        price_ticks=np.concatenate([price[span] for span in spans]),
        tick_size=settings.market.tick_size,
        fills=_fills(walks),
        belief=np.concatenate([fold.tape.belief[span] for fold, span in zip(judged, spans, strict=True)]),
        regimes=REGIMES,
        importance=_importance(last),
        quantiles=_quantiles(last),
        **_told_of_quantiles(summary),
        **_told_of_limit(last, summary),
        learning=_learning(judged),
        learning_steps=_steps(judged),
        learning_unit="USD per bar on the fold's validation rows",
        data_quality=list(made.quality),
        statistics={
            "Trials counted": verdict.trials,
            "Deflated Sharpe ratio": round(verdict.dsr, 4),
            "Sessions judged": len(judging.daily(walks.names[POLICY])),
            "Years this Sharpe would need": fills[settings.broker.headline]["years_needed"],
        },
        absent=_absent(made, summary),
    )


def _told_of_quantiles(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Table and note on whether the quantiles came true, as `ReportContent` takes them."""
    checked = summary.get("calibration", {})
    if "levels" not in checked:
        return {}
    overlap = " Such returns overlap, so the intervals are too narrow." if checked["overlapping"] else ""
    return {
        "calibration": checked["levels"],
        "calibration_note": (
            f"They are quantiles of {checked['of']}. Over all {checked['levels_in_all']} levels they are off by "
            f"{formats.percent(checked['mean_absolute_error'])} on average.{overlap}"
        ),
    }


def _told_of_limit(last: Judged, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Table, looks and note on the limit, as `ReportContent` takes them."""
    bound = [(fold["fold"], fold["constraint"]) for fold in summary["folds"] if "constraint" in fold]
    if not bound:
        return {}
    return {
        "limits": [limit.row(fold + 1, block) for fold, block in bound],
        "limit_looks": limit.looks(last.policy.card),
        "limit_note": limit.note(bound[-1][1]),
    }


def _absent(made: Ingested, summary: Mapping[str, Any]) -> dict[str, str]:
    """Why parts of the report are missing, where the usual sentence would not say it."""
    absent = {} if made.quality else {"quality": "The simulator writes no bad rows; checks run on files."}
    why = summary.get("calibration", {}).get("absent")
    return {**absent, "calibration": why} if why else absent


def _facts(settings: RunSettings, made: Ingested, summary: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("config_digest", "data_digest", "digest")
    return {
        "Market": f"{settings.market.name}, {settings.market.description}",
        "Algorithm": settings.algo.name,
        "Seed": settings.seed,
        "Regime model": settings.regime.name,
        "Features": f"{summary['features']['with_inputs']} of {summary['features']['computed']} have their inputs",
        **{key.capitalize(): value for key, value in ingest.describe(made).items()},
        **{key.replace("_", " ").capitalize(): summary[key] for key in keys},
    }


def _warnings(settings: RunSettings, made: Ingested, judged: Sequence[Judged], summary: Mapping[str, Any]) -> list[str]:
    found = []
    if made.facts["data"] == "simulated":
        found.append(
            "The market is simulated: this shows what the learner can do on a market made up by the project, "
            "and says nothing about profit on a real one."
        )
    for because, why in limit.WHY_FLAT.items():
        idle = [str(fold.fold.index + 1) for fold in judged if limit.why_flat(fold.policy) == because]
        if idle:
            found.append(f"In fold {', '.join(idle)} the policy stays flat: {why}.")
    found += [f"Fold {f.fold.index + 1}, regime model: {f.state.regime.note}" for f in judged if f.state.regime.note]
    found += [f"Fold {f.fold.index + 1}, selection: {f.selection.note}" for f in judged if f.selection.origin != "fold"]
    if summary["encoders"]:
        found.append(encoders.sentence(summary["encoders"]))
    agreed = agreement([fold.selection for fold in judged])
    if agreed.warning:
        found.append(agreed.warning)
    if "options" in made.bars.sources_present():
        found.append(settings.options.describe())
    if settings.broker.headline != "pessimistic":
        found.append(f"The headline rests on {settings.broker.headline} fills, kinder than the default.")
    return found


def _fills(walks: Walks) -> Array:
    """Fills of all folds, rows counted along the joined test spans."""
    pieces, before = [], 0
    for track in walks.tracks:
        part = track.fills().copy()
        part["row"] += before
        before += len(track)
        pieces.append(part)
    return np.concatenate(pieces)


def _importance(fold: Judged) -> Importance | None:
    shap = fold.selection.shap
    if not shap:
        return None
    names = [name for name in fold.selection.names if name in shap]
    return Importance(
        names=names,
        shap=np.array([shap[name] for name in names]),
        stability=np.array([fold.selection.pi[name] for name in names]),
    )


def _quantiles(fold: Judged) -> Quantiles | None:
    """What the last fold's policy expected of each action, from a flat position, at evenly spread test rows."""
    policy = fold.policy
    if policy.n_quantiles == 0:
        return None
    test = fold.fold.test
    rows = np.unique(np.linspace(test.start, test.stop - 1, MOST_QUANTILE_ROWS).astype(np.int64))
    obs = np.column_stack([fold.tape.obs[rows], np.zeros(len(rows), np.float32)])
    values = np.sort(policy.quantiles(obs).transpose(0, 2, 1), axis=2) / 100.0
    levels = (np.arange(policy.n_quantiles) + 0.5) / policy.n_quantiles
    return Quantiles(ts=fold.tape.ts[rows], values=values, levels=levels, actions=("short", "flat", "long"), unit="USD")


def _steps(judged: Sequence[Judged]) -> Array | None:
    longest = max((fold.policy.card["curve"] for fold in judged), key=len)
    if not longest:
        return None
    steps = np.array([point["step"] for point in longest])
    return 100.0 * steps / steps[-1]


def _learning(judged: Sequence[Judged]) -> dict[str, Array]:
    length = max(len(fold.policy.card["curve"]) for fold in judged)
    curves = {}
    for fold in judged:
        curve = np.full(length, np.nan)
        values = [point["profit_cents_per_bar"] / 100 for point in fold.policy.card["curve"]]
        curve[: len(values)] = values
        curves[f"fold {fold.fold.index + 1}"] = curve
    return curves


def _track(
    watch: Watch,
    settings: RunSettings,
    summary: Mapping[str, Any],
    content: ReportContent,
    judged: Sequence[Judged],
    directory: Path,
) -> None:
    tracker = watch.tracker
    _track_fits(tracker, summary, judged)
    numbers = {f"evaluate/oos/{k}": v for k, v in summary["oos"].items() if isinstance(v, int | float)}
    for name, values in summary["baselines"].items():
        numbers[f"evaluate/{name}/net_usd"] = values["net_usd"]
        numbers[f"evaluate/{name}/sharpe"] = values["sharpe"]
    tracker.log(numbers, 0)
    if settings.tracking.mode != "off" and settings.tracking.figures:
        for name, figure in figures(content).items():
            tracker.figure(f"evaluate/{name}", figure)
    manifest = store.read_json(directory / "bundle" / "manifest.json", "the run again")
    tracker.artefact_manifest(manifest)
    tracker.finish({**numbers, "evaluate/verdict": summary["verdict"], "evaluate/digest": summary["digest"]})


def _track_fits(tracker: Any, summary: Mapping[str, Any], judged: Sequence[Judged]) -> None:
    """Record what each fold's fits found, under the rooms' own names."""
    tracker.log({"source/bars": summary["bars"], "features/with_inputs": summary["features"]["with_inputs"]}, 0)
    for fold in judged:
        at, model = fold.fold.index, fold.state.regime
        stays = {f"regime/stay_{name}": float(model.transmat[k, k]) for k, name in enumerate(model.names)}
        tracker.log({"regime/log_likelihood_per_bar": model.log_likelihood, **stays}, at)
        tracker.log(
            {"select/columns": len(fold.selection.names), "select/significant": fold.selection.n_significant}, at
        )


def _last_words(
    watch: Watch,
    settings: RunSettings,
    oos: Mapping[str, Any],
    others: Mapping[str, Any],
    verdict: verdicts.Verdict,
    made: Ingested,
    directory: Path,
) -> None:
    span = ingest.describe(made)
    data = f"{made.facts['data']} data to {span['to'][:10]}"
    title = f"{settings.market.name} out of sample, {settings.broker.headline} fills ({data})"
    watch.terminal.table({POLICY: oos, **others}, POLICY, title)
    watch.terminal.verdict(verdict.sentence)
    watch.say(f"report: {directory / 'report.html'}")
