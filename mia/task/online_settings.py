"""Settings of online learning; conf/online/<option>.yaml makes one. Importing this costs nothing."""

from dataclasses import dataclass

from mia.algo.settings.adaptation import StepSettings
from mia.domain.errors import ConfigurationError
from mia.evaluation.shadow_settings import ShadowSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineSettings:
    """How a policy goes on learning while it trades.

    Parameters
    ----------
    name : option name
    window_bars : rows traded between two updates of the challenger [bars]
    memory_windows : newest windows it learns from
    step : its gradient steps after each window; the divergence is measured from the champion
    shadow : when it takes over, and when its predecessor comes back

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    name: str
    window_bars: int
    memory_windows: int
    step: StepSettings
    shadow: ShadowSettings

    def __post_init__(self) -> None:
        for field, (low, high) in {"window_bars": (2, 1_000_000), "memory_windows": (1, 1_000_000)}.items():
            if not low <= getattr(self, field) <= high:
                raise ConfigurationError(
                    f"online.{field} must lie between {low} and {high}, was {getattr(self, field)!r}; "
                    "correct it in conf/online"
                )
