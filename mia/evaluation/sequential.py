"""A test that may be looked at after every window: is one of two traders better, or was it luck so far?

It bets on the difference of their profits. Whoever bets against a game that is fair or worse, without borrowing, turns
1 into 1 / alpha with probability at most alpha, however long the game is watched. Called by evaluation.shadow.

Source: Ville (1939); Shafer (2021), Testing by betting; Waudby-Smith and Ramdas (2024), Estimating means of bounded
random variables by betting; mixing over starts as in Shin, Ramdas and Rinaldo (2023), E-detectors.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

Array = np.ndarray

BETS = np.array([0.025, 0.05, 0.1, 0.2, 0.4, 0.8])
"""Shares of the wealth that are bet, side by side: the best one depends on how much better the better trader is."""


class BettingTest:
    """Tests that a difference has no positive expectation, given all that went before.

    The wealth is split over the bets, and over the windows at which betting begins (half of it at the first, a sixth at
    the second, 1 / (s (s + 1)) at the s-th), so that what was lost before a change of the market does not count after
    it. Valid if no difference falls short of minus the bound divided by the largest bet: one that does costs all that
    is in the game and no more, so a bound learned from differences that have been small would promote whoever collects
    pennies until the day he loses a fortune. A window counts as the bound at most: one lucky bar promotes nobody.

    Parameters
    ----------
    alpha : largest probability of ever rejecting although there is no positive expectation, in (0, 1)
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha
        self.windows = 0
        self._wealth = np.zeros(len(BETS))

    @property
    def evidence(self) -> float:
        """Present wealth per unit put in; `1 / alpha` or more rejects."""
        return float(self._wealth.mean()) + 1.0 / (self.windows + 1)

    def update(self, difference: float, bound: float) -> bool:
        """Take in one window; return whether the test rejects now.

        Parameters
        ----------
        difference : profit of the one trader less that of the other
        bound : > 0, in the same unit, known before the window
        """
        self.windows += 1
        entering = 1.0 / (self.windows * (self.windows + 1))
        part = min(difference / bound, 1.0)
        self._wealth = (self._wealth + entering) * np.maximum(0.0, 1.0 + BETS * part)
        return self.evidence >= 1.0 / self.alpha

    def state(self) -> dict[str, Any]:
        """Return what decides the rest of the test."""
        return {"alpha": self.alpha, "windows": self.windows, "wealth": self._wealth.copy()}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> "BettingTest":
        """Return the test `state` was taken of."""
        test = cls(float(state["alpha"]))
        test.windows, test._wealth = int(state["windows"]), np.array(state["wealth"], dtype=np.float64)
        return test


def spent(alpha: float, number: int) -> float:
    """Return the level of the `number`-th test (from 1): all of a series together reject falsely with <= alpha."""
    return alpha / (number * (number + 1))
