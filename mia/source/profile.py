"""Volume by price in the bar-folding state: value area, nodes, quantiles; called by `bars` only."""

import math

import numpy as np

from mia.source.layout import (
    NODE_HI,
    NODE_LO,
    PAST,
    PAST_PROFILE,
    PRIOR,
    PRIOR_HI,
    PRIOR_LO,
    PROFILE,
    SMOOTHED,
    inner,
)

NODE_SD = 8  # smoothing of the five-session profile [ticks], two points of ES
NODE_REACH = 3 * NODE_SD


@inner
def volume_at(i, base, price):
    """Volume of one row of the profile at `base`."""
    return i[base + (price & (PROFILE - 1))]


@inner
def point_of_control(i, base, low, high):
    """Price of the largest volume; on a tie the one nearest the volume-weighted price, then the lower."""
    volume = 0
    moment = 0
    for price in range(low, high + 1):
        v = volume_at(i, base, price)
        volume += v
        moment += (price - low) * v
    best = low
    for price in range(low + 1, high + 1):
        v = volume_at(i, base, price)
        b = volume_at(i, base, best)
        if v > b or (v == b and abs((price - low) * volume - moment) < abs((best - low) * volume - moment)):
            best = price
    return best, volume, moment


@inner
def value_area(i, base, low, high, poc, volume):
    """Bounds of 70 % of the volume: from the point of control, the larger pair of rows next above or below.

    On equal pairs the upper is taken. Source: the exchange floor's pair rule (Dalton, Jones, Dalton 1990).
    """
    top = poc
    bottom = poc
    inside = volume_at(i, base, poc)
    while inside * 10 < volume * 7:
        above = 0
        for price in range(top + 1, min(top + 2, high) + 1):
            above += volume_at(i, base, price)
        below = 0
        for price in range(max(bottom - 2, low), bottom):
            below += volume_at(i, base, price)
        if top < high and (above >= below or bottom == low):
            top = min(top + 2, high)
            inside += above
        else:
            bottom = max(bottom - 2, low)
            inside += below
    return top, bottom


@inner
def skewness(i, base, low, high, volume, moment):
    """Volume-weighted skewness of the prices; 0 when all volume lies on one price."""
    mean = moment / volume
    second = 0.0
    third = 0.0
    for price in range(low, high + 1):
        v = volume_at(i, base, price)
        if v > 0:
            d = price - low - mean
            second += v * d * d
            third += v * d * d * d
    if second <= 0.0:
        return 0.0
    return third / volume / math.pow(second / volume, 1.5)


@inner
def erase(i, base, low, high):
    """Zero the rows of a profile that were used."""
    if high - low >= PROFILE:
        low, high = 0, PROFILE - 1
    for price in range(low, high + 1):
        i[base + (price & (PROFILE - 1))] = 0


@inner
def remember_profile(i, f, base, low, high):
    """Keep a finished session's profile among the last five and smooth their sum anew."""
    place = i[PAST] % PRIOR
    target = PAST_PROFILE + place * PROFILE
    if i[PAST] >= PRIOR:
        erase(i, target, i[PRIOR_LO + place], i[PRIOR_HI + place])
    if high - low >= PROFILE:
        low, high = 0, -1
    for price in range(low, high + 1):
        row = price & (PROFILE - 1)
        i[target + row] = i[base + row]
    i[PRIOR_LO + place] = low
    i[PRIOR_HI + place] = high
    i[PAST] += 1
    smooth_nodes(i, f)


@inner
def smooth_nodes(i, f):
    """Gaussian-smoothed sum of the prior profiles (scaled, only its shape matters), into the float state."""
    low = 0
    high = -1
    for s in range(min(i[PAST], PRIOR)):
        if i[PRIOR_LO + s] <= i[PRIOR_HI + s]:
            low = min(low, i[PRIOR_LO + s]) if high >= low else i[PRIOR_LO + s]
            high = max(high, i[PRIOR_HI + s])
    if high - low >= PROFILE - 1:
        low, high = 0, -1
    i[NODE_LO] = low
    i[NODE_HI] = high
    rows = high - low + 1
    total = np.zeros(rows + 2 * NODE_REACH)
    for s in range(min(i[PAST], PRIOR)):
        for row in range(rows):
            total[row + NODE_REACH] += volume_at(i, PAST_PROFILE + s * PROFILE, low + row)
    weights = np.zeros(2 * NODE_REACH + 1)
    for k in range(2 * NODE_REACH + 1):
        weights[k] = math.exp(-0.5 * ((k - NODE_REACH) / NODE_SD) ** 2)
    for row in range(rows):
        value = 0.0
        for k in range(2 * NODE_REACH + 1):
            value += weights[k] * total[row + k]
        f[SMOOTHED + ((low + row) & (PROFILE - 1))] = value


@inner
def nearest_node(i, f, price, sign):
    """Nearest local maximum (`sign` +1) or minimum (-1) of the smoothed profile; NaN if there is none.

    Of two equally near the lower; of a flat stretch its lower end.
    """
    low = i[NODE_LO] + 1
    high = i[NODE_HI] - 1
    if high < low:
        return math.nan
    centre = min(max(price, low), high)
    for step in range(high - low + 1):
        for way in (-1, 1):
            p = centre + way * step
            if low <= p <= high:
                here = sign * f[SMOOTHED + (p & (PROFILE - 1))]
                before = sign * f[SMOOTHED + ((p - 1) & (PROFILE - 1))]
                after = sign * f[SMOOTHED + ((p + 1) & (PROFILE - 1))]
                if here > before and here >= after:
                    return float(p)
    return math.nan


@inner
def histogram_quantile(counts, hundredths):
    """Smallest bin whose cumulative count reaches the share; -1 if the histogram is empty."""
    total = 0
    for k in range(len(counts)):
        total += counts[k]
    if total == 0:
        return -1
    seen = 0
    for k in range(len(counts)):
        seen += counts[k]
        if seen * 100 >= total * hundredths:
            return k
    return len(counts) - 1
