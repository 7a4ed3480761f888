"""One news item as it was received: what sources hand over and the news analyzer reads."""

from dataclasses import dataclass

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
