"""How one step is rewarded while learning; conf/reward/* makes one of these. Judging knows only plain profit."""

from dataclasses import dataclass
from typing import Any

from mia.domain.errors import ConfigurationError


def _check(settings: Any, name: str, bounds: dict[str, tuple[float, float]]) -> None:
    if settings.name != name:
        raise ConfigurationError(f"reward.name must be {name}, was {settings.name!r}; choose reward={name}")
    for field, (low, high) in bounds.items():
        value = getattr(settings, field)
        if value is not None and not low <= value <= high:
            raise ConfigurationError(f"reward.{field} must lie between {low:g} and {high:g}, was {value:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PnlSettings:
    """Plain profit after costs; the learners measure it in deviations of a bar of their training rows.

    Parameters
    ----------
    name : option name; "pnl"

    Raises
    ------
    ConfigurationError : if the name is another.
    """

    name: str

    def __post_init__(self) -> None:
        _check(self, "pnl", {})


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveSettings:
    """Profit after costs times a factor of the situation (method 5); a loss counts max(1, factor) times.

    Parameters
    ----------
    name : option name; "adaptive"
    good_news, good_news_factor : news_impact_score above which the factor applies
    bad_news, bad_news_factor : news_impact_score below which the factor applies
    vix_threshold, vix_factor : VIX above which the factor applies [volatility points]
    atr_threshold : atr_dynamic above which `atr_factor` applies [points]; None: `atr_quantile` of the training rows
    atr_quantile, atr_factor : share of the training rows whose atr_dynamic is not wide; the factor
    flow_factor : where orderflow_imbalance has the sign of the position taken
    cvar_threshold, cvar_factor : cvar_loss above which the factor applies [R multiples]

    Raises
    ------
    ConfigurationError : naming the field, its value and the range.
    """

    name: str
    good_news: float
    good_news_factor: float
    bad_news: float
    bad_news_factor: float
    vix_threshold: float
    vix_factor: float
    atr_threshold: float | None
    atr_quantile: float
    atr_factor: float
    flow_factor: float
    cvar_threshold: float
    cvar_factor: float

    def __post_init__(self) -> None:
        factor = (0.1, 10.0)
        bounds = {
            "good_news": (-1.0, 1.0),
            "good_news_factor": factor,
            "bad_news": (-1.0, self.good_news),
            "bad_news_factor": factor,
            "vix_threshold": (0.0, 1000.0),
            "vix_factor": factor,
            "atr_threshold": (0.0, 1e9),
            "atr_quantile": (0.0, 1.0),
            "atr_factor": factor,
            "flow_factor": factor,
            "cvar_threshold": (0.0, 1000.0),
            "cvar_factor": factor,
        }
        _check(self, "adaptive", bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class CvarSettings:
    """Profit after costs less a price on losses beyond a bar's value at risk.

    Parameters
    ----------
    name : option name; "cvar"
    alpha : share of the training rows whose loss, with one contract held, stays within the threshold
    weight : price of the tail; 1 charges the whole of CVaR - VaR

    Raises
    ------
    ConfigurationError : naming the field, its value and the range.
    """

    name: str
    alpha: float
    weight: float

    def __post_init__(self) -> None:
        _check(self, "cvar", {"alpha": (0.5, 0.999), "weight": (0.0, 100.0)})


RewardSettings = PnlSettings | AdaptiveSettings | CvarSettings
"""Settings of any reward."""
