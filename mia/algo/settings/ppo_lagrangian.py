"""Settings of PPO under a limit on the risk of an episode; conf/algo/ppo_lagrangian*.yaml makes one."""

from dataclasses import dataclass
from typing import ClassVar

from mia.algo.settings.checks import check, refuse
from mia.algo.settings.ppo import PPOSettings

MEASURES = ("loss", "drawdown")
UNITS = ("bar", "episode", "usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiplierSettings:
    """How the price of breaking the limit follows by how much it is broken.

    Parameters
    ----------
    proportional, integral, derivative : answer per share of the limit by which it is broken, per sum of these shares
        over all measurements, and per growth of it between two; 0, x, 0 is the plain Lagrange multiplier
    scale : the price is scale * (exp(answer) - 1), nothing where the answer is negative
    smoothing : weight of the past in the error that the first and the last of them see, in [0, 1)
    largest : highest price

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    proportional: float
    integral: float
    derivative: float
    scale: float
    smoothing: float
    largest: float

    def __post_init__(self) -> None:
        bounds = {
            "proportional": (0, 1000),
            "integral": (0, 1000),
            "derivative": (0, 1000),
            "scale": (1e-6, 1000),
            "smoothing": (0, 0.999),
            "largest": (0, 1e6),
        }
        check(self, bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintSettings:
    """What the worst episodes may cost, and how that is measured and priced.

    Parameters
    ----------
    measure : "loss" of an episode, or "drawdown", the largest fall of its equity from its peak
    alpha : the worst `1 - alpha` of the episodes are averaged, in (0, 1)
    limit : most that average may be, for one contract [unit], > 0
    unit : "bar": deviations of what a bar gains; "episode": those of a bar times the root of an episode's length;
        "usd"
    confidence : the upper end of an interval of so much probability is what must keep the limit, in (0, 1)
    tolerance : share of the limit by which that upper end may be above it; negative: so much is kept free
    every : rollouts between two measurements of the policy as it would trade; up to eight times as many while the
        limit costs nothing, the more the farther it is
    episodes : most training episodes it walks in a measurement, other ones each time [count]
    discount, trace : worth of the next bar's cost; decay of the cost advantage's trace
    peers : walked episodes, at as many steps from their end, over whose losses so far a step's cost is averaged;
        0: the account's own [count]
    entropy : weight of the entropy bonus at the start while the price is above 0; it falls to the learner's own with
        the training that remains
    resamples : resamples behind the interval that is told [count]
    strict : whether the policy abstains if no checkpoint keeps the limit
    multiplier : how the price of the limit follows

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    measure: str
    alpha: float
    limit: float
    unit: str
    confidence: float
    tolerance: float
    every: int
    episodes: int
    discount: float
    trace: float
    peers: int
    entropy: float
    resamples: int
    strict: bool
    multiplier: MultiplierSettings

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            refuse(self, "measure", f"be one of {', '.join(MEASURES)}")
        if self.unit not in UNITS:
            refuse(self, "unit", f"be one of {', '.join(UNITS)}")
        bounds = {
            "alpha": (0.5, 0.999),
            "limit": (1e-9, 1e12),
            "confidence": (0.5, 0.999),
            "tolerance": (-0.9, 1),
            "every": (1, 1_000_000),
            "episodes": (1, 10_000_000),
            "discount": (0, 1),
            "trace": (0, 1),
            "peers": (0, 1000),
            "entropy": (0, 1),
            "resamples": (100, 1_000_000),
        }
        check(self, bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOLagrangianSettings(PPOSettings):
    """Proximal policy optimisation that pays a price for risk, so that the worst episodes keep a limit.

    Parameters
    ----------
    constraint : the limit
    others : as in `PPOSettings`; `network` is that of the cost critic as well

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    KIND: ClassVar[str] = "ppo_lagrangian"

    constraint: ConstraintSettings
