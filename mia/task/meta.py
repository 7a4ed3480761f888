"""Learns an initialisation from regimes of other markets, and shows how fast it adapts to the one that is named.

Nothing of the named market shapes the initialisation, not even the choice of columns. Its regimes are learned from its
training rows in a few gradient steps and judged on its test rows, beside the same steps from random weights.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mia.algo.adaptation import Rows, adapt, untrained
from mia.algo.by_regime import ByRegime, regime_rows
from mia.algo.experience import experience
from mia.algo.meta_learning import Reptile, of_unit
from mia.algo.policy import TrainedPolicy
from mia.algo.selection import split
from mia.algo.settings.adaptation import MetaSettings
from mia.broker.terms import terms
from mia.desk.backtest import run_policy
from mia.domain.errors import ArtefactMismatch, ConfigurationError, DataError
from mia.domain.market import Market
from mia.domain.rng import generator
from mia.evaluation import adaptation_page, paired
from mia.evaluation.performance import Outcome, daily_net_usd, outcome
from mia.features.shap_weighting import Selection
from mia.regime.regime_detector import REGIMES
from mia.risk.limits import limits
from mia.task import adapting, conf_tree, performance, regime, schema, select, train
from mia.task.adapting import Work
from mia.task.finetune import PIECE_BARS
from mia.task.settings import RunSettings
from mia.task.train import Lesson
from mia.task.watch import Watch

Array = np.ndarray

META, SCRATCH = "meta-learned", "from scratch"


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Learn from the other markets, adapt to the named one, and judge."""
    others = _others(settings)
    with adapting.begun(settings, plain, directory, watch) as work:
        tasks: dict[str, Rows] = {}
        columns: tuple[str, ...] | None = None
        selection: Selection | None = None
        for market in others:
            watch.say(f"learning from {market.name}")
            there = replace(settings, market=market)
            made, table = adapting.rows_of(there, watch)
            taught = newest(there, made, table, watch, selection)
            selection, columns = taught.selection, _same(columns, taught.template.names)
            tasks |= tasks_of(there, taught)
            del made, table, taught
        here = newest(settings, work.made, work.table, watch, selection)
        _same(columns, here.template.names)
        learned = meta_learned(work, tasks)
        train.bundle_of(settings, work.made, here, learned.policy, directory / "bundle")
        _judge(work, here, learned, list(tasks))


def _others(settings: RunSettings) -> list[Market]:
    """The markets to learn from.

    Raises
    ------
    ConfigurationError : if there is none, one is unknown, or the source holds one market only.
    """
    meta: MetaSettings = settings.meta
    names = [name for name in meta.markets if name != settings.market.name]
    known = conf_tree.groups()["market"]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ConfigurationError(
            f"meta.markets must name other markets than {settings.market.name}, of {', '.join(known)}; "
            f"was {list(meta.markets)}"
        )
    if settings.source.kind != "simulated":
        raise ConfigurationError(
            f"task=meta needs rows of several markets, source={settings.source.name} holds one; use source=simulated"
        )
    folder = conf_tree.folder() / "market"
    return [
        schema.build(Market, yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8")), "market")
        for name in names
    ]


def _same(columns: tuple[str, ...] | None, found: tuple[str, ...]) -> tuple[str, ...]:
    if columns is not None and columns != found:
        odd = sorted(set(columns) ^ set(found))
        raise ArtefactMismatch(f"markets are seen through different columns ({odd[:3]}); use a set all of them compute")
    return found


def newest(settings: RunSettings, made: Any, table: Any, watch: Watch, selection: Selection | None) -> Lesson:
    """The last fold of a market, seen through the columns given, or else chosen on its training rows."""
    fold = regime.splits(settings, made)[-1]
    state = regime.make(settings, made, table, fold)
    seen = regime.view(settings, made, table, state)
    if selection is None:
        with watch.step(f"{settings.market.name}: selection"):
            selection = select.make(settings, made, state, seen)
    return train.lesson(settings, made, state, seen, selection)


def tasks_of(settings: RunSettings, taught: Lesson) -> dict[str, Rows]:
    """Every regime of a market with enough training rows, in the unit of all of them."""
    meta: MetaSettings = settings.meta
    rows = taught.state.fold.train
    learn, _ = split(taught.tape.slice(rows.start, rows.stop), settings.algo.validation)
    cost = terms(settings.market, settings.broker.model(settings.broker.train))
    whole, found = experience(learn, cost, settings.reward), {}
    for at, name in enumerate(REGIMES):
        weights = regime_rows(learn.belief, at, meta.posterior, "select")
        if weights.sum() >= meta.min_rows:
            key = f"{settings.market.name} {name}"
            found[key] = Rows(tape=learn, terms=cost, experience=whole, weights=weights)
    return found


def meta_learned(work: Work, tasks: Mapping[str, Rows]) -> Reptile:
    """Learn the initialisation, from where an interruption left it."""
    settings, meta = work.settings, work.settings.meta
    if not tasks:
        raise DataError(f"no regime of {list(meta.markets)} has {meta.min_rows} rows; lower meta.min_rows")
    seed = int(generator(settings.seed, "meta").integers(2**31))
    start = untrained(next(iter(tasks.values())), settings.algo, seed)
    learner = Reptile(tasks, settings.algo, meta, seed, start, settings.device)
    log = performance.logger(settings, work.watch, work.directory, work.trial, 0)
    keeper = work.keeper.part("meta")
    state = keeper.load()
    if state is not None:
        learner.restore(state)
    with work.watch.step("meta-learning", meta.outer_steps) as step:
        while learner.outer < meta.outer_steps:
            stopping = keeper.is_stopping()
            if stopping or keeper.is_due():
                keeper.save(learner.state())
            if stopping:
                raise KeyboardInterrupt
            learner.step()
            step(learner.outer, meta.outer_steps)
            told = {"maml_steps": learner.inner, "finetune_loss": learner.loss, "policy": learner.policy}
            log.log(learner.outer, told)
        keeper.save(learner.state())
    return learner


def adapted(
    settings: RunSettings, tasks: Mapping[str, Rows], start: TrainedPolicy, updates: int, seed: int
) -> ByRegime:
    """Adapt to every regime of the named market; where it has no task, and where the regime is in doubt, be flat."""
    found = {}
    for at, name in enumerate(REGIMES):
        rows = tasks.get(f"{settings.market.name} {name}")
        if rows is not None:
            step = settings.meta.step(updates)
            found[at] = adapt(of_unit(start, rows), rows, settings.algo, step, seed, device=settings.device).policy
    return ByRegime(
        base=replace(start, abstains=True), tuned=found, regimes=len(REGIMES), posterior=settings.meta.posterior
    )


def adaptation_curves(work: Work, here: Lesson, learned: Reptile) -> tuple[dict[str, list[Array]], list[Outcome]]:
    """Net profit of pieces of the test rows [cents], mean over the seeds, by initialisation and count of steps."""
    settings, meta, span = work.settings, work.settings.meta, here.state.fold.test
    tape = here.tape.slice(span.start, span.stop)
    cost = terms(settings.market, settings.broker.model(settings.broker.headline))
    bounds = limits(settings.risk, settings.market)
    tasks = tasks_of(settings, here)
    if not tasks:
        raise DataError(f"no regime of {settings.market.name} has {meta.min_rows} rows; lower meta.min_rows")
    curves: dict[str, list[list[Array]]] = {name: [[] for _ in meta.counts] for name in (META, SCRATCH)}
    last: list[Outcome] = []
    with work.watch.step("adapt to the named market", meta.seeds) as step:
        for repetition in range(meta.seeds):
            seed = int(generator(settings.seed, "meta", "adapt", str(repetition)).integers(2**31))
            starts = {META: learned.policy, SCRATCH: untrained(next(iter(tasks.values())), settings.algo, seed)}
            for name, start in starts.items():
                for at, count in enumerate(meta.counts):
                    policy = adapted(settings, tasks, start, count, seed)
                    result = outcome(run_policy(tape, policy, cost, bounds))
                    curves[name][at].append(paired.pieces(result.equity_cents, PIECE_BARS))
                if name == META:
                    last.append(result)
            step(repetition + 1, meta.seeds)
    return {name: [np.mean(runs, axis=0) for runs in points] for name, points in curves.items()}, last


def _judge(work: Work, here: Lesson, learned: Reptile, tasks: list[str]) -> None:
    """Compare both initialisations after each count of steps, and leave the comparison behind."""
    settings, meta, judge = work.settings, work.settings.meta, work.settings.evaluation
    means, runs = adaptation_curves(work, here, learned)
    rng = generator(settings.seed, "meta", "bootstrap")

    def lead(ours: Array, others: Array) -> dict[str, Any]:
        return paired.lead(ours, others, rng, judge.bootstrap_samples, judge.confidence)

    curve, gaps, raw = {META: [], SCRATCH: []}, [], {}
    for at, count in enumerate(meta.counts):
        for name, points in means.items():
            found = adapting.usd(lead(points[at], np.zeros(len(points[at]))))
            curve[name].append(
                {"updates": count, "mean": found["difference_usd"], "low": found["low_usd"], "high": found["high_usd"]}
            )
        raw = lead(means[META][at], means[SCRATCH][at])
        gaps.append({"updates": count, **adapting.usd(raw)})
    verdict = (
        f"After {meta.counts[-1]} gradient steps on {settings.market.name} the meta-learned weights earned "
        f"{adapting.sentence_of(gaps[-1]).replace('its base', 'random ones')}; both starts learned from "
        f"the same rows, over {meta.seeds} seeds."
    )
    oos = adapting.figures(work, runs[:1], "policy")
    found = {
        "tasks": tasks,
        "outer_steps": learned.outer,
        "maml_steps": learned.inner,
        "curves": curve,
        "meta_less_scratch": gaps,
        "seeds": meta.seeds,
    }
    content = adaptation_page.Content(
        what="meta-learning",
        title=f"{settings.market.name} · {settings.algo.name}",
        facts=adapting.facts(work),
        verdict=verdict,
        tone=paired.tone(raw),
        warnings=adapting.warnings(work),
        drawn={"curve": adaptation_page.curves(meta.counts, curve, "net profit on test rows [USD]")},
        captions={"curve": ("Adaptation", "mean over the seeds; intervals of the rows, not of the seeds")},
        tables={META: curve[META], SCRATCH: curve[SCRATCH], "Difference": gaps},
    )
    adapting.finish(work, found, oos, daily_net_usd(runs[0]), [learned.policy.digest], content)
