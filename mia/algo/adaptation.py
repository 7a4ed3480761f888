"""Counted gradient steps from weights that exist, on given rows, no further from a reference than a limit allows.

The one engine of fine-tuning, online and meta-learning: it builds the learner as training does and calls the gradient
step training calls. Called by mia.task.{finetune,online,meta}.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.logger import Logger
from torch.nn import functional

from mia.algo import qr_dqn
from mia.algo.counterfactual import CounterfactualReplay, Outcomes
from mia.algo.experience import POSITIONS, Experience, alike
from mia.algo.learning import Course, seeded
from mia.algo.opinion import ACTIONS, Reader
from mia.algo.policy import TrainedPolicy
from mia.algo.qr_dqn import CounterfactualQRDQN, all_positions
from mia.algo.settings.adaptation import StepSettings
from mia.broker.terms import Terms
from mia.desk.tape import Tape
from mia.domain.errors import DataError

Array = np.ndarray

PROBE_ROWS = 256
"""Rows on which divergence and loss are measured, evenly spread over those learned from."""
HALVINGS = 10
"""How often the way between the last weights within the limit and the first beyond it is halved."""
SMALLEST = 1e-8
"""Probabilities below it count as this: a softmax can fall to nothing, and a divergence must stay finite."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """What is learned from.

    Parameters
    ----------
    tape : T rows
    terms : what a tick is worth and a side costs while learning
    experience : outcomes of the rows, in the unit of the policy that goes on learning
    weights : (T,) float64, how often a row is drawn beside others, >= 0; None: all alike
    """

    tape: Tape
    terms: Terms
    experience: Experience
    weights: Array | None

    @classmethod
    def of(cls, tape: Tape, terms: Terms, base: Experience, weights: Array | None = None) -> "Rows":
        """Work the outcomes out, in the unit and by the reward of `base`."""
        return cls(tape=tape, terms=terms, experience=alike(tape, terms, base), weights=weights)

    def used(self) -> Array:
        """(n,) int64 rows that can be drawn: those of some weight, but the last, which has no next bar."""
        last = len(self.tape) - 1
        return np.arange(last) if self.weights is None else np.flatnonzero(self.weights[:last] > 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Adapted:
    """What came of it.

    Parameters
    ----------
    policy : the weights reached; it does not abstain
    updates : gradient steps taken, those that were taken back included
    losses : quantile Huber loss on the probed rows before the first step and at each look
    kl : mean divergence of the reference's action probabilities from the policy's [nats]
    limited : whether the limit ended it
    """

    policy: TrainedPolicy
    updates: int
    losses: tuple[float, ...]
    kl: float
    limited: bool


class WeightedReplay(CounterfactualReplay):
    """Draws rows by weight: in each round a row comes as often as its share of the rows' number says.

    That number is rounded up or down at random so that the expectation is exact (systematic resampling); rows of equal
    weight come once each.
    """

    def __init__(self, *args: Any, weights: Array, **more: Any) -> None:
        super().__init__(*args, **more)
        self._rows = self._followed[weights[self._followed] > 0]
        self._bounds = np.cumsum(weights[self._rows] / weights[self._rows].sum()) * len(self._rows)
        self._bounds[-1] = len(self._rows)

    def draw(self, n: int) -> Array:
        """Return (n,) int64 rows."""
        while len(self._order) < n:
            upto = np.floor(self._bounds + self.rng.random()).astype(np.int64)
            upto[-1] = len(self._rows)
            times = np.diff(upto, prepend=0)
            self._order = np.concatenate([self._order, self.rng.permutation(np.repeat(self._rows, times))])
        rows, self._order = self._order[:n], self._order[n:]
        return rows


def adapt(
    start: TrainedPolicy,
    rows: Rows,
    settings: Any,
    step: StepSettings,
    seed: int,
    *,
    reference: TrainedPolicy | None = None,
    device: str = "cpu",
) -> Adapted:
    """Take `step.updates` gradient steps from the weights of `start`.

    At each look the divergence from the reference is measured. Steps that carry it beyond the limit are taken back to
    the furthest point found within, on the straight line between the weights of two looks, and end the adaptation; so
    the result is always within, unless `start` itself was not.

    Parameters
    ----------
    start : weights to begin from, and network; whether it abstains does not matter
    rows : what is learned from
    settings : of the learner, as it was trained
    step : how many steps of which size, and the limit
    seed : of the order of rows
    reference : from whose action probabilities the divergence is measured; None: those of `start`
    device : as in `Course`

    Raises
    ------
    DataError : if fewer than two rows can be learned from.
    """
    reader = _reader(reference or start)
    used = rows.used()
    if len(used) < 2:
        raise DataError(f"tape {rows.tape.market.name}: {len(used)} rows to go on learning from; use more")
    probe = used[np.unique(np.linspace(0, len(used) - 1, PROBE_ROWS).astype(np.int64))]
    obs = rows.tape.obs[probe]
    known = _probabilities(reader, obs)
    with seeded():
        model = build(start, rows, settings, step, seed, device)
        seen = outcomes(model, rows.experience, probe)
        within, losses, taken, limited = replace(start, abstains=False), [loss(model, seen)], 0, False
        distance = divergence(known, within, obs)
        while taken < step.updates and not limited:
            n = min(step.check_every, step.updates - taken)
            model.train(n, step.batch_rows)
            taken += n
            beyond = replace(within, layers=qr_dqn.policy_of(model, settings, start.value_cents).layers)
            reached = divergence(known, beyond, obs)
            limited = not reached <= step.kl_limit
            if limited:
                within, distance = _furthest(within, beyond, distance, lambda p: divergence(known, p, obs), step)
                adopt(model, within)
            else:
                within, distance = beyond, reached
            losses.append(loss(model, seen))
    return Adapted(policy=within, updates=taken, losses=tuple(losses), kl=distance, limited=limited)


def untrained(rows: Rows, settings: Any, seed: int) -> TrainedPolicy:
    """Return a policy of random weights, as training would begin from."""
    course = Course(
        tape=rows.tape,
        experience=rows.experience,
        terms=rows.terms,
        settings=settings,
        seed=seed,
        reward=None,
        start=None,
        device="cpu",
    )
    with seeded():
        return qr_dqn.build(course).policy()


def build(
    start: TrainedPolicy, rows: Rows, settings: Any, step: StepSettings, seed: int, device: str
) -> CounterfactualQRDQN:
    """Return the learner as training builds it, with the weights of `start` and a fresh optimizer."""
    settings = replace(
        settings,
        learning_rate=step.learning_rate,
        final_learning_rate=step.learning_rate,
        target_rate=step.target_rate,
    )
    course = Course(
        tape=rows.tape,
        experience=rows.experience,
        terms=rows.terms,
        settings=settings,
        seed=seed,
        reward=None,
        start=start,
        device=device,
    )
    model: CounterfactualQRDQN = qr_dqn.build(course).model
    model.set_logger(Logger(folder=None, output_formats=[]))
    if rows.weights is not None:
        buffer = model.replay_buffer
        model.replay_buffer = WeightedReplay(
            buffer.buffer_size,
            model.observation_space,
            model.action_space,
            experience=rows.experience,
            rng=buffer.rng,
            groups=rows.tape.groups,
            dropout=settings.group_dropout,
            weights=rows.weights,
        )
    return model


def adopt(model: CounterfactualQRDQN, policy: TrainedPolicy) -> None:
    """Give the learner's two networks the weights of a policy."""
    from mia.algo.learning import adopt as give

    give(policy, model.quantile_net.quantile_net)
    give(policy, model.quantile_net_target.quantile_net)


def outcomes(model: CounterfactualQRDQN, experience: Experience, rows: Array) -> Outcomes:
    """Return all outcomes of given rows, nothing blanked, on the learner's device."""
    at = torch.from_numpy(rows)
    parts = {
        "market": torch.from_numpy(experience.obs[rows]),
        "next_market": torch.from_numpy(experience.obs[rows + 1]),
        "reward": torch.from_numpy(experience.rewards[rows]),
        "held": torch.from_numpy(experience.held[rows]),
    }
    return Outcomes(rows=at, **{name: part.to(model.device) for name, part in parts.items()})


def loss(model: CounterfactualQRDQN, seen: Outcomes) -> float:
    """Return the quantile Huber loss whose gradient the learner follows: summed over quantiles, mean over the rest."""
    n = model.n_quantiles
    levels = ((torch.arange(n, dtype=torch.float32) + 0.5) / n).to(seen.market.device)
    drawn = model.replay_buffer.rng.bit_generator.state
    with torch.no_grad():
        targets = model._targets(seen.next_market, seen.reward, seen.held)
        current = all_positions(model.quantile_net.quantile_net, seen.market)
        current = current.view(len(seen.market), 3, n, 3).transpose(2, 3).reshape(-1, 9, n)
        value = quantile_huber(current, targets, levels, model.threshold)
    model.replay_buffer.rng.bit_generator.state = drawn  # looking must not change what is drawn next
    return float(value)


def quantile_huber(
    current: torch.Tensor, target: torch.Tensor, levels: torch.Tensor, threshold: float = 1.0
) -> torch.Tensor:
    """Return the loss of (B, C, N) quantiles against (B, C, K) samples; its gradient is `quantile_huber_gradient`."""
    delta = target[:, :, None, :] - current[:, :, :, None]
    huber = functional.huber_loss(delta, torch.zeros_like(delta), reduction="none", delta=threshold) / threshold
    weight = (levels[:, None] - (delta < 0).to(delta.dtype)).abs()
    return (weight * huber).mean(dim=(0, 1, 3)).sum()


def divergence(known: Array, policy: TrainedPolicy, obs: Array) -> float:
    """Return the mean Kullback-Leibler divergence of (n, P, 3) known probabilities from a policy's [nats].

    Infinite if the policy's weights are not finite.
    """
    if not is_sound(policy):
        return float("inf")
    told = _probabilities(_reader(policy), obs)
    return float((known * np.log(known / told)).sum(axis=2).mean())


def is_sound(policy: TrainedPolicy) -> bool:
    """Whether all weights are finite."""
    return all(np.isfinite(part).all() for pair in policy.layers for part in pair)


def _reader(policy: TrainedPolicy) -> Reader:
    return Reader.of(replace(policy, abstains=False))


def _probabilities(reader: Reader, obs: Array) -> Array:
    told = reader.table(obs, np.array(POSITIONS, dtype=np.float32))[:, :, 1 : 1 + ACTIONS]
    bounded = np.maximum(told, SMALLEST)
    return bounded / bounded.sum(axis=2, keepdims=True)


def _furthest(
    within: TrainedPolicy,
    beyond: TrainedPolicy,
    distance: float,
    measure: Callable[[TrainedPolicy], float],
    step: StepSettings,
) -> tuple[TrainedPolicy, float]:
    """Halve the way from weights within the limit to weights beyond it; return the furthest found within."""
    found, low, high = within, 0.0, 1.0
    if not is_sound(beyond):
        return found, distance
    for _ in range(HALVINGS):
        share = (low + high) / 2
        tried = between(within, beyond, share)
        reached = measure(tried)
        if reached <= step.kl_limit:
            found, distance, low = tried, reached, share
        else:
            high = share
    return found, distance


def between(a: TrainedPolicy, b: TrainedPolicy, share: float) -> TrainedPolicy:
    """Return the policy whose weights lie at `share` of the way from `a` to `b`."""
    layers = tuple(
        tuple((one + np.float32(share) * (other - one)).astype(np.float32) for one, other in zip(*pair, strict=True))
        for pair in zip(a.layers, b.layers, strict=True)
    )
    return replace(a, layers=layers)
