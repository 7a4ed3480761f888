"""Options on the simulated market: a chain every few minutes from a stochastic surface. For task only."""

import math
from collections.abc import Iterator

import numpy as np

from mia.domain.bars import Bars
from mia.domain.chain import Chain
from mia.domain.errors import ArtefactMissing
from mia.domain.market import Market
from mia.domain.rng import generator
from mia.domain.sessions import Sessions
from mia.source.simulated import expiries, listing
from mia.source.simulated import surface as smiles
from mia.source.simulated.listing import Line, Listing
from mia.source.simulated.market import market_scale
from mia.source.simulated_settings import SimulatedSettings

Array = np.ndarray
_MINUTE = 60_000_000_000
_YEAR_MINUTES = 252 * 1380.0
_HALF_LIFE_MINUTES = 700.0  # of the smile's own movements
_PRESSURE_HALF_LIFE_MINUTES = 45.0
_NIGHT = 0.04  # trading outside regular hours over that in them
_DIVIDENDS_UNTIL_NEXT = 91 / 365  # time between two contract months [years]


class SimulatedChains:
    """Chains of one market, snapshot by snapshot.

    Everything drawn is named by trade date and minute, and what one snapshot hands to the next is held here: so
    pieces of any size give the same chains, and later bars or more sessions never change earlier ones.

    Parameters
    ----------
    market : the market that is traded; its options are those of `listing.option_terms`
    settings : see `SimulatedSettings`
    seed : any whole number >= 0
    """

    def __init__(self, market: Market, settings: SimulatedSettings, seed: int) -> None:
        self._market = market
        self._settings = settings
        self._seed = seed
        self._terms = listing.option_terms(market, settings)
        sd = market_scale(market, settings).minute_sd_ticks * market.tick_size / market.reference_price
        at_rest = sd * math.sqrt(_YEAR_MINUTES) * settings.implied_over_realised
        self._per_point = at_rest / settings.vix_level  # volatility at the forward per point of the index
        self._lines: dict[int, Line] = {}
        self._listing: Listing | None = None
        self._date = 0
        self._last_ts = 0
        self._volume = np.zeros(0)
        self._surface_now: smiles.Surface | None = None
        self._own = np.zeros(3)  # level, slope and opening of the surface, unit variance
        self._pressure = np.zeros(2)  # demand for calls and for puts, unit variance

    @property
    def surface(self) -> smiles.Surface:
        """What the last chain was priced from: known to the simulation, not to the market."""
        if self._surface_now is None:
            raise ArtefactMissing("simulated chains know their surface only after a snapshot; call snapshots() first")
        return self._surface_now

    def snapshots(self, bars: Bars, sessions: Sessions) -> Iterator[Chain]:
        """Take the chains that fall on these bars; call again with the bars that follow.

        Parameters
        ----------
        bars : closed bars inside `sessions`; uses bar.close, xa.vix, xa.vix3m and cal.days_to_expiry; indices
            that are missing rest at their configured levels
        sessions : the market's schedule, covering the bars

        Yields
        ------
        One chain at the close of the first bar that ends on or after each multiple of `chain_minutes` since the
        session's open. It knows that bar and those before it.
        """
        step = self._settings.chain_minutes * _MINUTE
        if step == 0 or len(bars) == 0:
            return
        at = sessions.index(bars.ts)
        since = bars.ts - sessions.open_ns[at]
        due = since // step > (since - bars.bar_minutes * _MINUTE) // step
        close = bars.column("bar.close") * self._market.tick_size
        indices = (bars.column("xa.vix"), bars.column("xa.vix3m"))
        to_roll = bars.column("cal.days_to_expiry")
        for t in range(len(bars)):
            index = int(at[t])
            if int(sessions.trade_date[index]) != self._date:
                self._begin(sessions, index, float(close[t]), float(indices[0][t]))
            if due[t]:
                levels = (float(indices[0][t]), float(indices[1][t]))
                chain = self._snapshot(sessions, index, int(bars.ts[t]), float(close[t]), levels, float(to_roll[t]))
                if chain is not None:
                    yield chain

    def _begin(self, sessions: Sessions, index: int, price: float, vix: float) -> None:
        """List the options of a session and publish their open interest, from what the last one left."""
        settings, terms = self._settings, self._terms
        self._keep()
        self._date = int(sessions.trade_date[index])
        self._last_ts = int(sessions.open_ns[index])
        today = expiries.date_of(self._date)
        rng = self._generator("interest")
        sigma = self._per_point * (vix if vix == vix else settings.vix_level)
        day_move = price * sigma * math.sqrt(1 / 252)
        lines: dict[int, Line] = {}
        parts = []
        for day in expiries.listed(today, settings.option_days):
            ends = expiries.settlement(self._market, day) if day > today else int(sessions.rth_close_ns[index])
            if ends <= self._last_ts:
                continue  # a session without regular hours
            years = max(ends - self._last_ts, _MINUTE) / smiles.YEAR_NS
            sd = price * sigma * math.sqrt(years)
            late = price * sigma * math.sqrt(max(years - 23 / 8760, 2 / 8760))
            strike = listing.strikes(price, day_move, sd, late, terms.spacings)
            mean = settings.option_open_interest * listing.share_of_interest(today, day)
            interest = listing.fresh(rng, mean, strike, price, max(sd, day_move), terms.spacings)
            old = self._lines.get(day.toordinal())
            carried = None if old is None else listing.evolved(rng, old)
            line = lines[day.toordinal()] = listing.renewed(old, strike, interest, carried)
            found = np.searchsorted(line.strike, strike)
            popular = np.exp(0.5 * rng.standard_normal((len(strike), 2)))
            weight = listing.share_of_volume(today, day) * listing.roundness(strike, terms.spacings)[:, None] * popular
            every, right = listing.sides(strike)
            parts.append(
                {
                    "day": np.full(len(every), day.toordinal()),
                    "expiry": np.full(len(every), ends, np.int64),
                    "strike": every,
                    "right": right,
                    "interest": line.interest[found].T.ravel(),
                    "weight": weight.T.ravel(),
                }
            )
        self._lines = lines
        self._listing = Listing(**{name: np.concatenate([part[name] for part in parts]) for name in Listing.__slots__})
        self._volume = np.zeros(len(self._listing.strike))

    def _keep(self) -> None:
        """Write what was traded into the lines that the next morning's open interest is made from."""
        if self._listing is None:
            return
        for day, line in self._lines.items():
            rows = np.flatnonzero(self._listing.day == day)
            half = len(rows) // 2
            found = np.searchsorted(line.strike, self._listing.strike[rows[:half]])
            line.traded[found] = self._volume[rows].reshape(2, half).T

    def _generator(self, *purpose: str) -> np.random.Generator:
        return generator(self._seed, "simulated", self._market.name, str(self._date), "chains", *purpose)

    def _surface(self, vix: float, vix3m: float) -> smiles.Surface:
        settings = self._settings
        if vix != vix:
            vix = settings.vix_level
        if vix3m != vix3m:
            vix3m = vix * settings.vix3m_premium
        level, slope, opening = np.exp(settings.smile_noise * self._own * (0.5, 1.0, 1.0))
        return smiles.fitted(
            vix * self._per_point * level,
            vix3m * self._per_point * level,
            max(settings.smile_correlation * slope, -0.85),
            min(settings.smile_width * opening, 1.2),
        )

    def _snapshot(
        self, sessions: Sessions, index: int, ts: int, price: float, levels: tuple[float, float], to_roll: float
    ) -> Chain | None:
        """Move surface, demand and volume on to `ts` and quote every option that has not ended."""
        settings, listed = self._settings, self._listing
        if listed is None:
            return None
        rng = self._generator(str((ts - int(sessions.open_ns[index])) // _MINUTE))
        minutes = (ts - self._last_ts) / _MINUTE
        self._last_ts = ts
        self._own = _moved(rng, self._own, minutes, _HALF_LIFE_MINUTES)
        self._pressure = _moved(rng, self._pressure, minutes, _PRESSURE_HALF_LIFE_MINUTES)
        open_ = listed.expiry > ts
        if not np.any(open_):
            return None
        years = np.maximum(listed.expiry - ts, _MINUTE) / smiles.YEAR_NS
        forward = self._forward(listed, price, to_roll)
        smile = self._surface_now = self._surface(*levels)
        distance = np.log(listed.strike / forward)
        away = distance / np.sqrt(smile.at_forward(years))
        regular = sessions.rth_open_ns[index] < ts <= sessions.rth_close_ns[index]
        self._trade(rng, away, open_, minutes * (1.0 if regular else _NIGHT))
        volatility = smile.volatility(distance, years)
        value = smiles.black(forward, listed.strike, listed.right, years, volatility, settings.interest_rate)
        bid, ask = self._quotes(rng, value, away, bool(regular), levels[0])
        rows = slice(None) if np.all(open_) else open_
        return Chain(
            ts=ts,
            available_at=ts,
            reference=price,
            multiplier=self._terms.multiplier,
            rate=settings.interest_rate,
            expiry=listed.expiry[rows],
            strike=listed.strike[rows],
            right=listed.right[rows],
            forward=forward[rows],
            bid=bid[rows],
            ask=ask[rows],
            open_interest=listed.interest[rows],
            open_interest_at=int(sessions.open_ns[index]),
            volume=self._volume[rows].copy(),
        )

    def _forward(self, listed: Listing, price: float, to_roll: float) -> Array:
        """Future on which each option is written: the front one until it ends, then the next contract month."""
        if to_roll != to_roll:
            return np.full(len(listed.strike), price)
        carry = (self._settings.interest_rate - self._settings.dividend_yield) * _DIVIDENDS_UNTIL_NEXT
        last = expiries.date_of(self._date).toordinal() + int(to_roll)
        return np.where(listed.day <= last, price, price * math.exp(carry))

    def _trade(self, rng: np.random.Generator, away: Array, open_: Array, minutes: float) -> None:
        """Add what was traded since the last snapshot; `minutes` counts as those of regular hours."""
        listed = self._listing
        weight = listed.weight * np.exp(away * away / -2.5)
        mean = self._settings.option_volume * minutes / (390 + _NIGHT * 990) / weight.sum() * weight
        self._volume += rng.poisson(mean * open_)

    def _quotes(
        self, rng: np.random.Generator, value: Array, away: Array, regular: bool, vix: float
    ) -> tuple[Array, Array]:
        """Bid and ask [points] around the model's value: wider in the wings, at night and in stress.

        Demand lifts or lowers both by a part of the spread. Where nobody bids the bid is NaN.
        """
        settings, tick = self._settings, self._settings.option_tick
        stress = max(vix / settings.vix_level, 0.5) if vix == vix else 1.0
        wider = (1.0 if regular else 1.6) * math.sqrt(stress)
        wings = 1 + 0.8 * np.maximum(np.abs(away) - 1, 0)
        half = 0.5 * wider * (tick + settings.option_spread * np.minimum(value, 60 * tick + 0.2 * value) * wings)
        demand = np.where(self._listing.right > 0, self._pressure[0], self._pressure[1])
        lean = 0.4 * np.tanh(0.7 * demand + 0.5 * rng.standard_normal(len(value))) * half
        bid = np.floor((value + lean - half) / tick + 1e-6)
        ask = np.maximum(np.ceil((value + lean + half) / tick - 1e-6), np.maximum(bid, 0) + 1)
        return np.where(bid >= 1, np.round(bid * tick, 6), np.nan), np.round(ask * tick, 6)


def _moved(rng: np.random.Generator, x: Array, minutes: float, half_life: float) -> Array:
    """First-order autoregression of unit variance, `minutes` later."""
    decay = 0.5 ** (minutes / half_life)
    return decay * x + math.sqrt(1 - decay * decay) * rng.standard_normal(len(x))
