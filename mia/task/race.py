"""Races our learner against the library's defaults on a known world: CPU time until a share of the optimum."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mia.algo import learner
from mia.domain import digest
from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.evaluation import known_worlds
from mia.task import store, trial
from mia.task.report import SCHEMA
from mia.task.settings import RunSettings
from mia.task.train import trainer_progress
from mia.task.watch import Watch


@dataclass(slots=True, kw_only=True)
class Runner:
    """One learner's way: CPU time spent learning and the fraction of the optimum reached.

    Parameters
    ----------
    name : who runs
    judge : fraction of the optimum a policy earns
    finish : fraction to be reached
    """

    name: str
    judge: Any
    finish: float
    way: list[tuple[float, float]] = field(default_factory=list)

    def look(self, policy: Any, learning_s: float) -> bool:
        """Judge the present policy as if it never abstained; whether it is past the finish.

        `learning_s` is the CPU time it has spent learning so far, without anybody's looking at it.
        """
        fraction = self.judge(replace(policy, abstains=False))
        self.way.append((learning_s, fraction))
        return fraction >= self.finish

    @property
    def finished_s(self) -> float | None:
        """CPU time at the first look past the finish; None if there is none."""
        return next((seconds for seconds, fraction in self.way if fraction >= self.finish), None)

    def facts(self) -> dict[str, Any]:
        """What is reported."""
        seconds, fraction = self.way[-1]
        return {
            "seconds_to_share": self.finished_s,
            "last_fraction": fraction,
            "last_seconds": seconds,
            "way": [list(point) for point in self.way],
        }


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Let both learn on the same rows, looked at from outside, and say how much sooner ours is there."""
    from mia.algo import stock

    if settings.source.kind not in known_worlds.KINDS:
        raise ConfigurationError("task=race needs a world whose optimum is known; add experiment=yardstick task=race")
    if settings.algo.kind not in stock.STOCK:
        raise ConfigurationError(
            f"task=race: the library has no {settings.algo.kind}; race one of {', '.join(stock.STOCK)}"
        )
    with watch.step("draw the world"):
        world = known_worlds.opened(
            settings.source, settings.seed, features=settings.features, regime=settings.regime, memory=settings.memory
        )
    data = digest.of_arrays(world.tape.obs, world.tape.close)
    ours, theirs = (
        Runner(name=name, judge=lambda policy: float(world.judge(policy)["fraction"]), finish=settings.race.share)
        for name in ("mia", "library")
    )
    with trial.counted(settings, plain, data) as number:
        with watch.step(f"mia's {settings.algo.name}") as step:
            _run_ours(settings, world, ours, trainer_progress(step))
        with watch.step(f"the library's {settings.algo.kind}, defaults") as step:
            _run_theirs(settings, world, theirs, step)
    trial.ledger(settings).end(number, "race: it has no days")
    summary = summary_of(settings, plain, data, ours, theirs)
    store.write_json(directory / "summary.json", summary)
    watch.rows("CPU time to a share of the optimum", [_row(runner) for runner in (ours, theirs)])
    watch.terminal.verdict(summary["verdict"])


def _run_ours(settings: RunSettings, world: Any, runner: Runner, progress: Any) -> None:
    """Ours learns with its own schedule to the end; more looks than usual, whose time does not count."""
    more = replace(
        settings.algo.validation, checkpoints=settings.race.looks, patience=settings.race.looks, first_look=0.0
    )
    seed = int(generator(settings.seed, "train", "0").integers(2**31))

    begun = judging = 0.0

    def hear(done: int, total: int, figures: Mapping[str, Any]) -> None:
        nonlocal begun, judging
        progress(done, total, figures)
        now = time.process_time()
        if "policy" not in figures:
            begun = now  # it begins here; reading the tape and compiling came before
            return
        runner.look(figures["policy"], now - begun - judging - figures["looking_s"])
        judging += time.process_time() - now

    learner(settings.algo.kind)(world.tape, world.terms, replace(settings.algo, validation=more), seed, hear)


def _run_theirs(settings: RunSettings, world: Any, runner: Runner, step: Any) -> None:
    from mia.algo import stock

    race = settings.race
    seed = int(generator(settings.seed, "race").integers(2**31))

    def look(policy: Any, learning_s: float) -> bool:
        past = runner.look(policy, learning_s)
        step(min(round(runner.way[-1][0]), round(race.limit_s)), round(race.limit_s))
        return past

    stock.train(settings.algo.kind, world.tape, world.terms, seed, race.every_s, race.limit_s, look)


def summary_of(
    settings: RunSettings, plain: Mapping[str, Any], data: str, ours: Runner, theirs: Runner
) -> dict[str, Any]:
    """The race as programs read it."""
    soon, late = ours.finished_s, theirs.finished_s
    spent = theirs.way[-1][0]
    return {
        "schema": SCHEMA,
        "market": "WORLD",
        "algo": settings.algo.name,
        "source": settings.source.name,
        "seed": settings.seed,
        "config_digest": trial.config_digest(plain),
        "data_digest": data,
        "race": {
            "share": settings.race.share,
            "mia": ours.facts(),
            "library": theirs.facts(),
            "ratio": late / soon if soon and late else None,
            "ratio_at_least": spent / soon if soon and not late else None,
        },
        "verdict": sentence(settings, soon, late, spent),
    }


def sentence(settings: RunSettings, soon: float | None, late: float | None, spent: float) -> str:
    """Say who was there and when."""
    share = f"{settings.race.share:.0%} of the optimum"
    if soon is None:
        return f"mia's {settings.algo.name} did not reach {share}."
    if late is None:
        return (
            f"mia's {settings.algo.name} reaches {share} after {soon:.1f} CPU seconds; the library's defaults had not "
            f"after {spent:.0f}: more than {spent / soon:.0f} times sooner."
        )
    return (
        f"mia's {settings.algo.name} reaches {share} after {soon:.1f} CPU seconds, the library's defaults after "
        f"{late:.1f}: {late / soon:.1f} times sooner."
    )


def _row(runner: Runner) -> dict[str, Any]:
    facts = runner.facts()
    there = facts["seconds_to_share"]
    return {
        "who": runner.name,
        "CPU s to the share": "not reached" if there is None else f"{there:.1f}",
        "last CPU s": f"{facts['last_seconds']:.1f}",
        "last fraction": f"{facts['last_fraction']:.3f}",
    }
