"""DDPG fed with the outcome of every position and target of every bar. Called through mia.algo.learner("ddpg")."""

from typing import Any

import torch
from stable_baselines3 import DDPG

from mia.algo.continuous import (
    Counterfactual,
    Critics,
    account,
    climb,
    descend,
    follow,
    held_positions,
    library_settings,
    prepare,
    spread,
)
from mia.algo.continuous_replay import Transitions
from mia.algo.learning import Course, Student, layers_of, teach
from mia.algo.policy import TrainedPolicy
from mia.algo.progress import Progress, silent
from mia.algo.settings import DDPGSettings
from mia.broker.terms import Terms
from mia.desk.tape import Tape


class CounterfactualDDPG(Counterfactual, DDPG):
    """Stable-Baselines3's DDPG whose steps use several positions and targets of each row.

    There is no action noise: the replay holds the outcome of every target, so nothing has to be tried. That stops
    being true when fills depend on our own orders.
    """

    def _wanted(self, slow: Critics, seen: Transitions) -> torch.Tensor:
        """Return (B, K) rewards plus the discounted value of what is held next."""
        with torch.no_grad():
            target = spread(self.actor_target.mu, seen.next_market, seen.held)[..., 0]
            return seen.reward + self.gamma * slow(seen.next_market, seen.held, target)

    def _improve(self, critics: Critics, market: torch.Tensor) -> None:
        """Move the actor's targets up the critic's slope at several positions of each row."""
        position = held_positions(self.replay_buffer, len(market), self.positions)
        target = spread(self.actor.mu, market, position)[..., 0]
        slope = climb(critics, market, position, target)
        self.actor.optimizer.zero_grad()
        target.backward(slope / -target.numel())
        descend(self.actor.optimizer, self.gradient_clip)

    def _follow(self) -> None:
        follow(self.actor_target, self.actor, self.policy_rate)


def train(
    tape: Tape, terms: Terms, settings: DDPGSettings, seed: int, progress: Progress = silent, **more: Any
) -> TrainedPolicy:
    """Learn on a training fold and choose a checkpoint on its last rows; all parameters are those of `teach`."""
    return teach(build, tape, terms, settings, seed, progress, **more)


def build(course: Course) -> Student:
    """Return the learner."""
    settings, value_cents = course.settings, course.experience.bar_cents
    model = CounterfactualDDPG(
        "MlpPolicy",
        account(course),
        **library_settings(course),
    )
    prepare(model, course, [[model.actor.mu], [model.actor_target.mu]])
    return Student(
        model=model,
        total=-(-settings.updates // settings.updates_per_step),
        policy=lambda: policy_of(model, value_cents),
    )


def policy_of(model: CounterfactualDDPG, value_cents: float) -> TrainedPolicy:
    """Return the present policy: the slow copy's, which trades better than what it follows."""
    return TrainedPolicy(
        algo="ddpg",
        layers=tuple(layers_of(model.actor_target.mu)),
        activation="relu",
        actions="continuous",
        n_quantiles=0,
        value_cents=value_cents,
        abstains=False,
        card={},
    )
