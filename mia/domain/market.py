"""A futures contract as the system needs to know it; one YAML in conf/market makes one Market."""

import re
from dataclasses import dataclass

from mia.domain.errors import ConfigurationError

_NAME = re.compile(r"^[A-Z0-9]{1,8}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Contract terms and trading hours.

    Parameters
    ----------
    name : exchange root, capital letters and digits
    description : one line for people
    tick_size : smallest price step [points], > 0
    multiplier : value of one point [USD], > 0
    commission_round_turn : commission and fees for one contract in and out [USD], >= 0
    margin_initial, margin_intraday : overnight and day margin of one contract [USD], > 0
    calendar : name of the exchange calendar in pandas_market_calendars
    timezone : zone in which regular hours are declared
    rth_open, rth_close : regular trading hours, "HH:MM" in `timezone`
    roll_months : expiry months, 1-12
    round_step : distance between round numbers [points], > 0
    reference_price : price level the simulator starts from [points], > 0
    partner : market whose returns are the cross-asset partner

    Raises
    ------
    ConfigurationError : naming the market, the field, the value and the remedy.
    """

    name: str
    description: str
    tick_size: float
    multiplier: float
    commission_round_turn: float
    margin_initial: float
    margin_intraday: float
    calendar: str
    timezone: str
    rth_open: str
    rth_close: str
    roll_months: tuple[int, ...]
    round_step: float
    reference_price: float
    partner: str

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ConfigurationError(f"market name must be 1-8 capital letters or digits, was {self.name!r}")
        for field in ("tick_size", "multiplier", "margin_initial", "margin_intraday", "round_step", "reference_price"):
            value = getattr(self, field)
            if not 0 < value < float("inf"):
                raise ConfigurationError(
                    f"market {self.name}: {field} must be positive, was {value:g}; "
                    f"correct it in conf/market/{self.name}.yaml"
                )
        if not 0 <= self.commission_round_turn < float("inf"):
            raise ConfigurationError(
                f"market {self.name}: commission_round_turn must not be negative, was {self.commission_round_turn:g}"
            )
        cents = self.tick_size * self.multiplier * 100
        if abs(cents - round(cents)) > 1e-9 or round(cents) < 1:
            raise ConfigurationError(
                f"market {self.name}: one tick must be worth whole cents, was {cents:g} cents "
                f"(tick_size {self.tick_size:g} x multiplier {self.multiplier:g})"
            )

    @property
    def tick_value_cents(self) -> int:
        """Value of one tick of one contract [cents]."""
        return round(self.tick_size * self.multiplier * 100)
