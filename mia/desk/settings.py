"""Settings of the desk; conf/snapshots/<option>.yaml makes one."""

from dataclasses import dataclass
from typing import Any

from mia.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSettings:
    """When everything that is fitted below the policy is fitted again.

    The moments depend on the sessions gone by only, never on how many follow: so no row's features depend on the
    length of the file, and every row's come from fits on earlier rows. Growing distances keep the cost of fitting
    in proportion to the rows.

    Parameters
    ----------
    name : option name
    first_sessions : complete sessions before the first fit, >= 1
    growth : a fit follows when the sessions have grown by this factor since the last, > 1
    most_rows : a fit reads at most so many of the newest rows [bars]
    """

    name: str
    first_sessions: int
    growth: float
    most_rows: int

    def __post_init__(self) -> None:
        def refuse(field: str, needed: str) -> None:
            raise ConfigurationError(
                f"snapshots {self.name}: {field} must {needed}, was {getattr(self, field)!r}; "
                f"correct it in conf/snapshots/{self.name}.yaml"
            )

        if self.first_sessions < 1:
            refuse("first_sessions", "be at least 1")
        if not 1.05 <= self.growth < float("inf"):
            refuse("growth", "be at least 1.05")
        if self.most_rows < 500:
            refuse("most_rows", "be at least 500 bars")

    def next_after(self, sessions: int) -> int:
        """Return the number of complete sessions at which the next fit is due, after one at `sessions` (0: none)."""
        if sessions <= 0:
            return self.first_sessions
        return max(sessions + 1, int(sessions * self.growth))


@dataclass(frozen=True, slots=True, kw_only=True)
class AwarenessSettings:
    """Whether an earlier policy trades along on paper, so that its record becomes features.

    Parameters
    ----------
    name : option name
    replay : train a policy with every fit and let it trade the rows after it; else its columns stay masked
    learner : settings of the algorithm that learns it, None without replay
    """

    name: str
    replay: bool
    learner: Any

    def __post_init__(self) -> None:
        if self.replay != (self.learner is not None):
            raise ConfigurationError(
                f"awareness {self.name}: replay is {self.replay} but learner is "
                f"{'missing' if self.learner is None else 'given'}; use awareness=replay or awareness=off"
            )
