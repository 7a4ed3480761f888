"""Rows laid out for learning and judging: the one way from a model view to a tape, for policies and sentinels."""

from typing import Any

import numpy as np

from mia.desk.feature_pipeline import Block, service_columns
from mia.desk.group_columns import GroupColumns
from mia.desk.model_view import ModelView
from mia.desk.observation import ObservationTemplate
from mia.desk.plans import Plans
from mia.desk.tape import Tape, from_bars
from mia.domain.bars import Bars
from mia.domain.series import SERIES_SETS
from mia.reward.context import CONTEXT
from mia.risk.flat_rules import may_enter, must_flat
from mia.task.settings import RunSettings

Array = np.ndarray

OBSERVATION_CLIP = 10.0  # beyond the scaler's own bounds: a last guard, not a transformation
CONTEXT_COLUMNS = {"vix": "vix_level"}  # features that are not called as the reward calls them
SOURCES = tuple(group for series in SERIES_SETS for group in series.groups)


def lay_out(
    settings: RunSettings,
    plans: Plans,
    bars: Bars,
    block: Block,
    view: ModelView,
    seen: tuple[Array, Array],
    template: ObservationTemplate,
) -> Tape:
    """Return the tape of n rows.

    Parameters
    ----------
    bars, block : n rows, and what the pipeline made of them
    view : that scaled them
    seen : (n, F) scaled columns and (n, M) masks, of `view.transform`
    template : layout of the observation
    """
    clock = (bars.column(f"cal.{name}") for name in ("minutes_to_close", "minutes_to_rth_close", "rth"))
    safety = safety_columns(settings, plans)
    return from_bars(
        settings.market,
        bars,
        must_flat=must_flat(*clock, bars.bar_minutes, settings.risk),
        may_enter=may_enter(block.features, safety, warm_up=settings.risk.warm_up_bars),
        obs=template.batch(*seen, block.belief, names=template.view),
        belief=block.belief,
        groups=GroupColumns.of(
            view.groups, view.members(), SOURCES, template.columns, len(template.regimes), view.neutral
        ),
        context=context(plans, block),
    )


def context(plans: Plans, block: Block) -> Array:
    """(n, C) what rewards may know at each row's close, unscaled; NaN where the feature set does not compute it.

    A feature of a row reads nothing later than its close (self columns: decisions up to the row before).
    """
    out = np.full((len(block), len(CONTEXT)), np.nan)
    own = plans.part("self")
    for at, name in enumerate(CONTEXT):
        feature = CONTEXT_COLUMNS.get(name, name)
        if feature in plans.market.columns:
            out[:, at] = block.features[:, plans.market.columns.index(feature)]
        elif own is not None and feature in own.names and block.own.shape[1]:
            out[:, at] = block.own[:, own.names.index(feature)]
    out[np.isinf(out)] = np.nan
    return out


def safety_columns(settings: RunSettings, plans: Plans) -> Any:
    """(k,) columns of the market plan without which nothing may be entered.

    Raises
    ------
    ConfigurationError : if one of them is not computed.
    """
    return service_columns(plans.market, settings.risk.safety_features, "risk.safety_features")
