"""The metrics on the simulated market: nothing is missing, and volatility is that of the surface behind the quotes."""

import dataclasses
import datetime as dt
import math

import numpy as np
import pytest
import yaml
from option_chains import ROOT, market, named, settings

from mia.calendar.clock import annotate
from mia.calendar.exchange import sessions
from mia.domain.series import OPTIONS
from mia.features.options import OptionsMetrics
from mia.source.simulated import SimulatedChains, SimulatedMarket
from mia.source.simulated_settings import SimulatedSettings
from mia.task.schema import build


@pytest.fixture(scope="module")
def world():
    """Rows of two sessions' chains, and the volatility at the forward in 30 days that they were priced from."""
    values = yaml.safe_load((ROOT / "conf" / "source" / "simulated.yaml").read_text())
    used = dataclasses.replace(build(SimulatedSettings, values, "source"), events_per_minute=20.0)
    days = sessions(market(), dt.date(2025, 1, 9), dt.date(2025, 1, 10))
    bars = annotate(SimulatedMarket(market(), used, 5).table(days), days, market())
    source, metrics = SimulatedChains(market(), used, 5), OptionsMetrics(settings(), market())
    rows, truth = [], []
    for made in source.snapshots(bars, days):
        rows.append(metrics.row(made))
        truth.append(math.sqrt(source.surface.at_forward(np.array([30 / 365]))[0] / (30 / 365)))
    return np.array(rows), np.array(truth)


def test_no_series_is_missing_on_any_chain(world):
    rows, _ = world
    assert len(rows) > 150
    missing = {name: int(n) for name, n in zip(OPTIONS, np.isnan(rows).sum(axis=0), strict=True) if n}
    assert not missing


def test_volatility_in_thirty_days_is_that_of_the_surface_within_a_twentieth_of_a_vol_point(world):
    rows, truth = world
    assert np.abs(rows[:, OPTIONS.index("opt.iv_30")] - truth).max() < 5e-4


def test_levels_surround_the_price(world):
    rows, _ = world
    for row in rows[::20]:
        found = named(row)
        assert found["put_wall"] <= found["ref"] <= found["call_wall"]
        assert abs(found["zero_gamma"] / found["ref"] - 1) < 0.15
