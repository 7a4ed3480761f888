"""What one contract is worth and costs to trade, in whole cents: all the desk needs to know of a broker."""

import math
from dataclasses import dataclass

from mia.broker.settings import FillModel
from mia.domain.errors import ConfigurationError
from mia.domain.market import Market


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Integer money terms of one contract.

    Parameters
    ----------
    tick_value_cents : value of one tick [cents], > 0
    side_cost_cents : commission and price concession of one side [cents], >= 0

    Raises
    ------
    ConfigurationError : if a term is not a whole number of cents in its range.
    """

    tick_value_cents: int
    side_cost_cents: int

    def __post_init__(self) -> None:
        if int(self.tick_value_cents) != self.tick_value_cents or self.tick_value_cents < 1:
            raise ConfigurationError(f"terms: tick_value_cents must be whole and positive, was {self.tick_value_cents}")
        if int(self.side_cost_cents) != self.side_cost_cents or self.side_cost_cents < 0:
            raise ConfigurationError(
                f"terms: side_cost_cents must be whole and not negative, was {self.side_cost_cents}; "
                "correct the fill model"
            )


def terms(market: Market, fill_model: FillModel) -> Terms:
    """Return the terms of `market` under `fill_model`; fractions of a cent round up, never in our favour."""
    concession = -(-market.tick_value_cents * fill_model.concession_half_ticks // 2)
    # The tiny allowance keeps 2.25 x 100 x 1.0 from rounding up because of a float's last bit.
    commission = math.ceil(market.commission_round_turn * 50 * fill_model.commission_factor - 1e-9)
    return Terms(tick_value_cents=market.tick_value_cents, side_cost_cents=concession + commission)
