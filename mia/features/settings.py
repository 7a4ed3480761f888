"""Settings of the feature room: conf/features/*.yaml."""

from dataclasses import dataclass
from typing import Any

from mia.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalerSettings:
    """How raw features become the model view.

    Parameters
    ----------
    clip : bound of scaled values [train-fold deviations, or ATR], > 0
    level_clip : bound of price levels relative to the close [ATR], > 0
    slot_rows : train rows a slot of the day needs for its own baseline; fewer borrow from neighbours, >= 2
    """

    clip: float
    level_clip: float
    slot_rows: int

    def __post_init__(self) -> None:
        for name in ("clip", "level_clip"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigurationError(
                    f"features.scaler.{name} must be positive, was {getattr(self, name):g}; 5 to 10 are usual"
                )
        if self.slot_rows < 2:
            raise ConfigurationError(f"features.scaler.slot_rows must be at least 2, was {self.slot_rows}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSettings:
    """Which features are computed.

    Parameters
    ----------
    name : option in conf/features
    expected_count : number of published columns the groups must expand to
    scaler : how they become the model view
    groups : group name -> {"family": word, "specs": lines}, see `mia.features.catalogue`
    """

    name: str
    expected_count: int
    scaler: ScalerSettings
    groups: dict[str, Any]

    def __post_init__(self) -> None:
        if not self.groups:
            raise ConfigurationError(f"features.groups is empty; conf/features/{self.name}.yaml must list groups")

    def check_count(self, count: int) -> None:
        """Refuse a catalogue that does not expand to the declared number of columns."""
        if count != self.expected_count:
            raise ConfigurationError(
                f"features {self.name}: the groups expand to {count} columns, expected_count says "
                f"{self.expected_count}; correct the lines or the count"
            )
