"""Where a run's figures go: the protocol, the tracker that records nothing, and the start that never fails.

The tasks call `open_tracker` once; a tracker is a listener, so no trouble of its own ever stops a run.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import plotly.graph_objects as go

ROOMS = ("source", "features", "regime", "encoder", "select", "train", "evaluate")
"""Every key begins with the room it comes from, the name used by mia/, conf/, outputs/ and the stages."""

FAILURES = (
    ImportError,
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    EOFError,
)
"""What a tracking library may raise for reasons of its own (its own are added where it is imported)."""


class Tracker(Protocol):
    """One run's record."""

    mode: str

    def start(self, config: Mapping[str, Any], name: str, group: str) -> None:
        """Open the record of one run; `config` is the composed configuration as plain dictionaries."""

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Record numbers under keys like ``train/loss``; `step` counts within the key's room."""

    def figure(self, name: str, figure: "go.Figure") -> None:
        """Record a chart under a key like ``evaluate/equity``."""

    def artefact_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Record what the run was made from and what it made: name -> digest."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Record the final figures and close."""


class OffTracker:
    """Records nothing."""

    mode = "off"

    def start(self, config: Mapping[str, Any], name: str, group: str) -> None:
        """Do nothing."""

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Do nothing."""

    def figure(self, name: str, figure: "go.Figure") -> None:
        """Do nothing."""

    def artefact_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Do nothing."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Do nothing."""


class SafeTracker:
    """A tracker that steps down (online, offline, off) instead of failing, and says so in one line.

    Parameters
    ----------
    candidates : constructors in order of preference; the last one must not fail
    failures : exceptions that make it step down
    say : prints one line
    """

    def __init__(
        self,
        candidates: list[tuple[str, Callable[[], Tracker]]],
        failures: tuple[type[BaseException], ...],
        say: Callable[[str], None],
    ) -> None:
        self._candidates = candidates
        self._failures = failures
        self._say = say
        self._tracker: Tracker = OffTracker()
        self._refused: set[str] = set()

    @property
    def mode(self) -> str:
        """The mode in force, which may be lower than the one asked for."""
        return self._tracker.mode

    def start(self, config: Mapping[str, Any], name: str, group: str) -> None:
        """Open the record with the first candidate that works."""
        for k, (mode, make) in enumerate(self._candidates):
            try:
                tracker = make()
                tracker.start(config, name, group)
            except self._failures as error:
                following = self._candidates[k + 1][0] if k + 1 < len(self._candidates) else "off"
                self._say(f"tracking {mode} did not start ({_reason(error)}); continuing {following}")
            else:
                self._tracker = tracker
                return

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Record numbers; keys outside the rooms' names are refused, once each, in one line."""
        known = {key: value for key, value in metrics.items() if self._known(key)}
        if known:
            self._guard(lambda: self._tracker.log(known, step))

    def figure(self, name: str, figure: "go.Figure") -> None:
        """Record a chart."""
        if self._known(name):
            self._guard(lambda: self._tracker.figure(name, figure))

    def artefact_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Record name -> digest."""
        self._guard(lambda: self._tracker.artefact_manifest(manifest))

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Record the final figures and close."""
        known = {key: value for key, value in summary.items() if self._known(key)}
        self._guard(lambda: self._tracker.finish(known))
        self._tracker = OffTracker()

    def _known(self, key: str) -> bool:
        room, _, rest = key.partition("/")
        if room in ROOMS and rest:
            return True
        if key not in self._refused:
            self._refused.add(key)
            self._say(f"tracking: key {key!r} refused; it must begin with one of {'/, '.join(ROOMS)}/")
        return False

    def _guard(self, action: Callable[[], None]) -> None:
        try:
            action()
        except self._failures as error:
            self._say(f"tracking stopped ({_reason(error)}); the run goes on without")
            self._tracker = OffTracker()


def _reason(error: BaseException) -> str:
    """The first line of an error, at most 160 characters."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if len(text) <= 160 else text[:159] + "…"
