"""Settings of the context memory; conf/memory/<option>.yaml makes one."""

import math
from dataclasses import dataclass

from mia.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySettings:
    """What is remembered, for how long, and how the nearest are asked.

    Parameters
    ----------
    name : option name
    inputs : features of the scaled market view that make a context; those a plan does not compute are left out
    min_variance_share : directions with less than this share of the mean direction's variance are dropped
    horizon_bars : length of an outcome [bars]; it ends with the session if that is sooner
    embargo_bars : bars between an outcome's end and its first use
    k : nearest contexts asked [count]
    per_hour : most of them out of one clock hour [count]: neighbours in time are one observation
    every_minutes : time between two stored contexts [minutes]
    retention_days : age at which a context is forgotten [days]
    min_contexts : contexts that must be known before the memory answers [count]
    min_distances : past distances that must be known before it ranks one [count]
    clip : largest score, either sign

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    name: str
    inputs: tuple[str, ...]
    min_variance_share: float
    horizon_bars: int
    embargo_bars: int
    k: int
    per_hour: int
    every_minutes: int
    retention_days: int
    min_contexts: int
    min_distances: int
    clip: float

    def __post_init__(self) -> None:
        def refuse(field: str, needed: str) -> None:
            raise ConfigurationError(
                f"memory {self.name}: {field} must {needed}, was {getattr(self, field)!r}; "
                f"correct it in conf/memory/{self.name}.yaml"
            )

        if len(self.inputs) < 2 or len(set(self.inputs)) != len(self.inputs):
            refuse("inputs", "name at least two features, each once")
        if not 0 <= self.min_variance_share < 1:
            refuse("min_variance_share", "lie in [0, 1)")
        for field in ("horizon_bars", "per_hour", "every_minutes", "retention_days", "min_distances"):
            if getattr(self, field) < 1:
                refuse(field, "be at least 1")
        if self.embargo_bars < 0:
            refuse("embargo_bars", "not be negative")
        if self.k < 2:
            refuse("k", "be at least 2")
        if not self.k <= self.min_contexts <= self.capacity:
            refuse("min_contexts", f"lie between k, {self.k}, and what retention_days can hold, {self.capacity}")
        if not 0 < self.clip < math.inf:
            refuse("clip", "be positive")

    @property
    def capacity(self) -> int:
        """Most contexts that can be held at one time: memory is bounded by it."""
        return -(-self.retention_days * 24 * 60 // self.every_minutes) + 1
