"""Settings of the option metrics: conf/options/*.yaml."""

from dataclasses import dataclass

from mia.domain.errors import ConfigurationError

DEALER_SIGNS = ("naive", "short_all", "flow")
VOL_DYNAMICS = ("sticky_strike", "sticky_moneyness")
LEVEL_MAPS = ("basis", "ratio")
GRID_TENORS, GRID_WINGS = 3, 2

_ASSUMPTIONS = {
    "naive": "dealers are assumed long every call and short every put (naive)",
    "short_all": "dealers are assumed short every option (short_all)",
    "flow": "dealers are assumed to hold the other side of what customers were seen to trade, "
    "long calls and short puts until enough was seen (flow)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionsSettings:
    """How a chain becomes a row of base series.

    Parameters
    ----------
    name : option in conf/options
    dealer_sign : assumed position of dealers: "naive" (long calls, short puts), "short_all" or "flow"
    flow_prior_contracts : with "flow", weight of the naive guess [contracts]
    flow_max_gap_minutes : volume of an option not seen for longer is not signed [minutes]
    max_age_minutes : how long a chain is used after it was known [minutes]
    min_minutes : floor of the time to expiry [minutes]
    year_days : calendar days in a year of time to expiry [days]
    quote_tick : price step of the options [points]
    max_relative_spread : quotes with a wider spread are dropped [share of the mid]
    forward_strikes : strikes whose put-call parity gives a missing forward [count]
    smile_reach_sd : strikes that shape the smile [deviations at expiry]
    smile_min_strikes : least strikes for a curved smile [count], >= 4
    extrapolation_days, extrapolation_ratio : outside the listed expiries the nearest smile holds this far [days], or
        up to this ratio of times (>= 1), whichever is farther
    grid_tenors_days : three tenors of the volatility grid [days]
    grid_deltas : two deltas of its wings, rising, in (0, 0.5)
    zero_dte_hours : expiring within this is expiring today [hours]
    near_share, zones_reach : distance of strikes from the forward for gamma_near and zones [ratio]
    wall_days, concentration_days : farthest expiry for walls and for the concentration of open interest [days]
    wall_hysteresis : a wall moves only for this much more gamma [ratio]
    key_separation : least distance of key strikes [listed strikes]
    zones_least_share : strikes with less of the greatest gamma than this count in no zone, in [0, 1)
    max_zones : cap of the zones [count]
    grid_reach, grid_points : prices at which gamma is computed again: +- log distance, and how many (>= 300)
    vol_dynamics : volatility of a strike while the price moves: "sticky_strike" or "sticky_moneyness"
    level_map : how levels of the chain become prices of the market: "basis" (added) or "ratio" (multiplied)

    Raises
    ------
    ConfigurationError : naming the setting, its value and the remedy.
    """

    name: str
    dealer_sign: str
    flow_prior_contracts: float
    flow_max_gap_minutes: float
    max_age_minutes: float
    min_minutes: float
    year_days: float
    quote_tick: float
    max_relative_spread: float
    forward_strikes: int
    smile_reach_sd: float
    smile_min_strikes: int
    extrapolation_days: float
    extrapolation_ratio: float
    grid_tenors_days: tuple[float, ...]
    grid_deltas: tuple[float, ...]
    zero_dte_hours: float
    near_share: float
    wall_days: float
    wall_hysteresis: float
    concentration_days: float
    key_separation: int
    zones_reach: float
    zones_least_share: float
    max_zones: int
    grid_reach: float
    grid_points: int
    vol_dynamics: str
    level_map: str

    def __post_init__(self) -> None:
        def refuse(field: str, needed: str) -> None:
            raise ConfigurationError(
                f"options.{field} must {needed}, was {getattr(self, field)!r}; "
                f"correct it in conf/options/{self.name}.yaml"
            )

        for field, known in (
            ("dealer_sign", DEALER_SIGNS),
            ("vol_dynamics", VOL_DYNAMICS),
            ("level_map", LEVEL_MAPS),
        ):
            if getattr(self, field) not in known:
                refuse(field, f"be one of {', '.join(known)}")
        for field in (
            "flow_prior_contracts",
            "flow_max_gap_minutes",
            "max_age_minutes",
            "min_minutes",
            "year_days",
            "quote_tick",
            "max_relative_spread",
            "smile_reach_sd",
            "zero_dte_hours",
            "near_share",
            "wall_days",
            "concentration_days",
            "zones_reach",
            "grid_reach",
        ):
            if not 0 < getattr(self, field) < float("inf"):
                refuse(field, "be positive")
        for field in ("forward_strikes", "key_separation", "max_zones"):
            if getattr(self, field) < 1:
                refuse(field, "be at least 1")
        if self.smile_min_strikes < 4:
            refuse("smile_min_strikes", "be at least 4")
        if not 1 <= self.extrapolation_ratio < float("inf"):
            refuse("extrapolation_ratio", "be at least 1")
        for field in ("extrapolation_days", "wall_hysteresis"):
            if not 0 <= getattr(self, field) < float("inf"):
                refuse(field, "not be negative")
        if not 0 <= self.zones_least_share < 1:
            refuse("zones_least_share", "lie in [0, 1)")
        if self.grid_points < 300:
            refuse("grid_points", "be at least 300")
        tenors, deltas = self.grid_tenors_days, self.grid_deltas
        if len(tenors) != GRID_TENORS or min(tenors) <= 0 or tuple(sorted(set(tenors))) != tuple(tenors):
            refuse("grid_tenors_days", "name three positive tenors, rising")
        if len(deltas) != GRID_WINGS or not 0 < deltas[0] < deltas[1] < 0.5:
            refuse("grid_deltas", "name two deltas in (0, 0.5), rising")

    def describe(self) -> str:
        """Say in one sentence what was assumed about dealers; reports print it beside the figures."""
        vol = {"sticky_strike": "each strike keeps its volatility", "sticky_moneyness": "the smile moves along"}
        return (
            f"Options: {_ASSUMPTIONS[self.dealer_sign]}; gamma levels assume that {vol[self.vol_dynamics]} "
            f"while the price moves ({self.vol_dynamics}). Nobody publishes dealers' books: these are assumptions."
        )
