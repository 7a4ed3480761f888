"""Settings of how results are judged (conf/evaluation), cross-validated (conf/cpcv), side by side (conf/compare)."""

from dataclasses import dataclass
from math import comb

from mia.domain.errors import ConfigurationError

SCHEMES = ("anchored", "rolling")


def _refuse(option: str, field: str, value: object, needed: str) -> None:
    raise ConfigurationError(
        f"evaluation {option}: {field} must {needed}, was {value!r}; correct it in conf/evaluation"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineSettings:
    """Rules of the baselines every result is shown beside.

    Parameters
    ----------
    sma_bar_minutes, sma_fast, sma_slow : for bars of that length [minutes] the two averages [bars]; the entry
        with the largest length not above the run's is used
    rsi_window : Wilder smoothing [bars]
    rsi_low, rsi_high, rsi_exit : long below, short above, out at
    ridge_penalty : penalty per training row on standardised columns
    ridge_horizon_bars : the ridge predicts the price change over this many bars
    ridge_validation_share : last share of the training fold on which its threshold is chosen
    ridge_thresholds : how many thresholds are tried, beside never trading
    """

    sma_bar_minutes: tuple[int, ...]
    sma_fast: tuple[int, ...]
    sma_slow: tuple[int, ...]
    rsi_window: int
    rsi_low: float
    rsi_high: float
    rsi_exit: float
    ridge_penalty: float
    ridge_horizon_bars: int
    ridge_validation_share: float
    ridge_thresholds: int

    def __post_init__(self) -> None:
        option = "baselines"
        if not self.sma_bar_minutes or len({len(self.sma_bar_minutes), len(self.sma_fast), len(self.sma_slow)}) > 1:
            _refuse(
                option,
                "sma_bar_minutes",
                self.sma_bar_minutes,
                "have as many entries as sma_fast and sma_slow",
            )
        for fast, slow in zip(self.sma_fast, self.sma_slow, strict=True):
            if not 1 <= fast < slow:
                _refuse(option, "sma_fast", fast, f"lie between 1 and its sma_slow ({slow})")
        if self.rsi_window < 2:
            _refuse(option, "rsi_window", self.rsi_window, "be at least 2 bars")
        if not 0 <= self.rsi_low < self.rsi_exit < self.rsi_high <= 100:
            _refuse(option, "rsi_exit", self.rsi_exit, "lie between rsi_low and rsi_high, all within 0 to 100")
        if not self.ridge_penalty > 0:
            _refuse(option, "ridge_penalty", self.ridge_penalty, "be positive")
        if self.ridge_horizon_bars < 1:
            _refuse(option, "ridge_horizon_bars", self.ridge_horizon_bars, "be at least 1 bar")
        if not 0 < self.ridge_validation_share < 1:
            _refuse(option, "ridge_validation_share", self.ridge_validation_share, "lie between 0 and 1")
        if self.ridge_thresholds < 1:
            _refuse(option, "ridge_thresholds", self.ridge_thresholds, "be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSettings:
    """Folds, intervals and the bar a result must clear to be called skill.

    Parameters
    ----------
    name : option name
    scheme : "anchored" (training starts at the first session) or "rolling" (training length stays fixed)
    n_folds : folds
    min_train_sessions : least sessions of training before the first test session
    min_train_share : least share of the usable sessions before the first test session, in [0, 1)
    warmup_sessions : first sessions left out, in which features and scalers are not warm yet
    purge_bars : label horizon; so many bars before each test are not trained on [bars]
    embargo_bars : further gap between training and test [bars]
    bootstrap_samples : resamples of every interval and p-value
    confidence : coverage of intervals, e.g. 0.95
    dsr_threshold : least deflated Sharpe ratio of skill [probability]
    baseline_p : largest p-value against the best baseline of skill
    min_trades : with fewer sides than this nothing can be told
    baselines : rules of the baselines
    """

    name: str
    scheme: str
    n_folds: int
    min_train_sessions: int
    min_train_share: float
    warmup_sessions: int
    purge_bars: int
    embargo_bars: int
    bootstrap_samples: int
    confidence: float
    dsr_threshold: float
    baseline_p: float
    min_trades: int
    baselines: BaselineSettings

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            _refuse(self.name, "scheme", self.scheme, f"be one of {', '.join(SCHEMES)}")
        for field in ("n_folds", "min_train_sessions", "min_trades"):
            if getattr(self, field) < 1:
                _refuse(self.name, field, getattr(self, field), "be at least 1")
        for field in ("warmup_sessions", "purge_bars", "embargo_bars"):
            if getattr(self, field) < 0:
                _refuse(self.name, field, getattr(self, field), "not be negative")
        if not 0 <= self.min_train_share < 1:
            _refuse(self.name, "min_train_share", self.min_train_share, "lie between 0 and 1")
        if self.bootstrap_samples < 100:
            _refuse(self.name, "bootstrap_samples", self.bootstrap_samples, "be at least 100")
        for field in ("confidence", "dsr_threshold", "baseline_p"):
            if not 0 < getattr(self, field) < 1:
                _refuse(self.name, field, getattr(self, field), "lie between 0 and 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class CpcvSettings:
    """How task=cpcv cuts the sessions; conf/cpcv/<option>.yaml makes one. Purge and embargo are evaluation's.

    Parameters
    ----------
    name : option name
    groups : groups of whole sessions
    chosen : groups tested at a time; C(groups, chosen) policies are trained
    min_train_sessions : least sessions any of them learns from
    most_splits : more trainings than this are taken for a mistake
    """

    name: str
    groups: int
    chosen: int
    min_train_sessions: int
    most_splits: int

    def __post_init__(self) -> None:
        if self.groups < 2:
            self._refuse("groups", "be at least 2")
        if not 1 <= self.chosen < self.groups:
            self._refuse("chosen", f"lie between 1 and {self.groups - 1}, one less than cpcv.groups")
        if self.min_train_sessions < 1:
            self._refuse("min_train_sessions", "be at least 1")
        if comb(self.groups, self.chosen) > self.most_splits:
            trained = f"{self.chosen} of {self.groups} groups train {comb(self.groups, self.chosen)} policies"
            self._refuse("most_splits", f"be at least that many ({trained})")

    def _refuse(self, field: str, needed: str) -> None:
        raise ConfigurationError(
            f"cpcv {self.name}: {field} must {needed}, was {getattr(self, field)!r}; correct cpcv.{field}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSettings:
    """Which runs task=compare takes and how it sets them side by side; conf/compare/<option>.yaml makes one.

    Parameters
    ----------
    name : option name
    runs : folders, files or glob patterns that hold summary.json; empty takes all runs below outputs/runs
    by : what makes a group: a group of conf/ or a key, e.g. "algo" or "algo.network"; several joined with "+"
    metric : "auto", a short name of `mia.task.compare_runs.METRICS`, or a dotted key of summary.json; larger is
        better unless a minus stands before it
    least_seeds : with fewer runs than this in a stratum nothing is claimed
    blocks : blocks of days for the probability of backtest overfitting, even
    pbo_limit : largest such probability of skill
    """

    name: str
    runs: tuple[str, ...]
    by: str
    metric: str
    least_seeds: int
    blocks: int
    pbo_limit: float

    def __post_init__(self) -> None:
        if not self.by or not all(part.strip() for part in self.by.split("+")):
            self._refuse("by", "name a key such as algo, several joined with +")
        if not self.metric.removeprefix("-"):
            self._refuse("metric", "be auto or name a key of summary.json")
        if self.least_seeds < 2:
            self._refuse("least_seeds", "be at least 2")
        if not 4 <= self.blocks <= 20 or self.blocks % 2:
            self._refuse("blocks", "be even and lie between 4 and 20")
        if not 0 < self.pbo_limit < 1:
            self._refuse("pbo_limit", "lie between 0 and 1")

    def _refuse(self, field: str, needed: str) -> None:
        raise ConfigurationError(
            f"compare {self.name}: {field} must {needed}, was {getattr(self, field)!r}; correct compare.{field}"
        )
