"""Loads a market and the simulated source's menu entry the way the task floor does, for the tests of that source."""

import yaml

from mia.domain.market import Market
from mia.source.simulated_settings import SimulatedSettings
from mia.task.schema import build


def load_market(root, name):
    """One market of the menu."""
    return build(Market, yaml.safe_load((root / "conf" / "market" / f"{name}.yaml").read_text()), "market")


def _loaded(root):
    return build(SimulatedSettings, yaml.safe_load((root / "conf" / "source" / "simulated.yaml").read_text()), "source")


def settings_fields(root):
    """The menu entry's values by name, in the order of the file."""
    names = yaml.safe_load((root / "conf" / "source" / "simulated.yaml").read_text())
    return {name: getattr(_loaded(root), name) for name in names}


def load_settings(root, **changes):
    """The menu entry with changes."""
    return SimulatedSettings(**{**settings_fields(root), **changes})
