"""Per fold: the observation, the tape, the policy, and the bundle that holds all a policy needs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mia.algo import learner
from mia.algo.checkpoint import Keeper
from mia.algo.policy import TrainedPolicy
from mia.broker.terms import Terms, terms
from mia.desk.observation import ObservationTemplate
from mia.desk.tape import Tape
from mia.domain.rng import generator
from mia.features.shap_weighting import Selection
from mia.regime.regime_detector import REGIMES
from mia.task import features, ingest, regime, select, snapshots, store, tapes
from mia.task.features import FeatureTable
from mia.task.ingest import Ingested
from mia.task.regime import FoldState, FoldView
from mia.task.settings import RunSettings
from mia.task.watch import Watch
from mia.tracking.performance_logger import PerformanceLogger


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """One fold, ready to be learned from.

    Parameters
    ----------
    state : fitted artefacts of the fold
    selection : columns the policy sees
    template : layout of its observation
    tape : the rows from the first bar to the end of the fold's test
    """

    state: FoldState
    selection: Selection
    template: ObservationTemplate
    tape: Tape


def lesson(settings: RunSettings, made: Ingested, state: FoldState, seen: FoldView, selection: Selection) -> Lesson:
    """Lay out the observation and the tape of one fold."""
    template = ObservationTemplate(
        view=state.plans.names,
        selected=selection.names,
        masks=state.view.groups,
        regimes=REGIMES,
        clip=tapes.OBSERVATION_CLIP,
        weights=settings.regime_weights.columns(REGIMES, selection.names),
    )
    bars = made.bars.head(len(seen.block))
    tape = tapes.lay_out(settings, state.plans, bars, seen.block, state.view, (seen.view, seen.masks), template)
    return Lesson(state=state, selection=selection, template=template, tape=tape)


def make(settings: RunSettings, taught: Lesson, progress: Any, keeper: Keeper | None = None) -> TrainedPolicy:
    """Train one fold's policy on its training rows, at the fill model meant for training."""
    seed = int(generator(settings.seed, "train", str(taught.state.fold.index)).integers(2**31))
    return learner(settings.algo.kind)(
        rows_of(taught),
        learning_terms(settings),
        settings.algo,
        seed,
        progress,
        reward=settings.reward,
        keeper=keeper.part(f"fold_{taught.state.fold.index}") if keeper else None,
        device=settings.device,
    )


def learning_terms(settings: RunSettings) -> Terms:
    """Return what a tick is worth and a side costs while learning."""
    return terms(settings.market, settings.broker.model(settings.broker.train))


def rows_of(taught: Lesson) -> Tape:
    """The tape of a fold's training rows; where some between were left out, it has a seam."""
    train = taught.state.fold.train
    return taught.tape.slice(train.start, train.stop) if isinstance(train, slice) else taught.tape.take(train)


def bundle_of(settings: RunSettings, made: Ingested, taught: Lesson, policy: TrainedPolicy, target: Path) -> str:
    """Save everything needed to use the policy on live rows; returns the bundle's digest."""
    from mia.algo.bundle import Bundle, save

    state = taught.state
    parts = {
        "template": taught.template.to_json(),
        "view": state.view.to_json(),
        "selection": taught.selection.to_json(),
    }
    return save(
        target,
        Bundle(
            policy=policy,
            market=settings.market.name,
            observation=taught.template.names,
            features_sha256=taught.template.digest,
            data_digest=made.digest,
            parts={name: json.loads(text) for name, text in parts.items()} | snapshots.parts(state.snapshot),
        ),
    )


def lessons(
    settings: RunSettings, made: Ingested, table: FeatureTable, states: list[FoldState], selections: list[Selection]
) -> list[Lesson]:
    """Lay out every fold."""
    return [
        lesson(settings, made, state, regime.view(settings, made, table, state), selection)
        for state, selection in zip(states, selections, strict=True)
    ]


def root(settings: RunSettings) -> Path:
    """Where this algorithm's bundles lie: outputs/train/<market>/<algo>."""
    return store.folder(settings.outputs, "train", settings.market.name, settings.algo.name)


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Run the stage on its own; it counts as a trial like any other training."""
    from mia.task import keeping, performance, tracker, trial

    tracker.start(settings, plain, watch)
    made = ingest.load(settings)
    table = features.load(settings)
    states = regime.load(settings, made, table)
    selections = select.load(settings, len(states))
    with (
        keeping.kept(settings, plain, made.digest) as keeper,
        trial.counted(settings, plain, made.digest, keeper) as number,
        store.replacing(root(settings)) as fresh,
    ):
        for state, selection in zip(states, selections, strict=True):
            taught = lesson(settings, made, state, regime.view(settings, made, table, state), selection)
            with watch.step(f"train fold {state.fold.index + 1}") as step:
                log = performance.logger(settings, watch, directory, number, state.fold.index)
                policy = make(settings, taught, trainer_progress(step, log), keeper)
            bundle_of(settings, made, taught, policy, fresh / f"fold_{state.fold.index}")
        store.write_json(fresh / "trial.json", {"trial": number})
    performance.write_page(settings, watch)
    watch.tracker.finish({"train/trial": number})
    watch.say(f"wrote {root(settings)}")


def trainer_progress(step: Any, log: PerformanceLogger | None = None) -> Any:
    """Adapt a terminal step, and the performance log, to what learners call: done, total, figures of a look."""

    def hear(done: int, total: int, figures: Any) -> None:
        step(done, total)
        if figures:
            step.advance(0, profit_per_bar_usd=round(figures.get("profit_cents_per_bar", 0.0) / 100, 3))
            if log is not None:
                log.log(done, {key: value for key, value in figures.items() if key != "looking_s"})

    return hear
