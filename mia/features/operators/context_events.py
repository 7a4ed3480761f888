"""Context operators that forget by the clock: news and data releases fade with a half-life in minutes."""

import math

import numpy as np

from mia.domain.series import NEWS_TOPICS
from mia.features.operators.registry import Operator, Param, state_of
from mia.features.operators.window import inner

DAY = 1440.0
CLOCK = 4  # numbers `fading` keeps
TOPICS = len(NEWS_TOPICS)
UNBOUNDED = 1e300


@inner
def fading(s, o, minute, session, weekday, half_life):
    """Share of a memory left since the previous row, 1 on the first; NaN without a clock.

    Between sessions time passes too: every session opens at the same time of day, so trade dates tell how many
    days went by. State [seen, minutes since the open, session, weekday].
    """
    if minute != minute or session != session or weekday != weekday:
        return np.nan
    passed = 0.0
    if s[o] > 0.0:
        passed = minute - s[o + 1]
        if session != s[o + 2]:
            passed += DAY * ((weekday - s[o + 3]) % 7.0)
            if passed <= 0.0:
                passed += 7.0 * DAY
    s[o], s[o + 1], s[o + 2], s[o + 3] = 1.0, minute, session, weekday
    return math.exp(-math.log(2.0) * max(passed, 0.0) / half_life)


@inner
def event_decay_step(v, x, i, s, o, p, q):
    """Sum of all past values, each halved every `half_life` minutes, clipped to +-`clip`; NaN where the input is.

    What was known keeps fading while the input is missing. Inputs: value, cal.minute, cal.session, cal.dow.
    State [clock, sum].
    """
    value = v[x[i]]
    left = fading(s, o, v[x[i + 1]], v[x[i + 2]], v[x[i + 3]], p[q])
    if left != left:
        return np.nan
    s[o + CLOCK] *= left
    if value != value:
        return np.nan
    s[o + CLOCK] += value
    return min(p[q + 1], max(-p[q + 1], s[o + CLOCK]))


EVENT_DECAY = Operator(
    name="event_decay",
    opcode=230,
    step=event_decay_step,
    inputs=4,
    params=(Param(name="half_life"), Param(name="clip", default=UNBOUNDED)),
    state=state_of(CLOCK + 1),
)


@inner
def news_impact_step(v, x, i, s, o, p, q):
    """Tanh of the fading sum over topics of sentiment x relevance x novelty x the topic's fitted multiple.

    0 while the feed is up and silent; NaN while it is down or nothing was fitted. The state holds the topics
    apart, so that a new fit changes no memory.
    Inputs: news.alive, one per topic, cal.minute, cal.session, cal.dow. Source: Tetlock (2007).
    """
    clock = i + 1 + TOPICS
    left = fading(s, o, v[x[clock]], v[x[clock + 1]], v[x[clock + 2]], p[q])
    if left != left:
        return np.nan
    total = 0.0
    for k in range(TOPICS):
        value, at = v[x[i + 1 + k]], o + CLOCK + k
        s[at] *= left
        if value == value:
            s[at] += value
        total += p[q + 1 + k] * s[at]
    return math.tanh(total) if v[x[i]] == 1.0 else np.nan


NEWS_IMPACT = Operator(
    name="news_impact",
    opcode=231,
    step=news_impact_step,
    inputs=4 + TOPICS,
    params=(Param(name="half_life", default=30),),
    state=state_of(CLOCK + TOPICS),
    fitted=lambda _params, _inputs: TOPICS,
)
