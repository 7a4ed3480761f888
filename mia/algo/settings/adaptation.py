"""Settings of learning that starts from weights that exist; conf/{finetune,meta}/*.yaml and part of conf/online."""

from dataclasses import dataclass
from itertools import pairwise

from mia.domain.errors import ConfigurationError

WEIGHTINGS = ("select", "weights")


def check(settings: object, where: str, bounds: dict[str, tuple[float, float]]) -> None:
    """Refuse the first field that lies outside its bounds; `where` is the key in the configuration."""
    for field, (low, high) in bounds.items():
        value = getattr(settings, field)
        if not low <= value <= high:
            raise ConfigurationError(
                f"{where}.{field} must lie between {low:g} and {high:g}, was {value!r}; correct it in conf/{where}"
            )


def check_learner(settings: object, task: str) -> None:
    """Refuse a learner that cannot go on learning from given rows.

    Raises
    ------
    ConfigurationError : naming the learner and the remedy.
    """
    kind = settings.kind  # type: ignore[attr-defined]
    if kind != "qr_dqn":
        raise ConfigurationError(
            f"task={task} goes on with gradient steps on recorded rows, which {kind} does not take; "
            "use algo=qr_dqn or algo=qr_dqn_fast"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettings:
    """How a trained policy goes on learning from given rows.

    Parameters
    ----------
    updates : gradient steps
    learning_rate : step size, the same at every step
    batch_rows : rows of a gradient step; each gives all positions and actions
    target_rate : share of the network that enters the slow copy, which is what trades, at each step, in (0, 1]
    kl_limit : largest mean divergence of the action probabilities from the reference policy's [nats]
    check_every : steps between two looks at the divergence

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    updates: int
    learning_rate: float
    batch_rows: int
    target_rate: float
    kl_limit: float
    check_every: int

    def __post_init__(self) -> None:
        bounds = {
            "updates": (0, 10_000_000),
            "learning_rate": (1e-8, 1),
            "batch_rows": (1, 1_000_000),
            "target_rate": (1e-6, 1),
            "kl_limit": (1e-9, 1e9),
            "check_every": (1, 10_000_000),
        }
        check(self, "step", bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneSettings:
    """How a policy is fine-tuned to each regime, and how its hyper-parameters are searched.

    Parameters
    ----------
    name : option name
    weighting : "select" (rows whose likeliest regime is more probable than `posterior`) or "weights" (all rows, by
        the regime's probability)
    posterior : probability above which a row belongs to its likeliest regime, and is traded by that regime's policy
    min_rows : a regime with fewer rows to learn from keeps the base policy
    trials : hyper-parameters tried for each regime
    startup_trials : the first of them, drawn at random; the others by a tree-structured Parzen estimator
    learning_rate_low, learning_rate_high : searched step sizes, on a log scale
    updates_low, updates_high : searched gradient steps, on a log scale
    kl_low, kl_high : searched limits of the divergence from the base policy [nats], on a log scale
    batch_rows, target_rate, check_every : as in `StepSettings`
    level : largest probability that luck explains the gain over the base policy, at which it is still used

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    name: str
    weighting: str
    posterior: float
    min_rows: int
    trials: int
    startup_trials: int
    learning_rate_low: float
    learning_rate_high: float
    updates_low: int
    updates_high: int
    kl_low: float
    kl_high: float
    batch_rows: int
    target_rate: float
    check_every: int
    level: float

    def __post_init__(self) -> None:
        if self.weighting not in WEIGHTINGS:
            raise ConfigurationError(
                f"finetune.weighting must be one of {', '.join(WEIGHTINGS)}, was {self.weighting!r}; "
                "correct it in conf/finetune"
            )
        bounds = {
            "posterior": (0, 0.999999),
            "min_rows": (10, 10**9),
            "trials": (1, 10_000),
            "startup_trials": (1, self.trials),
            "learning_rate_high": (1e-8, 1),
            "learning_rate_low": (1e-8, self.learning_rate_high),
            "updates_high": (1, 10_000_000),
            "updates_low": (1, self.updates_high),
            "kl_high": (1e-9, 1e9),
            "kl_low": (1e-9, self.kl_high),
            "batch_rows": (1, 1_000_000),
            "target_rate": (1e-6, 1),
            "check_every": (1, 10_000_000),
            "level": (0, 1),
        }
        check(self, "finetune", bounds)

    def step(self, *, learning_rate: float, updates: int, kl_limit: float) -> StepSettings:
        """Return the steps of one trial."""
        return StepSettings(
            updates=updates,
            learning_rate=learning_rate,
            batch_rows=self.batch_rows,
            target_rate=self.target_rate,
            kl_limit=kl_limit,
            check_every=self.check_every,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaSettings:
    """How an initialisation is learned that adapts to a new regime or market in a few steps.

    Parameters
    ----------
    name : option name
    markets : markets learned from; the one that is named on the command line is never among them
    posterior : probability above which a row belongs to its likeliest regime
    min_rows : a regime of a market with fewer rows is no task
    outer_steps : times the initialisation is moved
    tasks_per_step : tasks whose adapted weights it is moved towards, each time
    inner_updates : gradient steps on each task
    inner_rate : their step size
    batch_rows : rows of such a step
    outer_rate, final_outer_rate : share of the way it is moved at the start and at the end, falling linearly
    counts : updates after which adaptation is looked at, increasing, the first 0
    seeds : repetitions of every adaptation, each with its own rows and, from scratch, its own weights

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    name: str
    markets: tuple[str, ...]
    posterior: float
    min_rows: int
    outer_steps: int
    tasks_per_step: int
    inner_updates: int
    inner_rate: float
    batch_rows: int
    outer_rate: float
    final_outer_rate: float
    counts: tuple[int, ...]
    seeds: int

    def __post_init__(self) -> None:
        bounds = {
            "posterior": (0, 0.999999),
            "min_rows": (10, 10**9),
            "outer_steps": (1, 10_000_000),
            "tasks_per_step": (1, 10_000),
            "inner_updates": (1, 10_000_000),
            "inner_rate": (1e-8, 1),
            "batch_rows": (1, 1_000_000),
            "outer_rate": (1e-6, 1),
            "final_outer_rate": (0, self.outer_rate),
            "seeds": (2, 10_000),
        }
        check(self, "meta", bounds)
        if len(self.counts) < 2 or self.counts[0] != 0 or any(b <= a for a, b in pairwise(self.counts)):
            raise ConfigurationError(
                f"meta.counts must increase from 0, was {list(self.counts)}; write e.g. [0, 1, 5, 20] in conf/meta"
            )

    def step(self, updates: int) -> StepSettings:
        """Return so many inner steps. What is learned must trade at once, so the slow copy does not lag."""
        return StepSettings(
            updates=updates,
            learning_rate=self.inner_rate,
            batch_rows=self.batch_rows,
            target_rate=1.0,
            kl_limit=1e9,
            check_every=max(updates, 1),
        )
