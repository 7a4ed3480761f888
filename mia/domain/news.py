"""News items and scheduled figures as received: what sources hand over and the news analyzer reads."""

from dataclasses import dataclass
from math import isfinite

from mia.domain.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsItem:
    """A headline.

    Parameters
    ----------
    received_at : when we could read it [ns UTC]; the only time that counts
    published_at : what the publisher stamped it with [ns UTC]; may lie before or after, is never used to place it
    headline : text
    source : publisher
    symbols : what it is about, () if it does not say
    sentiment : of a vendor [-1, 1], NaN: the lexicon reads it
    relevance : to the market [0, 1]
    topic : one of `mia.domain.series.NEWS_TOPICS`, "" : found from the words

    Raises
    ------
    DataError : if a number lies outside its range.
    """

    received_at: int
    published_at: int
    headline: str
    source: str
    symbols: tuple[str, ...]
    sentiment: float
    relevance: float
    topic: str

    def __post_init__(self) -> None:
        if self.sentiment == self.sentiment and not -1 <= self.sentiment <= 1:
            raise DataError(f"news: sentiment must lie in [-1, 1], was {self.sentiment:g}")
        if not 0 <= self.relevance <= 1:
            raise DataError(f"news: relevance must lie in [0, 1], was {self.relevance:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A scheduled figure as it was first printed.

    Parameters
    ----------
    received_at : when we could read it [ns UTC]
    event : name in the event calendar, e.g. "CPI"
    actual : first print, never revised [the figure's unit]
    consensus : what was expected before it [same unit]
    deviation : standard deviation of past surprises, known before it [same unit], > 0

    Raises
    ------
    DataError : if the surprise cannot be scaled.
    """

    received_at: int
    event: str
    actual: float
    consensus: float
    deviation: float

    def __post_init__(self) -> None:
        if not 0 < self.deviation < float("inf"):
            raise DataError(f"release {self.event}: deviation of past surprises must be > 0, was {self.deviation:g}")
        if not (isfinite(self.actual) and isfinite(self.consensus)):
            raise DataError(f"release {self.event}: actual and consensus must be numbers")

    @property
    def surprise(self) -> float:
        """Actual less consensus in deviations of past surprises."""
        return (self.actual - self.consensus) / self.deviation
