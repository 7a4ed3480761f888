"""Makes the tracker the settings ask for; the tasks' one door to tracking."""

from collections.abc import Callable
from pathlib import Path

from mia.tracking.settings import TrackingSettings
from mia.tracking.tracker import OffTracker, SafeTracker, Tracker


def open_tracker(settings: TrackingSettings, directory: Path, say: Callable[[str], None]) -> SafeTracker:
    """Make the tracker the settings ask for.

    Parameters
    ----------
    directory : folder of the run's records, made if missing
    say : prints one line, e.g. `Terminal.say`
    """
    if settings.mode == "off":
        return SafeTracker([("off", OffTracker)], (), say)
    from mia.tracking.wandb_tracker import WandbTracker, failures  # only who tracks pays for the import

    modes = ("online", "offline") if settings.mode == "online" else ("offline",)
    candidates: list[tuple[str, Callable[[], Tracker]]] = [
        (mode, lambda mode=mode: WandbTracker(settings, mode, directory)) for mode in modes
    ]
    return SafeTracker([*candidates, ("off", OffTracker)], failures(), say)
