"""Trains the policy of a fit that trades along on paper, and keeps it: stage one of the self-awareness columns."""

import json
from dataclasses import replace
from typing import Any

import numpy as np

from mia.algo import learner
from mia.algo.vote import Policy, policy_of_state
from mia.algo.vote_sentinel import shadow_of
from mia.broker.terms import terms
from mia.desk.feature_pipeline import ATR, Block, service_columns
from mia.desk.model_view import ModelView
from mia.desk.observation import ObservationTemplate
from mia.desk.plans import Plans
from mia.desk.sentinel import Sentinel
from mia.domain.bars import Bars
from mia.domain.errors import ArtefactMismatch, ConfigurationError, DataError
from mia.domain.rng import generator
from mia.features.normalisation import Scaler
from mia.regime.regime_detector import REGIMES
from mia.risk.limits import limits
from mia.task import tapes
from mia.task.settings import RunSettings

Array = np.ndarray


def train(settings: RunSettings, plans: Plans, bars: Bars, block: Block, index: int) -> Sentinel | None:
    """Train on the rows of a fit; None where they are too few or never move.

    It learns from the static list of features (without the self columns) and speaks even where it would abstain:
    its record is a feature, not a trade.
    """
    parts = tuple(plan for plan in plans.parts if plan.series.name != "self")
    seen = Plans(parts=parts, specs=plans.specs)
    market_block = replace(block, own=np.empty((len(block), 0)))
    slots = bars.column("cal.slot").astype(np.int64)
    view = ModelView.fit(seen, market_block, slots, slice(0, len(block)), ts=bars.ts, settings=settings.features.scaler)
    names = tuple(spec.name for spec in seen.view_specs if spec.fallback)
    template = ObservationTemplate(
        view=seen.names, selected=names, masks=view.groups, regimes=REGIMES, clip=tapes.OBSERVATION_CLIP
    )
    scaled, masks = view.transform(market_block, slots)
    tape = tapes.lay_out(settings, plans, bars, market_block, view, (scaled, masks), template)
    seed = int(generator(settings.seed, "sentinel", str(index)).integers(2**31))
    cost = terms(settings.market, settings.broker.model(settings.broker.train))
    try:
        policy = learner(settings.awareness.learner.kind)(tape, cost, settings.awareness.learner, seed, lambda *_: None)
    except DataError:
        return None
    return _sentinel(settings, plans, view.scalers, template, replace(policy, abstains=False), bars.bar_minutes)


def _sentinel(
    settings: RunSettings,
    plans: Plans,
    scalers: tuple[Scaler, ...],
    template: ObservationTemplate,
    policy: Policy,
    bar_minutes: int,
) -> Sentinel:
    market = settings.market
    cost = terms(market, settings.broker.model(settings.broker.headline))
    bounds = limits(settings.risk, market)
    return Sentinel(
        # A drawdown limit would end its account for good; here a drawdown is only measured.
        shadow=shadow_of(policy, cost, replace(bounds, max_drawdown_cents=0)),
        scalers=scalers,
        template=template,
        drawdown_limit_cents=float(bounds.max_drawdown_cents or bounds.account_cents),
        tick_value_cents=cost.tick_value_cents,
        tick_size=market.tick_size,
        profile=settings.risk,
        safety=tapes.safety_columns(settings, plans),
        atr=service_columns(plans.market, ATR, "the sentinel"),
        bar_minutes=bar_minutes,
    )


def to_json(sentinel: Sentinel) -> dict[str, Any]:
    """The learned part of a sentinel; its rules come from the configuration."""
    policy: Policy = sentinel.shadow.policy  # type: ignore[attr-defined]
    return {
        "scalers": [json.loads(scaler.to_json()) for scaler in sentinel.scalers],
        "template": json.loads(sentinel.template.to_json()),
        "policy": _plain(policy.to_state()),
        "bar_minutes": sentinel.bar_minutes,
    }


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """The state of a policy as JSON holds it, without the cards: how it came about is told elsewhere."""
    plain = {**state, "card": {}}
    if "members" in state:
        plain["members"] = {name: _plain(part) for name, part in state["members"].items()}
    else:
        plain["layers"] = [[matrix.tolist(), bias.tolist()] for matrix, bias in state["layers"]]
    return plain


def _with_arrays(plain: dict[str, Any]) -> dict[str, Any]:
    """What `_plain` gave, with its weights as arrays."""
    if "members" in plain:
        return {**plain, "members": {name: _with_arrays(part) for name, part in plain["members"].items()}}
    return {**plain, "layers": [(np.array(m, np.float32), np.array(b, np.float32)) for m, b in plain["layers"]]}


def of_json(settings: RunSettings, plans: Plans, found: dict[str, Any]) -> Sentinel:
    """Build what `to_json` gave.

    Raises
    ------
    ArtefactMismatch : if it is something else.
    """
    try:
        policy = policy_of_state(_with_arrays(found["policy"]))
        scalers = tuple(Scaler.from_json(json.dumps(part)) for part in found["scalers"])
        template = ObservationTemplate.from_json(json.dumps(found["template"]))
        return _sentinel(settings, plans, scalers, template, policy, int(found["bar_minutes"]))
    except (AttributeError, KeyError, TypeError, ValueError, ConfigurationError) as error:
        raise ArtefactMismatch(f"sentinel is not readable ({error}); fit it again") from error
