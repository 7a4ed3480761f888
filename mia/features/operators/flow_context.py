"""Operators on calendar columns, and the linear scores fitted on the training fold."""

import math

import numpy as np

from mia.features.operators.registry import Operator, Param
from mia.features.operators.window import inner

EVENT_CODES = 16
LAG_FIRST, LAG_LAST = -15, 60
LAGS = LAG_LAST - LAG_FIRST + 1


@inner
def countdown_step(v, x, i, s, o, p, q):
    """exp(-minutes / scale); 0 where nothing is scheduled.

    Inputs: minutes, cal.session (tells that a calendar is there).
    """
    minutes = v[x[i]]
    if np.isnan(v[x[i + 1]]):
        return np.nan
    if np.isnan(minutes):
        return 0.0
    return math.exp(-max(minutes, 0.0) / p[q])


COUNTDOWN = Operator(
    name="countdown", opcode=140, step=countdown_step, inputs=2, params=(Param(name="scale", default=60),)
)


@inner
def cycle_step(v, x, i, s, o, p, q):
    """Sine or cosine of 2 pi x / period; period 0 means the minutes of an ordinary full session."""
    period = p[q + 1] if p[q + 1] > 0.0 else p[q + 2]
    angle = 2.0 * math.pi * v[x[i]] / period
    return math.sin(angle) if p[q] == 0.0 else math.cos(angle)


CYCLE = Operator(
    name="cycle",
    opcode=141,
    step=cycle_step,
    inputs=1,
    params=(
        Param(name="out", choices=("sin", "cos")),
        Param(name="period", default=0),
        Param(name="session_minutes"),
    ),
)


@inner
def remaining_step(v, x, i, s, o, p, q):
    """Share of the way from the session's open to a later moment that is still ahead; 0 once there.

    Inputs: minutes since the open, minutes left.
    """
    gone, left = v[x[i]], v[x[i + 1]]
    if np.isnan(gone) or np.isnan(left):
        return np.nan
    return left / (gone + left) if left > 0.0 and gone + left > 0.0 else 0.0


REMAINING = Operator(name="remaining", opcode=142, step=remaining_step, inputs=2)


@inner
def share_of_step(v, x, i, s, o, p, q):
    """X / full, clipped to [0, 1]."""
    value = v[x[i]]
    if np.isnan(value):
        return np.nan
    return min(max(value / p[q], 0.0), 1.0)


SHARE_OF = Operator(name="share_of", opcode=143, step=share_of_step, inputs=1, params=(Param(name="full"),))


@inner
def event_profile_step(v, x, i, s, o, p, q):
    """Expected |return| near a scheduled event as a multiple of a bar without one; 1 far from events.

    Inputs: event code (0 none), minutes since the event. Fitted: EVENT_CODES rows of LAGS multiples.
    Source: Andersen, Bollerslev, Diebold, Vega (2003).
    """
    code, lag = v[x[i]], v[x[i + 1]]
    if np.isnan(code) or np.isnan(p[q]):
        return np.nan
    if code < 1.0 or code > EVENT_CODES or np.isnan(lag):
        return 1.0
    at = min(max(int(np.floor(lag)) - LAG_FIRST, 0), LAGS - 1)
    return p[q + (int(code) - 1) * LAGS + at]


EVENT_PROFILE = Operator(
    name="event_profile",
    opcode=144,
    step=event_profile_step,
    inputs=2,
    fitted=lambda _params, _inputs: EVENT_CODES * LAGS,
)

IDENTITY, LOG, SIGNED_LOG = 0.0, 1.0, 2.0
MEMBER_CLIP = 5.0
SCORE_CLIP = 6.0


@inner
def member_view(value, kind, center, scale):
    """One member as the components see it: transformed, centred, scaled, clipped; 0 where missing."""
    if kind == 1.0:
        value = math.log1p(max(value, 0.0)) if not np.isnan(value) else value
    elif kind == 2.0:
        value = math.copysign(math.log1p(abs(value)), value)
    value = (value - center) / scale
    if np.isnan(value):
        return 0.0
    return min(max(value, -MEMBER_CLIP), MEMBER_CLIP)


@inner
def pca_score_step(v, x, i, s, o, p, q):
    """Score on one whitened principal component [sd], clipped to +-6; NaN without half of the members.

    Fitted block: offset, then for each member kind, centre, scale, weight (0 for members left out).
    Source: Jolliffe (2002).
    """
    count, block = int(p[q]), q + 3
    present, used, score = 0, 0, -p[q + 2]
    if np.isnan(score):
        return np.nan
    for k in range(count):
        at = block + 4 * k
        if p[at + 3] == 0.0:
            continue
        value = v[x[i + k]]
        used += 1
        if not np.isnan(value):
            present += 1
        score += p[at + 3] * member_view(value, p[at], p[at + 1], p[at + 2])
    if 2 * present < used:
        return np.nan
    return min(max(score, -SCORE_CLIP), SCORE_CLIP)


PCA_SCORE = Operator(
    name="pca_score",
    opcode=145,
    step=pca_score_step,
    inputs=0,
    params=(Param(name="n_inputs"), Param(name="component")),
    fitted=lambda _, inputs: 1 + 4 * inputs,
)
