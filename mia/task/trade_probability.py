"""Learns how likely a trade is to succeed from three sources, and says on later rows whether it keeps its word."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mia.algo import learner
from mia.broker.terms import Terms, terms
from mia.desk.tape import Tape
from mia.domain import digest
from mia.domain.errors import ConfigurationError, DataError
from mia.domain.rng import generator
from mia.evaluation import calibration, known_worlds, reliability_page, report_parts
from mia.router.settings import SOURCES, RouterSettings
from mia.router.trade_probability import TradeProbability
from mia.router.trades import EVIDENCE, CvarLoss, Sources, Trades, collect, joined
from mia.task import keeping, store, trial
from mia.task.report import SCHEMA
from mia.task.settings import RunSettings
from mia.task.train import trainer_progress
from mia.task.usage import peak_memory_mb
from mia.task.watch import Watch

LEAST_JUDGED = 500
"""With fewer trades even a perfect model's calibration error is too large to say anything (reliability T47)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """What is learned from and judged on.

    Parameters
    ----------
    name : of market or world
    tape : all rows
    learn, fit, judge : which of them the sources, the probability and the judge get; with gaps between
    learning, judging : terms while learning, and those trades are judged by
    """

    name: str
    tape: Tape
    learn: slice
    fit: slice
    judge: slice
    learning: Terms
    judging: Terms


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Learn the sources, fit the probability, judge it, and leave summary.json, report.html and the probability."""
    if settings.router.sources is None:
        raise ConfigurationError("task=trade_probability learns three sources; add router=three_sources")
    rows = _rows(settings, watch)
    data = digest.of_arrays(rows.tape.obs, rows.tape.close)
    with keeping.kept(settings, plain, data) as keeper, trial.counted(settings, plain, data, keeper) as number:
        sources, cards = _learn(settings, rows, keeper, watch)
    router = settings.router
    with watch.step("take trades"):
        cvar = CvarLoss(rows=router.cvar_rows, tail=router.cvar_tail)
        fitted, judged = (
            collect(
                sources,
                rows.tape.slice(part.start, part.stop),
                rows.judging,
                cvar,
                router.most_bars,
                router.wait_bars,
            )
            for part in (rows.fit, rows.judge)
        )
    if not len(fitted) or not len(judged):
        raise DataError(
            f"trade probability {rows.name}: {len(fitted)} trades to fit and {len(judged)} to judge are too few; "
            "use more sessions"
        )
    model = TradeProbability.fit(EVIDENCE, fitted.evidence, fitted.success, settings.router)
    told = model.of(judged.evidence)
    scores = calibration.summary(
        told, judged.success, generator(settings.seed, "trade_probability"), base_rate=model.base_rate
    )
    verdict, tone = sentence(scores, settings.router.least_trades, len(fitted))
    summary = {
        "schema": SCHEMA,
        "market": rows.name,
        "algo": "trade_probability",
        "source": settings.source.name,
        "seed": settings.seed,
        "config_digest": trial.config_digest(plain),
        "data_digest": data,
        "digest": digest.of_json([data, [card["digest"] for card in cards.values()], model.to_json()]),
        "cpu_seconds": round(sum(card["cpu_s"] for card in cards.values()), 1),
        "peak_memory_mb": round(peak_memory_mb()),
        "bars": len(rows.tape),
        "sources": cards,
        "trades": joined({"fitted": fitted, "judged": judged}),
        "trade_probability": scores,
        "threshold": beyond(told, judged, settings.router),
        "verdict": verdict,
    }
    store.write_json(directory / "summary.json", summary)
    trial.ledger(settings).end(number, "trade probability: it has no days")
    store.write_text(directory / "trade_probability.json", model.to_json())
    report_parts.store(directory / "report.html", _page(settings, rows, model, summary, tone))
    shown = {key: scores[key] for key in ("n", "base_rate", "brier", "brier_skill", "log_loss", "ece")}
    shown |= {"brier_skill_ci": scores["brier_skill_ci"], "ece_of_perfect_p95": scores["ece_of_perfect_p95"]}
    watch.facts("trade probability", {key: _short(value) for key, value in shown.items()})
    watch.terminal.verdict(verdict)
    watch.say(f"report: {directory / 'report.html'}")


def _rows(settings: RunSettings, watch: Watch) -> Rows:
    if settings.source.kind in known_worlds.KINDS:
        with watch.step("draw the world"):
            world = known_worlds.opened(
                settings.source,
                settings.seed,
                features=settings.features,
                regime=settings.regime,
                memory=settings.memory,
            )
        n = len(world.tape)
        learn, fit = round(n * settings.router.learn_share), round(n * settings.router.fit_share)
        spans = parts(0, learn, learn + fit, n, settings.router.purge_rows)
        return Rows(name=settings.source.name, tape=world.tape, **spans, learning=world.terms, judging=world.terms)
    if settings.market is None:
        raise ConfigurationError("task=trade_probability needs +market=NAME or a world, e.g. source=yardstick")
    return _market_rows(settings, watch)


def _market_rows(settings: RunSettings, watch: Watch) -> Rows:
    """The newest fold: the sources learn on the first part of its training rows, its test rows are judged.

    Its columns were chosen and scaled on all its training rows, which the fitted trades therefore know a little of;
    those that are judged nobody has seen.
    """
    from mia.task import features, ingest, regime, select, train

    made = ingest.make(settings, watch)
    table = features.make(settings, made, watch)
    state = regime.all_folds(settings, made, table, watch)[-1]
    seen = regime.view(settings, made, table, state)
    with watch.step("selection"):
        selection = select.make(settings, made, state, seen, None)
    tape = train.lesson(settings, made, state, seen, selection).tape
    fold, router = state.fold, settings.router
    learn = round(len(tape.ts[fold.train]) * router.learn_share / (router.learn_share + router.fit_share))
    market, broker = settings.market, settings.broker
    assert market is not None  # noqa: S101 - asked before
    return Rows(
        name=market.name,
        tape=tape,
        **parts(fold.train.start, fold.train.start + learn, fold.test.start, fold.test.stop, router.purge_rows),
        learning=terms(market, broker.model(broker.train)),
        judging=terms(market, broker.model(broker.headline)),
    )


def parts(first: int, fit: int, judge: int, stop: int, purge: int) -> dict[str, slice]:
    """Return the rows to learn, fit and judge on, each part but the last shortened by `purge` rows at its end."""
    return {
        "learn": slice(first, max(first, fit - purge)),
        "fit": slice(fit, max(fit, judge - purge)),
        "judge": slice(judge, stop),
    }


def _learn(settings: RunSettings, rows: Rows, keeper: Any, watch: Watch) -> tuple[Sources, dict[str, Any]]:
    """Train the three sources on the same rows; returns them and a few facts of each."""
    policies, cards = {}, {}
    for name in SOURCES:
        chosen = settings.router.sources[name]
        with watch.step(f"{name}: {chosen.name}") as step:
            policies[name] = learner(chosen.kind)(
                rows.tape.slice(rows.learn.start, rows.learn.stop),
                rows.learning,
                chosen,
                int(generator(settings.seed, "trade_probability", name).integers(2**31)),
                trainer_progress(step),
                reward=settings.reward,
                keeper=keeper.part(name),
                device=settings.device,
            )
        policy = policies[name]
        cards[name] = {"algo": chosen.name, "digest": policy.digest, "cpu_s": policy.card["cpu_s"]}
        cards[name] |= {"abstains": policy.abstains}
    cards["vote"]["weights"] = policies["vote"].weights_by_name
    return Sources(**policies), cards


def beyond(told: np.ndarray, trades: Trades, router: RouterSettings) -> dict[str, Any]:
    """What trades of at least the threshold's probability earned, and the others: what a veto would keep and lose."""
    over = told >= router.trade_threshold
    kinds = {"at_or_above": over, "below": ~over}
    return {
        "trade_threshold": router.trade_threshold,
        "veto": router.veto,
        **{
            name: {
                "trades": int(these.sum()),
                "success": float(trades.success[these].mean()) if these.any() else None,
                "net_cents": int(trades.net[these].sum()),
            }
            for name, these in kinds.items()
        },
    }


def sentence(scores: Mapping[str, Any], least: int, fitted: int) -> tuple[str, str]:
    """Say in plain words whether told probabilities come true; with a tone."""
    if scores["brier_skill"] is None:
        return "Every judged trade had the same outcome: nothing can be said about probabilities.", "open"
    few = "" if scores["n"] >= LEAST_JUDGED else f" {scores['n']} trades are few: calibration cannot be told from luck."
    if fitted < least:
        return f"{fitted} trades were too few to learn from: the base rate is told.{few}", "open"
    skill, (low, high) = scores["brier_skill"], scores["brier_skill_ci"]
    kept = scores["ece"] <= scores["ece_of_perfect_p95"]
    span = f"Brier skill {skill:.1%}, 95 % interval {low:.1%} to {high:.1%}"
    word = "as well calibrated as a perfect model would look" if kept else "worse calibrated than a perfect model looks"
    if low > 0:
        return f"Told probabilities beat the base rate ({span}) and are {word}.{few}", "good" if kept else "open"
    if high < 0:
        return f"Told probabilities are worse than the base rate ({span}).{few}", "bad"
    return f"Told probabilities are no better than the base rate ({span}); they are {word}.{few}", "open"


def _page(settings: RunSettings, rows: Rows, model: TradeProbability, summary: Mapping[str, Any], tone: str) -> str:
    scores, threshold = summary["trade_probability"], summary["threshold"]
    warnings = []
    if settings.source.kind in known_worlds.KINDS or settings.source.kind == "simulated":
        warnings.append("The market is made up by the project: this says nothing about profit on a real one.")
    low, high = scores["brier_skill_ci"] or (None, None)
    return reliability_page.render(
        title=f"{rows.name} · trade probability",
        facts={
            "Source": settings.source.name,
            "Seed": settings.seed,
            "Trades fitted": len_of(summary, "fitted"),
            "Trades judged": len_of(summary, "judged"),
            "Digest": summary["digest"],
        },
        verdict=summary["verdict"],
        tone=tone,
        warnings=warnings,
        statistics={
            "Base rate, fitted": model.base_rate,
            "Base rate, judged": scores["base_rate"],
            "Brier score": scores["brier"],
            "Brier skill": scores["brier_skill"],
            "from": low,
            "to": high,
            "Log loss": scores["log_loss"],
            "Calibration error": scores["ece"],
            "A perfect model stays below": scores["ece_of_perfect_p95"],
        },
        tables={
            f"Trades and the threshold of {threshold['trade_threshold']:g}": [
                {"probability": name.replace("_", " "), **threshold[name]} for name in ("at_or_above", "below")
            ],
            "What counts": [
                {"evidence": name, "logit per deviation": weight, "centre": centre, "deviation": scale}
                for name, weight, centre, scale in zip(
                    model.names, model.weights, model.centre, model.scale, strict=True
                )
            ],
        },
        curve=scores["reliability"],
    )


def len_of(summary: Mapping[str, Any], part: str) -> int:
    """Number of trades of a part."""
    return int(summary["trades"][part]["trades"])


def _short(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(_short(part) for part in value)
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
