"""Settings of the regime model; conf/regime/<option>.yaml makes one."""

from dataclasses import dataclass

from mia.domain.errors import ConfigurationError

TREND_RULES = ("level", "drift")


@dataclass(frozen=True, slots=True, kw_only=True)
class HmmSettings:
    """How the hidden Markov model is fitted and its states are named.

    Parameters
    ----------
    name : option name
    inputs : feature columns of the scaled view, the volatility input first
    trend_input : the input that tells trend from range; one of `inputs`
    trend_rule : "level" (trend = larger mean of `trend_input`, e.g. an efficiency ratio) or
        "drift" (trend = larger |mean| / deviation, e.g. a return)
    trend_margin : the trend input tells the two states apart only if they differ by so many of its deviations
        within a state; else the more volatile of the two is called trend
    starts : EM starts, the first from volatility terciles, the others jittered around it
    start_jitter : deviation of the jitter of the start means [standard deviations of the input]
    start_iterations : EM iterations given to each start before the best one is continued
    max_iterations : EM iterations of the best start in all
    tolerance : stop when the log likelihood gains less than this [nats per row]
    sticky_bars : pseudo-observations of staying added to each state's diagonal [bars]
    max_rows : rows used for fitting; longer history is sampled in blocks [bars]
    block_rows : length of such a block [bars]
    min_variance : smallest variance of a state [squared standard deviations of the input]
    min_occupancy : a state with a smaller share of rows makes the fit a bad one

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    name: str
    inputs: tuple[str, ...]
    trend_input: str
    trend_rule: str
    trend_margin: float
    starts: int
    start_jitter: float
    start_iterations: int
    max_iterations: int
    tolerance: float
    sticky_bars: float
    max_rows: int
    block_rows: int
    min_variance: float
    min_occupancy: float

    def __post_init__(self) -> None:
        def refuse(field: str, needed: str) -> None:
            raise ConfigurationError(
                f"regime {self.name}: {field} must {needed}, was {getattr(self, field)!r}; "
                f"correct it in conf/regime/{self.name}.yaml"
            )

        if not self.inputs or len(set(self.inputs)) != len(self.inputs):
            refuse("inputs", "name at least one feature, each once")
        if self.trend_input not in self.inputs:
            refuse("trend_input", f"be one of the inputs {', '.join(self.inputs)}")
        if self.trend_rule not in TREND_RULES:
            refuse("trend_rule", f"be one of {', '.join(TREND_RULES)}")
        for field in ("starts", "start_iterations"):
            if getattr(self, field) < 1:
                refuse(field, "be at least 1")
        if self.max_iterations < self.start_iterations:
            refuse("max_iterations", "be at least start_iterations")
        for field in ("trend_margin", "start_jitter", "sticky_bars"):
            if not 0 <= getattr(self, field) < float("inf"):
                refuse(field, "not be negative")
        for field in ("tolerance", "min_variance"):
            if not 0 < getattr(self, field) < float("inf"):
                refuse(field, "be positive")
        if self.block_rows < 10:
            refuse("block_rows", "be at least 10 bars")
        if self.max_rows < self.block_rows:
            refuse("max_rows", "be at least block_rows")
        if not 0 <= self.min_occupancy < 1 / 3:
            refuse("min_occupancy", "lie in [0, 1/3)")
