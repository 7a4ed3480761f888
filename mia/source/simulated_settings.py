"""Settings of the simulated market; conf/source/simulated.yaml makes one."""

import datetime as dt
import math
from dataclasses import dataclass, fields
from typing import Any

from mia.domain.errors import ConfigurationError

COMPANIONS = ("rty", "zn", "dxy", "cl", "gc")
RELEASES = ("FOMC", "CPI", "NFP", "ISM_MANUFACTURING", "ISM_SERVICES")
"""Scheduled figures in the order of the values that `cal.event_code` takes, from 1 on."""


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
class Companion:
    """One other market that moves with the simulated one.

    Parameters
    ----------
    series : rty, zn, dxy, cl or gc
    level : starting price [its points], > 0
    tick : its smallest price step [its points], > 0
    volatility : deviation of its minutes over that of the market's, in [0.01, 10]
    correlation : of its minutes with the market's while the volatility index rests, in [-1, 1]
    stress : added to that when the index stands half above its resting level, in [-1, 1]
    """

    series: str
    level: float
    tick: float
    volatility: float
    correlation: float
    stress: float

    def __post_init__(self) -> None:
        if self.series not in COMPANIONS:
            raise ConfigurationError(
                f"source simulated: a companion must be one of {', '.join(COMPANIONS)}, was {self.series!r}"
            )
        _check(
            self,
            f"of companion {self.series}",
            level=(1e-3, 1e7),
            tick=(1e-6, 1e4),
            volatility=(0.01, 10),
            correlation=(-1, 1),
            stress=(-1, 1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionTerms:
    """Options that are listed on one market.

    Parameters
    ----------
    market : market name
    multiplier : value of one point of one option [USD], > 0
    spacings : distances between strikes from the finest to the coarsest [points], at least five, each > 0
    """

    market: str
    multiplier: float
    spacings: tuple[float, ...]

    def __post_init__(self) -> None:
        _check(self, f"of options on {self.market}", multiplier=(1e-3, 1e6), spacings=(1e-6, 1e6))
        if len(self.spacings) < 5 or list(self.spacings) != sorted(set(self.spacings)):
            raise ConfigurationError(
                f"source simulated: spacings of options on {self.market} must be five or more, rising, "
                f"was {self.spacings!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseTerms:
    """One scheduled figure.

    Parameters
    ----------
    event : FOMC, CPI, NFP, ISM_MANUFACTURING or ISM_SERVICES
    level : what it is expected to be on average [its unit]
    spread : deviation of the expectation between releases [its unit]
    deviation : deviation of past surprises [its unit], > 0
    step : it is published in multiples of this [its unit], > 0
    """

    event: str
    level: float
    spread: float
    deviation: float
    step: float

    def __post_init__(self) -> None:
        if self.event not in RELEASES:
            raise ConfigurationError(
                f"source simulated: a release must be one of {', '.join(RELEASES)}, was {self.event!r}"
            )
        _check(
            self,
            f"of release {self.event}",
            level=(-1e9, 1e9),
            spread=(0, 1e9),
            deviation=(1e-9, 1e9),
            step=(1e-9, 1e9),
        )


def _check(of: Any, what: str, **ranges: tuple[float, float]) -> None:
    """Refuse numbers outside their ranges, in one line."""
    for field, (low, high) in ranges.items():
        value = getattr(of, field)
        for number in value if isinstance(value, tuple) else (value,):
            if not (math.isfinite(number) and low <= number <= high):
                raise ConfigurationError(
                    f"source simulated: {field} {what} must lie in [{low:g}, {high:g}], was {value!r}"
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
    cross_assets : whether other markets are seen at all
    companions : the other futures; all of `COMPANIONS`, in that order
    vix3m_premium : three-month over thirty-day index at rest [ratio]
    vix3m_response, vvix_response : how far they follow the log of the index
    vvix_level : resting level [vol points]; index_noise : deviation of the own log part of both
    yields : ten-year and two-year at the start [per cent]; note_duration : price per yield of the note [years]
    yield_delay_minutes : from the regular close to the publication of the day's yields [minutes]
    nyse_tick_scale : its deviation [issues]
    pair_flow_scale : deviation of the partner's order-flow imbalance [multiples of its mean depth]
    pair_flow_share : its correlation with the partner's return of the same minute
    pair_flow_lead : how strongly it leans on the return expected from the hidden state; nothing if `alpha` is 0
    chain_minutes : time between snapshots of the options chain [minutes], 0: no options
    option_terms : options per market; others are derived from price
    option_tick : smallest price step of an option [points]
    option_days : farthest monthly expiry [days]
    interest_rate, dividend_yield : continuously compounded [1/year]
    implied_over_realised : volatility at the forward, 30 days, over the market's own, the index at rest [ratio]
    smile_correlation, smile_width : mean slope and opening of the smile (rho and eta of Gatheral, Jacquier)
    smile_noise : deviation of the smile's own movements [relative]
    option_open_interest : at a round strike near the price [contracts]
    option_volume : contracts per session
    option_spread : relative bid-ask spread near the price [ratio]
    news_per_hour : headlines, mean over a session [1/hour], 0: no news
    news_follows : how strongly their tone follows the last half hour's return [ratio]
    news_burst : rise of their rate right after an economic event [ratio]
    news_repeat_share, news_backdated_share : shares that repeat an earlier one, that carry an earlier time
    releases : scheduled figures, empty: none

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
    cross_assets: bool
    companions: tuple[Companion, ...]
    vix3m_premium: float
    vix3m_response: float
    vvix_level: float
    vvix_response: float
    index_noise: float
    yields: tuple[float, float]
    note_duration: float
    yield_delay_minutes: int
    nyse_tick_scale: float
    pair_flow_scale: float
    pair_flow_share: float
    pair_flow_lead: float
    chain_minutes: int
    option_terms: tuple[OptionTerms, ...]
    option_tick: float
    option_days: int
    interest_rate: float
    dividend_yield: float
    implied_over_realised: float
    smile_correlation: float
    smile_width: float
    smile_noise: float
    option_open_interest: float
    option_volume: float
    option_spread: float
    news_per_hour: float
    news_follows: float
    news_burst: float
    news_repeat_share: float
    news_backdated_share: float
    releases: tuple[ReleaseTerms, ...]

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
        if tuple(companion.series for companion in self.companions) != COMPANIONS:
            self._refuse("companions", f"be {', '.join(COMPANIONS)} in this order")
        if len(self.yields) != 2:
            self._refuse("yields", "have two values: ten years, two years")
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
    "vix3m_premium": (0.5, 2),
    "vix3m_response": (0, 0.95),
    "vvix_level": (20, 300),
    "vvix_response": (0, 2),
    "index_noise": (0, 0.2),
    "yields": (-1, 20),
    "note_duration": (1, 30),
    "yield_delay_minutes": (1, 1440),
    "nyse_tick_scale": (10, 1000),
    "pair_flow_scale": (0.01, 1000),
    "pair_flow_share": (0, 0.99),
    "pair_flow_lead": (0, 20),
    "chain_minutes": (0, 1440),
    "option_tick": (1e-4, 100),
    "option_days": (35, 400),
    "interest_rate": (-0.05, 0.3),
    "dividend_yield": (0, 0.3),
    "implied_over_realised": (0.3, 5),
    "smile_correlation": (-0.85, 0),
    "smile_width": (0.1, 1.2),
    "smile_noise": (0, 0.2),
    "option_open_interest": (1, 1e6),
    "option_volume": (0, 1e8),
    "option_spread": (0, 0.5),
    "news_per_hour": (0, 60),
    "news_follows": (0, 10),
    "news_burst": (0, 50),
    "news_repeat_share": (0, 0.9),
    "news_backdated_share": (0, 0.9),
}
assert set(_RANGES) <= {field.name for field in fields(SimulatedSettings)}  # noqa: S101
