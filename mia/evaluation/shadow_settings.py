"""Settings of the shadow test between a champion and its challenger; part of conf/online/<option>.yaml."""

from dataclasses import dataclass

from mia.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowSettings:
    """When a challenger takes over, and when its predecessor comes back.

    Parameters
    ----------
    promote_alpha : largest probability that any challenger of a whole run is promoted although none was better
    retreat_alpha : largest probability that a champion goes although it never was worse than its predecessor
    bound : a window's difference counts as so many deviations at most [deviations of what one contract held through a
        window earns]
    gross_loss : a champion that falls behind its predecessor by so many deviations in one window goes at its end

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    promote_alpha: float
    retreat_alpha: float
    bound: float
    gross_loss: float

    def __post_init__(self) -> None:
        bounds = {"promote_alpha": (1e-6, 0.5), "retreat_alpha": (1e-6, 0.5), "bound": (1, 100), "gross_loss": (1, 1e9)}
        for field, (low, high) in bounds.items():
            if not low <= getattr(self, field) <= high:
                raise ConfigurationError(
                    f"online.shadow.{field} must lie between {low:g} and {high:g}, was {getattr(self, field)!r}; "
                    "correct it in conf/online"
                )
