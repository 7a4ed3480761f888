"""The options listed for one session and their open interest, which evolves from day to day. For chains only."""

import datetime as dt
from dataclasses import dataclass

import numpy as np

from mia.domain.chain import CALL, PUT
from mia.domain.market import Market
from mia.source.simulated_settings import OptionTerms, SimulatedSettings

Array = np.ndarray
_DAY_YEARS = 1 / 252
_REACH = 2.4  # strikes reach this many deviations beyond a day's move


@dataclass(slots=True)
class Line:
    """Options of one expiry that were ever listed.

    Parameters
    ----------
    strike : (n,) float64, rising [points]
    interest : (n, 2) float64, calls and puts open as published this morning [contracts]
    traded : (n, 2) float64, traded since [contracts]
    """

    strike: Array
    interest: Array
    traded: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """N options of a session: expiry by expiry all calls by strike, then all puts.

    Parameters
    ----------
    day : (N,) int64, ordinal of the date each ends on
    expiry : (N,) int64, settlement [ns UTC]
    strike : (N,) float64 [points]
    right : (N,) int64
    interest : (N,) float64, open interest published before the session [contracts]
    weight : (N,) float64, how much each trades, the distance to the forward apart [1]
    """

    day: Array
    expiry: Array
    strike: Array
    right: Array
    interest: Array
    weight: Array


def option_terms(market: Market, settings: SimulatedSettings) -> OptionTerms:
    """Terms declared for a market, or derived from its price so that any new market has options."""
    for terms in settings.option_terms:
        if terms.market == market.name:
            return terms
    rough = market.reference_price * 8e-4
    power = 10.0 ** np.floor(np.log10(rough))
    step = float(power * max(k for k in (1.0, 2.5, 5.0) if k * power <= rough))
    spacings = tuple(step * k for k in (1.0, 2.0, 4.0, 10.0, 20.0, 40.0))
    return OptionTerms(market=market.name, multiplier=market.multiplier, spacings=spacings)


def strikes(forward: float, day_move: float, sd: float, sd_late: float, spacings: tuple[float, ...]) -> Array:
    """Strikes of one expiry, rising [points]: fine near the price, coarser in the wings.

    Parameters
    ----------
    forward : price at the session's open [points]
    day_move : deviation of a day's move [points]
    sd, sd_late : deviation of the price at expiry, seen from the session's open and from its end [points]
    """
    fine = max((k for k, spacing in enumerate(spacings[:-2]) if spacing <= 0.25 * sd_late), default=0)
    near, far = spacings[fine], spacings[fine + 2]
    inner = 1.4 * day_move + 4 * near
    outer = max(day_move + _REACH * sd, inner)
    found = set(_multiples(forward, inner, near)) | set(_multiples(forward, outer, far))
    return np.array(sorted(strike for strike in found if strike > 0))


def _multiples(centre: float, reach: float, spacing: float) -> Array:
    first, last = np.ceil((centre - reach) / spacing), np.floor((centre + reach) / spacing)
    return np.round(np.arange(first, last + 1) * spacing, 9)


def roundness(strike: Array, spacings: tuple[float, ...]) -> Array:
    """How much more is held at a strike because its number is round [ratio]."""
    out = np.ones(len(strike))
    for spacing, factor in ((spacings[2], 2.0), (spacings[4], 2.0)):
        out *= np.where(np.abs(strike / spacing - np.round(strike / spacing)) < 1e-9, factor, 1.0)
    return out / 4


def fresh(
    rng: np.random.Generator, mean: float, strike: Array, forward: float, sd: float, spacings: tuple[float, ...]
) -> Array:
    """(n, 2) open interest of strikes listed for the first time: calls lie above the price, puts below it."""
    away = (strike - forward) / sd
    shape = np.column_stack([np.exp(-((away - 0.7) ** 2) / 3), np.exp(-((away + 1.0) ** 2) / 4.5)])
    chance = np.exp(0.7 * rng.standard_normal((len(strike), 2)))
    return np.round(mean * roundness(strike, spacings)[:, None] * shape * chance)


def evolved(rng: np.random.Generator, line: Line) -> Array:
    """(n, 2) open interest of the next morning: some of what was traded opened positions, some closed them."""
    share = np.clip(0.12 + 0.25 * rng.standard_normal(line.traded.shape), -0.5, 0.8)
    return np.maximum(0.0, np.round(line.interest + share * line.traded))


def renewed(line: Line | None, strike: Array, interest: Array, carried: Array | None) -> Line:
    """The line of today: yesterday's strikes with `carried`, and those of `strike` that are new with `interest`."""
    if line is None or carried is None:
        return Line(strike, interest, np.zeros((len(strike), 2)))
    new = ~np.isin(strike, line.strike)
    every = np.concatenate([line.strike, strike[new]])
    order = np.argsort(every, kind="stable")
    held = np.concatenate([carried, interest[new]])[order]
    return Line(every[order], held, np.zeros((len(every), 2)))


def share_of_volume(today: dt.date, day: dt.date) -> float:
    """How much trades in an expiry [relative]: about half of it ends today; third Fridays are liked."""
    left = (day - today).days
    third_friday = day.weekday() == 4 and 15 <= day.day <= 21
    return (1.0 if left == 0 else 0.9 / (1 + left)) * (1.6 if third_friday else 1.0)


def share_of_interest(today: dt.date, day: dt.date) -> float:
    """How much is open in an expiry [relative]."""
    third_friday = day.weekday() == 4 and 15 <= day.day <= 21
    return (3.0 if third_friday else 1.0) * (1.0 if (day - today).days > 5 else 0.7)


def sides(strike: Array) -> tuple[Array, Array]:
    """(2 n,) strikes and rights of n strikes: calls, then puts."""
    return np.concatenate([strike, strike]), np.repeat(np.array([CALL, PUT], np.int64), len(strike))
