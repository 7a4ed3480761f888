"""A chain made ready: sorted, what has expired left out, mids that can be trusted, one forward per expiry."""

import math
from dataclasses import dataclass

import numpy as np

from mia.domain.chain import CALL, PUT, Chain
from mia.domain.errors import DataError
from mia.features.options.black76 import compiled, inner
from mia.features.options.settings import OptionsSettings

Array = np.ndarray

DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Book:
    """N options that have not expired, by expiry, strike and right (puts first); E expiries.

    Parameters
    ----------
    ts, reference, multiplier, rate : of the chain
    first : (E + 1,) int64, options of expiry e are first[e] : first[e + 1]
    expiry : (E,) int64 [ns UTC]
    days : (E,) to expiry [days]; years : the same with the floor [years]
    forward : (E,) [points]; NaN where neither the chain nor any parity tells
    of : (N,) int64, the expiry of each option
    strike, mid, half, open_interest, volume : (N,) float64; mid and half spread NaN where the quote is no good
    right : (N,) int64
    """

    ts: int
    reference: float
    multiplier: float
    rate: float
    first: Array
    expiry: Array
    days: Array
    years: Array
    forward: Array
    of: Array
    strike: Array
    right: Array
    mid: Array
    half: Array
    open_interest: Array
    volume: Array

    @property
    def front(self) -> int:
        """First expiry whose forward is known, -1 if none: levels are told in its prices."""
        known = np.flatnonzero(np.isfinite(self.forward))
        return int(known[0]) if len(known) else -1


@compiled
def _mids(bid, ask, max_relative_spread, mid, half):
    """Mids and half spreads of good quotes: somebody bids, not crossed, not too wide."""
    for i in range(len(bid)):
        middle, spread = 0.5 * (bid[i] + ask[i]), ask[i] - bid[i]
        good = bid[i] > 0.0 and spread >= 0.0 and middle < np.inf and spread <= max_relative_spread * middle
        mid[i] = middle if good else np.nan
        half[i] = 0.5 * spread if good else np.nan


@inner
def median_in_place(x, n):
    """Median of x[:n], which it sorts by insertion: few numbers, mostly in order."""
    for j in range(1, n):
        value, k = x[j], j - 1
        while k >= 0 and x[k] > value:
            x[k + 1] = x[k]
            k -= 1
        x[k + 1] = value
    return x[n // 2] if n % 2 == 1 else 0.5 * (x[n // 2 - 1] + x[n // 2])


@inner
def parity_forward(first, last, strike, right, mid, growth, count, gap, guess):
    """Median of K + exp(rT) (call - put) over the `count` strikes where call and put are nearest; NaN if none."""
    n = 0
    for i in range(first, last - 1):
        if strike[i] == strike[i + 1] and right[i] < right[i + 1] and mid[i] == mid[i] and mid[i + 1] == mid[i + 1]:
            difference = growth * (mid[i + 1] - mid[i])
            gap[n], guess[n] = abs(difference), strike[i] + difference
            n += 1
    kept = min(n, count)
    for a in range(kept):
        best = a
        for b in range(a + 1, n):
            if gap[b] < gap[best]:
                best = b
        gap[a], gap[best] = gap[best], gap[a]
        guess[a], guess[best] = guess[best], guess[a]
    return median_in_place(guess, kept) if kept > 0 else np.nan


@compiled
def _forwards(first, years, rate, strike, right, mid, given, count, out):
    """One forward per expiry: the median of those given, else from parity."""
    gap, guess = np.empty(len(strike)), np.empty(len(strike))
    for e in range(len(out)):
        n = 0
        for i in range(first[e], first[e + 1]):
            if 0.0 < given[i] < np.inf:
                guess[n] = given[i]
                n += 1
        if n > 0:
            out[e] = median_in_place(guess, n)
        else:
            growth = math.exp(rate * years[e])
            out[e] = parity_forward(first[e], first[e + 1], strike, right, mid, growth, count, gap, guess)


def _bridged(forward: Array, years: Array) -> Array:
    """Fill missing forwards: between known ones along time in their logarithm, outside as the nearest."""
    known = np.isfinite(forward) & (forward > 0)
    if known.all() or not known.any():
        return np.where(known, forward, np.nan)
    return np.where(known, forward, np.exp(np.interp(years, years[known], np.log(forward[known]))))


def _order(chain: Chain, rows: Array) -> Array:
    """Rows by expiry, strike, right; of equal options by what is said of them, so that no order of rows matters."""
    expiry, strike, right = chain.expiry[rows], chain.strike[rows], chain.right[rows]
    order = np.lexsort((right, strike, expiry))
    e, k, r = expiry[order], strike[order], right[order]
    if np.any((e[1:] == e[:-1]) & (k[1:] == k[:-1]) & (r[1:] == r[:-1])):
        rest = (chain.volume, chain.open_interest, chain.forward, chain.ask, chain.bid)
        order = np.lexsort((*(x[rows] for x in rest), right, strike, expiry))
    return rows[order]


def read(chain: Chain, settings: OptionsSettings) -> Book | None:
    """Sort and clean a chain; None if no option in it is alive.

    Raises
    ------
    DataError : if a right is neither call nor put.
    """
    strike = np.asarray(chain.strike, dtype=np.float64)
    if np.any((chain.right != CALL) & (chain.right != PUT)):
        raise DataError(f"chain: a right is neither {CALL} (call) nor {PUT} (put); correct the source")
    rows = np.flatnonzero((chain.expiry > chain.ts) & (strike > 0) & (strike < np.inf))
    if not len(rows):
        return None
    rows = _order(chain, rows)
    expiry, strike = np.asarray(chain.expiry)[rows], strike[rows]
    right = np.asarray(chain.right, dtype=np.int64)[rows]
    begins = np.flatnonzero(np.concatenate([[True], expiry[1:] != expiry[:-1]]))
    first = np.append(begins, len(rows))
    days = (expiry[begins] - chain.ts) / DAY_NS
    years = np.maximum(days, settings.min_minutes / 1440) / settings.year_days
    mid, half, forward = np.empty(len(rows)), np.empty(len(rows)), np.empty(len(begins))
    bid, ask, given, interest, volume = (
        np.asarray(x, dtype=np.float64)[rows]
        for x in (chain.bid, chain.ask, chain.forward, chain.open_interest, chain.volume)
    )
    _mids(bid, ask, float(settings.max_relative_spread), mid, half)
    _forwards(first, years, float(chain.rate), strike, right, mid, given, settings.forward_strikes, forward)
    return Book(
        ts=int(chain.ts),
        reference=float(chain.reference),
        multiplier=float(chain.multiplier),
        rate=float(chain.rate),
        first=first,
        expiry=expiry[begins],
        days=days,
        years=years,
        forward=_bridged(forward, years),
        of=np.repeat(np.arange(len(begins)), np.diff(first)),
        strike=strike,
        right=right,
        mid=mid,
        half=half,
        open_interest=interest,
        volume=volume,
    )
