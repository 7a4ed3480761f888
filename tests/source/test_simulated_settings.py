"""The simulated market's menu entry and what it refuses."""

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
from simulated_world import settings_fields

from mia.domain.errors import ConfigurationError
from mia.source.simulated_settings import (
    Companion,
    MarketScale,
    OptionTerms,
    ReleaseTerms,
    SimulatedSettings,
)


@pytest.fixture(scope="module")
def fields(root) -> dict[str, Any]:
    return settings_fields(root)


def test_the_menu_entry_has_every_field_and_comments_each_key(fields, root):
    SimulatedSettings(**fields)
    assert list(fields) == [field.name for field in dataclasses.fields(SimulatedSettings)]
    lines = (root / "conf" / "source" / "simulated.yaml").read_text().splitlines()
    assert all("#" in line for line in lines if not line.startswith("  - "))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"alpha": -0.1}, "alpha must lie in"),
        ({"alpha": float("nan")}, "alpha must lie in"),
        ({"sessions": 0}, "sessions must lie in"),
        ({"start": "2025-13-01"}, "start must be a date"),
        ({"hours": "night"}, "globex or rth"),
        ({"kind": "files"}, "kind must be simulated"),
        ({"regime_minutes": (60.0, 1.0, 60.0)}, "regime_minutes must lie in"),
        ({"regime_depth": (1.0, 1.0)}, "three values"),
        ({"signal_weights": (0.0, 0.0, 0.0)}, "signal_weights"),
        ({"burst_branching": 1.0}, "burst_branching must lie in"),
        ({"chain_minutes": -1}, "chain_minutes must lie in"),
        ({"news_per_hour": 1e9}, "news_per_hour must lie in"),
        ({"smile_width": 1.3}, "smile_width must lie in"),
        ({"companions": ()}, "companions must be rty, zn"),
        ({"yields": (4.0,)}, "yields must have two values"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_with_its_file(fields, change, words):
    with pytest.raises(ConfigurationError, match=words) as refusal:
        SimulatedSettings(**{**fields, **change})
    assert "conf/source/simulated.yaml" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_wrong_scale_names_its_market():
    with pytest.raises(ConfigurationError, match="jump_ticks of ES"):
        MarketScale(market="ES", minute_sd_ticks=4.5, jump_ticks=0.5, occupancy=1.0, queue_lots=30.0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Companion(series="si", level=1, tick=1, volatility=1, correlation=0, stress=0),
            "rty, zn, dxy, cl, gc",
        ),
        (
            lambda: Companion(series="zn", level=110, tick=1, volatility=1, correlation=-2, stress=0),
            "correlation of companion zn",
        ),
        (lambda: OptionTerms(market="ES", multiplier=50.0, spacings=(5.0, 5.0, 10.0, 25.0, 50.0)), "five or more"),
        (
            lambda: OptionTerms(market="ES", multiplier=0.0, spacings=(1.0, 5.0, 10.0, 25.0, 50.0)),
            "multiplier of options",
        ),
        (lambda: ReleaseTerms(event="PPI", level=0, spread=0, deviation=1, step=1), "a release must be one of FOMC"),
        (lambda: ReleaseTerms(event="CPI", level=0, spread=0, deviation=0, step=1), "deviation of release CPI"),
    ],
)
def test_a_wrong_part_of_the_world_is_refused_in_one_line(make, words):
    with pytest.raises(ConfigurationError, match=words) as refusal:
        make()
    assert "\n" not in str(refusal.value)


def test_importing_the_settings_does_not_load_the_compiler():
    code = "import sys, mia.source.simulated_settings; sys.exit(bool({'numba', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
