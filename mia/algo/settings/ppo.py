"""Settings of PPO; conf/algo/ppo*.yaml makes one."""

from dataclasses import dataclass
from typing import ClassVar

from mia.algo.settings.checks import ValidationSettings, check, check_kind, check_network


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOSettings:
    """Proximal policy optimisation on many accounts at once.

    Parameters
    ----------
    name : option name
    kind : which learner this is; "ppo"
    network : hidden widths, of the policy and of the value network each
    accounts : accounts that trade side by side
    rollout_rows : steps of each account between two rounds of learning
    frames : steps in all, over all accounts
    batch_frames : frames of a gradient step
    epochs : times each rollout is gone through
    discount, trace : worth of the next bar's value; decay of the advantage's trace
    clip : largest change of an action's probability ratio
    entropy : weight of the entropy bonus
    value_weight : weight of the value loss
    learning_rate, final_learning_rate : step size at the start and at the end; it falls as half a cosine
    weight_decay : decoupled weight decay per unit of step size
    group_dropout : share of the rows (PPO: episodes) in which each source group is blanked, so that the policy
        learns to do without it
    input_sparsity : each market column of the first layer is shortened by this at each step, per unit of step
        size, down to nothing
    gradient_clip : largest norm of a gradient
    episode_sessions : length of an episode [sessions]
    cost_warmup : first share of the training over which the cost of a side rises from nothing to its own; a policy
        that starts from another's weights pays in full at once
    validation : how a checkpoint is chosen

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    KIND: ClassVar[str] = "ppo"

    name: str
    kind: str
    network: tuple[int, ...]
    accounts: int
    rollout_rows: int
    frames: int
    batch_frames: int
    epochs: int
    discount: float
    trace: float
    clip: float
    entropy: float
    value_weight: float
    learning_rate: float
    final_learning_rate: float
    weight_decay: float
    group_dropout: float
    input_sparsity: float
    gradient_clip: float
    episode_sessions: int
    cost_warmup: float
    validation: ValidationSettings

    def __post_init__(self) -> None:
        check_kind(self, self.KIND)
        check_network(self)
        bounds = {
            "accounts": (1, 65536),
            "rollout_rows": (1, 1_000_000),
            "frames": (self.accounts * self.rollout_rows, 10**12),
            "batch_frames": (2, self.accounts * self.rollout_rows),
            "epochs": (1, 1000),
            "discount": (0, 0.9999),
            "trace": (0, 1),
            "clip": (1e-3, 1),
            "entropy": (0, 1),
            "value_weight": (0, 100),
            "learning_rate": (1e-8, 1),
            "final_learning_rate": (0, self.learning_rate),
            "weight_decay": (0, 100),
            "group_dropout": (0, 0.9),
            "input_sparsity": (0, 1000),
            "gradient_clip": (1e-6, 1e6),
            "episode_sessions": (1, 100_000),
            "cost_warmup": (0, 0.9),
        }
        check(self, bounds)
