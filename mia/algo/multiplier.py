"""The price of breaking a limit, set by a controller. Called by the constrained learner."""

import math
from collections.abc import Mapping
from typing import Any

from mia.algo.settings import MultiplierSettings


class Multiplier:
    """A price that rises while a limit is broken and falls, down to nothing, while it is kept.

    It answers the error itself, the sum of all errors and their growth. The sum is what Lagrange's multiplier alone
    would be; the other two keep it from swinging. The price is exponential in the answer, since one market wants a
    price of a tenth and another of three, and nobody knows beforehand.

    Source: Stooke, Achiam and Abbeel (2020), Responsive safety in reinforcement learning by PID Lagrangian methods,
    algorithm 2; the error's exponential smoothing as in their appendix.

    Parameters
    ----------
    settings : the controller's gains and bounds

    Attributes
    ----------
    value : the present price, in [0, settings.largest]
    """

    def __init__(self, settings: MultiplierSettings) -> None:
        self.settings = settings
        self.value = 0.0
        self._sum = 0.0
        self._smooth: float | None = None

    def update(self, error: float) -> float:
        """Hear by what share the limit is broken, negative while it is kept, and return the new price."""
        settings = self.settings
        before = error if self._smooth is None else self._smooth
        self._smooth = settings.smoothing * before + (1.0 - settings.smoothing) * error
        growth = max(0.0, self._smooth - before)
        # The sum stops where the price cannot rise further, or it would take as long to come down again.
        highest = math.log1p(settings.largest / settings.scale)
        most = highest / settings.integral if settings.integral > 0 else 0.0
        self._sum = min(max(0.0, self._sum + error), most)
        answer = settings.proportional * self._smooth + settings.integral * self._sum + settings.derivative * growth
        self.value = settings.scale * math.expm1(min(max(0.0, answer), highest))
        return self.value

    def state(self) -> dict[str, Any]:
        """Return what the next price depends on."""
        return {"value": self.value, "sum": self._sum, "smooth": self._smooth}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.value, self._sum, self._smooth = state["value"], state["sum"], state["smooth"]
