"""SAC fed with the outcome of every position and target of every bar. Called through mia.algo.learner("sac")."""

from copy import deepcopy
from typing import Any

import torch
from stable_baselines3 import SAC

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
from mia.algo.settings import SACSettings
from mia.broker.terms import Terms
from mia.desk.tape import Tape

LOG_STD = (-20.0, 2.0)
"""Where the library cuts the logarithm of the actor's deviation."""


class CounterfactualSAC(Counterfactual, SAC):
    """Stable-Baselines3's SAC whose steps use several positions and targets of each row.

    The replay holds the outcome of every target, so entropy is not needed to try things; it keeps the actor from
    settling before the critic has. That no exploration is needed stops being true when fills depend on our own orders.
    What trades is the middle of a slow copy of the actor.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.slow_actor = deepcopy(self.actor)

    def extra_state(self) -> dict[str, Any]:
        """Return what the library's own state lacks: the slow copy of the actor."""
        return {"slow_actor": self.slow_actor.state_dict()}

    def restore_extra(self, state: dict[str, Any]) -> None:
        """Take back what `extra_state` gave."""
        self.slow_actor.load_state_dict(state["slow_actor"])

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        own = super()._optimizers()
        return own if self.ent_coef_optimizer is None else [*own, self.ent_coef_optimizer]

    def temperature(self) -> torch.Tensor:
        """Return what a unit of entropy is worth [deviations of a bar]."""
        if self.log_ent_coef is None:
            return self.ent_coef_tensor
        return self.log_ent_coef.detach().exp()

    def _drawn(self, market: torch.Tensor, position: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return targets (B, K) the actor draws at positions (B, K), and the logarithm of their density."""
        latent = spread(self.actor.latent_pi, market, position)
        mean, deviation = self.actor.mu(latent), self.actor.log_std(latent).clamp(*LOG_STD)
        target, density = self.actor.action_dist.log_prob_from_params(mean.reshape(-1, 1), deviation.reshape(-1, 1))
        return target.view(position.shape), density.view(position.shape)

    def _wanted(self, slow: Critics, seen: Transitions) -> torch.Tensor:
        """Return (B, K) rewards plus the discounted value and entropy of what is held next."""
        with torch.no_grad():
            target, density = self._drawn(seen.next_market, seen.held)
            value = slow(seen.next_market, seen.held, target) - self.temperature() * density
            return seen.reward + self.gamma * value

    def _improve(self, critics: Critics, market: torch.Tensor) -> None:
        """Move the actor up the critic's slope at several positions of each row, then the temperature."""
        position = held_positions(self.replay_buffer, len(market), self.positions)
        target, density = self._drawn(market, position)
        slope = climb(critics, market, position, target)
        self.actor.optimizer.zero_grad()
        (self.temperature() * density - slope * target).mean().backward()
        descend(self.actor.optimizer, self.gradient_clip)
        self._adjust_temperature(density.detach().mean())

    def _follow(self) -> None:
        follow(self.slow_actor, self.actor, self.policy_rate)

    def _adjust_temperature(self, surprise: torch.Tensor) -> None:
        """Raise the temperature while the entropy, -`surprise`, is below its target; lower it while above."""
        if self.ent_coef_optimizer is None or self.log_ent_coef is None:
            return
        self.ent_coef_optimizer.zero_grad()
        (-self.log_ent_coef * (surprise + self.target_entropy)).sum().backward()
        self.ent_coef_optimizer.step()


def train(
    tape: Tape, terms: Terms, settings: SACSettings, seed: int, progress: Progress = silent, **more: Any
) -> TrainedPolicy:
    """Learn on a training fold and choose a checkpoint on its last rows; all parameters are those of `teach`."""
    return teach(build, tape, terms, settings, seed, progress, **more)


def build(course: Course) -> Student:
    """Return the learner."""
    settings, value_cents = course.settings, course.experience.bar_cents
    adjusted = settings.target_entropy is not None
    model = CounterfactualSAC(
        "MlpPolicy",
        account(course),
        ent_coef=f"auto_{settings.temperature}" if adjusted else settings.temperature,
        target_entropy=settings.target_entropy if adjusted else "auto",
        **library_settings(course),
    )
    prepare(
        model,
        course,
        [
            [model.actor.latent_pi, torch.nn.Sequential(model.actor.mu)],
            [model.slow_actor.latent_pi, torch.nn.Sequential(model.slow_actor.mu)],
        ],
    )
    return Student(
        model=model,
        total=-(-settings.updates // settings.updates_per_step),
        policy=lambda: policy_of(model, value_cents),
        figures=lambda: {"temperature": float(model.temperature())},
    )


def policy_of(model: CounterfactualSAC, value_cents: float) -> TrainedPolicy:
    """Return the present policy: the middle of the slow actor's, which trades better than what it follows."""
    return TrainedPolicy(
        algo="sac",
        layers=tuple(layers_of(model.slow_actor.latent_pi, torch.nn.Sequential(model.slow_actor.mu))),
        activation="relu",
        actions="continuous",
        n_quantiles=0,
        value_cents=value_cents,
        abstains=False,
        card={},
    )
