"""Settings of the market with a limit on the risk of an episode; conf/source/cmdp.yaml makes one."""

from dataclasses import dataclass

from mia.source.world_checks import check_kind, check_not_negative, check_positive, check_rows, check_ticks, refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class CmdpSettings:
    """Short sessions with one risky bar each, and how much of the worst sessions may be lost.

    Parameters
    ----------
    name : option name
    kind : which source this is; "cmdp"
    train_sessions, judge_sessions : sessions to learn from and fresh sessions to be judged on, >= 200
    levels : kinds of risk, equally likely, from mild to wild, >= 2
    crash_probability : share of the sessions whose risky bar goes against its holder, in (0, 1)
    crash_low, crash_high : lost then, at the mildest and wildest level [units], > 0
    gain_low, gain_high : expected gain of holding the risky bar, at the mildest and wildest level [units]
    drifts : certain gains of holding each of the other bars, equally likely [units a bar], > 0
    cost : price of trading one contract on one side [units], >= 0
    alpha : level of the conditional value at risk, in (0, 1); 0.95 averages the worst twentieth of the sessions
    limit : most that average may be [units lost a session], > 0
    ticks_per_unit : ticks of the synthetic contract that make one unit

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    name: str
    kind: str
    train_sessions: int
    judge_sessions: int
    levels: int
    crash_probability: float
    crash_low: float
    crash_high: float
    gain_low: float
    gain_high: float
    drifts: tuple[float, ...]
    cost: float
    alpha: float
    limit: float
    ticks_per_unit: int

    def __post_init__(self) -> None:
        check_kind(self, "cmdp")
        check_rows(self, "train_sessions", "judge_sessions", least=200)
        if self.levels < 2:
            refuse(self, "levels", "be at least 2")
        for field in ("crash_probability", "alpha"):
            if not 0 < getattr(self, field) < 1:
                refuse(self, field, "lie in (0, 1)")
        check_positive(self, "crash_low", "gain_low", "limit")
        if not self.crash_low <= self.crash_high < float("inf"):
            refuse(self, "crash_high", "not be less than crash_low")
        if not self.gain_low <= self.gain_high < float("inf"):
            refuse(self, "gain_high", "not be less than gain_low")
        if not self.drifts or not 0 < min(self.drifts) <= max(self.drifts) < float("inf"):
            refuse(self, "drifts", "name positive gains")
        check_not_negative(self, "cost")
        check_ticks(self)
