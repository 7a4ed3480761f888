"""What customers bought between two chains, from the growth of volume; for `opt.signed_delta` and dealer_sign=flow.

A chain carries no trades, so the quote rule needs a stand-in for their price: the mid of now. It is held against the
mid of the chain before, carried to the present forward and time at the volatility of then. Up by half of the then
spread, that is, at the then ask, and all that was traded counts as bought; down by as much, as sold; between, a part.
"""

import numpy as np

from mia.domain.errors import DataError
from mia.features.options.black76 import black, compiled
from mia.features.options.exposure import Exposure
from mia.features.options.quotes import Book
from mia.features.options.settings import OptionsSettings

Array = np.ndarray

MINUTE_NS = 60 * 10**9
_VOLUME, _VOL, _OFFSET, _HALF, _NET, _SEEN = range(6)
_COLUMNS = 6


@compiled
def _match(old_expiry, old_strike, old_right, expiry, strike, right, at):
    """Row of each option in the memory, -1 if it is not there; both sorted by expiry, strike, right."""
    j, n = 0, len(old_strike)
    for i in range(len(strike)):
        while j < n and (
            old_expiry[j] < expiry[i]
            or (
                old_expiry[j] == expiry[i]
                and (old_strike[j] < strike[i] or (old_strike[j] == strike[i] and old_right[j] < right[i]))
            )
        ):
            j += 1
        at[i] = -1
        if j < n and old_expiry[j] == expiry[i] and old_strike[j] == strike[i] and old_right[j] == right[i]:
            at[i] = j
            j += 1


@compiled
def _advance(
    ts, of, forward, years, rate, strike, right, mid, half, volume, vol, delta, at, old, seen_at, gap, tick, new
):
    """Write what is to be remembered of each option to `new`; returns the delta customers bought [USD]."""
    bought = 0.0
    for i in range(len(strike)):
        j, e = at[i], of[i]
        fair = np.nan
        if forward[e] > 0.0 and vol[i] > 0.0:
            fair = black(forward[e], strike[i], years[e], vol[i], rate, right[i])
        counted = 0.0 <= volume[i] < np.inf
        new[i, _VOLUME] = volume[i] if counted else np.nan
        new[i, _VOL], new[i, _OFFSET], new[i, _HALF] = vol[i], mid[i] - fair, half[i]
        new[i, _NET], new[i, _SEEN] = 0.0, 0.0
        if j < 0:
            continue
        new[i, _NET], new[i, _SEEN] = old[j, _NET], old[j, _SEEN]
        if not counted:
            new[i, _VOLUME] = old[j, _VOLUME]
            continue
        traded = volume[i] - old[j, _VOLUME]
        if traded < 0.0:  # a session began in between
            traded = volume[i]
        if ts - seen_at[j] > gap or not traded > 0.0 or not forward[e] > 0.0 or not old[j, _VOL] > 0.0:
            continue
        carried = old[j, _OFFSET] + black(forward[e], strike[i], years[e], old[j, _VOL], rate, right[i])
        share = (mid[i] - carried) / max(old[j, _HALF], 0.5 * tick)
        if share != share:
            continue
        net = traded * min(max(share, -1.0), 1.0)
        new[i, _NET] += net
        new[i, _SEEN] += traded
        bought += net * delta[i]
    return bought


class CustomerFlow:
    """Remembers each option's last quote and volume, and what customers were seen to buy of it.

    Parameters
    ----------
    settings : see `OptionsSettings`
    """

    def __init__(self, settings: OptionsSettings) -> None:
        self._settings = settings
        self._expiry, self._strike = np.empty(0, np.int64), np.empty(0)
        self._right, self._seen_at = np.empty(0, np.int64), np.empty(0, np.int64)
        self._memory = np.empty((0, _COLUMNS))

    @property
    def state(self) -> dict[str, Array]:
        """Everything remembered; setting it continues from there."""
        return {
            "expiry": self._expiry.copy(),
            "strike": self._strike.copy(),
            "right": self._right.copy(),
            "seen_at": self._seen_at.copy(),
            "memory": self._memory.copy(),
        }

    @state.setter
    def state(self, state: dict[str, Array]) -> None:
        n = len(state["strike"])
        if state["memory"].shape != (n, _COLUMNS) or any(len(state[k]) != n for k in ("expiry", "right", "seen_at")):
            raise DataError("options: the saved state of the customer flow does not fit together; start without it")
        self._expiry, self._right, self._seen_at = (
            np.array(state[k], dtype=np.int64) for k in ("expiry", "right", "seen_at")
        )
        self._strike, self._memory = (np.array(state[k], dtype=np.float64) for k in ("strike", "memory"))

    def advance(self, book: Book, exposure: Exposure) -> float:
        """Take in the next chain; returns the delta customers bought since the one before [USD].

        What cannot be signed (first sight of an option, no quote then or now, a gap) counts as neither.
        """
        expiry = book.expiry[book.of]
        at = np.empty(len(expiry), np.int64)
        _match(self._expiry, self._strike, self._right, expiry, book.strike, book.right, at)
        new = np.empty((len(expiry), _COLUMNS))
        bought = _advance(
            book.ts,
            book.of,
            book.forward,
            book.years,
            book.rate,
            book.strike,
            book.right,
            book.mid,
            book.half,
            book.volume,
            exposure.vol,
            exposure.delta,
            at,
            self._memory,
            self._seen_at,
            round(self._settings.flow_max_gap_minutes * MINUTE_NS),
            float(self._settings.quote_tick),
            new,
        )
        self._remember(book, expiry, at, new)
        return float(bought)

    def _remember(self, book: Book, expiry: Array, at: Array, new: Array) -> None:
        """Keep this chain, and those options of earlier ones that are alive and not in it."""
        missing = self._expiry > book.ts
        missing[at[at >= 0]] = False
        columns = (expiry, book.strike, book.right, np.full(len(expiry), book.ts, np.int64), new)
        if missing.any():
            kept = (self._expiry, self._strike, self._right, self._seen_at, self._memory)
            columns = tuple(np.concatenate([a, b[missing]]) for a, b in zip(columns, kept, strict=True))
            order = np.lexsort((columns[2], columns[1], columns[0]))
            columns = tuple(column[order] for column in columns)
        self._expiry, self._strike, self._right, self._seen_at, self._memory = columns

    def dealer_signs(self, book: Book) -> Array:
        """(N,) share of each option's open interest that dealers are taken to be long, in [-1, 1].

        Minus what customers bought net over what was seen to trade, leaning on the naive guess as if
        `flow_prior_contracts` had been seen to trade that way. Call it after `advance` with the same book.
        """
        at = np.empty(len(book.strike), np.int64)
        _match(self._expiry, self._strike, self._right, book.expiry[book.of], book.strike, book.right, at)
        known = at >= 0
        net, seen = np.zeros(len(at)), np.zeros(len(at))
        net[known], seen[known] = self._memory[at[known], _NET], self._memory[at[known], _SEEN]
        prior = self._settings.flow_prior_contracts
        return (prior * book.right - net) / (prior + seen)
