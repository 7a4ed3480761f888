"""The yardstick's market with its signal hidden in order flow, and the filter that knows how.

Buyers and sellers lean with the signal, noisily; nothing else betrays it but the returns it causes. A Kalman
filter with the true numbers is the best anybody can know of it, and what it knows is again an AR(1), so the
yardstick's dynamic program gives the best policy. Called by evaluation.known_world_hidden.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from mia.domain.rng import generator
from mia.domain.series import INDEX, WIDTH
from mia.source import yardstick
from mia.source.hidden_settings import HiddenSettings
from mia.source.yardstick_settings import YardstickSettings

Array = np.ndarray

LEAST_SHARE = 0.02  # of a bar's volume on either side: the imbalance is clipped there, beyond four deviations
WICK = 0.3  # mean length of a bar's wicks [deviations of its return]
TRADE_SIZE = 4.0  # mean contracts of a trade


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """T rows of the hidden market: rows to fit on, to learn from and to be judged on, in this order.

    Parameters
    ----------
    settings : what the market is like
    alpha : (T,) float64, the hidden signal at each row, unit variance
    returns : (T,) float64, return of the bar that closes at each row [units], caused by the alpha of the row before
    buy, sell : (T,) int64, contracts that bought and sold aggressively in the bar
    seed : of the rows; wicks are drawn from it when the bars are made
    """

    settings: HiddenSettings
    alpha: Array
    returns: Array
    buy: Array
    sell: Array
    seed: int

    def __len__(self) -> int:
        return len(self.alpha)

    @property
    def imbalance(self) -> Array:
        """(T,) what order flow shows of the signal."""
        return (self.buy - self.sell) / (self.buy + self.sell)


def world(settings: HiddenSettings, seed: int) -> World:
    """Draw all rows of one seed."""
    rows = settings.fit_rows + settings.train_rows + settings.judge_rows
    rng = generator(seed, "yardstick_hidden", "signal")
    alpha = yardstick.autoregressions(rng.standard_normal((rows, 1)), np.array([settings.persistence]))[:, 0].copy()
    before = np.concatenate(([0.0], alpha[:-1]))
    returns = settings.signal * before + settings.noise * rng.standard_normal(rows)
    lean = settings.flow_gain * alpha + settings.flow_noise * rng.standard_normal(rows)
    volume = np.rint(settings.volume * np.exp(settings.volume_spread * rng.standard_normal(rows)))
    volume = np.maximum(volume, 10.0).astype(np.int64)
    share = np.clip((1.0 + lean) / 2.0, LEAST_SHARE, 1.0 - LEAST_SHARE)
    # Rounded by chance, so that the imbalance is right on average whatever the volume.
    buy = np.clip(np.floor(volume * share + rng.random(rows)).astype(np.int64), 0, volume)
    return World(settings=settings, alpha=alpha, returns=returns, buy=buy, sell=volume - buy, seed=seed)


def base_rows(world: World, first_tick: int) -> Array:
    """(T, WIDTH) float64 base series of the bars; only prices, volume and signed volume are filled.

    Parameters
    ----------
    world : T rows
    first_tick : price before the first bar [ticks]
    """
    settings, rows = world.settings, len(world)
    rng = generator(world.seed, "yardstick_hidden", "bars")
    close = first_tick + np.cumsum(np.rint(world.returns * settings.ticks_per_unit))
    open_ = np.concatenate(([float(first_tick)], close[:-1]))
    wicks = np.rint(rng.exponential(WICK * settings.noise * settings.ticks_per_unit, (2, rows)))
    volume = world.buy + world.sell
    values = np.full((rows, WIDTH), np.nan)
    columns = {
        "bar.open": open_,
        "bar.high": np.maximum(open_, close) + wicks[0],
        "bar.low": np.minimum(open_, close) - wicks[1],
        "bar.close": close,
        "bar.volume": volume,
        "trd.n": np.maximum(1, np.rint(volume / TRADE_SIZE)),
        "trd.buy_volume": world.buy,
        "trd.sell_volume": world.sell,
    }
    for name, column in columns.items():
        values[:, INDEX[name]] = column
    return values


def posterior_variance(settings: HiddenSettings) -> float:
    """Variance of the signal given all order flow and returns so far, in the steady state."""
    variance = 1.0
    for _ in range(10_000):
        variance, before = _updated(settings, variance), variance
        if abs(variance - before) < 1e-15:
            break
    return variance


def _updated(settings: HiddenSettings, variance: float) -> float:
    """Variance after one more bar: its return tells of the signal before it, its flow of the signal now."""
    known = 1.0 / (1.0 / variance + (settings.signal / settings.noise) ** 2)
    predicted = settings.persistence**2 * known + 1.0 - settings.persistence**2
    return 1.0 / (1.0 / predicted + (settings.flow_gain / settings.flow_noise) ** 2)


def kalman(world: World) -> Array:
    """(T,) mean of the signal at each row given all order flow and returns so far.

    Source: Kalman (1960). Starts from the stationary distribution before the first row.
    """
    s = world.settings
    return _kalman(world.imbalance, world.returns, s.persistence, s.signal, s.noise, s.flow_gain, s.flow_noise)


@njit(cache=True)
def _kalman(
    imbalance: Array,
    returns: Array,
    persistence: float,
    signal: float,
    noise: float,
    flow_gain: float,
    flow_noise: float,
) -> Array:
    out = np.empty(len(returns))
    mean, variance = 0.0, 1.0
    for t in range(len(returns)):
        if t > 0:
            # The return of this bar was caused by the signal at the row before.
            gain = variance * signal / (signal * signal * variance + noise * noise)
            mean += gain * (returns[t] - signal * mean)
            variance *= 1.0 - gain * signal
            mean *= persistence
            variance = persistence * persistence * variance + 1.0 - persistence * persistence
        gain = variance * flow_gain / (flow_gain * flow_gain * variance + flow_noise * flow_noise)
        mean += gain * (imbalance[t] - flow_gain * mean)
        variance *= 1.0 - gain * flow_gain
        out[t] = mean
    return out


def as_yardstick(settings: HiddenSettings) -> YardstickSettings:
    """Return the yardstick that the market is for somebody who filters perfectly.

    The filtered mean is an AR(1) with the signal's persistence and variance 1 - P; scaled to unit variance it is
    an observed signal, weaker by the square root of that.
    """
    known = 1.0 - posterior_variance(settings)
    return YardstickSettings(
        name=settings.name,
        kind="yardstick",
        train_rows=settings.train_rows,
        judge_rows=settings.judge_rows,
        signal=settings.signal * known**0.5,
        persistence=settings.persistence,
        noise=settings.noise,
        cost=settings.cost,
        distractors=0,
        distractor_low=0.0,
        distractor_high=0.0,
        ticks_per_unit=100 * settings.ticks_per_unit,
    )


def best_targets(settings: HiddenSettings, mean: Array) -> Array:
    """(T, 3) int64 best target by what the filter knows (T,) and position held."""
    return yardstick.optimum(as_yardstick(settings)).targets(mean / (1.0 - posterior_variance(settings)) ** 0.5)
