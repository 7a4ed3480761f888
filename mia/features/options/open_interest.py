"""What open interest alone says: max pain, concentration, totals. It changes once a day, when it is published."""

import numpy as np

from mia.domain.chain import CALL

Array = np.ndarray


def pain(strike: Array, right: Array, contracts: Array) -> tuple[Array, Array]:
    """Value at expiry of all options of one expiry, for each listed strike the market could end at.

    Parameters
    ----------
    strike : (N,) rising; right : (N,) CALL or PUT
    contracts : (N,) open interest

    Returns
    -------
    (K,) strikes and (K,) value [points x contracts]: calls pay above their strike, puts below.
    """
    ends, at = np.unique(strike, return_inverse=True)
    calls = np.bincount(at, weights=np.where(right == CALL, contracts, 0.0), minlength=len(ends))
    puts = np.bincount(at, weights=np.where(right == CALL, 0.0, contracts), minlength=len(ends))
    held, paid = np.cumsum(calls), np.cumsum(calls * ends)
    puts_above = np.cumsum(puts[::-1])[::-1]
    paid_above = np.cumsum((puts * ends)[::-1])[::-1]
    return ends, ends * held - paid + paid_above - ends * puts_above


def max_pain(strike: Array, right: Array, contracts: Array) -> float:
    """Strike at which the holders of one expiry get least; the lowest of equals, NaN without open interest."""
    if not np.sum(contracts) > 0:
        return float("nan")
    ends, value = pain(strike, right, contracts)
    return float(ends[np.argmin(value)])


def herfindahl(strike: Array, contracts: Array) -> float:
    """Sum of squared shares of open interest over strikes, 1 if all is at one; NaN without open interest."""
    total = np.sum(contracts)
    if not total > 0:
        return float("nan")
    _, at = np.unique(strike, return_inverse=True)
    shares = np.bincount(at, weights=contracts) / total
    return float(np.sum(shares * shares))


def total(values: Array, which: Array) -> float:
    """Sum of what is known among the rows `which` names; 0 if they are none, NaN if nothing at all is known."""
    known = (values >= 0) & (values < np.inf)
    if not known.any():
        return float("nan")
    return float(np.sum(values[known & which]))
