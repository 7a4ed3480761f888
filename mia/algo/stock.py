"""Stable-Baselines3's own learners with their own defaults on the same market: what ours are raced against.

Called by task=race.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from sb3_contrib import QRDQN
from stable_baselines3 import DDPG, PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback

from mia.algo.experience import experience
from mia.algo.learning import layers_of, seeded
from mia.algo.policy import TrainedPolicy
from mia.algo.ppo import policy_of as ppo_policy
from mia.broker.terms import Terms
from mia.desk.tape import Tape
from mia.domain.errors import ConfigurationError
from mia.env.trading_vec_env import TradingVecEnv
from mia.risk.limits import unlimited

STOCK = {
    "ppo": (PPO, "discrete"),
    "ppo_lagrangian": (PPO, "discrete"),
    "qr_dqn": (QRDQN, "discrete"),
    "sac": (SAC, "continuous"),
    "ddpg": (DDPG, "continuous"),
}
"""Our learner -> the library's learner of the same family, and the actions it takes."""
FOREVER = 10**9


def train(
    kind: str,
    tape: Tape,
    terms: Terms,
    seed: int,
    every_s: float,
    limit_s: float,
    look: Callable[[TrainedPolicy, float], bool],
) -> None:
    """Train the library's learner on one account, its defaults untouched, and look at it now and then.

    Parameters
    ----------
    kind : our learner of the same family
    tape, terms, seed : as for ours; the reward is in deviations of a bar, as ours is
    every_s : CPU time between two looks [s]
    limit_s : CPU time after which it ends; the time of looks does not count [s]
    look : judges the present policy, hears the CPU time spent learning [s]; True ends the training

    Raises
    ------
    ConfigurationError : if the library has no learner of this family.
    """
    if kind not in STOCK:
        raise ConfigurationError(f"race: the library has no {kind}; race one of {', '.join(sorted(STOCK))}")
    make, actions = STOCK[kind]
    with seeded():
        learned = experience(tape, terms)
        env = TradingVecEnv(tape, terms, unlimited(), learned.reward, n_envs=1, seed=seed, actions=actions)
        model: Any = make("MlpPolicy", env, seed=seed, device="cpu")
        model.learn(
            FOREVER, callback=_Timed(every_s, limit_s, lambda spent: look(_policy(model, learned.bar_cents), spent))
        )


def _policy(model: Any, value_cents: float) -> TrainedPolicy:
    """The present policy, as one of ours would be asked."""
    if isinstance(model, PPO):
        return ppo_policy(model, "ppo", value_cents)
    if isinstance(model, QRDQN):
        networks, quantiles, actions = (model.quantile_net.quantile_net,), model.n_quantiles, "discrete"
    else:
        actor = model.actor
        networks = (actor.latent_pi, torch.nn.Sequential(actor.mu)) if isinstance(model, SAC) else (actor.mu,)
        quantiles, actions = 0, "continuous"
    return TrainedPolicy(
        algo=type(model).__name__,
        layers=tuple(layers_of(*networks)),
        activation="relu",
        actions=actions,
        n_quantiles=quantiles,
        value_cents=value_cents,
        abstains=False,
        card={},
    )


class _Timed(BaseCallback):
    """Looks in at equal pieces of CPU time."""

    def __init__(self, every_s: float, limit_s: float, look: Callable[[float], bool]) -> None:
        super().__init__()
        self.every_s, self.limit_s, self.look = every_s, limit_s, look
        self.spent, self.since = 0.0, time.process_time()

    def _on_training_start(self) -> None:
        self.since = time.process_time()

    def _on_step(self) -> bool:
        now = time.process_time()
        if now - self.since < self.every_s:
            return True
        self.spent += now - self.since
        ended = self.look(self.spent)
        self.since = time.process_time()
        return not ended and self.spent < self.limit_s
