"""How new a headline is: one less its greatest cosine similarity with those of the last hours.

Words are hashed by a fixed function, so there is no vocabulary to fit and nothing that could know the future.
"""

import re
import zlib
from collections import Counter
from math import sqrt

import numpy as np

Array = np.ndarray

_WORD = re.compile(r"\w+")
_EMPTY_WORDS = frozenset(
    _WORD.findall(
        """a about after all also an and are as at be been but by can could did do for from had has have he her his how
        i in into is it its may more no not of on or our out over she so some than that the their them they this to up
        was we were what when which who why will with would you your s t"""
    )
)


def term_counts(headline: str) -> dict[int, int]:
    """Counts of hashed words; one-letter and empty words are left out unless nothing else is there."""
    words = _WORD.findall(headline.lower())
    telling = [word for word in words if word not in _EMPTY_WORDS]
    return dict(Counter(zlib.crc32(word.encode()) for word in telling or words))


class RecentHeadlines:
    """The headlines of the last hours, findable by their words.

    Parameters
    ----------
    window_ns : how long a headline is remembered [ns]
    """

    def __init__(self, window_ns: int) -> None:
        self._window = window_ns
        self._forget_all()

    def _forget_all(self) -> None:
        self._received: list[int] = []
        self._terms: list[dict[int, int]] = []
        self._norm: list[int] = []
        self._with: dict[int, list[int]] = {}  # word -> headlines that hold it, in order
        self._first = 0  # the first one still remembered

    def novelty(self, received_at: int, headline: str) -> float:
        """One less the greatest similarity with the window before, in [0, 1]; then remember the headline.

        Exactly 0 for a repeat in the same words, exactly 1 where no word is shared. A headline `window_ns` old is
        still compared.
        """
        self._forget(received_at - self._window)
        terms = term_counts(headline)
        norm = sum(count * count for count in terms.values())
        shared: dict[int, int] = {}
        for term, count in terms.items():
            for other in self._with.get(term, ()):
                if other >= self._first:
                    shared[other] = shared.get(other, 0) + count * self._terms[other][term]
        nearest = max((dot / sqrt(norm * self._norm[other]) for other, dot in shared.items()), default=0.0)
        self._remember(received_at, terms, norm)
        return 1.0 - min(nearest, 1.0)

    def _remember(self, received_at: int, terms: dict[int, int], norm: int) -> None:
        for term in terms:
            self._with.setdefault(term, []).append(len(self._received))
        self._received.append(received_at)
        self._terms.append(terms)
        self._norm.append(norm)

    def _forget(self, before: int) -> None:
        while self._first < len(self._received) and self._received[self._first] < before:
            self._first += 1
        if self._first > 1000 and self._first * 2 > len(self._received):
            self._rebuild(self.state)

    @property
    def state(self) -> dict[str, Array]:
        """Everything remembered, as arrays."""
        kept = range(self._first, len(self._received))
        return {
            "received": np.array([self._received[k] for k in kept], np.int64),
            "lengths": np.array([len(self._terms[k]) for k in kept], np.int64),
            "terms": np.array([term for k in kept for term in self._terms[k]], np.int64),
            "counts": np.array([count for k in kept for count in self._terms[k].values()], np.int64),
        }

    @state.setter
    def state(self, state: dict[str, Array]) -> None:
        self._rebuild(state)

    def _rebuild(self, state: dict[str, Array]) -> None:
        self._forget_all()
        end = np.cumsum(state["lengths"])
        for received, begin, stop in zip(state["received"], end - state["lengths"], end, strict=True):
            pairs = zip(state["terms"][begin:stop].tolist(), state["counts"][begin:stop].tolist(), strict=True)
            terms = dict(pairs)
            self._remember(int(received), terms, sum(count * count for count in terms.values()))
