"""Settings of the simulated market; conf/source/simulated.yaml makes one."""

import datetime as dt
import math
from dataclasses import dataclass, fields

from mia.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketScale:
    """Size of moves and queues of one market.

    Parameters
    ----------
    market : market name
    minute_sd_ticks : deviation of a one-minute return over a full session [ticks], > 0
    jump_ticks : mean number of ticks one aggressive order sweeps, 1-20
    occupancy : share of price levels that hold orders, in (0, 1]
    queue_lots : typical size of a best queue in a full regular hour [contracts], >= 2
    """

    market: str
    minute_sd_ticks: float
    jump_ticks: float
    occupancy: float
    queue_lots: float

    def __post_init__(self) -> None:
        for name, low, high in (
            ("minute_sd_ticks", 0.1, 1000),
            ("jump_ticks", 1, 20),
            ("occupancy", 0.3, 1),
            ("queue_lots", 2, 1000),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigurationError(
                    f"source simulated: {name} of {self.market} must lie in [{low}, {high}], "
                    f"was {getattr(self, name)!r}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedSettings:
    """An order-book market made up from a seed. Triples are in the order trend, range, defensive.

    Parameters
    ----------
    name, kind : option name; "simulated"
    start : first trade date, ISO
    sessions : number of sessions, >= 1
    bar_minutes : length of a bar [minutes], >= 1
    hours : "globex" or "rth"
    alpha : deviation of the expected one-minute return over that of the return, in [0, 1]; 0 = null market
    signal_half_life_minutes, range_half_life_minutes : memory of the hidden signal in trend and in range
    signal_weights : effect of the signal on price per regime, scaled so that `alpha` keeps its meaning
    flow_lean : how strongly order flow leans on alpha x signal; 0 hides the signal
    regime_minutes : mean stay in each regime [minutes]
    regime_variance, regime_depth, regime_activity : factors on variance, queue size, message rate
    slow_half_life_minutes, fast_half_life_minutes : memory of the two parts of log variance
    slow_sd, fast_sd : their deviations
    volatility_bp : one-minute deviation of markets without an entry in `scales` [basis points]
    scales : sizes per market
    events_per_minute : events aimed at, mean over a full session [1/minute]; more if price moves need more
    order_share : share of them that are market orders
    burst_branching : events that one order or price move sets off, in [0, 0.9]
    burst_decay_s : memory of bursts [s]
    gap_ms : mean time until a swept price level is resolved [ms]
    iceberg_share, fleeting_share, large_share : shares of orders with hidden size, cancelled < 500 ms, large
    overnight_gap_minutes : variance of the price gap between sessions [minutes of trading]
    vix_level : resting level [vol points]; vix_leverage : log VIX per log return; vix_noise : own noise,
        as share of the leverage part
    pair_correlation : of one-minute returns with the partner; pair_beta : partner's relative volatility
    pair_level_ticks, spy_level : starting levels [ticks], [USD]

    Raises
    ------
    ConfigurationError : naming the field, its value and the range it must lie in.
    """

    name: str
    kind: str
    start: str
    sessions: int
    bar_minutes: int
    hours: str
    alpha: float
    signal_half_life_minutes: float
    range_half_life_minutes: float
    signal_weights: tuple[float, float, float]
    flow_lean: float
    regime_minutes: tuple[float, float, float]
    regime_variance: tuple[float, float, float]
    regime_depth: tuple[float, float, float]
    regime_activity: tuple[float, float, float]
    slow_half_life_minutes: float
    slow_sd: float
    fast_half_life_minutes: float
    fast_sd: float
    volatility_bp: float
    scales: tuple[MarketScale, ...]
    events_per_minute: float
    order_share: float
    burst_branching: float
    burst_decay_s: float
    gap_ms: float
    iceberg_share: float
    fleeting_share: float
    large_share: float
    overnight_gap_minutes: float
    vix_level: float
    vix_leverage: float
    vix_noise: float
    pair_correlation: float
    pair_beta: float
    pair_level_ticks: float
    spy_level: float

    def __post_init__(self) -> None:
        if self.kind != "simulated":
            self._refuse("kind", "be simulated")
        if self.hours not in ("globex", "rth"):
            self._refuse("hours", "be globex or rth")
        try:
            dt.date.fromisoformat(self.start)
        except (TypeError, ValueError):
            self._refuse("start", "be a date like 2025-01-06")
        for field, (low, high) in _RANGES.items():
            value = getattr(self, field)
            for number in value if isinstance(value, tuple) else (value,):
                if not (math.isfinite(number) and low <= number <= high):
                    self._refuse(field, f"lie in [{low:g}, {high:g}]")
        for field in (
            "signal_weights",
            "regime_minutes",
            "regime_variance",
            "regime_depth",
            "regime_activity",
        ):
            if len(getattr(self, field)) != 3:
                self._refuse(field, "have three values: trend, range, defensive")
        if not any(self.signal_weights):
            self._refuse("signal_weights", "have a value that is not zero")

    def _refuse(self, field: str, needed: str) -> None:
        raise ConfigurationError(
            f"source {self.name}: {field} must {needed}, was {getattr(self, field)!r}; "
            f"correct it in conf/source/{self.name}.yaml"
        )


_RANGES: dict[str, tuple[float, float]] = {
    "sessions": (1, 100_000),
    "bar_minutes": (1, 1440),
    "alpha": (0, 1),
    "signal_half_life_minutes": (1, 1e5),
    "range_half_life_minutes": (0.5, 1e5),
    "signal_weights": (-10, 10),
    "flow_lean": (0, 100),
    "regime_minutes": (2, 1e6),
    "regime_variance": (0.05, 20),
    "regime_depth": (0.05, 20),
    "regime_activity": (0.05, 20),
    "slow_half_life_minutes": (1, 1e6),
    "slow_sd": (0, 1.5),
    "fast_half_life_minutes": (1, 1e6),
    "fast_sd": (0, 1.5),
    "volatility_bp": (0.1, 100),
    "events_per_minute": (20, 5000),
    "order_share": (0.02, 0.25),
    "burst_branching": (0, 0.9),
    "burst_decay_s": (0.1, 600),
    "gap_ms": (0.1, 200),
    "iceberg_share": (0, 0.5),
    "fleeting_share": (0, 0.5),
    "large_share": (0, 0.1),
    "overnight_gap_minutes": (0, 1e4),
    "vix_level": (5, 80),
    "vix_leverage": (0, 20),
    "vix_noise": (0, 5),
    "pair_correlation": (0.05, 0.999),
    "pair_beta": (0.1, 5),
    "pair_level_ticks": (1000, 1e6),
    "spy_level": (10, 1e5),
}
assert set(_RANGES) <= {field.name for field in fields(SimulatedSettings)}  # noqa: S101
