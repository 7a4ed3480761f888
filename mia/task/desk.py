"""Puts a trading desk together from a bundle: the streaming path, with the parts the batch path trained."""

import json

from mia.algo.bundle import Bundle
from mia.broker.terms import terms
from mia.desk.observation import ObservationTemplate
from mia.desk.trading_desk import TradingDesk
from mia.features.fitted import FittedParameters
from mia.features.normalisation import Scaler
from mia.features.plan import Plan
from mia.regime.regime_detector import RegimeModel
from mia.risk.limits import limits
from mia.task.settings import RunSettings


def assemble(settings: RunSettings, bundle: Bundle, plan: Plan, bar_minutes: int) -> TradingDesk:
    """Return a desk that decides row by row with a bundle's parts.

    Parameters
    ----------
    settings : risk profile and fill model to trade under
    bundle : of `mia.algo.bundle.load`
    plan : the unfitted feature plan; the bundle's fitted numbers are put into it
    bar_minutes : length of a bar [minutes]

    Raises
    ------
    ArtefactMismatch : if the bundle was made with other features.
    """
    from mia.features.engine import FeatureEngine

    parts = {name: json.dumps(part) for name, part in bundle.parts.items()}
    fitted = plan.with_parameters(FittedParameters.from_json(parts["fitted"]).params)
    return TradingDesk(
        names=plan.names,
        engine=FeatureEngine(fitted),
        scaler=Scaler.from_json(parts["scaler"]),
        regime=RegimeModel.from_json(parts["regime"]),
        template=ObservationTemplate.from_json(parts["template"]),
        policy=bundle.policy,
        terms=terms(settings.market, settings.broker.model(settings.broker.headline)),
        profile=settings.risk,
        limits=limits(settings.risk, settings.market),
        safety=settings.risk.safety_features,
        warm_up=settings.risk.warm_up_bars,
        bar_minutes=bar_minutes,
    )
