"""Settings of tracking, one option per mode: where a run's figures go and what may be told about it."""

from dataclasses import dataclass

from mia.domain.errors import ConfigurationError

MODES = ("offline", "online", "off")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingSettings:
    """How runs are tracked.

    Parameters
    ----------
    name : option name
    mode : "offline" (files on this machine only), "online" (sent to the service) or "off"
    project : heading under which runs are compared
    config_groups : configuration groups that may be recorded; everything else is left out
    figures : whether charts are recorded too
    start_timeout_s, finish_timeout_s : longest wait when going online, for the first contact and the last
        upload [s]

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    name: str
    mode: str
    project: str
    config_groups: tuple[str, ...]
    figures: bool
    start_timeout_s: float
    finish_timeout_s: float

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigurationError(
                f"tracking: mode must be one of {', '.join(MODES)}, was {self.mode!r}; take tracking=offline"
            )
        if not self.project or set(self.project) & set("/\\#?%:"):
            raise ConfigurationError(
                f"tracking: project must be a name without / \\ # ? % :, was {self.project!r}; e.g. mia"
            )
        for field in ("start_timeout_s", "finish_timeout_s"):
            value = getattr(self, field)
            if not 0 < value < float("inf"):
                raise ConfigurationError(f"tracking: {field} must be positive, was {value:g}; e.g. 20")
