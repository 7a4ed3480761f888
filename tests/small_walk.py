"""A whole walk small enough for the suite: five short simulated sessions, one fold, a policy that trades a lot.

Everything that is fitted is fitted, encoders and the policy that trades along included, but they learn for a moment
only: laws about time and sameness must hold for any weights, and a policy that acts at nearly every row shows a
broken law at once.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mia.algo.policy import TrainedPolicy
from mia.domain.rng import generator
from mia.task import command_line, features, ingest, regime, select, train
from mia.task.watch import Watch

QUICK = (
    "source.hours=rth",
    "snapshots.first_sessions=2",
    "encoder.epochs=2",
    "encoder.steps=3",
    "memory.k=10",
    "memory.min_contexts=20",
    "memory.min_distances=20",
)
"""Sessions of 390 bars, fits that end at once, and a memory that answers after a day."""

LEARNER = ("awareness.learner.updates=40", "awareness.learner.updates_per_step=10")
"""The policy that trades along learns for a moment; leave it out with awareness=off."""

OVERRIDES = (
    *QUICK,
    "source.sessions=5",
    "evaluation.n_folds=1",
    "evaluation.min_train_sessions=2",
    "evaluation.min_train_share=0",
    "selection.max_rows=1500",
    "selection.trees=10",
)


@dataclass(frozen=True)
class SmallWalk:
    """Settings and everything the walk made."""

    settings: Any
    made: Any
    table: Any
    state: Any
    seen: Any
    lesson: Any
    policy: TrainedPolicy


def busy_policy(width: int, obs: np.ndarray | None = None) -> TrainedPolicy:
    """Random weights, around the mean of observations if there are any: it changes its mind all the time."""
    rng = generator(0, "test", "busy policy")
    first, last = rng.normal(size=(32, width + 1)), rng.normal(size=(3, 32))
    biases = rng.normal(size=32) if obs is None else -first[:, :-1] @ obs.mean(axis=0), rng.normal(size=3)
    layers = tuple(
        (matrix.astype(np.float32), bias.astype(np.float32)) for matrix, bias in zip((first, last), biases, strict=True)
    )
    return TrainedPolicy(
        algo="ppo", layers=layers, activation="tanh", n_quantiles=0, value_cents=1.0, abstains=False, card={}
    )


def compose(market: str, *words: str) -> Any:
    """Settings of some overrides; the policy that trades along learns for a moment only."""
    learner = () if "awareness=off" in words else LEARNER
    return command_line.compose([f"+market={market}", *words, *learner])


def make(market: str = "ES", *more: str) -> SmallWalk:
    """Ingest, features, regime, selection and observation of one fold."""
    settings = compose(market, *OVERRIDES, *more)
    watch = Watch(quiet=True)
    made = ingest.make(settings, watch)
    return of_bars(settings, made, watch)


def of_bars(settings: Any, made: Any, watch: Watch) -> SmallWalk:
    """The walk on bars at hand."""
    table = features.make(settings, made, watch)
    state = regime.make(settings, made, table, regime.splits(settings, made)[0])
    seen = regime.view(settings, made, table, state)
    selection = select.make(settings, made, state, seen)
    lesson = train.lesson(settings, made, state, seen, selection)
    policy = busy_policy(lesson.template.width, lesson.tape.obs)
    return SmallWalk(settings, made, table, state, seen, lesson, policy)


def cut(walk: SmallWalk, rows: int) -> SmallWalk:
    """The walk as if rows from `rows` on had not happened yet: everything is fitted again on what is left."""
    made = replace(walk.made, bars=walk.made.bars.head(rows))
    table = features.make(walk.settings, made, Watch(quiet=True))
    return of_table(walk, made, table)


def of_table(walk: SmallWalk, made: Any, table: Any) -> SmallWalk:
    """The fold's view, selection and policy on another table; nothing but the table before the fold's fit."""
    if len(made.bars) <= walk.state.snapshot.fit_stop:
        return replace(walk, made=made, table=table, seen=None, lesson=None)
    fold = replace(
        walk.state.fold, test=slice(walk.state.fold.test.start, min(walk.state.fold.test.stop, len(made.bars)))
    )
    state = replace(walk.state, fold=fold)
    seen = regime.view(walk.settings, made, table, state)
    lesson = train.lesson(walk.settings, made, state, seen, walk.lesson.selection)
    return replace(walk, made=made, table=table, state=state, seen=seen, lesson=lesson)
