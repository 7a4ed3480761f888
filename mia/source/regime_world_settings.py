"""Settings of the market with a known chain of regimes; conf/source/regime_market.yaml makes one."""

from dataclasses import dataclass

from mia.source.world_checks import check_kind, check_not_negative, check_positive, check_rows, check_ticks, refuse

STATES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeWorldSettings:
    """A hidden chain of three states, what each shows, and where the price goes in it.

    Parameters
    ----------
    name : option name
    kind : which source this is; "regime_market"
    train_rows, judge_rows : bars to learn from and fresh bars to be judged on [bars], >= 1000
    transition : (3, 3) probability from state (row) to state (column), in the order trend, range, defensive
    means, deviations : (3, F) what each state shows in each observed column: independent Gaussians [deviations]
    drift : (3,) expected return of a bar in each state [units]
    noise : deviation of a bar's return around it [units], > 0
    cost : price of trading one contract on one side [units], >= 0
    refits : times the regime model is fitted again to see whether its names stay, >= 1
    grid : steps of the belief on each side of the simplex for the dynamic program, >= 4
    ticks_per_unit : ticks of the synthetic contract that make one unit; large, so that rounding is negligible

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    name: str
    kind: str
    train_rows: int
    judge_rows: int
    transition: tuple[tuple[float, ...], ...]
    means: tuple[tuple[float, ...], ...]
    deviations: tuple[tuple[float, ...], ...]
    drift: tuple[float, ...]
    noise: float
    cost: float
    refits: int
    grid: int
    ticks_per_unit: int

    def __post_init__(self) -> None:
        check_kind(self, "regime_market")
        check_rows(self, "train_rows", "judge_rows")
        if len(self.transition) != STATES or any(
            len(row) != STATES or min(row) <= 0 or abs(sum(row) - 1) > 1e-9 for row in self.transition
        ):
            refuse(self, "transition", f"be {STATES} rows of {STATES} positive probabilities that sum to 1")
        for field in ("means", "deviations"):
            rows = getattr(self, field)
            if len(rows) != STATES or len({len(row) for row in (*self.means, *rows)}) != 1 or not rows[0]:
                refuse(self, field, f"be {STATES} rows, all as long as those of means")
        if min(min(row) for row in self.deviations) <= 0:
            refuse(self, "deviations", "be positive")
        if len(self.drift) != STATES:
            refuse(self, "drift", f"name {STATES} returns")
        check_positive(self, "noise")
        check_not_negative(self, "cost")
        if self.refits < 1:
            refuse(self, "refits", "be at least 1")
        if not 4 <= self.grid <= 200:
            refuse(self, "grid", "lie between 4 and 200")
        check_ticks(self)

    @property
    def columns(self) -> int:
        """Observed columns F."""
        return len(self.means[0])
