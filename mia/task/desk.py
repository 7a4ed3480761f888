"""Puts a trading desk together from a bundle: the streaming path, with the parts the batch path trained."""

import json

from mia.algo.bundle import Bundle
from mia.broker.terms import terms
from mia.desk.feature_pipeline import FeaturePipeline
from mia.desk.model_view import ModelView
from mia.desk.observation import ObservationTemplate
from mia.desk.plans import Plans
from mia.desk.trading_desk import TradingDesk
from mia.domain.errors import ArtefactMismatch
from mia.features.shap_weighting import Selection
from mia.risk.limits import limits
from mia.task import snapshots
from mia.task.settings import RunSettings


def assemble(settings: RunSettings, bundle: Bundle, plans: Plans, bar_minutes: int) -> TradingDesk:
    """Return a desk that decides row by row with a bundle's parts.

    Parameters
    ----------
    settings : risk profile, memory and fill model to trade under
    bundle : of `mia.algo.bundle.load`
    plans : the unfitted feature plans; the bundle's snapshot is adopted before the first row
    bar_minutes : length of a bar [minutes]

    Raises
    ------
    ArtefactMismatch : if the bundle was made with other features, or lacks a part.
    """
    template = ObservationTemplate.from_json(_part(bundle, "template"))
    Selection.from_json(_part(bundle, "selection")).check(template.selected)
    pipeline = FeaturePipeline(plans, settings.market, settings.memory)
    pipeline.adopt(snapshots.of_parts(settings, plans, bundle.parts))
    return TradingDesk(
        names=plans.names,
        features=plans.market.columns,
        pipeline=pipeline,
        view=ModelView.from_json(_part(bundle, "view")),
        template=template,
        policy=bundle.policy,
        terms=terms(settings.market, settings.broker.model(settings.broker.headline)),
        profile=settings.risk,
        limits=limits(settings.risk, settings.market),
        safety=settings.risk.safety_features,
        warm_up=settings.risk.warm_up_bars,
        bar_minutes=bar_minutes,
    )


def _part(bundle: Bundle, name: str) -> str:
    """A part of the bundle as JSON text."""
    if name not in bundle.parts:
        raise ArtefactMismatch(f"bundle of {bundle.market}: holds no {name}; train again")
    return json.dumps(bundle.parts[name])
