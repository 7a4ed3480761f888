"""Settings of the news analyzer: conf/news/*.yaml."""

from dataclasses import dataclass

from mia.domain.errors import ConfigurationError

METHODS = ("lexicon", "transformer")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsSettings:
    """How headlines become numbers.

    Parameters
    ----------
    name : option in conf/news
    sentiment : who reads the headlines that come without a vendor's sentiment: "lexicon" or "transformer"
    model : folder of the transformer, null with the lexicon
    novelty_hours : a headline is compared with those of this long [hours], > 0
    heartbeat_max_age_minutes : the feed counts as up this long after a sign of life [minutes], > 0
    max_wait_minutes : an item older than this at the first bar that could know it is only remembered [minutes];
        it keeps a weekend's headlines from arriving all at once on Sunday evening
    surprise_clip : bound of one release's surprise [deviations], > 0
    other_relevance : weight of an item that names other symbols only, in [0, 1]
    silent_relevance : weight of an item that names no symbol and none of the market's words, in [0, 1]
    symbols : market -> symbols that mean it; an item naming one has weight 1
    words : market -> words that mean it, used where an item names no symbol

    Raises
    ------
    ConfigurationError : naming the setting, its value and the remedy.
    """

    name: str
    sentiment: str
    model: str | None
    novelty_hours: float
    heartbeat_max_age_minutes: float
    max_wait_minutes: float
    surprise_clip: float
    other_relevance: float
    silent_relevance: float
    symbols: dict[str, tuple[str, ...]]
    words: dict[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        if self.sentiment not in METHODS:
            raise ConfigurationError(f"news.sentiment must be one of {', '.join(METHODS)}, was {self.sentiment!r}")
        if self.sentiment == "transformer" and not self.model:
            raise ConfigurationError("news.model must name the folder of a model for news.sentiment=transformer")
        for field in ("novelty_hours", "heartbeat_max_age_minutes", "max_wait_minutes", "surprise_clip"):
            if not 0 < getattr(self, field) < float("inf"):
                raise ConfigurationError(f"news.{field} must be positive, was {getattr(self, field):g}")
        for field in ("other_relevance", "silent_relevance"):
            if not 0 <= getattr(self, field) <= 1:
                raise ConfigurationError(f"news.{field} must lie in [0, 1], was {getattr(self, field):g}")
