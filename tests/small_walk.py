"""A whole walk small enough for the suite: six simulated sessions, one fold, a policy that trades a lot.

Training teaches nothing here on purpose: laws about time and sameness must hold for any policy, and one that
acts at nearly every row shows a broken law at once.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mia.algo.policy import TrainedPolicy
from mia.domain.rng import generator
from mia.task import command_line, features, ingest, regime, select, train
from mia.task.watch import Watch

OVERRIDES = (
    "source.sessions=6",
    "evaluation.n_folds=1",
    "evaluation.min_train_sessions=3",
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


def busy_policy(width: int) -> TrainedPolicy:
    """Random weights: a policy that changes its mind all the time."""
    rng = generator(0, "test", "busy policy")
    shapes = [(32, width + 1), (3, 32)]
    layers = tuple(
        (rng.normal(size=shape).astype(np.float32), rng.normal(size=shape[0]).astype(np.float32)) for shape in shapes
    )
    return TrainedPolicy(
        algo="ppo", layers=layers, activation="tanh", n_quantiles=0, value_cents=1.0, abstains=False, card={}
    )


def make(market: str = "ES", *more: str) -> SmallWalk:
    """Ingest, features, regime, selection and observation of one fold."""
    settings = command_line.compose([f"+market={market}", *OVERRIDES, *more])
    watch = Watch(quiet=True)
    made = ingest.make(settings, watch)
    return of_bars(settings, made, watch)


def of_bars(settings: Any, made: Any, watch: Watch) -> SmallWalk:
    """The walk on bars at hand."""
    table = features.make(settings, made, watch)
    state = regime.make(settings, made, table, regime.splits(settings, made)[0], None)
    seen = regime.view(made, state)
    selection = select.make(settings, made, state, seen)
    lesson = train.lesson(settings, made, state, seen, selection)
    policy = busy_policy(lesson.template.width)
    return SmallWalk(settings, made, table, state, seen, lesson, policy)


def cut(walk: SmallWalk, rows: int) -> SmallWalk:
    """The same fitted artefacts on the first `rows` bars, as if the rest had not happened yet."""
    bars = walk.made.bars.head(rows)
    made = replace(walk.made, bars=bars)
    seen = regime.view(made, walk.state)
    lesson = train.lesson(walk.settings, made, walk.state, seen, walk.lesson.selection)
    return replace(walk, made=made, seen=seen, lesson=lesson)
