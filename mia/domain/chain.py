"""One snapshot of an options chain: what sources hand over and the option metrics read."""

from dataclasses import dataclass

import numpy as np

from mia.domain.errors import DataError

Array = np.ndarray

CALL, PUT = 1, -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chain:
    """N options on one underlying at one moment.

    Parameters
    ----------
    ts : when the quotes were taken [ns UTC]
    available_at : when the snapshot could be known [ns UTC], >= ts
    reference : price of the market that is traded, at ts [points]
    multiplier : value of one point of one option [USD]
    rate : continuously compounded interest rate [1/year]
    expiry : (N,) int64, settlement instant of each option [ns UTC]
    strike : (N,) float64 [points]
    right : (N,) int64, CALL or PUT
    forward : (N,) float64, forward of the underlying for each expiry [points]; NaN: take it from put-call parity
    bid, ask : (N,) float64 [points], NaN where there is no quote
    open_interest : (N,) float64 [contracts], as published; NaN unknown
    open_interest_at : when that open interest was published [ns UTC]; it must not lie after `available_at`
    volume : (N,) float64, contracts traded since the session began; NaN unknown

    Raises
    ------
    DataError : if lengths disagree, or something is known before it could be.
    """

    ts: int
    available_at: int
    reference: float
    multiplier: float
    rate: float
    expiry: Array
    strike: Array
    right: Array
    forward: Array
    bid: Array
    ask: Array
    open_interest: Array
    open_interest_at: int
    volume: Array

    def __post_init__(self) -> None:
        names = ("expiry", "right", "forward", "bid", "ask", "open_interest", "volume")
        for name in names:
            if len(getattr(self, name)) != len(self.strike):
                raise DataError(f"chain: {name} has {len(getattr(self, name))} rows, strike has {len(self.strike)}")
        if self.available_at < self.ts:
            raise DataError("chain: available before its quotes were taken; correct available_at")
        if self.open_interest_at > self.available_at:
            raise DataError("chain: its open interest was published later; use the day before's")

    def __len__(self) -> int:
        return len(self.strike)
