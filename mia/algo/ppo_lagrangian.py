"""PPO whose worst episodes keep a limit. Called through mia.algo.learner("ppo_lagrangian").

The limit is on the conditional value at risk of an episode's loss, the mean of its worst twentieth, written as
threshold + E[(loss - threshold)+] / (1 - alpha): an expectation of a cost, which a critic can learn and a multiplier
can price. It makes the risk gate fire less. It does not replace the gate: what a policy does on days unlike those it
learned from, no training can promise.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from scipy.special import ndtr
from stable_baselines3 import PPO
from torch.nn import functional

from mia.algo.cvar import Tail, interval, tail
from mia.algo.episode_walk import EpisodeWalk
from mia.algo.experience import POSITIONS
from mia.algo.learning import Course, Student, sparsify, teach
from mia.algo.multiplier import Multiplier
from mia.algo.policy import TrainedPolicy
from mia.algo.ppo import model_of, networks_of, policy_of, total_of
from mia.algo.progress import Progress, silent
from mia.algo.settings import PPOLagrangianSettings
from mia.broker.terms import Terms
from mia.desk.accounting import EQUITY, PEAK, outcome_tables
from mia.desk.tape import Tape
from mia.domain.rng import generator
from mia.env.episodes import Episodes

Array = np.ndarray

_SITUATION = 3
"""How an account stands: steps left, fall from the peak, and loss or drawdown so far."""

_FAR = 0.75
"""Below this share of what is allowed, and without a price, the limit is far: no critic is needed."""

_SELDOM = 8
"""So many times as long until the next measurement where nothing is risked at all, and fewer the nearer the limit."""

_WAYS = 512
"""Walked episodes whose whole way is remembered."""


class LagrangianPPO(PPO):
    """Stable-Baselines3's PPO with a second critic, of what an episode's risk will cost, and a price on it.

    An episode costs (loss - threshold)+ / (1 - alpha), and a step what it adds to that, so the sum over the episode
    is its cost. What is to come is a guess from the loss so far, plus what the critic has learned. The policy does
    not see the loss so far, so what a step costs it is averaged over how it may stand then; else the few accounts on
    the edge of the tail would drown the rest. Now and then the policy walks training episodes as it would trade them,
    without exploring: the threshold is their value at risk, and the price follows the upper end of the interval of
    their conditional value at risk. While the price is 0 this is PPO of the same
    `cost_warmup`, bit for bit.

    Source: Rockafellar and Uryasev (2000), Optimization of conditional value-at-risk, for the cost; Stooke et al.
    (2020) for the price and the weighing of the two advantages by 1 / (1 + price).

    Parameters
    ----------
    settings : how to learn
    walk : training episodes to measure the policy on
    limit_cents : most the conditional value at risk may be [cents]
    bar_cents : unit of the rewards [cents]
    rng : draws the order of the episodes measured and of the critic's frames
    critic_seed : seed of the critic's first weights
    others : as in `PPO`
    """

    def __init__(
        self,
        *args: Any,
        settings: PPOLagrangianSettings,
        walk: EpisodeWalk,
        limit_cents: float,
        bar_cents: float,
        rng: np.random.Generator,
        critic_seed: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.limit, self.limit_cents, self.walk = settings.constraint, limit_cents, walk
        self.price = Multiplier(settings.constraint.multiplier)
        self.trace: list[list[float]] = []
        self.explored, self.violated = 0, 0
        self._rng = rng
        self._entropy = settings.entropy
        self._steps_scale = walk.mean_steps
        # A bar's move then changes the cost by about one, as it does the reward: both critics see the same scale.
        # With costs of a few thousandths the critic's own noise drowned them on long sessions.
        self._scale = bar_cents * (1.0 - self.limit.alpha)
        self._threshold, self._mean, self._deviation = 0.0, 0.0, 1.0
        self._until = 0
        self._far = False
        self._order: Array = np.empty(0, dtype=np.int64)
        self._ways: Array = np.empty((0, 1, 2))
        self._standings: list[Array] = []
        self._changes: list[Array] = []
        self._dones: list[Array] = []
        self._lesson: tuple[torch.Tensor, torch.Tensor] | None = None
        self._scores = torch.nn.Sequential(*networks_of(self))
        self.cost_critic = self._new_critic(settings, critic_seed)
        self.cost_optimizer = torch.optim.AdamW(
            self.cost_critic.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            eps=1e-5,
            fused=True,
        )
        sparsify(self.cost_optimizer, [self.cost_critic], settings.input_sparsity)

    def _new_critic(self, settings: PPOLagrangianSettings, seed: int) -> torch.nn.Sequential:
        widths = [self.observation_space.shape[0] + 1, *settings.network]
        # Random numbers of its own, so that PPO's are what they would be without it.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            hidden = [
                part for before, after in pairwise(widths) for part in (torch.nn.Linear(before, after), torch.nn.Tanh())
            ]
            return torch.nn.Sequential(*hidden, torch.nn.Linear(widths[-1], 1)).to(self.device)

    def collect_rollouts(self, *args: Any, **kwargs: Any) -> bool:
        """Collect a rollout, then measure the policy if it is time, and charge the advantages for risk."""
        self._standings = [self._standing(self._last_episode_starts)]
        self._changes, self._dones = [], []
        going = super().collect_rollouts(*args, **kwargs)
        if going:
            self._until -= 1
            if self._until <= 0:
                self._measure()
            self.ent_coef = self._curiosity()
            if not self._far:
                self._charge()
        return going

    def _update_info_buffer(self, infos: list[dict[str, Any]], dones: Array | None = None) -> None:
        """Called after each step: note what it did to the episodes' risk."""
        super()._update_info_buffer(infos, dones)
        risks = self.env.losses() if self.limit.measure == "loss" else self.env.drawdowns()
        self.explored += int(np.count_nonzero(dones))
        self.violated += int(np.count_nonzero(risks[dones] > self.limit_cents))
        self._changes.append(self.env.losses() - self._lost)
        self._dones.append(np.array(dones))
        self._standings.append(self._standing(dones))

    def _standing(self, begun: Array) -> Array:
        """(n, 3) how each account stands: steps left, fall from the peak, loss or drawdown so far [cents]."""
        accounts = self.env.accounts
        self._lost = -accounts[:, EQUITY].astype(np.float64)
        fall = (accounts[:, PEAK] - accounts[:, EQUITY]).astype(np.float64)
        # An episode that has just begun has not fallen yet, but the env still tells of the one before.
        so_far = self._lost if self.limit.measure == "loss" else np.where(begun, 0.0, self.env.drawdowns())
        return np.stack([(self.env.stops - 1 - self.env.rows).astype(np.float64), fall, so_far], axis=1)

    def _measure(self) -> None:
        """Walk the next episodes without exploring, and set the threshold and the price by them."""
        count = min(self.limit.episodes, len(self.walk))
        while len(self._order) < count:
            self._order = np.concatenate([self._order, self._rng.permutation(len(self.walk))])
        which, self._order = self._order[:count], self._order[count:]
        losses, self._ways = self.walk.follow(self.choose, which, _WAYS)
        seen = tail(losses, self.limit.alpha)
        self._threshold = seen.threshold
        self._mean, self._deviation = float(losses.mean()), max(float(losses.std()), 1.0)
        # The interval all episodes would give: that is what a checkpoint is judged by.
        bound = seen.bound(self.deviations * (len(losses) / len(self.walk)) ** 0.5)
        # A policy that knows nothing yet may break the limit many times over, or gain on its worst days.
        self.price.update(float(np.clip(bound / self.allowed_cents - 1.0, -1.0, 1.0)))
        self.trace.append([self.num_timesteps, self.price.value, seen.mean, bound])
        share = bound / self.allowed_cents if self.price.value == 0.0 else 1.0
        self._far = share < _FAR
        self._until = round(self.limit.every * (1.0 + (_SELDOM - 1) * float(np.clip(1.0 - share, 0.0, 1.0))))

    @property
    def allowed_cents(self) -> float:
        """Where the upper end of the interval may be at most [cents]."""
        return self.limit_cents * (1.0 + self.limit.tolerance)

    @property
    def deviations(self) -> float:
        """How many standard deviations the upper end of the interval is above its middle."""
        return NormalDist().inv_cdf(0.5 + self.limit.confidence / 2.0)

    def choose(self, seen: Array) -> Array:
        """Return (n,) actions of the policy as it would trade, for (n, D) float32 observations."""
        with torch.no_grad():
            return self._scores(torch.from_numpy(seen).to(self.device)).argmax(dim=1).cpu().numpy()

    def _curiosity(self) -> float:
        """Return the weight of the entropy bonus: who has stopped trying anything else does not hear the price.

        It falls to the learner's own by the end, since who still tries everything does not hear small differences.
        """
        if self.price.value == 0:
            return self._entropy
        return self._entropy + (self.limit.entropy - self._entropy) * self._current_progress_remaining

    def _charge(self) -> None:
        """Estimate the cost advantages, keep the lesson for the critic, and weigh them into the buffer's."""
        standings, dones, changes = np.stack(self._standings), np.stack(self._dones), np.stack(self._changes)
        inputs = self._inputs(np.concatenate([self.rollout_buffer.observations, self._last_obs[None]]), standings)
        with torch.no_grad():
            found = self.cost_critic(inputs)[..., 0].cpu().numpy().astype(np.float64)
        goes_on, discount = ~dones, self.limit.discount
        felt = np.stack([self._felt(*step) for step in zip(standings[:-1], changes, goes_on, strict=True)])
        costs = summed(felt + discount * found[1:] * goes_on - found[:-1], dones, discount * self.limit.trace)
        returns = torch.from_numpy((costs + found[:-1]).astype(np.float32)).to(self.device)
        self._lesson = inputs[:-1].flatten(0, 1), returns.flatten()
        price = self.price.value
        if price > 0:
            charged = self.rollout_buffer.advantages - price * costs
            self.rollout_buffer.advantages = (charged / (1.0 + price)).astype(np.float32)

    def _felt(self, standing: Array, change: Array, goes_on: Array) -> Array:
        """(n,) what a step costs and changes in the guess, averaged over how the policy may stand then."""
        now = self._alternatives(standing)
        after = self._moved(now, change[:, None])
        over = [np.maximum(at[..., 2] - self._threshold, 0.0) for at in (now, after)]
        later = self.limit.discount * self._guess(after) * goes_on[:, None]
        return ((over[1] - over[0]) / self._scale + later - self._guess(now)).mean(axis=1)

    def _alternatives(self, standing: Array) -> Array:
        """(n, K, 3) how the policy stood in episodes walked as it would trade, as many steps from their end.

        Accounts that explore lose more than the policy would: their own losses say little about what its worst
        episodes will feel.
        """
        if self.limit.peers == 0:
            return standing[:, None, :]
        left = standing[:, 0].astype(np.int64)
        drawn = self._rng.integers(len(self._ways), size=(len(left), self.limit.peers))
        ways = self._ways[drawn, np.minimum(left, self._ways.shape[1] - 1)[:, None]]
        out = np.broadcast_to(standing[:, None, :], (*drawn.shape, _SITUATION)).copy()
        known = ~np.isnan(ways[..., 0])
        out[known, 1:] = ways[known]
        return out

    def _moved(self, standing: Array, change: Array) -> Array:
        """How accounts that stand so would stand a step later, had they lost `change` more [cents]."""
        left, fall, so_far = np.moveaxis(standing, -1, 0)
        fall = np.maximum(fall + change, 0.0)
        so_far = so_far + change if self.limit.measure == "loss" else np.maximum(so_far, fall)
        return np.stack([left - 1.0, fall, so_far], axis=-1)

    def _inputs(self, seen: Array, standings: Array) -> torch.Tensor:
        """(T, n, D + 1) float32, what the critic reads: the observation and the share of the episode left."""
        left = (standings[..., :1] / self._steps_scale).astype(np.float32)
        return torch.from_numpy(np.concatenate([seen, left], axis=2)).to(self.device)

    def _guess(self, standing: Array) -> Array:
        """What is still to be paid if losses were a random walk: the critic learns only what is not so.

        Source: Bachelier (1900), Theorie de la speculation, for the value of a call.
        """
        if self.limit.measure != "loss":
            return np.zeros(standing.shape[:-1])
        share = np.maximum(standing[..., 0], 0.0) / self._steps_scale
        over = standing[..., 2] - self._threshold
        spread = self._deviation * np.sqrt(share) + 1e-9
        middle = over + self._mean * share
        z = middle / spread
        call = middle * ndtr(z) + spread * np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        return (call - np.maximum(over, 0.0)) / self._scale

    def train(self) -> None:
        """Learn from the rollout as PPO does, then teach the cost critic."""
        super().train()
        if self._far:
            return
        self._update_learning_rate(self.cost_optimizer)
        inputs, returns = self._lesson
        for _ in range(self.n_epochs):
            order = torch.from_numpy(self._rng.permutation(len(returns))).to(self.device)
            for batch in order.split(self.batch_size):
                loss = functional.mse_loss(self.cost_critic(inputs[batch])[:, 0], returns[batch])
                self.cost_optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.cost_critic.parameters(), self.max_grad_norm)
                self.cost_optimizer.step()

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        names, variables = super()._get_torch_save_params()
        return [*names, "cost_critic", "cost_optimizer"], variables

    def extra_state(self) -> dict[str, Any]:
        """Return what a checkpoint needs beside weights and optimizers."""
        return {
            "price": self.price.state(),
            "trace": self.trace,
            "explored": self.explored,
            "violated": self.violated,
            "threshold": [self._threshold, self._mean, self._deviation],
            "until": self._until,
            "far": self._far,
            "order": self._order,
            "ways": self._ways,
            "rng": self._rng.bit_generator.state,
        }

    def restore_extra(self, state: Mapping[str, Any]) -> None:
        """Go on from what `extra_state` gave."""
        self.price.restore(state["price"])
        self.trace = [list(point) for point in state["trace"]]
        self.explored, self.violated = state["explored"], state["violated"]
        self._threshold, self._mean, self._deviation = state["threshold"]
        self._until, self._far = state["until"], state["far"]
        self._order, self._ways = state["order"], state["ways"]
        self._rng.bit_generator.state = state["rng"]


def summed(surprise: Array, dones: Array, decay: float) -> Array:
    """Return (T, n) sums of the surprises (T, n) from each step on, decayed, up to the end of its episode.

    Source: Schulman et al. (2016), High-dimensional continuous control using generalized advantage estimation.
    """
    out = np.empty_like(surprise)
    after = np.zeros(surprise.shape[1])
    for t in range(len(surprise) - 1, -1, -1):
        after = surprise[t] + decay * ~dones[t] * after
        out[t] = after
    return out


class RiskWatch:
    """Measures at each look what the present policy risks, on all rows it may learn from and those it may not.

    Parameters
    ----------
    model : the learner
    unseen : episodes of the rows kept for choosing
    unit_cents : unit of the limit [cents]
    seed : of the resamples
    """

    def __init__(self, model: LagrangianPPO, unseen: EpisodeWalk, unit_cents: float, seed: int) -> None:
        self.model, self.unseen, self.unit_cents, self.seed = model, unseen, unit_cents, seed
        self._figures: dict[str, float] = {}

    def breach(self) -> float:
        """Return by what share of the limit it is broken.

        It is kept if the upper end of the interval over all episodes keeps it, and those that no gradient has seen do
        not belie that: they break it by no more than their standard error. They alone are too few for an interval
        that could keep a sensible limit.
        """
        model, limit = self.model, self.model.limit
        unseen = self.unseen.measure(model.choose)
        losses = np.concatenate([model.walk.measure(model.choose), unseen])
        whole, apart = tail(losses, limit.alpha), tail(unseen, limit.alpha)
        rng = generator(self.seed, "algo", "ppo_lagrangian", "interval")
        low, high = interval(losses, limit.alpha, limit.confidence, limit.resamples, rng)
        self._figures = self._told(losses, whole, apart, low, high)
        return max(high, apart.bound(-1.0)) / model.allowed_cents - 1.0

    def _told(self, losses: Array, whole: Tail, apart: Tail, low: float, high: float) -> dict[str, float]:
        model, unit = self.model, self.unit_cents
        return {
            "multiplier": model.price.value,
            "cvar_loss": whole.mean / unit,
            "cvar_low": low / unit,
            "cvar_high": high / unit,
            "cvar_limit": model.limit_cents / unit,
            "cvar_unseen": apart.mean / unit,
            "violation_rate": float(np.mean(losses > model.limit_cents)),
            "violation_rate_exploring": model.violated / max(model.explored, 1),
            "worst_episode": float(losses.max()) / unit,
        }

    def figures(self) -> Mapping[str, float]:
        """Return what the last `breach` found, in the limit's unit."""
        return self._figures

    def card(self) -> Mapping[str, Any]:
        """Return the limit and the way of the price, and of the conditional value at risk it followed."""
        model = self.model
        steps, price, mean, bound = zip(*model.trace, strict=True) if model.trace else ((), (), (), ())
        return {
            "limit_cents": model.limit_cents,
            "episodes": {"seen": len(model.walk), "unseen": len(self.unseen)},
            # The worst episode then stands for the tail, and no interval of it can be trusted.
            "episodes_are_scarce": any(episodes.is_scarce(model.limit.alpha) for episodes in (self.unseen, model.walk)),
            "trace": {
                "step": list(steps),
                "multiplier": list(price),
                "cvar": [value / self.unit_cents for value in mean],
                "cvar_bound": [value / self.unit_cents for value in bound],
            },
        }


def train(
    tape: Tape, terms: Terms, settings: PPOLagrangianSettings, seed: int, progress: Progress = silent, **more: Any
) -> TrainedPolicy:
    """Learn on a training fold and choose a checkpoint on its last rows; all parameters are those of `teach`."""
    return teach(build, tape, terms, settings, seed, progress, **more)


def build(course: Course) -> Student:
    """Return the learner."""
    settings, seed, learned = course.settings, course.seed, course.experience
    seen = _walk(course.tape, settings, learned.cents, learned.held)
    cents, held = outcome_tables(course.choosing, course.terms, POSITIONS)
    unseen = _walk(course.choosing, settings, cents, held + 1)
    unit = unit_cents(settings.constraint.unit, learned.bar_cents, seen.mean_steps)
    model = model_of(
        course,
        LagrangianPPO,
        settings=settings,
        walk=seen,
        limit_cents=settings.constraint.limit * unit,
        bar_cents=learned.bar_cents,
        rng=generator(seed, "algo", "ppo_lagrangian", "order"),
        critic_seed=int(generator(seed, "algo", "ppo_lagrangian", "critic").integers(2**31)),
    )
    watch = RiskWatch(model, unseen, unit, seed)
    return Student(
        model=model,
        total=total_of(settings),
        policy=lambda: policy_of(model, "ppo_lagrangian", learned.bar_cents),
        figures=watch.figures,
        breach=watch.breach,
        strict=settings.constraint.strict,
        card=watch.card,
    )


def unit_cents(unit: str, bar_cents: float, steps: float) -> float:
    """Return what a unit of the limit is worth [cents]."""
    return {"bar": bar_cents, "episode": bar_cents * steps**0.5, "usd": 100.0}[unit]


def _walk(tape: Tape, settings: PPOLagrangianSettings, cents: Array, held: Array) -> EpisodeWalk:
    episodes = Episodes(tape, settings.episode_sessions)
    return EpisodeWalk(tape.obs, cents, held, episodes, settings.constraint.measure)
