"""Tracking options: every YAML gives valid settings, and bad values are refused in one line."""

from dataclasses import fields

import pytest
import yaml

from mia.domain.errors import ConfigurationError
from mia.tracking.settings import MODES, TrackingSettings


def options(root):
    return sorted((root / "conf" / "tracking").glob("*.yaml"))


def test_there_is_one_option_per_mode(root):
    assert {path.stem for path in options(root)} == set(MODES)


def test_every_option_is_complete_and_valid(root):
    for path in options(root):
        values = yaml.safe_load(path.read_text())
        assert next(iter(values)) == "name"
        assert values["name"] == values["mode"] == path.stem
        assert set(values) == {field.name for field in fields(TrackingSettings)}
        made = TrackingSettings(**values | {"config_groups": tuple(values["config_groups"])})
        assert made.mode == path.stem
        for line in path.read_text().splitlines():
            if not line.startswith("  "):
                assert "  # " in line, line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "cloud"}, "mode must be one of offline, online, off, was 'cloud'"),
        ({"project": ""}, "project must be a name"),
        ({"project": "a/b"}, "project must be a name"),
        ({"start_timeout_s": 0.0}, "start_timeout_s must be positive, was 0"),
        ({"finish_timeout_s": float("nan")}, "finish_timeout_s must be positive, was nan"),
    ],
)
def test_bad_values_are_refused_in_one_line(change, message):
    good = {
        "name": "offline",
        "mode": "offline",
        "project": "mia",
        "config_groups": ("seed",),
        "figures": True,
        "start_timeout_s": 5.0,
        "finish_timeout_s": 5.0,
    }
    TrackingSettings(**good)
    with pytest.raises(ConfigurationError) as caught:
        TrackingSettings(**good | change)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
