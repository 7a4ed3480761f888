"""What one contract of each option adds to a book's risk, in USD; for the metrics and the levels."""

import math
from dataclasses import dataclass

import numpy as np

from mia.features.options.black76 import compiled, log_ratio, normal_cdf, normal_pdf
from mia.features.options.quotes import Book
from mia.features.options.smile import Surface, smile_variance

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exposure:
    """Greeks of one contract in USD, and how many are open.

    Parameters
    ----------
    vol : (N,) volatility of each strike: its out-of-the-money quote's, else the smile's [annual, decimal]
    delta : (N,) [USD]
    gamma : (N,) change of delta [USD per 1 % of the forward]
    vanna : (N,) change of delta [USD per vol point]
    charm : (N,) change of delta [USD per calendar day]
    contracts : (N,) open interest, 0 where unknown; all NaN where nothing is known
    """

    vol: Array
    delta: Array
    gamma: Array
    vanna: Array
    charm: Array
    contracts: Array


@compiled
def _per_contract(first, years, forward, rate, strike, right, quoted, smiles, usd, year_days, out):
    """Fill (5, N): volatility, delta, gamma, vanna, charm; zero Greeks where there is no volatility."""
    for e in range(len(years)):
        f, t = forward[e], years[e]
        root, discount = math.sqrt(t), math.exp(-rate * t)
        a, b, c, low, high = smiles[e, 0], smiles[e, 1], smiles[e, 2], smiles[e, 3], smiles[e, 4]
        for i in range(first[e], first[e + 1]):
            vol = quoted[i]
            if vol != vol and i > first[e] and strike[i - 1] == strike[i]:
                vol = quoted[i - 1]
            if vol != vol and i + 1 < first[e + 1] and strike[i + 1] == strike[i]:
                vol = quoted[i + 1]
            k = -log_ratio(f, strike[i])
            if vol != vol and a > 0.0:
                vol = math.sqrt(smile_variance(a, b, c, low, high, k / root))
            out[0, i] = vol
            if vol != vol:
                out[1, i], out[2, i], out[3, i], out[4, i] = 0.0, 0.0, 0.0, 0.0
                continue
            spread = vol * root
            d1 = -k / spread + 0.5 * spread
            d2 = d1 - spread
            density, n1 = discount * normal_pdf(d1), discount * normal_cdf(right[i] * d1)
            out[1, i] = right[i] * n1 * f * usd
            out[2, i] = density / spread * f * usd * 0.01
            out[3, i] = -density * d2 / vol * f * usd * 0.01
            out[4, i] = (right[i] * rate * n1 + density * d2 / (2.0 * t)) * f * usd / year_days


def exposure(book: Book, surface: Surface, year_days: float) -> Exposure:
    """Compute the Greeks of every option of a book from its surface."""
    out = np.empty((5, len(book.strike)))
    _per_contract(
        book.first,
        book.years,
        book.forward,
        book.rate,
        book.strike,
        book.right,
        surface.quoted,
        surface.smiles,
        book.multiplier,
        float(year_days),
        out,
    )
    known = (book.open_interest >= 0) & (book.open_interest < np.inf)
    contracts = np.where(known, book.open_interest, 0.0) if known.any() else np.full(len(known), np.nan)
    return Exposure(vol=out[0], delta=out[1], gamma=out[2], vanna=out[3], charm=out[4], contracts=contracts)
