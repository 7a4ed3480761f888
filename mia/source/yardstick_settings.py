"""Settings of the market whose best policy is known; conf/source/{yardstick,null_market}.yaml make them."""

from dataclasses import dataclass

from mia.source.world_checks import check_kind, check_not_negative, check_positive, check_rows, check_ticks, refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class YardstickSettings:
    """A made-up market with one true signal, and how much of it is drawn.

    Parameters
    ----------
    name : option name
    kind : which source this is: "yardstick", or "null_market", the same without its signal
    train_rows, judge_rows : bars to learn from and fresh bars to be judged on [bars], >= 1000
    signal : part of a bar's return the signal explains [units per signal deviation], >= 0. A null market's returns
        have none of it; it says by which yardstick's optimum the costs paid there are measured
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
        check_kind(self, "yardstick", "null_market")
        check_rows(self, "train_rows", "judge_rows")
        check_not_negative(self, "signal", "cost")
        check_positive(self, "noise")
        if not 0 <= self.persistence < 1:
            refuse(self, "persistence", "lie in [0, 1)")
        if self.distractors < 0:
            refuse(self, "distractors", "not be negative")
        if not 0 <= self.distractor_low <= self.distractor_high < 1:
            refuse(self, "distractor_high", "lie in [distractor_low, 1)")
        check_ticks(self)
