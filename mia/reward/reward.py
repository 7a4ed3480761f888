"""What a reward is; environments, counterfactual tables and learners know it by this alone."""

from typing import Protocol

import numpy as np

Array = np.ndarray


class Reward(Protocol):
    """What one step of one account, or of many accounts at once, was worth.

    A reward reads the step's net change of equity, the position taken and the context of the decision, and nothing
    of the account's past: so it can be told for positions and actions that were never taken.
    """

    def __call__(
        self, before: float, after: float, *, position: float | None = None, context: Array | None = None
    ) -> float:
        """Return the reward of going from equity `before` to `after` [cents], the same bits as `of_changes`."""
        ...

    def of_changes(self, change_cents: Array, position: Array | None = None, context: Array | None = None) -> Array:
        """Return the rewards of n steps.

        Parameters
        ----------
        change_cents : (n,) net changes of equity, costs included [cents]
        position : (n,) positions taken, held after the step [contracts or shares of the limit]; None: unknown
        context : (n, C) columns `CONTEXT` of the decisions' rows, NaN where unknown; None: all unknown

        Returns
        -------
        (n,) float32
        """
        ...


def of_one(
    reward: Reward, before: float, after: float, position: float | None = None, context: Array | None = None
) -> float:
    """Return what `of_changes` gives a single step, so that one account is paid as many are, bit for bit."""
    many = reward.of_changes(
        np.array([after - before]),
        None if position is None else np.array([position]),
        None if context is None else np.asarray(context)[None, :],
    )
    return float(many[0])


def in_units(cents: Array, scale_cents: float) -> Array:
    """Return (n,) float32 of amounts (n,) [cents] in units of `scale_cents`."""
    units: Array = np.divide(cents, scale_cents).astype(np.float32)
    return units
