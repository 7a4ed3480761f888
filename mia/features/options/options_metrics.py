"""One option chain to one row of the option base series; tasks call `OptionsMetrics.row` for each chain in turn."""

import math
from statistics import NormalDist

import numpy as np

from mia.domain.chain import CALL, PUT, Chain
from mia.domain.market import Market
from mia.domain.series import OPTION_GRID, OPTION_KEYS, OPTIONS
from mia.features.options import open_interest
from mia.features.options import spotgamma_recalculator as levels
from mia.features.options.customer_flow import CustomerFlow
from mia.features.options.exposure import Exposure, exposure
from mia.features.options.quotes import Book, read
from mia.features.options.settings import OptionsSettings
from mia.features.options.smile import Surface, at_tenor, constant_smiles, fit, volatility, wing

Array = np.ndarray

NAN = float("nan")
_25_DELTA = NormalDist().inv_cdf(0.75)
"""d1 of a put of forward delta -0.25; minus it, of a call of 0.25."""
_GAMMA = ("net_gamma", "gamma_0dte", "call_gamma", "put_gamma", "gamma_above", "gamma_below", "gamma_near")
_EXPOSURES = tuple(f"opt.{name}" for name in (*_GAMMA, "vanna", "charm"))
_DRAWN = ("max_pain", "call_wall", "put_wall", "zero_gamma", "vol_trigger", "zones")
_LEVELS = tuple(f"opt.{name}" for name in (*_DRAWN, "pin_share", "pin_distance", "hours_to_expiry"))


class OptionsMetrics:
    """Turns the chains of one market into rows, in order of time.

    It carries over what the next row needs: the two walls, which do not move for little, and each option's last
    quote and volume, against which new volume is signed. A row depends on its chain and those before it only.

    Parameters
    ----------
    settings : see `OptionsSettings`
    market : the market that is traded; levels come in its ticks
    """

    def __init__(self, settings: OptionsSettings, market: Market) -> None:
        self._settings = settings
        self._market = market
        self._flow = CustomerFlow(settings)
        self._walls = np.full(2, np.nan)

    @property
    def flow(self) -> CustomerFlow:
        """What customers were seen to trade, for `gex_by_strike`."""
        return self._flow

    @property
    def state(self) -> dict[str, Array]:
        """Everything the next row needs; setting it continues from there, bit for bit."""
        return {"walls": self._walls.copy(), **self._flow.state}

    @state.setter
    def state(self, state: dict[str, Array]) -> None:
        self._flow.state = state
        self._walls = np.array(state["walls"], dtype=np.float64)

    def describe(self) -> str:
        """Say what was assumed about dealers; for reports."""
        return self._settings.describe()

    def row(self, chain: Chain) -> Array:
        """Compute the base series of the next chain.

        Parameters
        ----------
        chain : a snapshot, not earlier than the one before

        Returns
        -------
        (len(OPTIONS),) float64 in the order of `series.OPTIONS`: levels and prices in ticks of the market, exposures
        in USD; NaN where the chain does not tell. All NaN if no option is alive.
        """
        book = read(chain, self._settings)
        if book is None:
            return np.full(len(OPTIONS), np.nan)
        surface = fit(book, self._settings)
        each = exposure(book, surface, self._settings.year_days)
        signed_delta = self._flow.advance(book, each)
        signs = levels.dealer_signs(book, self._settings, self._flow)
        values = {
            "opt.ref": book.reference / self._market.tick_size,
            "opt.signed_delta": signed_delta,
            **self._volatility(book, surface),
            **self._exposures(book, each, signs),
            **self._activity(chain, book, each),
            **self._levels(book, surface, each, signs),
        }
        return np.array([values[name] for name in OPTIONS])

    def _volatility(self, book: Book, surface: Surface) -> dict[str, float]:
        """Implied volatility by tenor, its skew at 30 days, the front straddle and the grid."""
        settings = self._settings

        def tenor(days: float, smiles: Array) -> Array:
            return at_tenor(book.years, smiles, days / settings.year_days, settings)

        tenors = {days: tenor(days, surface.smiles) for days in {1, 7, 30, 60, *settings.grid_tenors_days}}
        month, years = tenors[30], 30 / settings.year_days
        calls, puts = self._sides(surface)
        out = {
            "opt.iv_30": volatility(month, 0.0),
            "opt.call_iv_30": volatility(tenor(30, calls), 0.0),
            "opt.put_iv_30": volatility(tenor(30, puts), 0.0),
            **{f"opt.iv_{days}": volatility(tenors[days], 0.0) for days in (1, 7, 60)},
            "opt.slope_30": float(levels.at_forward_slope(month)),
            "opt.call25_30": wing(month, years, -_25_DELTA),
            "opt.put25_30": wing(month, years, _25_DELTA),
            "opt.iv_0dte": NAN,
            "opt.straddle": NAN,
        }
        drawn = np.flatnonzero(surface.smiles[:, 0] > 0)
        if len(drawn):
            e = int(drawn[0])
            vol = out["opt.iv_0dte"] = volatility(surface.smiles[e], 0.0)
            # Call and put struck at the forward are worth F (2 N(s/2) - 1) each.
            each = math.erf(vol * math.sqrt(book.years[e] / 8)) * math.exp(-book.rate * book.years[e])
            out["opt.straddle"] = 2 * each * self._distance(book, book.forward[e])
        outer, inner = (NormalDist().inv_cdf(1 - delta) for delta in settings.grid_deltas)
        grid = []
        for days in settings.grid_tenors_days:
            smile, years = tenors[days], days / settings.year_days
            grid += [wing(smile, years, d1) for d1 in (outer, inner)]
            grid.append(volatility(smile, 0.0))
            grid += [wing(smile, years, -d1) for d1 in (inner, outer)]
        out.update({f"opt.grid_{k + 1}": grid[k] for k in range(OPTION_GRID)})
        return out

    @staticmethod
    def _sides(surface: Surface) -> tuple[Array, Array]:
        """Flat smiles of calls alone and puts alone, where both are known: they are there to be compared."""
        both = np.where(np.isfinite(surface.sides).all(axis=1)[:, None], surface.sides, np.nan)
        return constant_smiles(both[:, 0]), constant_smiles(both[:, 1])

    def _exposures(self, book: Book, each: Exposure, signs: Array) -> dict[str, float]:
        """Greeks x open interest, with dealers' signs and without."""
        if not np.any(each.vol > 0):
            return dict.fromkeys(_EXPOSURES, NAN)
        gamma = each.gamma * each.contracts
        forward = book.forward[book.of]
        today = (book.days * 24 <= self._settings.zero_dte_hours)[book.of]
        call = book.right == CALL

        def total(values: Array, which: Array) -> float:
            return float(np.sum(values * which))

        return {
            "opt.net_gamma": float(np.sum(gamma * signs)),
            "opt.gamma_0dte": total(gamma * signs, today),
            "opt.call_gamma": total(gamma, call),
            "opt.put_gamma": total(gamma, ~call),
            "opt.gamma_above": total(gamma, book.strike > forward),
            "opt.gamma_below": total(gamma, book.strike < forward),
            "opt.gamma_near": total(gamma, np.abs(book.strike / forward - 1) < self._settings.near_share),
            "opt.vanna": float(np.sum(each.vanna * each.contracts * signs)),
            "opt.charm": float(np.sum(each.charm * each.contracts * signs)),
        }

    def _activity(self, chain: Chain, book: Book, each: Exposure) -> dict[str, float]:
        """Open interest of what is alive; volume of all that is in the chain, settled today or not."""
        horizon = self._settings.zero_dte_hours * 3600e9
        volume = np.asarray(chain.volume, dtype=np.float64)
        traded = np.ones(len(volume), bool)
        near = (book.days <= self._settings.concentration_days)[book.of]
        return {
            "opt.call_oi": open_interest.total(each.contracts, book.right == CALL),
            "opt.put_oi": open_interest.total(each.contracts, book.right == PUT),
            "opt.call_volume": open_interest.total(volume, chain.right == CALL),
            "opt.put_volume": open_interest.total(volume, chain.right == PUT),
            "opt.volume": open_interest.total(volume, traded),
            "opt.volume_0dte": open_interest.total(volume, chain.expiry <= chain.ts + horizon),
            "opt.oi_herfindahl": open_interest.herfindahl(book.strike[near], each.contracts[near]),
        }

    def _levels(self, book: Book, surface: Surface, each: Exposure, signs: Array) -> dict[str, float]:
        """Prices of the market [ticks] at which dealers' gamma gathers or turns."""
        settings = self._settings
        keys = [f"opt.key_{k + 1}" for k in range(OPTION_KEYS)]
        out = dict.fromkeys((*_LEVELS, *keys), NAN)
        if book.front < 0 or not np.any(each.contracts > 0):
            return out
        forward = float(book.forward[book.front])
        out["opt.max_pain"] = self._level(book, self._max_pain(book, each))
        table = levels.strike_table(book, each, signs, settings)
        if not np.any(table.size > 0):
            return out
        for side, (gamma, allowed) in enumerate(
            ((table.calls, table.strike >= forward), (table.puts, table.strike <= forward))
        ):
            self._walls[side] = levels.wall(table.strike, gamma, allowed, self._walls[side], settings.wall_hysteresis)
        out["opt.call_wall"], out["opt.put_wall"] = (self._level(book, wall) for wall in self._walls)
        profile = levels.gamma_profile(book, surface, each, signs, settings)
        zero = levels.nearest_root(profile.price, profile.gamma, forward)
        trigger = levels.nearest_root(profile.price, profile.trigger, forward)
        out["opt.zero_gamma"] = self._level(book, zero)
        out["opt.vol_trigger"] = self._level(book, zero if math.isnan(trigger) else trigger)
        found = levels.key_strikes(table.strike, table.size, OPTION_KEYS, settings.key_separation)
        out.update({name: self._level(book, strike) for name, strike in zip(keys, found, strict=True)})
        out["opt.zones"] = levels.zones(table, forward, settings)
        pin = levels.pin(book, each, signs)
        out["opt.pin_share"], out["opt.hours_to_expiry"] = pin.share, pin.hours
        out["opt.pin_distance"] = self._distance(book, pin.distance)
        return out

    @staticmethod
    def _max_pain(book: Book, each: Exposure) -> float:
        """Max pain of the first expiry with open interest [points of the chain]."""
        held = np.add.reduceat(each.contracts, book.first[:-1])
        e = int(np.flatnonzero(held > 0)[0])
        rows = slice(book.first[e], book.first[e + 1])
        return open_interest.max_pain(book.strike[rows], book.right[rows], each.contracts[rows])

    def _level(self, book: Book, price: float) -> float:
        """A price of the chain as one of the market [ticks]: the front forward stands for the market's price."""
        forward = float(book.forward[book.front])
        if self._settings.level_map == "ratio":
            return price / forward * book.reference / self._market.tick_size
        return (price + (book.reference - forward)) / self._market.tick_size

    def _distance(self, book: Book, points: float) -> float:
        """A distance in the chain's prices as one in the market's [ticks]."""
        scale = book.reference / float(book.forward[book.front]) if self._settings.level_map == "ratio" else 1.0
        return float(points) * scale / self._market.tick_size
