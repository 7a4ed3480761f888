"""Settings of DDPG; conf/algo/ddpg*.yaml makes one."""

from dataclasses import dataclass

from mia.algo.settings.checks import ValidationSettings, check, check_kind, check_network

BOUNDS: dict[str, tuple[float, float]] = {
    "critics": (1, 10),
    "pairs": (2, 1000),
    "positions": (3, 1000),
    "discount": (0, 0.9999),
    "updates": (1, 100_000_000),
    "batch_rows": (1, 1_000_000),
    "learning_rate": (1e-8, 1),
    "target_rate": (1e-6, 1),
    "policy_rate": (1e-6, 1),
    "critic_first": (0, 0.9),
    "weight_decay": (0, 100),
    "group_dropout": (0, 0.9),
    "input_sparsity": (0, 1000),
    "gradient_clip": (1e-6, 1e6),
}
"""What every learner of continuous targets checks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DDPGSettings:
    """Deep deterministic policy gradient that learns from every position and target of every recorded bar.

    Parameters
    ----------
    name : option name
    kind : which learner this is; "ddpg"
    network : hidden widths, of the actor and of each critic
    critics : networks of the critic; the least of their values counts
    pairs : positions and targets of each row the critic learns from, at least the two ends of the range
    positions : positions of each row the actor decides at: short, flat, long, and others
    discount : worth of the next bar's value, in [0, 1)
    updates : gradient steps
    updates_per_step : gradient steps for each step of the environment
    batch_rows : rows of a gradient step
    learning_rate, final_learning_rate : step size at the start and at the end; it falls as half a cosine
    target_rate : share of the critic that enters its slow copy at each gradient step, in (0, 1]
    policy_rate : share of the actor that enters its slow copy, which trades, at each gradient step, in (0, 1]
    critic_first : share of the updates in which an actor that begins from another policy waits for the critic
    weight_decay : decoupled weight decay per unit of step size
    group_dropout : share of the rows in which each source group is blanked, so that the policy learns to do
        without it
    input_sparsity : each market column of the first layers is shortened by this at each step, per unit of step
        size, down to nothing
    gradient_clip : largest norm of a gradient
    validation : how a checkpoint is chosen

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    name: str
    kind: str
    network: tuple[int, ...]
    critics: int
    pairs: int
    positions: int
    discount: float
    updates: int
    updates_per_step: int
    batch_rows: int
    learning_rate: float
    final_learning_rate: float
    target_rate: float
    policy_rate: float
    critic_first: float
    weight_decay: float
    group_dropout: float
    input_sparsity: float
    gradient_clip: float
    validation: ValidationSettings

    def __post_init__(self) -> None:
        check_kind(self, "ddpg")
        check_network(self)
        check(self, BOUNDS)
        check(self, {"updates_per_step": (1, self.updates), "final_learning_rate": (0, self.learning_rate)})
