"""How one step is rewarded; conf/reward/* makes one of these."""

from dataclasses import dataclass

from mia.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSettings:
    """Plain profit after costs.

    Parameters
    ----------
    name : option name
    scale_ticks : one unit of reward is this many ticks of one contract [ticks], > 0

    Raises
    ------
    ConfigurationError : if the scale is not positive.
    """

    name: str
    scale_ticks: float

    def __post_init__(self) -> None:
        if not 0 < self.scale_ticks < float("inf"):
            raise ConfigurationError(
                f"reward {self.name}: scale_ticks must be positive, was {self.scale_ticks:g}; "
                f"correct it in conf/reward/{self.name}.yaml"
            )
