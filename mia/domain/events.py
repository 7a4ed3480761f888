"""Market events as one compact record, the input of the bar-folding kernel in batch and live."""

import numpy as np

TRADE = 1  # price, size, side = aggressor (+1 buy, -1 sell, 0 unknown)
DEPTH = 2  # price, size = new total at that price (0: gone), side = +1 bid, -1 ask
CLEAR = 3  # the book is void until rebuilt (session start, reconnect)
CLOCK = 4  # nothing happened, time passed (heartbeat)

EVENT = np.dtype(
    [("ts", "i8"), ("price", "i4"), ("size", "i4"), ("kind", "u1"), ("side", "i1"), ("order", "u2")],
    align=True,
)
"""ts [ns UTC], price [ticks], size [contracts]; `order` numbers the aggressive order a trade belongs to
(mod 65536), so that a sweep of several prices is known to be one order; 0 when the feed does not say."""
