"""Operators on the order book: imbalances, order-flow imbalance, microprice, slope and fleeting liquidity."""

import math

import numpy as np

from mia.features.operators.flow_history import (
    HEAD,
    counts_quantile,
    history_add,
    history_roll,
    history_size,
    log_bin,
    log_value,
)
from mia.features.operators.registry import Operator, Param, laps_of
from mia.features.operators.window import inner, lap_clear, lap_push

OFI_BINS = 256  # on a logarithmic grid 1e-3..1e3 a bin is 5.5 % wide, interpolated inside
OFI_LOW, OFI_HIGH = 1e-3, 1e3
EARLY_ROWS = 30.0  # rows of the first session before its own running percentile replaces the declared one
ATANH_90 = math.atanh(0.9)


@inner
def imbalance_step(v, x, i, s, o, p, q):
    """(A - B) / (A + B) of the sums over the last n bars; 0 if both are 0."""
    n = int(p[q])
    a, b = v[x[i]], v[x[i + 1]]
    if np.isnan(a) or np.isnan(b):
        lap_clear(s, o)
        lap_clear(s, o + n + 3)
        return np.nan
    total_a, total_b = lap_push(s, o, n, a), lap_push(s, o + n + 3, n, b)
    if s[o] < n:
        return np.nan
    total = total_a + total_b
    return (total_a - total_b) / total if total != 0.0 else 0.0


IMBALANCE = Operator(
    name="imbalance",
    opcode=100,
    step=imbalance_step,
    inputs=2,
    params=(Param(name="sum_n", default=1),),
    state=laps_of("sum_n", copies=2),
)


@inner
def level_imbalance_step(v, x, i, s, o, p, q):
    """Sum w_k (b_k - a_k) / sum w_k (b_k + a_k), w_k = exp(-decay (k - 1)); an empty deep level counts as 0.

    Source: Cao, Hansch, Wang (2009); Gould, Bonart (2016).
    """
    levels, fade = int(p[q]) // 2, math.exp(-p[q + 1])
    if np.isnan(v[x[i]]) or np.isnan(v[x[i + levels]]):
        return np.nan
    up, total, weight = 0.0, 0.0, 1.0
    for k in range(levels):
        bid, ask = v[x[i + k]], v[x[i + levels + k]]
        if not np.isnan(bid):
            up += weight * bid
            total += weight * bid
        if not np.isnan(ask):
            up -= weight * ask
            total += weight * ask
        weight *= fade
    return up / total if total != 0.0 else 0.0


LEVEL_IMBALANCE = Operator(
    name="level_imbalance",
    opcode=101,
    step=level_imbalance_step,
    inputs=0,
    params=(Param(name="n_inputs"), Param(name="decay", default=0.0)),
)


@inner
def squash_scale(s, o, fallback):
    """95th percentile of |argument| to squash with: prior sessions, else today so far, else `fallback`."""
    if s[o + 4] > 0.0:
        return s[o + 4]
    if s[o + 5] >= EARLY_ROWS:
        position = counts_quantile(s, o + HEAD + OFI_BINS, OFI_BINS, s[o + 5], 0.95)
        return log_value(position, OFI_LOW, OFI_HIGH, OFI_BINS)
    return fallback


@inner
def ofi_norm_step(v, x, i, s, o, p, q):
    """tanh(arg / c): weighted flow summed over n bars / mean weighted depth, squashed by its own history.

    arg = sum over n bars of sum_k w_k OFI_k / mean over n bars of sum_k w_k D_k, w_k = exp(-(k - 1) / 2).
    c puts the 95th percentile of |arg| over up to `sessions` prior sessions at 0.9. Before one session is
    complete the percentile of today's earlier bars serves (from 30 bars on), before that `fallback`.
    With substitute = 1 a bar without depth takes the last input (a delta ratio) instead.
    Inputs: OFI_1..L, depth_1..L, cal.session, substitute. Source: Cont, Kukanov, Stoikov (2014).
    """
    levels, n, sessions, fallback = (int(p[q]) - 2) // 2, int(p[q + 1]), int(p[q + 2]), p[q + 3]
    session = v[x[i + 2 * levels]]
    sizes, past = o + n + 3, o + 2 * (n + 3)
    flow, size, weight = 0.0, 0.0, 1.0
    for k in range(levels):
        flow += weight * v[x[i + k]]
        size += weight * v[x[i + levels + k]]
        weight *= math.exp(-0.5)
    if not np.isnan(session) and history_roll(s, past, sessions, OFI_BINS, session):
        position = counts_quantile(s, past + HEAD, OFI_BINS, s[past + 3], 0.95)
        s[past + 4] = log_value(position, OFI_LOW, OFI_HIGH, OFI_BINS)
    if np.isnan(flow) or np.isnan(size) or np.isnan(session):
        lap_clear(s, o)
        lap_clear(s, sizes)
        return v[x[i + 2 * levels + 1]] if p[q + 4] == 1.0 else np.nan
    flow, size = lap_push(s, o, n, flow), lap_push(s, sizes, n, size)
    if s[o] < n or size <= 0.0:
        return np.nan
    argument = flow / (size / n)
    scale = squash_scale(s, past, fallback) / ATANH_90
    history_add(s, past, OFI_BINS, log_bin(abs(argument), OFI_LOW, OFI_HIGH, OFI_BINS))
    return math.tanh(argument / scale)


OFI_NORM = Operator(
    name="ofi_norm",
    opcode=102,
    step=ofi_norm_step,
    inputs=0,
    params=(
        Param(name="n_inputs"),
        Param(name="n", default=1),
        Param(name="sessions", default=20),
        Param(name="fallback", default=3.0),
        Param(name="substitute", default=0),
    ),
    state=lambda p, _: 2 * (int(p["n"]) + 3) + history_size(p["sessions"], OFI_BINS),
)


@inner
def ofi_integrated_step(v, x, i, s, o, p, q):
    """Weighted sum over levels of OFI_k / D, D = mean depth of the levels; weights fitted, L1 norm 1.

    Source: Cont, Cucuringu, Zhang (2023).
    """
    levels = int(p[q]) // 2
    flow, size = 0.0, 0.0
    for k in range(levels):
        flow += p[q + 1 + k] * v[x[i + k]]
        size += v[x[i + levels + k]]
    if not size > 0.0:
        return np.nan
    return flow / (size / levels)


OFI_INTEGRATED = Operator(
    name="ofi_integrated",
    opcode=103,
    step=ofi_integrated_step,
    inputs=0,
    params=(Param(name="n_inputs"),),
    fitted=lambda _, inputs: inputs // 2,
)


@inner
def microprice_step(v, x, i, s, o, p, q):
    """Size-weighted mid minus mid [ticks]. Inputs: bid, ask, their sizes. Source: Gatheral, Oomen (2010)."""
    bid, ask, bid_size, ask_size = v[x[i]], v[x[i + 1]], v[x[i + 2]], v[x[i + 3]]
    total = bid_size + ask_size
    if not total > 0.0:
        return np.nan
    return (ask - bid) * (bid_size / total - 0.5)


MICROPRICE = Operator(name="microprice", opcode=104, step=microprice_step, inputs=4)


@inner
def microprice_table_step(v, x, i, s, o, p, q):
    """Expected long-run move of the mid [ticks] by imbalance bin and spread. Source: Stoikov (2018)."""
    bins, widest = int(p[q]), int(p[q + 1])
    bid, ask, bid_size, ask_size = v[x[i]], v[x[i + 1]], v[x[i + 2]], v[x[i + 3]]
    total = bid_size + ask_size
    if np.isnan(bid) or np.isnan(ask) or not total > 0.0:
        return np.nan
    column = min(max(int(bid_size / total * bins), 0), bins - 1)
    row = int(min(max(ask - bid, 1.0), float(widest))) - 1
    return p[q + 2 + row * bins + column]


MICROPRICE_TABLE = Operator(
    name="microprice_table",
    opcode=105,
    step=microprice_table_step,
    inputs=4,
    params=(Param(name="bins", default=10), Param(name="max_spread", default=4)),
    fitted=lambda p, _: int(p["bins"]) * int(p["max_spread"]),
)


@inner
def book_slope_step(v, x, i, s, o, p, q):
    """OLS slope of log cumulative size on distance from the best price [1/tick]; at least 3 levels needed.

    Inputs: price_1..L, size_1..L of one side. Source: Naes, Skjeltorp (2006).
    """
    levels = int(p[q]) // 2
    best = v[x[i]]
    count, cumulative, sx, sy, sxx, sxy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(levels):
        distance, size = abs(v[x[i + k]] - best), v[x[i + levels + k]]
        if np.isnan(distance) or not size > 0.0:
            continue
        cumulative += size
        y = math.log(cumulative)
        count += 1.0
        sx += distance
        sy += y
        sxx += distance * distance
        sxy += distance * y
    spread = count * sxx - sx * sx
    if count < 3.0 or spread <= 0.0:
        return np.nan
    return (count * sxy - sx * sy) / spread


BOOK_SLOPE = Operator(name="book_slope", opcode=106, step=book_slope_step, inputs=0, params=(Param(name="n_inputs"),))

SPOOF_BINS = 64
SPOOF_LOW, SPOOF_HIGH = 1.0, 1e5


@inner
def spoof_side(cancelled, added, opposite, traded, typical):
    """Evidence of one side: share of adds that fled, x opposite executions, x size against the median."""
    if cancelled <= 0.0 or added <= 0.0 or traded <= 0.0:
        return 0.0
    size = min(1.0, cancelled / typical) if typical > 0.0 else 1.0
    return min(1.0, cancelled / added) * (opposite / traded) * size


@inner
def spoofing_step(v, x, i, s, o, p, q):
    """1 - (1 - E_bid)(1 - E_ask) in [0, 1]: a caution flag, never proof of wrongdoing.

    A large bid that flees helps who sells, so its opposite side is aggressive selling, and mirrored.
    The median size comes from the prior session; without one the size factor is 1.
    Inputs: added bid, ask; fled large bid, ask; buy, sell volume; cal.session. All summed over n bars.
    Source: Lee, Eom, Park (2013) for the pattern; the combination is this project's.
    """
    n = int(p[q])
    past = o + 6 * (n + 3)
    session = v[x[i + 6]]
    bad = np.isnan(session)
    for k in range(6):
        bad = bad or np.isnan(v[x[i + k]])
    if bad:
        for k in range(6):
            lap_clear(s, o + k * (n + 3))
        return np.nan
    if history_roll(s, past, 1, SPOOF_BINS, session):
        position = counts_quantile(s, past + HEAD, SPOOF_BINS, s[past + 3], 0.5)
        s[past + 4] = log_value(position, SPOOF_LOW, SPOOF_HIGH, SPOOF_BINS)
    add_bid, add_ask = lap_push(s, o, n, v[x[i]]), lap_push(s, o + (n + 3), n, v[x[i + 1]])
    gone_bid, gone_ask = lap_push(s, o + 2 * (n + 3), n, v[x[i + 2]]), lap_push(s, o + 3 * (n + 3), n, v[x[i + 3]])
    bought, sold = lap_push(s, o + 4 * (n + 3), n, v[x[i + 4]]), lap_push(s, o + 5 * (n + 3), n, v[x[i + 5]])
    if s[o] < n:
        return np.nan
    typical = s[past + 4]
    bid = spoof_side(gone_bid, add_bid, sold, bought + sold, typical)
    ask = spoof_side(gone_ask, add_ask, bought, bought + sold, typical)
    if gone_bid > 0.0:
        history_add(s, past, SPOOF_BINS, log_bin(gone_bid, SPOOF_LOW, SPOOF_HIGH, SPOOF_BINS))
    if gone_ask > 0.0:
        history_add(s, past, SPOOF_BINS, log_bin(gone_ask, SPOOF_LOW, SPOOF_HIGH, SPOOF_BINS))
    return 1.0 - (1.0 - bid) * (1.0 - ask)


SPOOFING = Operator(
    name="spoofing",
    opcode=107,
    step=spoofing_step,
    inputs=7,
    params=(Param(name="n", default=5),),
    state=lambda p, _: 6 * (int(p["n"]) + 3) + history_size(1, SPOOF_BINS),
)
