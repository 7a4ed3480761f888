"""The walk an audit looks at: one fold, from the bars to the decisions, and every piece of it within reach."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mia.algo.policy import TrainedPolicy
from mia.algo.settings.effort import shortened as with_less_effort
from mia.desk.feature_pipeline import Block, FeaturePipeline, Past
from mia.desk.snapshot import Snapshot
from mia.domain.sessions import Sessions
from mia.features.shap_weighting import Selection
from mia.task import features, ingest, regime, select, train
from mia.task.features import FeatureTable
from mia.task.ingest import Ingested
from mia.task.regime import FoldState, FoldView
from mia.task.settings import RunSettings
from mia.task.train import Lesson
from mia.task.watch import Watch

Array = np.ndarray
POSITIONS = np.array([-1.0, 0.0, 1.0])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """Everything a walk made.

    Parameters
    ----------
    settings : of the run, with one fold
    sessions : the market's schedule, None if the bars did not come from a source
    made, table : bars and features
    state, seen : of the fold
    selection, lesson, policy : what the fold chose, laid out and learned
    """

    settings: RunSettings
    sessions: Sessions | None
    made: Ingested
    table: FeatureTable
    state: FoldState
    seen: FoldView
    selection: Selection
    lesson: Lesson
    policy: TrainedPolicy


def make(settings: RunSettings, watch: Watch) -> Subject:
    """Walk the first `audit.sessions` sessions of the configured source."""
    settings = one_fold(settings)
    sessions = ingest.opened(settings, watch).sessions
    made = shortened(ingest.make(settings, watch), settings.audit.sessions)
    table = features.make(settings, made, watch)
    return of_table(settings, made, table, watch, sessions=sessions)


def one_fold(settings: RunSettings) -> RunSettings:
    """The settings with a single fold and no more simulated sessions than are audited."""
    source, most = settings.source, settings.audit.sessions
    if source.kind == "simulated" and most:
        source = replace(source, sessions=min(source.sessions, most))
    return replace(settings, source=source, evaluation=replace(settings.evaluation, n_folds=1))


def shortened(made: Ingested, sessions: int) -> Ingested:
    """The first so many sessions; 0: all."""
    numbers = made.bars.column("cal.session")
    found = np.unique(numbers)
    if not sessions or len(found) <= sessions:
        return made
    return replace(made, bars=made.bars.head(int(np.searchsorted(numbers, found[sessions]))))


def of_table(
    settings: RunSettings,
    made: Ingested,
    table: FeatureTable,
    watch: Watch,
    *,
    sessions: Sessions | None = None,
    selection: Selection | None = None,
    policy: TrainedPolicy | None = None,
) -> Subject:
    """The fold's part of the walk, on features at hand; a selection or policy that is given is not made again."""
    state = regime.make(settings, made, table, regime.splits(settings, made)[0])
    with watch.step("choose columns"):
        seen = regime.view(settings, made, table, state)
        selection = selection or select.make(settings, made, state, seen)
        lesson = train.lesson(settings, made, state, seen, selection)
    if policy is None:
        policy = short_training(settings, lesson, watch)
    return Subject(
        settings=settings,
        sessions=sessions,
        made=made,
        table=table,
        state=state,
        seen=seen,
        selection=selection,
        lesson=lesson,
        policy=policy,
    )


def short_training(settings: RunSettings, lesson: Lesson, watch: Watch) -> TrainedPolicy:
    """A policy of the configured algorithm, trained for a share of its steps: whatever it sees, it acts on it."""
    brief = replace(settings, algo=with_less_effort(settings.algo, settings.audit.effort))
    with watch.step(f"train {settings.algo.name} briefly") as step:
        return replace(train.make(brief, lesson, train.trainer_progress(step)), abstains=False)


def replayed(settings: RunSettings, made: Ingested, table: FeatureTable) -> FeatureTable:
    """All rows walked again in the pieces between fits, with the fits at hand."""
    pipeline = FeaturePipeline(table.plans, settings.market, settings.memory)
    block, at, states = Block.empty(len(made.bars), table.plans), 0, []
    for snapshot, stop in edges(table.snapshots, len(made.bars)):
        if snapshot is not None:
            states.append(pipeline.state)
            pipeline.adopt(snapshot, past(made, table, snapshot))
        block.put(at, pipeline.advance(made.bars.ts[at:stop], made.bars.values[at:stop]))
        at = stop
    return replace(table, block=block, states=states)


def edges(snapshots: list[Snapshot], rows: int) -> list[tuple[Snapshot | None, int]]:
    """Which fit is in force, up to which row."""
    stops = [snapshot.fit_stop for snapshot in snapshots] + [rows]
    return list(zip([None, *snapshots], stops, strict=True))


def past(made: Ingested, table: FeatureTable, snapshot: Snapshot) -> Past:
    """The rows a fit was made on, for the parts that start anew with it."""
    rows = slice(snapshot.fit_start, snapshot.fit_stop)
    return Past(ts=made.bars.ts[rows], values=made.bars.values[rows], features=table.block.features[rows])


def model_columns(table: FeatureTable) -> dict[str, list[int]]:
    """Columns of the model plan by what they come from: embedding, memory, regime."""
    plan: Any = table.plans.part("model")
    found: dict[str, list[int]] = {"regime": [], "embedding": [], "memory": []}
    if plan is None:
        return {}
    area = {"lstm": "embedding", "cnn": "embedding", "memory": "memory", "regime": "regime"}
    for at, name in enumerate(plan.names):
        for source in plan.sources(name):
            found[area[source]].append(at)
    return {name: columns for name, columns in found.items() if columns}
