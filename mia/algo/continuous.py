"""What SAC and DDPG share: the course of a step, and networks read at many positions of a row at once."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from mia.algo.continuous_replay import ContinuousReplay, Transitions
from mia.algo.experience import POSITIONS
from mia.algo.learning import Course, adopt, cosine, sparsify
from mia.domain.rng import generator
from mia.env.trading_vec_env import TradingVecEnv
from mia.risk.limits import unlimited

Network = torch.nn.Sequential


def spread(network: Network, market: torch.Tensor, *own: torch.Tensor) -> torch.Tensor:
    """Return (B, K, outputs) of a network that reads [market | own ...], for B rows with K cases each.

    The first layer's market part is the same for all cases of a row and is computed once.

    Parameters
    ----------
    market : (B, Dm)
    own : each (B, K), the columns after the market's
    """
    first = network[0]
    n = len(own)
    shared = functional.linear(market, first.weight[:, :-n], first.bias)
    hidden = shared[:, None, :] + torch.stack(own, dim=2) @ first.weight[:, -n:].T
    return network[1:](hidden)


def held_positions(replay: ContinuousReplay, rows: int, k: int) -> torch.Tensor:
    """Return (B, K) positions for an actor to decide at: short, flat and long, and K - 3 others."""
    whole = torch.tensor(POSITIONS, dtype=torch.float32, device=replay.device).expand(rows, 3)
    if k <= len(POSITIONS):
        return whole
    others = torch.from_numpy(replay.positions(rows, k - len(POSITIONS))).to(replay.device)
    return torch.cat([whole, others], dim=1)


class Critics:
    """The value of targets: what the networks say of it, less the price of the trade, which is known.

    What bends where a target equals the position is left out of what has to be learned, so that one slope of the
    networks says in which direction to trade and whether it pays.

    Parameters
    ----------
    networks : each reads [market | position | target]; the least of them counts
    price : of trading the whole limit [deviations of a bar]
    """

    def __init__(self, networks: Sequence[Any], price: float) -> None:
        self.networks, self.price = list(networks), price

    def __call__(self, market: torch.Tensor, position: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return (B, K) values of targets (B, K) at positions (B, K)."""
        values = [spread(network, market, position, target)[..., 0] for network in self.networks]
        least = values[0] if len(values) == 1 else torch.stack(values).amin(dim=0)
        return least - self.price * (target - position).abs()

    def loss(self, seen: Transitions, wanted: torch.Tensor) -> torch.Tensor:
        """Return the squared error of all networks against values (B, K), half its mean each."""
        learned = wanted + self.price * (seen.target - seen.position).abs()
        errors = [
            functional.mse_loss(spread(network, seen.market, seen.position, seen.target)[..., 0], learned)
            for network in self.networks
        ]
        return 0.5 * torch.stack(errors).sum()


def climb(critics: Critics, market: torch.Tensor, position: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the gradient (B, K) of the values with respect to targets, without touching the networks."""
    free = target.detach().requires_grad_()
    (slope,) = torch.autograd.grad(critics(market, position, free).sum(), free)
    return slope


def descend(optimizer: torch.optim.Optimizer, clip: float) -> None:
    """Take a step along the gradients there are, none longer than `clip`."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, clip, foreach=True)
    optimizer.step()


def follow(slow: torch.nn.Module, fast: torch.nn.Module, share: float) -> None:
    """Move a slow copy by `share` of its distance."""
    with torch.no_grad():
        torch._foreach_lerp_(list(slow.parameters()), list(fast.parameters()), share)


class Counterfactual(ABC):
    """Makes an actor-critic of Stable-Baselines3 learn from several positions and targets of each row of its replay.

    Stands before the library's class among the bases. What a learner adds: `_wanted`, `_improve` and `_follow`.

    Parameters
    ----------
    price : of trading the whole limit [deviations of a bar]
    pairs : positions and targets of each row the critic learns from
    positions : positions of each row the actor decides at
    policy_rate : share of the actor that enters its slow copy at each gradient step
    gradient_clip : largest norm of a gradient
    waits : gradient steps in which the critic learns alone
    others : as in the library's class
    """

    actor: Any
    critic: Any
    critic_target: Any
    policy: Any
    replay_buffer: Any
    gamma: float
    tau: float
    _n_updates: int

    def __init__(
        self,
        *args: Any,
        price: float,
        pairs: int,
        positions: int,
        policy_rate: float,
        gradient_clip: float,
        waits: int,
        **kwargs: Any,
    ) -> None:
        self.price, self.pairs, self.positions = price, pairs, positions
        self.policy_rate, self.gradient_clip, self.waits = policy_rate, gradient_clip, waits
        super().__init__(*args, **kwargs)

    def train(self, gradient_steps: int, batch_size: int = 256) -> None:
        """Take `gradient_steps` steps on `batch_size` rows each."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self._optimizers())  # type: ignore[attr-defined]
        critics = Critics(self.critic.q_networks, self.price)
        slow = Critics(self.critic_target.q_networks, self.price)
        for _ in range(gradient_steps):
            seen = self.replay_buffer.transitions(batch_size, self.pairs)
            self.critic.optimizer.zero_grad()
            critics.loss(seen, self._wanted(slow, seen)).backward()
            descend(self.critic.optimizer, self.gradient_clip)
            follow(self.critic_target, self.critic, self.tau)
            if self._n_updates >= self.waits:
                self._improve(critics, seen.market)
                self._follow()
            self._n_updates += 1

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.actor.optimizer, self.critic.optimizer]

    @abstractmethod
    def _wanted(self, slow: Critics, seen: Transitions) -> torch.Tensor:
        """Return (B, K) values the critic shall learn."""

    @abstractmethod
    def _improve(self, critics: Critics, market: torch.Tensor) -> None:
        """Take a step of the actor at rows (B, Dm)."""

    @abstractmethod
    def _follow(self) -> None:
        """Let the slow copy of the actor follow."""


def library_settings(course: Course) -> dict[str, Any]:
    """Return the keyword arguments both learners choose alike, `Counterfactual`'s and the library's."""
    settings, seed, learned = course.settings, course.seed, course.experience
    return {
        "price": course.terms.side_cost_cents / learned.bar_cents,
        "pairs": settings.pairs,
        "positions": settings.positions,
        "policy_rate": settings.policy_rate,
        "gradient_clip": settings.gradient_clip,
        # A critic that knows nothing yet would undo what the policy already knows.
        "waits": 0 if course.start is None else round(settings.critic_first * settings.updates),
        "learning_rate": cosine(settings.learning_rate, settings.final_learning_rate),
        "learning_starts": 0,
        "batch_size": settings.batch_rows,
        "tau": settings.target_rate,
        "gamma": settings.discount,
        "train_freq": 1,
        "gradient_steps": settings.updates_per_step,
        "replay_buffer_class": ContinuousReplay,
        "replay_buffer_kwargs": {
            "experience": learned,
            "rng": generator(seed, "algo", settings.kind, "replay"),
            "groups": course.tape.groups,
            "dropout": settings.group_dropout,
        },
        "policy_kwargs": {
            "net_arch": list(settings.network),
            "activation_fn": torch.nn.ReLU,
            "n_critics": settings.critics,
            "optimizer_class": torch.optim.AdamW,
            "optimizer_kwargs": {"weight_decay": settings.weight_decay, "fused": True},
        },
        "seed": int(generator(seed, "algo", settings.kind, "network").integers(2**31)),
        "device": course.device,
    }


def account(course: Course) -> TradingVecEnv:
    """Return the environment that walks the recorded rows; Stable-Baselines3 counts steps by it, nothing more."""
    return TradingVecEnv(
        course.tape,
        course.terms,
        unlimited(),
        course.experience.reward,
        n_envs=1,
        seed=course.seed,
        actions="continuous",
    )


def prepare(model: Any, course: Course, actors: Sequence[Sequence[Network]]) -> None:
    """Let market columns have to earn their place, and begin where `course.start` ended.

    Parameters
    ----------
    model : the learner
    actors : the layers of each actor that begins from `course.start`, in order; the first is the one that learns
    """
    strength = course.settings.input_sparsity
    sparsify(model.actor.optimizer, [actors[0][0]], strength)
    sparsify(model.critic.optimizer, [_seen_by(network) for network in model.critic.q_networks], strength)
    if course.start is not None:
        for networks in actors:
            adopt(course.start, *networks)


class _First:
    """A first layer without its last column."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.weight = weight


def _seen_by(network: Network) -> Any:
    """Return what `sparsify` shall see of a critic: the target is no column of the market, as the position is none."""
    return [_First(network[0].weight.detach()[:, :-1])]
