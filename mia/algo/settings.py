"""Settings of the learners; conf/algo/<option>.yaml makes one. Importing this costs nothing."""

from dataclasses import dataclass

from mia.domain.errors import ConfigurationError


def _refuse(settings: object, field: str, needed: str) -> None:
    name = getattr(settings, "name", "validation")
    raise ConfigurationError(
        f"algo {name}: {field} must {needed}, was {getattr(settings, field)!r}; correct it in conf/algo"
    )


def _check(settings: object, bounds: dict[str, tuple[float, float]]) -> None:
    for field, (low, high) in bounds.items():
        if not low <= getattr(settings, field) <= high:
            _refuse(settings, field, f"lie between {low:g} and {high:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationSettings:
    """How a checkpoint is chosen, and whether it may trade at all, on the last rows of the training fold.

    Parameters
    ----------
    share : last share of the training rows that no gradient ever sees
    purge_rows : rows left out between the two parts [bars]
    first_look : share of training after which the learner is looked at for the first time, in [0, 1)
    checkpoints : how often it is looked at, the last time after the last step
    patience : end training after so many checkpoints without a new best; at least `checkpoints`: never
    margin : an earlier checkpoint is preferred to the last only if it is better by so many standard errors
    level : largest probability that luck explains the chosen profit; above it the policy abstains
    blocks : pieces of the validation rows whose profits are resampled [count]
    resamples : resamples behind that probability [count]

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    share: float
    purge_rows: int
    first_look: float
    checkpoints: int
    patience: int
    margin: float
    level: float
    blocks: int
    resamples: int

    def __post_init__(self) -> None:
        bounds = {
            "share": (0.05, 0.5),
            "purge_rows": (0, 1_000_000),
            "first_look": (0, 0.999),
            "checkpoints": (1, 1000),
            "patience": (1, 1000),
            "margin": (0, 10),
            "level": (0, 1),
            "blocks": (10, 10_000),
            "resamples": (100, 1_000_000),
        }
        _check(self, bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class QRDQNSettings:
    """Quantile-regression DQN that learns from every outcome of every recorded bar.

    Parameters
    ----------
    name : option name; "qr_dqn"
    network : hidden widths
    quantiles : quantiles of the value of each action
    target_quantiles : quantiles of the next value drawn as targets in a step; 0: their mean
    discount : worth of the next bar's value, in [0, 1)
    updates : gradient steps
    updates_per_step : gradient steps for each step of the environment
    batch_rows : rows of a gradient step; each gives all positions and actions
    learning_rate, final_learning_rate : step size at the start and at the end; it falls as half a cosine
    target_rate : share of the network that enters the slow copy at each gradient step, in (0, 1]
    weight_decay : decoupled weight decay per unit of step size
    group_dropout : share of the rows (PPO: episodes) in which each source group is blanked, so that the policy
        learns to do without it
    input_sparsity : each market column of the first layer is shortened by this at each step, per unit of step
        size, down to nothing
    gradient_clip : largest norm of a gradient
    validation : how a checkpoint is chosen

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    name: str
    network: tuple[int, ...]
    quantiles: int
    target_quantiles: int
    discount: float
    updates: int
    updates_per_step: int
    batch_rows: int
    learning_rate: float
    final_learning_rate: float
    target_rate: float
    weight_decay: float
    group_dropout: float
    input_sparsity: float
    gradient_clip: float
    validation: ValidationSettings

    def __post_init__(self) -> None:
        if self.name != "qr_dqn":
            _refuse(self, "name", "be qr_dqn")
        if not self.network or min(self.network) < 1 or max(self.network) > 4096:
            _refuse(self, "network", "name hidden widths between 1 and 4096")
        bounds = {
            "quantiles": (1, 1000),
            "target_quantiles": (0, self.quantiles),
            "discount": (0, 0.9999),
            "updates": (1, 100_000_000),
            "updates_per_step": (1, self.updates),
            "batch_rows": (1, 1_000_000),
            "learning_rate": (1e-8, 1),
            "final_learning_rate": (0, self.learning_rate),
            "target_rate": (1e-6, 1),
            "weight_decay": (0, 100),
            "group_dropout": (0, 0.9),
            "input_sparsity": (0, 1000),
            "gradient_clip": (1e-6, 1e6),
        }
        _check(self, bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOSettings:
    """Proximal policy optimisation on many accounts at once.

    Parameters
    ----------
    name : option name; "ppo"
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
    validation : how a checkpoint is chosen

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    name: str
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
    validation: ValidationSettings

    def __post_init__(self) -> None:
        if self.name != "ppo":
            _refuse(self, "name", "be ppo")
        if not self.network or min(self.network) < 1 or max(self.network) > 4096:
            _refuse(self, "network", "name hidden widths between 1 and 4096")
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
        }
        _check(self, bounds)
