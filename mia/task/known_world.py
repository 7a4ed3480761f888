"""Trains on a market whose best policy is known and says what share of it the learner reached."""

import math
from pathlib import Path
from typing import Any

from mia.algo import learner
from mia.domain import digest
from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.evaluation import known_world
from mia.source import yardstick
from mia.task import store, trial
from mia.task.report import SCHEMA
from mia.task.settings import RunSettings
from mia.task.train import trainer_progress
from mia.task.usage import peak_memory_mb
from mia.task.watch import Watch


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Draw the world, learn on its training rows, be judged on fresh ones."""
    source = settings.source
    if source.kind != "yardstick":
        raise ConfigurationError(
            f"task=known_world needs a world whose optimum is known, source was {source.name}; use experiment=yardstick"
        )
    with watch.step("draw the world"):
        learned_on = yardstick.world(source, settings.seed, "train")
        judged_on = yardstick.world(source, settings.seed, "judge")
        tape = known_world.tape(learned_on)
    data = digest.of_arrays(tape.obs, tape.close)
    with trial.counted(settings, plain, data):
        with watch.step(settings.algo.name) as step:
            seed = int(generator(settings.seed, "train", "0").integers(2**31))
            policy = learner(settings.algo.name)(
                tape, known_world.terms(source), settings.algo, seed, trainer_progress(step)
            )
        with watch.step("judge on fresh rows"):
            judged = known_world.judge(policy, judged_on)
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
        "bars": len(tape),
        "known_world": {key: None if math.isnan(value) else value for key, value in judged.items()},
        "abstains": policy.abstains,
        "verdict": sentence(judged, policy.abstains),
    }
    store.write_json(directory / "summary.json", summary)
    watch.facts("known world", {key: _short(value) for key, value in judged.items()})
    watch.terminal.verdict(summary["verdict"])


def sentence(judged: dict[str, float], abstains: bool) -> str:
    """Say in plain words how the learner did."""
    if math.isnan(judged["fraction"]):
        paid = judged["cost"] * judged["rows"]
        return (
            f"There is nothing to earn here: the policy traded {judged['trades']} contracts and paid {paid:.4g} units."
        )
    if abstains:
        return "The policy stays flat: on rows kept from training it did not beat doing nothing by more than luck."
    return (
        f"The policy earns {judged['fraction']:.1%} of what the best possible one does, in expectation on fresh rows."
    )


def _short(value: float) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
