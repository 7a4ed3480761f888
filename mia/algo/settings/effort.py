"""A learner's settings with less of the same training. Used by the audit and by whoever wants a quick look."""

from dataclasses import replace
from typing import Any

STEPS = {"updates": "updates_per_step", "frames": "batch_frames"}
"""Settings that say how long a learner learns -> the least it can learn for."""


def shortened(settings: Any, effort: float) -> Any:
    """Return the settings with this share of the steps; those of an ensemble shorten each member's."""
    if hasattr(settings, "members"):
        return replace(settings, members={name: shortened(part, effort) for name, part in settings.members.items()})
    shorter = {
        name: max(getattr(settings, least), round(getattr(settings, name) * effort))
        for name, least in STEPS.items()
        if hasattr(settings, name)
    }
    return replace(settings, **shorter)
