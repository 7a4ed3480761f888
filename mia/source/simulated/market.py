"""The simulated market as a source: sessions in, events or bars out. For task and known worlds."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mia.domain.bars import Bars
from mia.domain.errors import ArtefactMissing
from mia.domain.events import EVENT
from mia.domain.market import Market
from mia.domain.progress import Progress
from mia.domain.rng import generator
from mia.domain.series import INDEX
from mia.domain.sessions import Sessions
from mia.source.bars import BarFolder
from mia.source.simulated import cross, hidden, kernel
from mia.source.simulated.chance import seeded
from mia.source.simulated_settings import MarketScale, SimulatedSettings

Array = np.ndarray
_MINUTE = 60_000_000_000
_CHUNK = 400_000
_MAX_BIAS = 0.9
_PACE = 0.6  # message rates grow less than variance does
_INTEREST_DAYS, _INTEREST_CHANGE = 1.5, 0.05  # open interest and its daily change, in sessions' volume
_OPEN_INTEREST, _VOLUME = INDEX["bar.open_interest"], INDEX["bar.volume"]
_S_AND_P = ("ES", "MES")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """What a simulation knows and the market does not show, row by row of its bars.

    Parameters
    ----------
    regime : (T,) int64 at the bar's last minute: 0 trend, 1 range, 2 defensive
    signal : (T,) float64 at the bar's last minute, unit variance
    expected : (T,) float64, return of the mid expected over the bar from the hidden state [ticks]
    price : (T,) float64, efficient price (mid) at the bar's close [ticks]
    """

    regime: Array
    signal: Array
    expected: Array
    price: Array


@dataclass(frozen=True, slots=True)
class _Drive:
    """One session: kernel input (M, RATES), hidden state, expected return and deviation [ticks], log variance
    about its mean.
    """

    rows: Array
    hidden: hidden.Minutes
    expected: Array
    sd: Array
    log_variance: Array


class SimulatedMarket:
    """An order book made up from a seed.

    Every session draws from generators named by its trade date, so more sessions never change earlier ones;
    hidden states do not depend on `alpha`.

    Parameters
    ----------
    market : contract; its reference price is where the book starts
    settings : see `SimulatedSettings`
    seed : any whole number >= 0
    """

    def __init__(self, market: Market, settings: SimulatedSettings, seed: int) -> None:
        self._market = market
        self._settings = settings
        self._seed = seed
        self._scale = market_scale(market, settings)
        self._jumps = _jump_moments(self._scale.jump_ticks)
        self._day_mean, self._pace_mean = hidden.full_day_means(_PACE)
        self._truth: Truth | None = None
        self._begin()

    @property
    def truth(self) -> Truth:
        """Hidden state of the rows of the last `table`."""
        if self._truth is None:
            raise ArtefactMissing("a simulated market knows its truth only after table(); call it first")
        return self._truth

    def events(self, sessions: Sessions) -> Iterator[tuple[int, Array]]:
        """Simulate one session after another.

        Yields
        ------
        (session index, (E,) EVENT array in order of time); one session is held in memory at a time.
        """
        self._begin()
        for index in range(len(sessions)):
            yield index, self._session(sessions, index)

    def table(self, sessions: Sessions, progress: Progress | None = None) -> Bars:
        """Simulate all sessions and fold their events into bars.

        Parameters
        ----------
        sessions : when the market trades
        progress : called with (sessions done, sessions in all)

        Returns
        -------
        Bars with trade, quote, depth and cross-asset columns; calendar columns are NaN until annotated.
        """
        bars, truths = [], []
        for index, (piece, truth) in enumerate(self._pieces(sessions)):
            bars.append(piece)
            truths.append(truth)
            if progress is not None:
                progress(index + 1, len(sessions))
        self._truth = Truth(**{name: _joined(truths, name) for name in Truth.__slots__})
        return replace(bars[0], **{name: _joined(bars, name) for name in ("ts", "available_at", "values")})

    def chunks(self, sessions: Sessions) -> Iterator[Bars]:
        """Simulate session by session; `table` is all of these joined.

        Yields
        ------
        Bars of one session after another, with no row for a session that never traded. Nothing of a piece is
        kept once the next is asked for.
        """
        for bars, _ in self._pieces(sessions):
            yield bars

    def _pieces(self, sessions: Sessions) -> Iterator[tuple[Bars, Truth]]:
        folder = BarFolder(sessions, self._settings.bar_minutes)
        for index, events in self.events(sessions):
            values, ts = folder.fold(events)
            late, late_ts = folder.finish()  # the bars that end with or after the session's last event
            values, ts = np.concatenate([values, late]), np.concatenate([ts, late_ts])
            truth = self._fill(sessions, index, values, ts)
            values[:, _OPEN_INTEREST] = self._open_interest
            self._publish_open_interest(int(sessions.trade_date[index]), float(np.nansum(values[:, _VOLUME])))
            bars = Bars(
                market=self._market.name,
                bar_minutes=self._settings.bar_minutes,
                ts=ts,
                available_at=ts.copy(),
                values=values,
            )
            yield bars, truth

    def _begin(self) -> None:
        """Back to the state before the first session."""
        market, seed = self._market, self._seed
        self._memory = hidden.first(self._settings, generator(seed, "simulated", market.name, "start"))
        self._companions = cross.start(self._settings)
        self._bid = round(market.reference_price / market.tick_size)
        self._log_mid = math.log(self._bid + 0.5)
        self._sessions_done = 0
        self._open_interest = np.nan
        self._last: tuple[_Drive, Array, Array] | None = None

    def _publish_open_interest(self, date: int, volume: float) -> None:
        """What was open after a session is published before the next: some days' volume, a little changed daily."""
        if np.isnan(self._open_interest):
            self._open_interest = round(_INTEREST_DAYS * volume)
        else:
            change = self._generator(date, "open interest").normal(0.0, _INTEREST_CHANGE)
            self._open_interest = max(0, self._open_interest + round(change * volume))

    def _generator(self, trade_date: int, purpose: str) -> np.random.Generator:
        return generator(self._seed, "simulated", self._market.name, str(trade_date), purpose)

    def _session(self, sessions: Sessions, index: int) -> Array:
        """Events of the next session; leaves its hidden state and companions in `_last`."""
        settings, date = self._settings, int(sessions.trade_date[index])
        opened, closed = int(sessions.open_ns[index]), int(sessions.close_ns[index])
        count = -(-(closed - opened) // _MINUTE)
        rng = self._generator(date, "hidden")
        if self._sessions_done:
            gap = rng.standard_normal() * math.sqrt(settings.overnight_gap_minutes)
            self._bid = max(1000, self._bid + round(gap * self._scale.minute_sd_ticks))
        from_open = (np.arange(count) + 0.5) - (int(sessions.rth_open_ns[index]) - opened) / _MINUTE
        to_close = (int(sessions.rth_close_ns[index]) - opened) / _MINUTE - (np.arange(count) + 0.5)
        drive = self._drive(rng, from_open, to_close)
        events, mid2 = self._run(drive.rows, opened, seeded(self._generator(date, "book")))
        mid = mid2 / 2.0
        log_mid = np.log(mid)
        companions = cross.simulate(
            settings,
            self._companions,
            self._generator(date, "cross"),
            self._generator(date, "companions"),
            cross.Span(
                returns=np.diff(log_mid, prepend=self._log_mid),
                sd=drive.sd / mid,
                expected=drive.expected / drive.sd,
                log_variance=drive.log_variance,
                ends=np.minimum(opened + (np.arange(count) + 1) * _MINUTE, closed),
                regular=(from_open >= 0) & (to_close >= 0),
                regular_close=int(sessions.rth_close_ns[index]),
            ),
            fund_follows_partner=self._market.partner in _S_AND_P,
        )
        self._log_mid = float(log_mid[-1])
        self._bid = int(mid2[-1] - 1) // 2
        self._sessions_done += 1
        self._last = (drive, mid, companions)
        return events

    def _day(self, from_open: Array, to_close: Array) -> Array:
        return hidden.shape(from_open, to_close) / self._day_mean

    def _drive(self, rng: np.random.Generator, from_open: Array, to_close: Array) -> _Drive:
        """Rates of every minute from the hidden state and the time of day."""
        settings, scale = self._settings, self._scale
        mean_jump, square_jump = self._jumps
        state = hidden.minutes(settings, self._memory, rng, len(from_open))
        day = self._day(from_open, to_close)
        share = hidden.stationary(settings)
        variance = np.asarray(settings.regime_variance) / (share @ np.asarray(settings.regime_variance))
        spread = settings.slow_sd**2 + settings.fast_sd**2
        level = variance[state.regime] * np.exp(state.slow + state.fast - spread / 2)
        # a sweep of k ticks stands or comes back by a fair coin: its variance is k^2 / 2, its mean k / 2
        base = 2 * scale.minute_sd_ticks**2 / square_jump
        moves = base * day * level
        sd = np.sqrt(moves * square_jump / 2)
        weights = np.asarray(settings.signal_weights)
        norm = math.sqrt(share @ (variance * weights**2))
        signal = settings.alpha * state.signal
        edge = signal * weights[state.regime] / norm * np.sqrt(2 * square_jump) / mean_jump
        bias = np.clip(edge / np.sqrt(moves), -_MAX_BIAS, _MAX_BIAS)
        pace = (day * level) ** _PACE * np.asarray(settings.regime_activity)[state.regime] / self._pace_mean
        orders = settings.order_share * settings.events_per_minute * pace
        quiet = 1 - settings.burst_branching
        rows = np.empty((len(day), kernel.RATES))
        rows[:, kernel.MOVES] = moves * quiet / 60
        rows[:, kernel.ORDERS] = orders * quiet / 60
        rows[:, kernel.ACTIVITY] = self._queue_pace(base) * pace * quiet / 60
        thin = np.asarray(settings.regime_depth)[state.regime] * np.exp(-0.25 * (state.slow + state.fast))
        rows[:, kernel.QUEUE] = np.maximum(2.0, scale.queue_lots * thin * (0.35 + 0.65 * np.minimum(day / 2, 1.2)))
        rows[:, kernel.BIAS] = bias
        rows[:, kernel.LEAN] = 0.9 * np.tanh(settings.flow_lean * signal)
        about_mean = np.log(variance)[state.regime] - share @ np.log(variance) + state.slow + state.fast
        return _Drive(rows, state, moves * mean_jump / 2 * bias, sd, about_mean)

    def _levels(self) -> int:
        """Ticks from the best price on which orders are placed: enough for ten occupied levels."""
        return min(32, math.ceil(13 / self._scale.occupancy))

    def _queue_pace(self, moves: float) -> float:
        """Activity that fills up the aimed event rate beside orders and price moves [1/minute]."""
        settings = self._settings
        touched = max(1.0, self._jumps[0] * self._scale.occupancy)
        rate = settings.events_per_minute
        left = max(0.3 * rate, rate - moves * (3.5 * touched + 1) - 2.8 * settings.order_share * rate)
        places = self._scale.occupancy * sum(1 / (1 + 0.35 * k) for k in range(self._levels()))
        return left / (4 * places)

    def _run(self, rows: Array, opened: int, words: Array) -> tuple[Array, Array]:
        """Run the kernel over one session; returns events and twice the mid at each minute's end."""
        settings = self._settings
        constants = np.zeros(kernel.CONSTANTS)
        constants[kernel.JUMP] = self._scale.jump_ticks
        constants[kernel.OCCUPANCY] = self._scale.occupancy
        constants[kernel.BRANCHING] = settings.burst_branching
        constants[kernel.DECAY] = 1 / settings.burst_decay_s
        constants[kernel.GAP_MEAN] = settings.gap_ms / 1000
        constants[kernel.ICEBERG] = settings.iceberg_share
        constants[kernel.FLEETING] = settings.fleeting_share
        constants[kernel.LARGE] = settings.large_share
        book = np.zeros((2, kernel.RING), np.int64)
        rates = np.zeros((2, self._levels(), 2))
        waits = np.zeros((kernel.PENDING, 4))
        i, f = np.zeros(kernel.INTS, np.int64), np.zeros(kernel.FLOATS)
        i[kernel.BID], i[kernel.ASK] = self._bid, self._bid + 1
        mid2 = np.zeros(len(rows), np.int64)
        out = np.zeros(_CHUNK, EVENT)
        parts = []
        while i[kernel.MINUTE] < len(rows):
            n = kernel.run(book, rates, waits, i, f, rows, constants, words, out, opened, mid2)
            parts.append(out[:n].copy())
        return np.concatenate(parts), mid2

    def _fill(self, sessions: Sessions, index: int, values: Array, ts: Array) -> Truth:
        """Write the cross-asset columns of one session into `values`; return the truth of its rows."""
        if self._last is None:
            raise ArtefactMissing("a simulated market fills rows only after their session is drawn; call chunks()")
        drive, mid, companions = self._last
        length = self._settings.bar_minutes
        end = -(-(ts - sessions.open_ns[index]) // _MINUTE)
        begin = (end - 1) // length * length
        if self._settings.cross_assets:
            values[:, [INDEX[name] for name in cross.NAMES]] = companions[end - 1]
            if length > 1:
                flow = companions[:, cross.NAMES.index(cross.SUMMED)]
                values[:, INDEX[cross.SUMMED]] = _between(flow, begin, end)
        return Truth(
            regime=drive.hidden.regime[end - 1],
            signal=drive.hidden.signal[end - 1],
            expected=_between(drive.expected, begin, end),
            price=mid[end - 1],
        )


def _between(minutes: Array, begin: Array, end: Array) -> Array:
    """Sums of minutes [begin, end) of each row."""
    sums = np.concatenate([[0.0], np.cumsum(minutes)])
    return sums[end] - sums[begin]


def _joined(pieces: list[Any], name: str) -> Array:
    return np.concatenate([getattr(piece, name) for piece in pieces])


def market_scale(market: Market, settings: SimulatedSettings) -> MarketScale:
    """Sizes of a market: declared, or derived from its price so that any new market can be simulated."""
    for scale in settings.scales:
        if scale.market == market.name:
            return scale
    sd = market.reference_price / market.tick_size * settings.volatility_bp / 1e4
    jump = min(max(sd / 4, 1.4), 20.0)
    return MarketScale(
        market=market.name,
        minute_sd_ticks=sd,
        jump_ticks=jump,
        occupancy=1.0 if jump < 3 else 0.4,
        queue_lots=20.0 if jump < 3 else 6.0,
    )


def _jump_moments(mean: float) -> tuple[float, float]:
    """First and second moment of the sweep length, a geometric number cut at the longest sweep."""
    k = np.arange(1, kernel.MAX_JUMP + 1)
    p = 1 / mean
    weight = p * (1 - p) ** (k - 1)
    weight[-1] = 1 - weight[:-1].sum()
    return float(weight @ k), float(weight @ k**2)
