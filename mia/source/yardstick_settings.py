"""Settings of the market whose best policy is known; conf/source/yardstick.yaml makes one."""

from dataclasses import dataclass

from mia.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class YardstickSettings:
    """A made-up market with one true signal, and how much of it is drawn.

    Parameters
    ----------
    name : option name
    kind : which source this is; "yardstick"
    train_rows, judge_rows : bars to learn from and fresh bars to be judged on [bars], >= 1000
    signal : part of a bar's return the signal explains [units per signal deviation], >= 0; 0 is the null market
    persistence : correlation of the signal from one bar to the next, in [0, 1)
    noise : deviation of a bar's return around what the signal explains [units], > 0
    cost : price of trading one contract on one side [units], >= 0
    distractors : observed columns that say nothing
    distractor_low, distractor_high : bounds of their correlations from one bar to the next, in [0, 1)
    ticks_per_unit : ticks of the synthetic contract that make one unit; large, so that rounding is negligible

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    name: str
    kind: str
    train_rows: int
    judge_rows: int
    signal: float
    persistence: float
    noise: float
    cost: float
    distractors: int
    distractor_low: float
    distractor_high: float
    ticks_per_unit: int

    def __post_init__(self) -> None:
        def refuse(field: str, needed: str) -> None:
            raise ConfigurationError(
                f"source {self.name}: {field} must {needed}, was {getattr(self, field)!r}; "
                f"correct it in conf/source/{self.name}.yaml"
            )

        if self.kind != "yardstick":
            refuse("kind", "be yardstick")
        for field in ("train_rows", "judge_rows"):
            if getattr(self, field) < 1000:
                refuse(field, "be at least 1000 bars")
        for field in ("signal", "cost"):
            if not 0 <= getattr(self, field) < float("inf"):
                refuse(field, "not be negative")
        if not 0 < self.noise < float("inf"):
            refuse("noise", "be positive")
        if not 0 <= self.persistence < 1:
            refuse("persistence", "lie in [0, 1)")
        if self.distractors < 0:
            refuse("distractors", "not be negative")
        if not 0 <= self.distractor_low <= self.distractor_high < 1:
            refuse("distractor_high", "lie in [distractor_low, 1)")
        if self.ticks_per_unit < 100 or abs(self.cost * self.ticks_per_unit % 1) > 1e-9:
            refuse("ticks_per_unit", "be at least 100 and make the cost a whole number of ticks")
