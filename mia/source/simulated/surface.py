"""The volatility surface of the simulated options: what a model price is made from. For chains only.

A term of total variance between two volatility indices carries, at every expiry, the surface of Gatheral and
Jacquier (2014), Arbitrage-free SVI volatility surfaces, with phi(theta) = eta / sqrt(theta): no butterfly can be
bought for less than nothing while eta^2 (1 + |rho|) <= 4, no calendar spread while theta rises with time.
"""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
YEAR_NS = 365 * 86_400 * 10**9
_REVERSION = 6.0  # pull of variance to its long-run level [1/year]
_SHORT, _LONG = 30 / 365, 91 / 365


def _weight(years: Array | float) -> Array | float:
    """Mean share of a deviation of variance that is left over a time."""
    return -np.expm1(-_REVERSION * years) / (_REVERSION * years)


_G30, _G91 = float(_weight(_SHORT)), float(_weight(_LONG))


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """Implied variance at one moment.

    Parameters
    ----------
    now, far : variance now and in the long run [1/year]
    rho, eta : slope and opening of the smile
    """

    now: float
    far: float
    rho: float
    eta: float

    def at_forward(self, years: Array) -> Array:
        """(N,) total variance at the forward."""
        return years * (self.far + (self.now - self.far) * _weight(years))

    def volatility(self, log_moneyness: Array, years: Array) -> Array:
        """(N,) implied volatility [annual, decimal] at ln(strike / forward)."""
        theta = self.at_forward(years)
        x = log_moneyness * self.eta / np.sqrt(theta)
        total = theta / 2 * (1 + self.rho * x + np.sqrt((x + self.rho) ** 2 + 1 - self.rho**2))
        return np.sqrt(total / years)


def fitted(short: float, long: float, rho: float, eta: float) -> Surface:
    """The surface whose volatility at the forward is `short` at 30 and about `long` at 91 days.

    Both variances stay positive, so total variance rises with time whatever the two indices say; the 30 days
    are met in any case.
    """
    v30, v91 = short * short, long * long
    now = (v30 * (1 - _G91) - v91 * (1 - _G30)) / (_G30 - _G91)
    now = min(max(now, 0.25 * v30), v30 * (1 - 0.15 * (1 - _G30)) / _G30)
    return Surface(now=now, far=(v30 - now * _G30) / (1 - _G30), rho=rho, eta=eta)


def black(forward: Array, strike: Array, right: Array, years: Array, volatility: Array, rate: float) -> Array:
    """(N,) price of European options on a future [points].

    Source: Black (1976), The pricing of commodity contracts.
    """
    from scipy.special import ndtr

    spread = volatility * np.sqrt(years)
    d1 = np.log(forward / strike) / spread + spread / 2
    value = right * (forward * ndtr(right * d1) - strike * ndtr(right * (d1 - spread)))
    return np.exp(-rate * years) * value
