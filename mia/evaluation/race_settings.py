"""Settings of task=race; conf/race/default.yaml makes one."""

from dataclasses import dataclass

from mia.domain.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceSettings:
    """How long learners race on a known world, and where the finish is.

    Parameters
    ----------
    name : option name
    share : the finish, as a share of the optimum, in (0, 1]
    limit_s : CPU time after which the library's learner gives up [s]
    every_s : CPU time between two looks at it [s]
    looks : looks at ours, evenly over its training

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    name: str
    share: float
    limit_s: float
    every_s: float
    looks: int

    def __post_init__(self) -> None:
        bounds = {"share": (0.01, 1), "limit_s": (0.1, 1e6), "every_s": (0.01, 1e6), "looks": (2, 1000)}
        for field, (low, high) in bounds.items():
            value = getattr(self, field)
            if not low <= value <= high:
                raise ConfigurationError(
                    f"race {self.name}: {field} must lie between {low:g} and {high:g}, was {value!r}; "
                    f"correct it in conf/race/{self.name}.yaml"
                )
