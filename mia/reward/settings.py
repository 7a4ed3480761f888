"""How one step is rewarded; conf/reward/* makes one of these."""

from dataclasses import dataclass

from mia.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSettings:
    """Plain profit after costs; the learners measure it in deviations of a bar of their training rows.

    Parameters
    ----------
    name : option name; "pnl"

    Raises
    ------
    ConfigurationError : if there is no such reward.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name != "pnl":
            raise ConfigurationError(f"reward.name must be pnl, was {self.name!r}; choose reward=pnl")
