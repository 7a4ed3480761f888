"""QR-DQN fed with every outcome of every bar. Called through mia.algo.learner("qr_dqn")."""

from typing import Any

import numpy as np
import torch
from sb3_contrib import QRDQN
from torch.nn import functional

from mia.algo.counterfactual import CounterfactualReplay, Outcomes
from mia.algo.experience import POSITIONS
from mia.algo.learning import Course, Student, adopt, cosine, layers_of, sparsify, teach
from mia.algo.policy import TrainedPolicy
from mia.algo.progress import LEVELS, Progress, silent
from mia.algo.settings import QRDQNSettings
from mia.broker.terms import Terms
from mia.desk.tape import Tape
from mia.domain.rng import generator
from mia.env.trading_vec_env import TradingVecEnv
from mia.risk.limits import unlimited

TOLD_ROWS = 200
"""Rows over which the quantiles told at a look are averaged."""


class CounterfactualQRDQN(QRDQN):
    """Stable-Baselines3's QR-DQN whose gradient step uses all positions and actions of its rows.

    A row's noise is common to all its outcomes, so they cost one forward pass of the market part and teach
    the price of trading exactly.

    Parameters
    ----------
    target_quantiles : quantiles of the next value drawn as targets in a step; 0: their mean
    threshold : errors beyond it count by their sign alone [unit of the rewards]
    others : as in `QRDQN`
    """

    replay_buffer: CounterfactualReplay

    def __init__(self, *args: object, target_quantiles: int, threshold: float, **kwargs: object) -> None:
        self.target_quantiles, self.threshold = target_quantiles, threshold
        super().__init__(*args, **kwargs)

    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        """Take `gradient_steps` steps on `batch_size` rows each."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        slow, fast = list(self.quantile_net_target.parameters()), list(self.quantile_net.parameters())
        n = self.n_quantiles
        levels = (torch.arange(n, dtype=torch.float32, device=self.device) + 0.5) / n
        for _ in range(gradient_steps):
            seen = Outcomes(*(part.to(self.device) for part in self.replay_buffer.outcomes(batch_size)))
            with torch.no_grad():
                targets = self._targets(seen.next_market, seen.reward, seen.held)
            # (B, positions, quantiles, actions) -> (B, positions x actions, quantiles)
            current = all_positions(self.quantile_net.quantile_net, seen.market)
            current = current.view(batch_size, 3, n, 3).transpose(2, 3).reshape(batch_size, 9, n)
            gradient = quantile_huber_gradient(current.detach(), targets, levels, self.threshold)
            self.policy.optimizer.zero_grad()
            current.backward(gradient)
            torch.nn.utils.clip_grad_norm_(fast, self.max_grad_norm, foreach=True)
            self.policy.optimizer.step()
            with torch.no_grad():
                torch._foreach_lerp_(slow, fast, self.tau)
        self._n_updates += gradient_steps

    def _targets(self, market: torch.Tensor, reward: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
        """Return (B, 9, K) targets: reward plus the discounted value of the position held next."""
        n, rows = self.n_quantiles, len(market)
        value = all_positions(self.quantile_net_target.quantile_net, market).view(rows, 3, n, 3)
        means = value.mean(dim=2)
        if self.target_quantiles == 0:
            future = means.amax(dim=2)[:, :, None]
        else:
            best = means.argmax(dim=2)[:, :, None, None].expand(rows, 3, n, 1)
            future = value.gather(3, best)[..., 0]
            if self.target_quantiles < n:
                # One from each of equally many levels: far less noise than any drawn at random.
                k = self.target_quantiles
                drawn = (torch.arange(k) + self.replay_buffer.rng.random()) * (n / k)
                future = future.index_select(2, drawn.long().clamp_(max=n - 1).to(future.device))
        k = future.shape[2]
        after = held.reshape(rows, 9, 1).expand(rows, 9, k)
        return reward.reshape(rows, 9, 1) + self.gamma * future.gather(1, after)

    def _on_step(self) -> None:
        """Nothing: the slow copy follows at each gradient step, and no exploration is needed."""
        self._n_calls += 1


def all_positions(network: torch.nn.Sequential, market: torch.Tensor) -> torch.Tensor:
    """Return (B, 3, outputs) of a network that reads [market | position], at every position.

    The first layer's market part is the same for all three and is computed once.
    """
    first = network[0]
    shared = functional.linear(market, first.weight[:, :-1], first.bias)
    positions = torch.tensor(POSITIONS, dtype=market.dtype, device=market.device)[:, None] * first.weight[:, -1]
    hidden = shared[:, None, :] + positions[None, :, :]
    return network[1:](hidden)


def quantile_huber_gradient(
    current: torch.Tensor, target: torch.Tensor, levels: torch.Tensor, threshold: float = 1.0
) -> torch.Tensor:
    """Return the gradient of the quantile Huber loss with respect to the current quantiles.

    Written out, because the loss's own graph over all pairs of quantiles was most of a step's time.

    Parameters
    ----------
    current : (B, C, N) quantiles
    target : (B, C, K) samples of the target
    levels : (N,) probabilities of the quantiles
    threshold : errors beyond it count by their sign alone; the smaller, the nearer the quantiles are to true ones

    Returns
    -------
    (B, C, N) gradient of the sum over N of the mean over B, C, K, divided by the threshold.

    Source: Dabney et al. (2018), Distributional reinforcement learning with quantile regression, eq. 10.
    """
    delta = (target[:, :, None, :] - current[:, :, :, None]).div_(threshold)
    above, below = delta.clamp(0.0, 1.0).mean(dim=3), delta.clamp_(-1.0, 0.0).mean(dim=3)
    pulled = above.mul_(levels).add_(below.mul_(1.0 - levels))
    return pulled.div_(-float(current.shape[0] * current.shape[1]))


def train(
    tape: Tape, terms: Terms, settings: QRDQNSettings, seed: int, progress: Progress = silent, **more: Any
) -> TrainedPolicy:
    """Learn on a training fold and choose a checkpoint on its last rows; all parameters are those of `teach`."""
    return teach(build, tape, terms, settings, seed, progress, **more)


def build(course: Course) -> Student:
    """Return the learner.

    The environment walks the recorded rows and is what Stable-Baselines3 counts steps by; the gradients come
    from the replay.
    """
    settings, seed, learned = course.settings, course.seed, course.experience
    env = TradingVecEnv(course.tape, course.terms, unlimited(), learned.reward, n_envs=1, seed=seed)
    replay = {
        "experience": learned,
        "rng": generator(seed, "algo", "qr_dqn", "replay"),
        "groups": course.tape.groups,
        "dropout": settings.group_dropout,
    }
    model = CounterfactualQRDQN(
        "MlpPolicy",
        env,
        target_quantiles=settings.target_quantiles,
        threshold=settings.huber,
        learning_rate=cosine(settings.learning_rate, settings.final_learning_rate),
        learning_starts=0,
        batch_size=settings.batch_rows,
        tau=settings.target_rate,
        gamma=settings.discount,
        train_freq=1,
        gradient_steps=settings.updates_per_step,
        replay_buffer_class=CounterfactualReplay,
        replay_buffer_kwargs=replay,
        exploration_initial_eps=0.0,
        exploration_final_eps=0.0,
        max_grad_norm=settings.gradient_clip,
        policy_kwargs={
            "n_quantiles": settings.quantiles,
            "net_arch": list(settings.network),
            "optimizer_class": torch.optim.AdamW,
            "optimizer_kwargs": {"weight_decay": settings.weight_decay, "fused": True},
        },
        seed=int(generator(seed, "algo", "qr_dqn", "network").integers(2**31)),
        device=course.device,
    )
    sparsify(model.policy.optimizer, [model.quantile_net.quantile_net], settings.input_sparsity)
    if course.start is not None:
        adopt(course.start, model.quantile_net.quantile_net)
        adopt(course.start, model.quantile_net_target.quantile_net)
    return Student(
        model=model,
        total=-(-settings.updates // settings.updates_per_step),
        policy=lambda: policy_of(model, settings, learned.bar_cents),
        figures=lambda: {"quantiles": told_quantiles(policy_of(model, settings, learned.bar_cents), course)},
    )


def told_quantiles(policy: TrainedPolicy, course: Course) -> dict[str, float]:
    """Return what the action chosen by a flat account is worth at `LEVELS` [USD], by level as text.

    Averaged over rows spread evenly over those that checkpoints are chosen on.
    """
    obs = (course.tape if course.choosing is None else course.choosing).obs
    rows = obs[np.linspace(0, len(obs) - 1, min(TOLD_ROWS, len(obs))).astype(np.int64)]
    flat = np.zeros(1, dtype=np.float32)
    chosen = policy.values(rows, flat)[:, 0].argmax(axis=1)
    worth = policy.quantiles(np.pad(rows, ((0, 0), (0, 1))))[np.arange(len(rows)), :, chosen].mean(axis=0) / 100
    levels = (np.arange(policy.n_quantiles) + 0.5) / policy.n_quantiles
    return {str(level): float(np.interp(level, levels, worth)) for level in LEVELS}


def policy_of(model: CounterfactualQRDQN, settings: QRDQNSettings, value_cents: float) -> TrainedPolicy:
    """Return the present policy: the slow copy's, which trades better than what it follows."""
    return TrainedPolicy(
        algo="qr_dqn",
        layers=tuple(layers_of(model.quantile_net_target.quantile_net)),
        activation="relu",
        n_quantiles=settings.quantiles,
        risk_level=settings.risk_level,
        value_cents=value_cents,
        abstains=False,
        card={},
    )
