"""Settings of the market whose signal only order flow betrays; conf/source/yardstick_hidden.yaml makes one."""

from dataclasses import dataclass

from mia.source.world_checks import check_kind, check_not_negative, check_positive, check_rows, check_ticks, refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenSettings:
    """The yardstick's market with its signal hidden in signed volume.

    Parameters
    ----------
    name : option name
    kind : which source this is; "yardstick_hidden"
    fit_rows : first bars, on which fitted features and the regime model are fitted; nothing is learned or judged there
    train_rows, judge_rows : bars after them to learn from, and after those to be judged on [bars], >= 1000 each
    signal : part of a bar's return the signal explains [units per signal deviation], >= 0
    persistence : correlation of the signal from one bar to the next, in [0, 1)
    noise : deviation of a bar's return around what the signal explains [units], > 0
    cost : price of trading one contract on one side [units], >= 0
    flow_gain : imbalance of a bar's volume that one deviation of the signal makes [share of the volume], > 0
    flow_noise : deviation of the imbalance around it [share of the volume], > 0
    volume : median volume of a bar [contracts], >= 100: whole contracts must be able to show the imbalance
    volume_spread : deviation of the volume's logarithm, which says nothing
    session_bars : bars of a session, >= 60
    ticks_per_unit : ticks of the synthetic contract that make one unit

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    name: str
    kind: str
    fit_rows: int
    train_rows: int
    judge_rows: int
    signal: float
    persistence: float
    noise: float
    cost: float
    flow_gain: float
    flow_noise: float
    volume: int
    volume_spread: float
    session_bars: int
    ticks_per_unit: int

    def __post_init__(self) -> None:
        check_kind(self, "yardstick_hidden")
        check_rows(self, "fit_rows", "train_rows", "judge_rows")
        check_not_negative(self, "signal", "cost", "volume_spread")
        check_positive(self, "noise", "flow_gain", "flow_noise")
        if not 0 <= self.persistence < 1:
            refuse(self, "persistence", "lie in [0, 1)")
        if (self.flow_gain**2 + self.flow_noise**2) ** 0.5 > 0.25:
            refuse(self, "flow_noise", "leave the imbalance within +-1 at four deviations, gain included")
        if self.volume < 100:
            refuse(self, "volume", "be at least 100 contracts")
        if not 60 <= self.session_bars <= 1380:
            refuse(self, "session_bars", "lie between 60 and 1380")
        check_ticks(self, least=10)
