"""What fine-tuning, online and meta-learning share: trained bases per fold, and what they leave behind."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mia.algo.experience import Experience, experience
from mia.algo.policy import TrainedPolicy
from mia.algo.selection import split
from mia.broker.terms import Terms, terms
from mia.desk.tape import Tape
from mia.domain import digest
from mia.evaluation.adaptation_page import Content, write
from mia.evaluation.performance import Outcome
from mia.risk.limits import Limits, limits
from mia.task import (
    features,
    ingest,
    judging,
    keeping,
    performance,
    regime,
    report,
    select,
    store,
    tracker,
    train,
    trial,
    warm,
)
from mia.task.features import FeatureTable
from mia.task.ingest import Ingested
from mia.task.keeping import FolderKeeper
from mia.task.settings import RunSettings
from mia.task.train import Lesson
from mia.task.usage import cpu_seconds, peak_memory_mb
from mia.task.watch import Watch
from mia.tracking.performance_logger import PerformanceLogger

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Base:
    """A fold's trained policy and what it goes on learning with.

    Parameters
    ----------
    taught : the fold
    policy : trained on its training rows
    learn, choose : training rows it learned from, and the purged rest on which it was chosen
    experience : of the rows it learned from: gives unit and reward
    terms, headline : what learning costs, and what judging costs
    bounds : limits of an account
    log : performance log of the fold
    keeper : keeps what follows between interruptions
    """

    taught: Lesson
    policy: TrainedPolicy
    learn: Tape
    choose: Tape
    experience: Experience
    terms: Terms
    headline: Terms
    bounds: Limits
    log: PerformanceLogger
    keeper: FolderKeeper

    @property
    def index(self) -> int:
        """Number of the fold."""
        return self.taught.state.fold.index

    @property
    def test(self) -> Tape:
        """Rows of the fold's test."""
        rows = self.taught.state.fold.test
        return self.taught.tape.slice(rows.start, rows.stop)

    @property
    def steps(self) -> int:
        """Steps the base's own training told of; further looks are counted from there."""
        curve = self.policy.card["curve"]
        return int(curve[-1]["step"]) if curve else 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work:
    """A task in progress.

    Parameters
    ----------
    settings, plain, directory, watch : of the task
    made, table : bars and features
    keeper : keeps what was learned until the task ends well
    trial : its number in the ledger; None: each of its trainings has one of its own
    started : CPU time at its start [s]
    """

    settings: RunSettings
    plain: Mapping[str, Any]
    directory: Path
    watch: Watch
    made: Ingested
    table: FeatureTable
    keeper: FolderKeeper
    trial: int | None
    started: float


@contextmanager
def begun(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> Iterator[Work]:
    """Make bars and features, count the trial, and keep what is learned while the block lasts."""
    started = cpu_seconds()
    made, table = rows_of(settings, watch)
    tracker.start(settings, plain, watch)
    with keeping.kept(settings, plain, made.digest) as whole:
        keeper = whole.part(settings.task.name)
        with trial.counted(settings, plain, made.digest, keeper) as number:
            yield Work(
                settings=settings,
                plain=plain,
                directory=directory,
                watch=watch,
                made=made,
                table=table,
                keeper=keeper,
                trial=number,
                started=started,
            )


def rows_of(
    settings: RunSettings, watch: Watch, check: Callable[[RunSettings, Ingested], Any] = regime.splits
) -> tuple[Ingested, FeatureTable]:
    """Bars and features of a market, in memory; `check` refuses bars that are too few before features are made."""
    if not warm.is_compiled() and not settings.quiet:
        watch.say("first run of this version: compiling takes about a minute, later runs start at once")
    with warm.beside() as compiled:
        made = ingest.make(settings, watch)
        compiled()
        check(settings, made)
        return made, features.make(settings, made, watch)


def bases(work: Work) -> Iterator[Base]:
    """Train every fold's policy, as task=run does, and hand it over; a fold's rows are let go before the next."""
    before = None
    settings, watch = work.settings, work.watch
    for state in regime.all_folds(settings, work.made, work.table, watch):
        at = state.fold.index
        seen = regime.view(settings, work.made, work.table, state)
        with watch.step(f"fold {at + 1}: selection"):
            before = select.make(settings, work.made, state, seen, before)
        taught = train.lesson(settings, work.made, state, seen, before)
        del seen
        yield base_of(work, taught)


def base_of(work: Work, taught: Lesson) -> Base:
    """Train one fold's policy."""
    settings, at = work.settings, taught.state.fold.index
    log = performance.logger(settings, work.watch, work.directory, work.trial, at)
    with work.watch.step(f"fold {at + 1}: {settings.algo.name}") as step:
        policy = train.make(settings, taught, train.trainer_progress(step, log), work.keeper)
    rows = taught.state.fold.train
    learn, choose = split(taught.tape.slice(rows.start, rows.stop), settings.algo.validation)
    cost = terms(settings.market, settings.broker.model(settings.broker.train))
    return Base(
        taught=taught,
        policy=policy,
        learn=learn,
        choose=choose,
        experience=experience(learn, cost, settings.reward),
        terms=cost,
        headline=terms(settings.market, settings.broker.model(settings.broker.headline)),
        bounds=limits(settings.risk, settings.market),
        log=log,
        keeper=work.keeper.part(f"fold_{at}_{settings.task.name}"),
    )


def finish(
    work: Work, found: Mapping[str, Any], oos: Mapping[str, Any], daily_usd: Array, weights: list[str], content: Content
) -> dict[str, Any]:
    """Write summary and page, complete the trial, tell the tracker, say the verdict.

    Parameters
    ----------
    found : what the task found, JSON-able; goes under the task's name
    oos : figures of what is judged, with sharpe
    daily_usd : its net profit of each session [USD]
    weights : digests of the policies that came of it
    content : the page
    """
    settings, task = work.settings, work.settings.task.name
    book = trial.ledger(settings)
    book.complete(work.trial, daily_net_usd=daily_usd.tolist(), sharpe=oos["sharpe"])
    summary = {
        "schema": report.SCHEMA,
        "task": task,
        "market": settings.market.name,
        "algo": settings.algo.name,
        "source": settings.source.name,
        "seed": settings.seed,
        "config_digest": trial.config_digest(work.plain),
        "data_digest": work.made.digest,
        "digest": digest.of_json([work.made.digest, weights, found, settings.seed]),
        "trial": work.trial,
        "bars": len(work.made.bars),
        "oos": dict(oos),
        task: dict(found),
        "verdict": content.verdict,
        "cpu_seconds": round(cpu_seconds() - work.started, 1),
        "peak_memory_mb": round(peak_memory_mb()),
    }
    store.write_json(work.directory / "summary.json", summary)
    page = Path(settings.outputs, "figures", settings.market.name, f"{task}_{settings.algo.name}.html")
    write(page, content)
    performance.write_page(settings, work.watch)
    numbers = {f"evaluate/{task}/{key}": value for key, value in found.items() if isinstance(value, int | float)}
    work.watch.tracker.log(numbers, 0)
    work.watch.tracker.finish(
        {**numbers, f"evaluate/{task}/verdict": content.verdict, "evaluate/digest": summary["digest"]}
    )
    work.watch.terminal.verdict(content.verdict)
    work.watch.say(f"summary: {work.directory / 'summary.json'}; page: {page}")
    return summary


def figures(work: Work, parts: list[Outcome], name: str) -> dict[str, Any]:
    """Performance of consecutive outcomes."""
    return judging.figures(work.settings, parts, name)


def facts(work: Work) -> dict[str, Any]:
    """What the page's head says of the run."""
    settings = work.settings
    span = {key.capitalize(): value for key, value in ingest.describe(work.made).items()}
    return {"Market": settings.market.description, "Algorithm": settings.algo.name, "Seed": settings.seed, **span}


def warnings(work: Work) -> list[str]:
    """What must be known before any number."""
    made_up = (
        "The market is simulated: this shows what the learner can do on a market made up by the project, "
        "and says nothing about profit on a real one."
    )
    return [made_up] if work.made.facts["data"] == "simulated" else []


def usd(found: Mapping[str, Any]) -> dict[str, Any]:
    """A lead counted in cents, in USD."""
    money = {f"{key}_usd": found[key] / 100 for key in ("difference", "low", "high", "error")}
    return {**money, "p_value": found["p_value"], "pieces": found["pieces"]}


def sentence_of(found: Mapping[str, Any]) -> str:
    """A lead in words."""
    side = "more" if found["difference_usd"] >= 0 else "less"
    return (
        f"{abs(found['difference_usd']):,.0f} USD {side} than its base, interval "
        f"{found['low_usd']:,.0f} to {found['high_usd']:,.0f} USD"
    )
