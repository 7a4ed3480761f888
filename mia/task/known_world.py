"""Trains on a market whose best policy is known and says what share of it the learner reached."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from mia.algo import learner
from mia.domain import digest
from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.evaluation import known_worlds
from mia.task import keeping, limit, performance, quantiles, store, tracker, trial
from mia.task.report import SCHEMA
from mia.task.settings import RunSettings
from mia.task.train import trainer_progress
from mia.task.usage import peak_memory_mb
from mia.task.watch import Watch


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Draw the world, learn on its training rows, be judged on fresh ones."""
    source = settings.source
    if source.kind not in known_worlds.KINDS:
        raise ConfigurationError(
            f"task=known_world needs a world whose optimum is known, source was {source.name}; use experiment=yardstick"
            f", or {', '.join(known_worlds.KINDS[1:])}"
        )
    with watch.step("draw the world"):
        world = known_worlds.opened(
            source, settings.seed, features=settings.features, regime=settings.regime, memory=settings.memory
        )
    data = digest.of_arrays(world.tape.obs, world.tape.close)
    tracker.start(settings, plain, watch)
    with (
        keeping.kept(settings, plain, data) as keeper,
        trial.counted(settings, plain, data, keeper) as number,
        watch.step(settings.algo.name) as step,
    ):
        log = performance.logger(settings, watch, directory, number, 0)
        policy = learner(settings.algo.kind)(
            world.tape,
            world.terms,
            limited(settings.algo, world),
            int(generator(settings.seed, "train", "0").integers(2**31)),
            trainer_progress(step, log),
            reward=settings.reward,
            keeper=keeper,
            device=settings.device,
        )
    performance.write_page(settings, watch)
    with watch.step("judge on fresh rows"):
        judged = world.judge(policy)
        checked = quantiles.check(settings, [(policy, world.fresh())], world.terms)
    judged["cpu_seconds"] = policy.card["cpu_s"]
    summary = {
        "schema": SCHEMA,
        "market": "WORLD",
        "algo": settings.algo.name,
        "source": source.name,
        "seed": settings.seed,
        "config_digest": trial.config_digest(plain),
        "data_digest": data,
        "digest": digest.of_json([data, policy.digest, settings.seed]),
        "cpu_seconds": policy.card["cpu_s"],
        "peak_memory_mb": round(peak_memory_mb()),
        "bars": len(world.tape),
        "known_world": {key: _or_none(value) for key, value in judged.items()},
        "fraction_of_optimum": _or_none(judged["fraction"]),
        "abstains": policy.abstains,
        "trials": trial.ledger(settings).trials("WORLD"),
        "verdict": sentence(judged, limit.why_flat(policy)),
    }
    bound = limit.constraint(policy.card)
    summary |= {key: block for key, block in (("calibration", checked), ("constraint", bound)) if block}
    store.write_json(directory / "summary.json", summary)
    trial.ledger(settings).end(number, "known world: it has no days")
    known = {key: value for key, value in summary["known_world"].items() if value is not None}
    numbers = {f"evaluate/known_world/{key}": value for key, value in known.items()}
    watch.tracker.log(numbers, 0)
    watch.tracker.finish({**numbers, "evaluate/verdict": summary["verdict"], "evaluate/digest": summary["digest"]})
    facts = {"fraction_of_optimum": judged["fraction"]} | judged
    watch.facts("known world", {key: _short(value) for key, value in facts.items() if key != "fraction"})
    if checked:
        watch.say(quantiles.sentence(checked))
    watch.terminal.verdict(summary["verdict"])


def limited(algo: Any, world: Any) -> Any:
    """The learner's settings with the world's own limit on the risk of a session, where both have one."""
    cents = getattr(world, "limit_cents", None)
    if cents is None or not hasattr(algo, "constraint"):
        return algo
    return replace(algo, constraint=replace(algo.constraint, measure="loss", unit="usd", limit=cents / 100))


def sentence(judged: dict[str, float], flat_because: str | None) -> str:
    """Say in plain words how the learner did; `flat_because` is a key of `limit.WHY_FLAT`, None if it trades."""
    if math.isnan(judged["fraction"]):
        paid = judged["cost"] * judged["rows"]
        return (
            f"There is nothing to earn here: the policy traded {judged['trades']} contracts and paid {paid:.4g} units."
        )
    if flat_because:
        return f"The policy stays flat: {limit.WHY_FLAT[flat_because]}."
    earns = f"The policy earns {judged['fraction']:.1%} of what the best possible one does"
    if "cvar" not in judged:
        return f"{earns}, in expectation on fresh rows."
    kept = "keeps" if judged["cvar_high"] <= judged["limit"] else "does not surely keep"
    return (
        f"{earns} within the limit, and {kept} it: its worst fresh sessions lose {judged['cvar']:.3g} units on average "
        f"(95 % interval {judged['cvar_low']:.3g} to {judged['cvar_high']:.3g}), {judged['limit']:.3g} are allowed."
    )


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _short(value: float) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
