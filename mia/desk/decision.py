"""What the desk made of one bar: the record every listener and the order side read."""

from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decision:
    """The decision taken at the close of one bar.

    Parameters
    ----------
    row : 0-based number of the bar since the desk started
    wish : what the policy asked for, in [-1, 1]
    target : position that is to be held from the next bar's open, after all rules [contracts]
    position : position held now [contracts]; `target` - `position` is the order
    flags : bits of the rules that changed the wish (`mia.desk.accounting`)
    equity_cents : gained so far after costs [cents]
    belief : (K,) float64, filtered regime probabilities
    observation : (Dm,) float32, market part of what the policy saw
    """

    row: int
    wish: float
    target: int
    position: int
    flags: int
    equity_cents: int
    belief: Array = field(repr=False)
    observation: Array = field(repr=False)

    @property
    def order(self) -> int:
        """Contracts to trade at the next open: positive buys, negative sells."""
        return self.target - self.position
