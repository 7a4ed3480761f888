"""Settings of QR-DQN; conf/algo/qr_dqn*.yaml makes one."""

from dataclasses import dataclass

from mia.algo.settings.checks import ValidationSettings, check, check_kind, check_network


@dataclass(frozen=True, slots=True, kw_only=True)
class QRDQNSettings:
    """Quantile-regression DQN that learns from every outcome of every recorded bar.

    Parameters
    ----------
    name : option name
    kind : which learner this is; "qr_dqn"
    network : hidden widths
    quantiles : quantiles of the value of each action
    target_quantiles : quantiles of the next value drawn as targets in a step; 0: their mean
    huber : errors beyond it count by their sign alone, as for a true quantile [deviations of a bar]; the library's 1
        bends quantiles towards expectiles
    risk_level : share of the worst quantiles whose mean decides, in (0, 1]; 1: all of them, the expected value
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
    kind: str
    network: tuple[int, ...]
    quantiles: int
    target_quantiles: int
    huber: float
    risk_level: float
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
        check_kind(self, "qr_dqn")
        check_network(self)
        bounds = {
            "quantiles": (1, 1000),
            "target_quantiles": (0, self.quantiles),
            "huber": (1e-3, 1000),
            "risk_level": (0.01, 1),
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
        check(self, bounds)
