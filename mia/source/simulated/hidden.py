"""What drives the simulated market and nobody sees: regime, log variance, signal; minute by minute."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from mia.source.simulated_settings import SimulatedSettings

Array = np.ndarray
TREND, RANGE, DEFENSIVE = 0, 1, 2
_HALF = np.log(2.0)


@dataclass(slots=True)
class Memory:
    """What one session hands to the next: regime, slow and fast log variance, slow and fast signal."""

    regime: int
    slow: float
    fast: float
    trend_signal: float
    range_signal: float


@dataclass(frozen=True, slots=True)
class Minutes:
    """Hidden state of M minutes: regime, slow and fast log variance, signal (unit variance)."""

    regime: Array
    slow: Array
    fast: Array
    signal: Array


@njit(cache=True)
def autoregression(start, decay, noise):
    """First-order autoregression x[t] = decay x[t-1] + noise[t], begun from `start`; (M,) float64."""
    out = np.empty(len(noise))
    x = start
    for t in range(len(noise)):
        x = decay * x + noise[t]
        out[t] = x
    return out


@njit(cache=True)
def chain(start, leave, draws):
    """Three-state chain: leaves a state with probability leave[state], to each other alike; (M,) int64."""
    out = np.empty(len(draws), np.int64)
    state = start
    for t in range(len(draws)):
        if draws[t, 0] < leave[state]:
            state = (state + (1 if draws[t, 1] < 0.5 else 2)) % 3
        out[t] = state
    return out


def stationary(settings: SimulatedSettings) -> Array:
    """(3,) share of minutes in each regime: exits are alike, so shares go with the mean stays."""
    stay = np.asarray(settings.regime_minutes)
    return stay / stay.sum()


def first(settings: SimulatedSettings, rng: np.random.Generator) -> Memory:
    """Draw a start from the stationary distribution."""
    regime = int(np.searchsorted(np.cumsum(stationary(settings)), rng.random()))
    slow, fast, trend, quick = rng.standard_normal(4)
    return Memory(min(regime, 2), slow * settings.slow_sd, fast * settings.fast_sd, trend, quick)


def _walk(start: float, half_life: float, sd: float, rng: np.random.Generator, n: int) -> Array:
    decay = float(np.exp(-_HALF / half_life))
    return autoregression(start, decay, rng.standard_normal(n) * sd * np.sqrt(1 - decay * decay))


def minutes(settings: SimulatedSettings, memory: Memory, rng: np.random.Generator, n: int) -> Minutes:
    """Draw the next `n` minutes and move `memory` on. Nothing here depends on `alpha` or on the book."""
    regime = chain(memory.regime, 1.0 / np.asarray(settings.regime_minutes), rng.random((n, 2)))
    slow = _walk(memory.slow, settings.slow_half_life_minutes, settings.slow_sd, rng, n)
    fast = _walk(memory.fast, settings.fast_half_life_minutes, settings.fast_sd, rng, n)
    trend = _walk(memory.trend_signal, settings.signal_half_life_minutes, 1.0, rng, n)
    quick = _walk(memory.range_signal, settings.range_half_life_minutes, 1.0, rng, n)
    memory.regime, memory.slow, memory.fast = int(regime[-1]), float(slow[-1]), float(fast[-1])
    memory.trend_signal, memory.range_signal = float(trend[-1]), float(quick[-1])
    return Minutes(regime, slow, fast, np.where(regime == RANGE, quick, trend))


def shape(from_open: Array, to_close: Array) -> Array:
    """Variance through the day, relative: low at night, high at the regular open and close, a U between.

    Parameters
    ----------
    from_open : (M,) minutes since the regular open, negative before
    to_close : (M,) minutes until the regular close, negative after
    """
    night = 0.16 + 0.12 * np.exp(-(((from_open + 380) / 60) ** 2)) + 0.5 * np.exp(-(((from_open + 55) / 10) ** 2))
    day = 0.8 + 2.2 * np.exp(-from_open / 25.0) + 1.1 * np.exp(-to_close / 25.0)
    late = 0.18 + 0.35 * np.exp(to_close / 15.0)
    return np.where(from_open < 0, night, np.where(to_close >= 0, day, late))


def full_day_means(power: float) -> tuple[float, float]:
    """Means over an ordinary session (23 hours, 390 minutes regular) of `shape` and (shape / mean)^power."""
    minute = np.arange(1380) + 0.5 - 930.0
    day = shape(minute, 390.0 - minute)
    return float(day.mean()), float(((day / day.mean()) ** power).mean())
