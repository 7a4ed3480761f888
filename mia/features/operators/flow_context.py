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


# p[q:] holds [members, component, offset], then kind, centre, scale and weight of every member. Views of the members
# and whether enough of them are there stand one behind the other: in the node's state, or, where nodes share them
# (`mia.features.sharing`), in spare columns of the row, whose place is the last input.
PCA_HEAD, MEMBER_NUMBERS = 3, 4
PCA_FIRST, PCA_OTHERS = 146, 147  # opcodes of nodes that share


@inner
def see_members(v, x, i, p, q, to, at):
    """Write the views at to[at:], 0 for members left out, and behind them 1 if half of the others are there."""
    count, block = int(p[q]), q + PCA_HEAD
    present, used = 0, 0
    for k in range(count):
        member = block + MEMBER_NUMBERS * k
        view = 0.0
        if p[member + 3] != 0.0:
            value = v[x[i + k]]
            used += 1
            if not np.isnan(value):
                present += 1
                view = member_view(value, p[member], p[member + 1], p[member + 2])
        to[at + k] = view
    to[at + count] = 1.0 if 2 * present >= used else 0.0


@inner
def score_of(views, at, p, q):
    """Weighted sum of the views at views[at:] less the offset, clipped."""
    count, block = int(p[q]), q + PCA_HEAD + 3
    if views[at + count] != 1.0:
        return np.nan
    t0, t1, t2, t3 = -p[q + 2], 0.0, 0.0, 0.0
    whole = count - count % 4
    for k in range(0, whole, 4):
        weight = block + MEMBER_NUMBERS * k
        t0 += p[weight] * views[at + k]
        t1 += p[weight + MEMBER_NUMBERS] * views[at + k + 1]
        t2 += p[weight + 2 * MEMBER_NUMBERS] * views[at + k + 2]
        t3 += p[weight + 3 * MEMBER_NUMBERS] * views[at + k + 3]
    for k in range(whole, count):
        t0 += p[block + MEMBER_NUMBERS * k] * views[at + k]
    return min(max((t0 + t1) + (t2 + t3), -SCORE_CLIP), SCORE_CLIP)


@inner
def pca_score_step(v, x, i, s, o, p, q):
    """Score on one whitened principal component [sd], clipped to +-6; NaN without half of the members.

    Fitted block: offset, then for each member kind, centre, scale, weight (0 for members left out).
    Source: Jolliffe (2002).
    """
    if np.isnan(p[q + 2]):
        return np.nan
    see_members(v, x, i, p, q, s, o)
    return score_of(s, o, p, q)


@inner
def pca_first_step(v, x, i, s, o, p, q):
    """The first of nodes that share the views of their members."""
    at = x[i + int(p[q])]
    see_members(v, x, i, p, q, v, at)
    return score_of(v, at, p, q)


@inner
def pca_others_step(v, x, i, s, o, p, q):
    """One that reads them."""
    return score_of(v, x[i + int(p[q])], p, q)


PCA_SCORE = Operator(
    name="pca_score",
    opcode=145,
    step=pca_score_step,
    inputs=0,
    params=(Param(name="n_inputs"), Param(name="component")),
    state=lambda _, inputs: inputs + 1,
    fitted=lambda _, inputs: 1 + MEMBER_NUMBERS * inputs,
)
