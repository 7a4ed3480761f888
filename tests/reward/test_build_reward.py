from dataclasses import replace

import numpy as np
import pytest

from mia.domain.errors import ConfigurationError
from mia.reward.adaptive import AdaptiveReward
from mia.reward.build import build
from mia.reward.context import CONTEXT
from mia.reward.cvar import CvarReward
from mia.reward.pnl import PnlReward
from mia.reward.settings import CvarSettings, PnlSettings

CHANGES = np.arange(-100, 101)


@pytest.mark.parametrize("settings", [None, PnlSettings(name="pnl")])
def test_nothing_said_means_plain_profit(settings):
    assert build(settings, scale_cents=25.0, change_cents=CHANGES) == PnlReward(scale_cents=25.0)


def test_each_kind_is_made_with_what_it_fits_on_the_rows_given(adaptive_settings, cvar_settings):
    context = np.full((200, len(CONTEXT)), np.nan)
    context[:, CONTEXT.index("atr_dynamic")] = np.linspace(0, 10, 200)
    adaptive = build(adaptive_settings, scale_cents=25.0, change_cents=CHANGES, context=context)
    assert isinstance(adaptive, AdaptiveReward)
    assert adaptive.atr_threshold == pytest.approx(8.0)
    cvar = build(cvar_settings, scale_cents=25.0, change_cents=CHANGES, context=context)
    assert isinstance(cvar, CvarReward)
    assert cvar.threshold_cents == 90  # of 201 losses -100 ... 100 the 191st


def test_what_is_no_reward_is_refused():
    with pytest.raises(ConfigurationError, match="no reward"):
        build("pnl", scale_cents=1.0, change_cents=CHANGES)


def test_the_wrong_name_is_refused():
    with pytest.raises(ConfigurationError, match="cvar"):
        PnlSettings(name="cvar")


@pytest.mark.parametrize(
    ("field", "value"),
    [("vix_factor", 0.0), ("good_news", 2.0), ("bad_news", 0.6), ("atr_quantile", 1.5), ("atr_threshold", -1.0)],
)
def test_adaptive_settings_out_of_range_are_refused_by_name(adaptive_settings, field, value):
    with pytest.raises(ConfigurationError, match=f"reward.{field}"):
        replace(adaptive_settings, **{field: value})


@pytest.mark.parametrize(("alpha", "weight"), [(1.0, 0.1), (0.2, 0.1), (0.95, -0.1)])
def test_cvar_settings_out_of_range_are_refused(alpha, weight):
    with pytest.raises(ConfigurationError, match="reward"):
        CvarSettings(name="cvar", alpha=alpha, weight=weight)


def test_the_published_defaults_are_the_configured_ones(adaptive_settings, cvar_settings):
    s = adaptive_settings
    assert (s.good_news, s.good_news_factor, s.bad_news, s.bad_news_factor) == (0.5, 1.2, -0.5, 0.8)
    assert (s.vix_threshold, s.vix_factor, s.atr_factor, s.flow_factor) == (20.0, 0.9, 0.85, 1.1)
    assert s.cvar_threshold == 0.1
    assert s.cvar_factor < 1
    assert cvar_settings.alpha == 0.95
