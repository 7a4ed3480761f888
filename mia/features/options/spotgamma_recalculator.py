"""Levels that dealers' gamma draws: walls, zero gamma, volatility trigger, key strikes, zones, pin.

`options_metrics` calls it for every chain; dashboards call `gex_by_strike` and `gamma_profile`.
"""

import math
from dataclasses import dataclass

import numpy as np

from mia.domain.chain import CALL, PUT, Chain
from mia.features.options.black76 import compiled, log_ratio, normal_pdf
from mia.features.options.customer_flow import CustomerFlow
from mia.features.options.exposure import Exposure, exposure
from mia.features.options.quotes import Book, read
from mia.features.options.settings import OptionsSettings
from mia.features.options.smile import SLOPE, Surface, fit, smile_variance

Array = np.ndarray

NAN = float("nan")
_NOTHING = 1e-9
"""Net gamma below this share of its greatest size is none: no option is near."""
_LOST = 1e-17
"""Density that adds nothing to a sum any more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StrikeTable:
    """Gamma x open interest by strike, all expiries unless said otherwise [USD per 1 %].

    Parameters
    ----------
    strike : (K,) rising [points]
    net : (K,) with dealers' signs; size : (K,) without
    calls, puts : (K,) without signs, expiries within `wall_days`
    """

    strike: Array
    net: Array
    size: Array
    calls: Array
    puts: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GammaProfile:
    """Dealers' gamma had the forward moved, P prices.

    Parameters
    ----------
    price : (P,) of the front forward [points]
    gamma : (P,) [USD per 1 %]
    trigger : (P,) the same plus vanna x the response of volatility that the skew implies [USD per 1 %]
    """

    price: Array
    gamma: Array
    trigger: Array


@dataclass(frozen=True, slots=True)
class Pin:
    """Pull of the strike nearest the forward at the front expiry.

    Parameters
    ----------
    share : of the expiry's gamma (absolute dealers' gamma by strike) at that strike [1]
    distance : to it [points]
    hours : to the expiry
    """

    share: float
    distance: float
    hours: float


def dealer_signs(book: Book, settings: OptionsSettings, flow: CustomerFlow | None) -> Array:
    """(N,) position of dealers per contract open: +1 long, -1 short; an assumption, see `OptionsSettings`."""
    if settings.dealer_sign == "short_all":
        return np.full(len(book.right), -1.0)
    if settings.dealer_sign == "flow" and flow is not None:
        return flow.dealer_signs(book)
    return book.right.astype(np.float64)


def strike_table(book: Book, exposure: Exposure, signs: Array, settings: OptionsSettings) -> StrikeTable:
    """Sum gamma x open interest over the options of each strike."""
    strike, at = np.unique(book.strike, return_inverse=True)
    gamma = exposure.gamma * exposure.contracts
    near = gamma * (book.days <= settings.wall_days)[book.of]

    def by_strike(weights: Array) -> Array:
        return np.bincount(at, weights=weights, minlength=len(strike))

    return StrikeTable(
        strike=strike,
        net=by_strike(gamma * signs),
        size=by_strike(gamma),
        calls=by_strike(near * (book.right == CALL)),
        puts=by_strike(near * (book.right == PUT)),
    )


def wall(strike: Array, gamma: Array, allowed: Array, held: float, hysteresis: float) -> float:
    """Strike with the most gamma among the allowed; the held one unless it is beaten by `hysteresis`.

    Returns
    -------
    the strike [points], NaN if no allowed strike has any gamma.
    """
    best = np.where(allowed, gamma, -1.0)
    top = int(np.argmax(best))
    if not best[top] > 0:
        return NAN
    kept = best[strike == held]
    if len(kept) and kept[0] > 0 and not best[top] > (1 + hysteresis) * kept[0]:
        return held
    return float(strike[top])


def key_strikes(strike: Array, size: Array, count: int, separation: int) -> Array:
    """(count,) strikes by falling gamma, each at least `separation` listed strikes from those before it [points].

    NaN where there are fewer.
    """
    out, taken = np.full(count, np.nan), np.zeros(len(strike), bool)
    found = 0
    for k in np.argsort(-size, kind="stable"):
        if found == count or not size[k] > 0:
            break
        if taken[k]:
            continue
        out[found] = strike[k]
        found += 1
        taken[max(k - separation + 1, 0) : k + separation] = True
    return out


def zones(table: StrikeTable, forward: float, settings: OptionsSettings) -> float:
    """Number of runs of one sign of dealers' gamma by strike within `zones_reach` of the forward, at most `max_zones`.

    Strikes with less than `zones_least_share` of the greatest size there belong to the run around them.
    """
    net = table.net[np.abs(table.strike / forward - 1) <= settings.zones_reach]
    size = np.abs(net)
    sign = np.sign(net[(size > 0) & (size >= settings.zones_least_share * size.max(initial=0.0))])
    return float(min(np.count_nonzero(sign[1:] != sign[:-1]) + (len(sign) > 0), settings.max_zones))


@compiled
def _profiles(first, years, forward, rate, strike, vol, smiles, slope, weight, growth, g, usd, sticky_strike, out):
    """Add every strike's gamma and trigger at each shifted forward F x growth[j] = F exp(g[j]) to out (2, P).

    slope (E,) is d vol / d x of each smile at the forward, weight (N,) dealers' contracts.

    With volatility fixed per strike d1 is a straight line in g: along it the normal density obeys a recurrence of
    two products a step, walked outwards from its greatest value until it adds nothing.
    """
    points = len(g)
    h = g[1] - g[0]
    for e in range(len(years)):
        f, root = forward[e], math.sqrt(years[e])
        scale, lean = math.exp(-rate * years[e]) * usd * 0.01 * f, slope[e]
        i = first[e]
        while i < first[e + 1]:
            contracts, sigma, k = weight[i], vol[i], -log_ratio(f, strike[i])
            at = i
            i += 1
            while i < first[e + 1] and strike[i] == strike[at]:
                contracts += weight[i]
                i += 1
            if contracts == 0.0 or sigma != sigma or f != f:
                continue
            spread = sigma * root
            if not sticky_strike:
                a, b, c, low, high = smiles[e, 0], smiles[e, 1], smiles[e, 2], smiles[e, 3], smiles[e, 4]
                for j in range(points):
                    moved = k - g[j]
                    spread = math.sqrt(smile_variance(a, b, c, low, high, moved / root)) * root
                    d1 = -moved / spread + 0.5 * spread
                    if abs(d1) < 9.0:
                        gamma = contracts * scale * growth[j] / spread * normal_pdf(d1)
                        out[0, j] += gamma
                        out[1, j] += gamma * (1.0 - (d1 - spread) * lean)
                continue
            per = contracts * scale / spread
            step = h / spread
            falling = math.exp(-step * step)
            middle = min(max((k - 0.5 * spread * spread - g[0]) / h, 0.0), points - 1.0)
            start = int(middle + 0.5)
            centre = (g[start] - k) / spread + 0.5 * spread
            for way in (1, -1):
                d1, density = centre, normal_pdf(centre)
                ratio = math.exp(-0.5 * step * step - way * step * d1)
                j = start
                if way < 0:
                    density *= ratio
                    ratio *= falling
                    d1 -= step
                    j -= 1
                while 0 <= j < points and density > _LOST:
                    gamma = per * growth[j] * density
                    out[0, j] += gamma
                    out[1, j] += gamma * (1.0 - (d1 - spread) * lean)
                    density *= ratio
                    ratio *= falling
                    d1 += way * step
                    j += way


def gamma_profile(
    book: Book, surface: Surface, exposure: Exposure, signs: Array, settings: OptionsSettings
) -> GammaProfile:
    """Compute dealers' gamma again at `grid_points` prices from F exp(-grid_reach) to F exp(grid_reach).

    Time stands still. `sticky_strike`: each strike keeps its volatility. `sticky_moneyness`: each expiry's smile
    moves along with the price. The trigger adds vanna x d vol / d S, the slope of the expiry's smile at the forward:
    volatility falls as the price rises the way the skew says, gamma x (1 - d2 d vol / d x) with x = ln(K/F) / sqrt(T).
    """
    g = np.linspace(-settings.grid_reach, settings.grid_reach, settings.grid_points)
    growth = np.exp(g)
    out = np.zeros((2, len(g)))
    _profiles(
        book.first,
        book.years,
        book.forward,
        book.rate,
        book.strike,
        exposure.vol,
        surface.smiles,
        np.nan_to_num(at_forward_slope(surface.smiles)),
        signs * np.nan_to_num(exposure.contracts),
        growth,
        g,
        book.multiplier,
        settings.vol_dynamics == "sticky_strike",
        out,
    )
    return GammaProfile(price=book.forward[book.front] * growth, gamma=out[0], trigger=out[1])


def at_forward_slope(smiles: Array) -> Array:
    """(...) d vol / d x of smiles (..., 5) at the forward, x = ln(K/F) / sqrt(T)."""
    return smiles[..., SLOPE] / (2 * np.sqrt(smiles[..., 0]))


def nearest_root(price: Array, value: Array, spot: float) -> float:
    """Price nearest `spot` at which `value` changes sign, on the straight line between its neighbours.

    Stretches where nothing is left of `value` have no sign; a change across one lies on the line over it.
    NaN if the sign never changes.
    """
    seen = np.flatnonzero(np.abs(value) > _NOTHING * np.max(np.abs(value)))
    turn = np.flatnonzero(np.sign(value[seen[1:]]) != np.sign(value[seen[:-1]]))
    if not len(turn):
        return NAN
    a, b = seen[turn], seen[turn + 1]
    roots = price[a] + (price[b] - price[a]) * value[a] / (value[a] - value[b])
    return float(roots[np.argmin(np.abs(roots - spot))])


def pin(book: Book, exposure: Exposure, signs: Array) -> Pin:
    """Gamma, distance and time of the strike nearest the forward, at the first expiry that has any gamma open."""
    gamma = exposure.gamma * exposure.contracts
    open_ = np.add.reduceat(gamma, book.first[:-1])
    for e in np.flatnonzero((open_ > 0) & (book.forward > 0)):
        rows = slice(book.first[e], book.first[e + 1])
        strike, at = np.unique(book.strike[rows], return_inverse=True)
        size = np.abs(np.bincount(at, weights=(gamma * signs)[rows]))
        if not size.sum() > 0:
            continue
        nearest = int(np.argmin(np.abs(strike - book.forward[e])))
        distance = abs(float(strike[nearest] - book.forward[e]))
        return Pin(float(size[nearest] / size.sum()), distance, float(book.days[e] * 24))
    return Pin(NAN, NAN, NAN)


def gex_by_strike(chain: Chain, settings: OptionsSettings, flow: CustomerFlow | None = None) -> tuple[Array, Array]:
    """Dealers' gamma by strike with the assumed signs, for dashboards.

    Parameters
    ----------
    chain : options and their published open interest
    settings : see `OptionsSettings`
    flow : what customers were seen to trade, with `dealer_sign=flow`; without it the naive guess stands in

    Returns
    -------
    (K,) strikes [points of the chain] and (K,) gamma [USD per 1 %]; empty if no option is alive.
    """
    book = read(chain, settings)
    if book is None:
        return np.empty(0), np.empty(0)
    each = exposure(book, fit(book, settings), settings.year_days)
    table = strike_table(book, each, dealer_signs(book, settings, flow), settings)
    return table.strike, table.net
