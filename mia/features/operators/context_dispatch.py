"""Compiled choice among the operators of options, other markets, news and models; called by `kernel.walk`."""

import numpy as np

from mia.features.operators import context_cross as cross
from mia.features.operators import context_events as events
from mia.features.operators import context_plain as plain
from mia.features.operators import context_settled as settled
from mia.features.operators.registry import Operator
from mia.features.operators.window import inner

CONTEXT_OPERATORS: tuple[Operator, ...] = (
    plain.SCALED,
    plain.SHRUNK_RATIO,
    plain.PIN,
    plain.LIKELIEST,
    plain.JS_DIVERGENCE,
    plain.SHORTFALL,
    plain.PAIRED_CORR,
    cross.LEAD_RESIDUAL,
    cross.PAIR_SPREAD,
    cross.LEAD_LAG_RATIO,
    cross.ALIVE_CORR,
    cross.ABSORPTION_RATIO,
    settled.PUBLISHED_CHANGE,
    settled.SETTLED_RANK,
    settled.TURNOVER_SHARE,
    settled.DESEASONAL,
    events.EVENT_DECAY,
    events.NEWS_IMPACT,
)


@inner
def dispatch_context(code, v, x, i, s, o, p, q):
    """Run the operator of one opcode on one row; see `registry.Operator.step`."""
    if code == 200:
        return plain.scaled_step(v, x, i, s, o, p, q)
    if code == 201:
        return plain.shrunk_ratio_step(v, x, i, s, o, p, q)
    if code == 202:
        return plain.pin_step(v, x, i, s, o, p, q)
    if code == 203:
        return plain.likeliest_step(v, x, i, s, o, p, q)
    if code == 204:
        return plain.js_divergence_step(v, x, i, s, o, p, q)
    if code == 205:
        return plain.shortfall_step(v, x, i, s, o, p, q)
    if code == 206:
        return plain.paired_corr_step(v, x, i, s, o, p, q)
    if code == 210:
        return cross.lead_residual_step(v, x, i, s, o, p, q)
    if code == 211:
        return cross.pair_spread_step(v, x, i, s, o, p, q)
    if code == 212:
        return cross.lead_lag_ratio_step(v, x, i, s, o, p, q)
    if code == 213:
        return cross.alive_corr_step(v, x, i, s, o, p, q)
    if code == 214:
        return cross.absorption_ratio_step(v, x, i, s, o, p, q)
    if code == 220:
        return settled.published_change_step(v, x, i, s, o, p, q)
    if code == 221:
        return settled.settled_rank_step(v, x, i, s, o, p, q)
    if code == 222:
        return settled.turnover_share_step(v, x, i, s, o, p, q)
    if code == 223:
        return settled.deseasonal_step(v, x, i, s, o, p, q)
    if code == 230:
        return events.event_decay_step(v, x, i, s, o, p, q)
    if code == 231:
        return events.news_impact_step(v, x, i, s, o, p, q)
    return np.nan
