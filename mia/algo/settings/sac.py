"""Settings of SAC; conf/algo/sac*.yaml makes one."""

from dataclasses import dataclass

from mia.algo.settings.checks import ValidationSettings, check, check_kind, check_network
from mia.algo.settings.ddpg import BOUNDS


@dataclass(frozen=True, slots=True, kw_only=True)
class SACSettings:
    """Soft actor-critic that learns from every position and target of every recorded bar.

    Parameters
    ----------
    name : option name
    kind : which learner this is; "sac"
    network : hidden widths, of the actor and of each critic
    critics : networks of the critic; the least of their values counts
    pairs : positions and targets of each row the critic learns from, at least the two ends of the range
    positions : positions of each row the actor decides at: short, flat, long, and others
    temperature : worth of a unit of entropy [deviations of a bar], at the start if it is adjusted
    target_entropy : entropy the temperature is adjusted to [nats; 0.69 is that of the uniform]; None: never adjusted
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
    temperature: float
    target_entropy: float | None
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
        check_kind(self, "sac")
        check_network(self)
        check(self, BOUNDS)
        check(self, {"temperature": (1e-9, 100)})
        if self.target_entropy is not None:
            check(self, {"target_entropy": (-20, 0.69)})
        check(self, {"updates_per_step": (1, self.updates), "final_learning_rate": (0, self.learning_rate)})
