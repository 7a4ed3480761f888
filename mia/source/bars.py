"""Folds market events into closed bars: one compiled pass for recorded sessions and for a live feed alike.

A bar comes out only when an event at or after its end has arrived, so nothing upstairs ever sees an open bar.
Called by the simulator, by `files` for ticks, and by live sources one event at a time.
"""

import math

import numpy as np
from numba import njit

from mia.domain.errors import ConfigurationError, DataError
from mia.domain.events import CLEAR, CLOCK, DEPTH, EVENT, TRADE
from mia.domain.series import INDEX, LEVELS, SIZE_BINS, WIDTH
from mia.domain.sessions import Sessions
from mia.source import layout
from mia.source.book import (
    PENDING_NS,
    REPLENISH_NS,
    accrue_book,
    clear_book,
    displayed,
    mid2,
    set_depth,
    slot_of,
    start_weighing,
)
from mia.source.layout import (
    ADD_BINS,
    ADD_HIST,
    ADDED,
    BAD,
    BAR_END,
    BAR_LAST,
    BAR_NS,
    BAR_START,
    BURST_BINS,
    BURST_COUNT,
    BURST_HIST,
    BURST_MAX,
    BURST_N,
    BURST_SLOT,
    BUY,
    CANCELLED,
    COUNT,
    DEPLETION,
    DEPTH_SEEN,
    DEVELOPING,
    EFF_SUM,
    EFF_VOLUME,
    EVENTS,
    FLEETING,
    FLOATS,
    FOOT_BUY,
    FOOT_SELL,
    HAWKES_ALL,
    HAWKES_BUY,
    HAWKES_SELL,
    HAWKES_TS,
    HELD,
    HIGH,
    INTS,
    KEY,
    KNOWN,
    KNOWN_NS,
    LARGE_ADD,
    LARGE_BUY,
    LARGE_CANCEL,
    LARGE_SELL,
    LARGE_TRADE,
    LAST_DIRECTION,
    LAST_KEY,
    LAST_PX,
    LATE,
    LOW,
    MAX_SIZE,
    N_SIGNED,
    NEXT,
    NOW,
    OFI,
    OPEN,
    ORDER_ID,
    ORDER_MID2,
    ORDER_PX,
    ORDER_SIDE,
    ORDER_SWEPT,
    ORDER_TS,
    OUTSIDE,
    PAST,
    PAST_TRADE_HIST,
    PRIOR,
    PRIOR_POC,
    PRIOR_VAH,
    PRIOR_VAL,
    PROF_HI,
    PROF_LO,
    PROFILE,
    PV,
    PV2,
    Q_HEAD,
    Q_TAIL,
    QUEUE,
    QUEUE_LOST,
    QUEUED,
    REAL_SUM,
    REAL_VOLUME,
    REF,
    REFILL,
    REGULAR,
    REPLENISH,
    RING,
    RTH_DONE,
    RTH_HI,
    RTH_LO,
    RUN_LENGTH,
    RUN_SIDE,
    RUN_TS,
    RUNS,
    S_DEPLETED,
    S_DEPLETED_TS,
    S_EXECUTED,
    S_PENDING,
    S_PENDING_TS,
    S_PRICE,
    S_SIZE,
    SEEN,
    SELL,
    SESSION,
    SESSION_OPEN,
    SIDED,
    SIZE,
    SIZE_BIN,
    SLOT,
    SLOTS,
    SPREAD_NS,
    SPREAD_SUM,
    SWEEPS,
    THROUGH,
    TRADE_BINS,
    TRADE_HIST,
    TRADED,
    UPDATES,
    VOID,
    VOLUME,
    N,
    inner,
)
from mia.source.profile import (
    erase,
    histogram_quantile,
    nearest_node,
    point_of_control,
    remember_profile,
    skewness,
    value_area,
)

Array = np.ndarray

MINUTE_NS = 60_000_000_000
REALISED_NS = 5_000_000_000
RUN_NS = 100_000_000
BURST_NS = 10_000_000
HAWKES_LIFE_NS = 30_000_000_000.0
STACK_RATIO = 3
STACK_VOLUME = 10
STACK_LEVELS = 3
LARGE_PERCENT = 95


def _columns(prefix: str, *names: str) -> tuple[np.int64, ...]:
    return tuple(np.int64(INDEX[f"{prefix}.{name}"]) for name in names)


C_OPEN, C_HIGH, C_LOW, C_CLOSE, C_VOLUME = _columns("bar", "open", "high", "low", "close", "volume")
C_N, C_BUY, C_SELL, C_MAX, C_THROUGH, C_SWEEPS, C_REFILL, C_LARGE_BUY, C_LARGE_SELL = _columns(
    "trd", "n", "buy_volume", "sell_volume", "max_size", "through_volume", "n_sweeps", "refill_volume",
    "large_buy_volume", "large_sell_volume",
)  # fmt: skip
C_EFF, C_REAL, C_RUNS, C_PV, C_PV2, C_REF, C_HAWKES, C_HAWKES_BUY, C_HAWKES_SELL = _columns(
    "trd", "eff_spread_vw", "real_spread_vw", "runs_100ms", "pv", "pv2", "ref", "hawkes_all", "hawkes_buy",
    "hawkes_sell",
)  # fmt: skip
C_STACK_BUY, C_STACK_SELL, C_BIN, C_POC, C_VAH, C_VAL, C_SKEW = _columns(
    "trd", "stack_buy", "stack_sell", "size_bin_1", "poc", "vah", "val", "profile_skew"
)
C_PRIOR_POC, C_PRIOR_VAH, C_PRIOR_VAL, C_HVN, C_LVN = _columns(
    "trd", "prior_poc", "prior_vah", "prior_val", "hvn", "lvn"
)
C_MID, C_SPREAD, C_UPDATES, C_MESSAGES, C_BURST = _columns(
    "qot", "mid", "spread_ticks_tw", "n_updates", "msg_to_trade", "update_burst_p99"
)
C_PX_BID, C_PX_ASK, C_SZ_BID, C_SZ_ASK, C_OFI, C_DEPTH = _columns(
    "dom", "bid_px_1", "ask_px_1", "bid_sz_1", "ask_sz_1", "ofi_1", "depth_tw_1"
)
C_DEPTH_1 = _columns("dom", "bid_depth_tw_1", "ask_depth_tw_1")
C_DEPTH_10 = _columns("dom", "bid_depth_tw_10", "ask_depth_tw_10")
C_ADD = _columns("dom", "add_bid", "add_ask")
C_CANCEL = _columns("dom", "cancel_bid", "cancel_ask")
C_LARGE_CANCEL = _columns("dom", "large_cancel_bid", "large_cancel_ask")
C_FLEETING, C_DEPLETION, C_REPLENISH = _columns("dom", "fleeting_share", "depletion", "replenish_5s")


@inner
def realise_spreads(i, before):
    """Settle the trades whose five seconds ended before a stamp, against the mid as it stands."""
    mid = mid2(i)
    while i[Q_HEAD] < i[Q_TAIL]:
        at = QUEUED + 3 * (i[Q_HEAD] & (QUEUE - 1))
        if i[at] >= before:
            break
        i[Q_HEAD] += 1
        if mid != VOID:
            i[REAL_SUM] += i[at + 1] * (2 * i[at + 2] - mid)
            i[REAL_VOLUME] += abs(i[at + 1])


@inner
def trade_sign(i, price, side):
    """Sign of a trade: the exchange's; if the feed never tells, quote rule, then tick rule; 0 if neither can.

    Source: Lee, Ready (1991), without the five-second lag.
    """
    last = i[LAST_PX]
    if last != VOID and price != last:
        i[LAST_DIRECTION] = 1 if price > last else -1
    i[LAST_PX] = price
    if side != 0:
        i[SIDED] = 1
        return 1 if side > 0 else -1
    if i[SIDED] == 1:
        return 0
    mid = mid2(i)
    if mid != VOID and 2 * price != mid:
        return 1 if 2 * price > mid else -1
    return i[LAST_DIRECTION]


@inner
def follow_order(i, t, price, size, sign, order):
    """Join the trades of one aggressive order: volume beyond its first price is a sweep.

    Without order numbers, consecutive trades of one side and one stamp count as one order.
    """
    same = sign != 0 and sign == i[ORDER_SIDE] and order == i[ORDER_ID] and (order > 0 or t == i[ORDER_TS])
    if not same:
        i[ORDER_ID] = order
        i[ORDER_SIDE] = sign
        i[ORDER_PX] = price
        i[ORDER_TS] = t
        i[ORDER_SWEPT] = 0
        i[ORDER_MID2] = mid2(i)
    elif price != i[ORDER_PX]:
        i[THROUGH] += size
        if i[ORDER_SWEPT] == 0:
            i[ORDER_SWEPT] = 1
            i[SWEEPS] += 1


@inner
def execute_in_book(i, t, price, size, sign):
    """Mark a trade on the passive side of the book; a following decrease there is then no cancellation.

    Relies on exchange order: a trade comes before the book messages that it causes.
    """
    side = 1 if sign > 0 else 0
    if sign == 0 and displayed(i, 1, price) > 0:
        side = 1
    at = slot_of(side, price)
    if i[at + S_PRICE] != price:
        return
    i[at + S_EXECUTED] = i[EVENTS]
    if i[at + S_SIZE] == 0:
        return
    if t - i[at + S_PENDING_TS] > PENDING_NS:
        i[at + S_PENDING] = 0
    free = max(0, i[at + S_SIZE] - i[at + S_PENDING])
    i[REFILL] += max(0, size - free)
    if i[KEY + side * LEVELS] == (1 - 2 * side) * price:
        taken = min(size, free)
        if t - i[at + S_DEPLETED_TS] > REPLENISH_NS:
            i[at + S_DEPLETED] = 0
        i[at + S_DEPLETED] += taken
        i[at + S_DEPLETED_TS] = t
        i[DEPLETION] += taken
    i[at + S_PENDING] = min(i[at + S_SIZE], i[at + S_PENDING] + size)
    i[at + S_PENDING_TS] = t


@inner
def excite(i, f, t, sign):
    """Add one trade to the exponentially decaying counts."""
    if t > i[HAWKES_TS]:
        decay = math.exp(-(t - i[HAWKES_TS]) / HAWKES_LIFE_NS)
        f[HAWKES_ALL] *= decay
        f[HAWKES_BUY] *= decay
        f[HAWKES_SELL] *= decay
        i[HAWKES_TS] = t
    f[HAWKES_ALL] += 1.0
    if sign > 0:
        f[HAWKES_BUY] += 1.0
    elif sign < 0:
        f[HAWKES_SELL] += 1.0


@inner
def size_class(size):
    """Class of a trade size: 1, 2-4, 5-9, 10-24, 25-99, 100 and more."""
    if size < 5:
        return 0 if size == 1 else 1
    if size < 25:
        return 2 if size < 10 else 3
    return 4 if size < 100 else 5


@inner
def add_signed(i, t, price, size, sign):
    """Sums of a trade whose side is known."""
    foot = FOOT_BUY if sign > 0 else FOOT_SELL
    i[foot + (price & (RING - 1))] += size
    i[N_SIGNED] += 1
    i[BUY if sign > 0 else SELL] += size
    if i[LARGE_TRADE] >= 0 and size >= i[LARGE_TRADE]:
        i[LARGE_BUY if sign > 0 else LARGE_SELL] += size
    if sign == i[RUN_SIDE] and t - i[RUN_TS] < RUN_NS:
        i[RUN_LENGTH] += 1
        if i[RUN_LENGTH] == 3:
            i[RUNS] += 1
    else:
        i[RUN_SIDE] = sign
        i[RUN_LENGTH] = 1
    i[RUN_TS] = t
    if i[ORDER_MID2] != VOID:
        i[EFF_SUM] += sign * size * (2 * price - i[ORDER_MID2])
        i[EFF_VOLUME] += size
        if i[Q_TAIL] - i[Q_HEAD] == QUEUE:
            i[Q_HEAD] += 1
            i[QUEUE_LOST] += 1
        at = QUEUED + 3 * (i[Q_TAIL] & (QUEUE - 1))
        i[at] = t + REALISED_NS
        i[at + 1] = sign * size
        i[at + 2] = price
        i[Q_TAIL] += 1


@inner
def add_trade(i, f, t, price, size, side, order, regular):
    """Fold one trade into the bar, the session and the book."""
    sign = trade_sign(i, price, side)
    follow_order(i, t, price, size, sign, order)
    if i[TRADED] == 0:
        i[TRADED] = 1
        i[REF] = price
        i[PROF_LO] = price
        i[PROF_HI] = price
    if i[N] == 0:
        i[OPEN] = price
        i[HIGH] = price
        i[LOW] = price
    i[HIGH] = max(i[HIGH], price)
    i[LOW] = min(i[LOW], price)
    i[N] += 1
    i[VOLUME] += size
    i[MAX_SIZE] = max(i[MAX_SIZE], size)
    i[SIZE_BIN + size_class(size)] += 1
    i[TRADE_HIST + min(size, TRADE_BINS - 1)] += 1
    offset = price - i[REF]
    i[PV] += offset * size
    i[PV2] += offset * offset * size
    i[DEVELOPING + (price & (PROFILE - 1))] += size
    i[PROF_LO] = min(i[PROF_LO], price)
    i[PROF_HI] = max(i[PROF_HI], price)
    if regular:
        if i[RTH_LO] > i[RTH_HI]:
            i[RTH_LO] = price
            i[RTH_HI] = price
        i[RTH_LO] = min(i[RTH_LO], price)
        i[RTH_HI] = max(i[RTH_HI], price)
        i[REGULAR + (price & (PROFILE - 1))] += size
    excite(i, f, t, sign)
    if sign != 0:
        add_signed(i, t, price, size, sign)
    if i[KNOWN] == 1:
        execute_in_book(i, t, price, size, sign)


@inner
def end_burst(i):
    """Enter the finished 10 ms slot into the bar's histogram."""
    if i[BURST_COUNT] > 0:
        k = min(i[BURST_COUNT], BURST_BINS - 1)
        i[BURST_HIST + k] += 1
        i[BURST_N] += 1
        i[BURST_MAX] = max(i[BURST_MAX], k)
    i[BURST_COUNT] = 0


@inner
def add_message(i, t):
    """Count one book message and its 10 ms slot."""
    i[UPDATES] += 1
    slot = t // BURST_NS
    if slot != i[BURST_SLOT]:
        end_burst(i)
        i[BURST_SLOT] = slot
    i[BURST_COUNT] += 1


@inner
def longest_stack(i, strong, weak, step):
    """Longest run of prices where the strong side trades three times the weak side one tick away, else 0.

    `step` leads from a price to the opposing one: -1 for buys against sells one tick lower, +1 for sells.
    """
    longest = 0
    run = 0
    for price in range(i[LOW], i[HIGH] + 1):
        volume = i[strong + (price & (RING - 1))]
        against = 0
        if i[LOW] <= price + step <= i[HIGH]:
            against = i[weak + ((price + step) & (RING - 1))]
        if volume >= STACK_VOLUME and volume >= STACK_RATIO * against:
            run += 1
            longest = max(longest, run)
        else:
            run = 0
    return longest if longest >= STACK_LEVELS else 0


@inner
def ratio_or_nan(a, b):
    """Divide; NaN when the divisor is 0."""
    return a / b if b != 0 else math.nan


@inner
def write_trades(i, f, row):
    """Fill the bar and trade columns of a closing bar."""
    n = i[N]
    row[C_OPEN] = i[OPEN] if n > 0 else i[LAST_PX]
    row[C_HIGH] = i[HIGH] if n > 0 else i[LAST_PX]
    row[C_LOW] = i[LOW] if n > 0 else i[LAST_PX]
    row[C_CLOSE] = i[LAST_PX]
    row[C_VOLUME] = i[VOLUME]
    row[C_N] = n
    row[C_MAX] = i[MAX_SIZE]
    row[C_PV] = i[PV]
    row[C_PV2] = i[PV2]
    row[C_REF] = i[REF]
    for k in range(SIZE_BINS):
        row[C_BIN + k] = i[SIZE_BIN + k]
    decay = math.exp(-(i[BAR_END] - i[HAWKES_TS]) / HAWKES_LIFE_NS)
    row[C_HAWKES] = f[HAWKES_ALL] * decay
    if i[KNOWN] == 1 or i[DEPTH_SEEN] == 1:
        row[C_REFILL] = i[REFILL]
    if n == 0 or i[N_SIGNED] > 0:
        row[C_BUY] = i[BUY]
        row[C_SELL] = i[SELL]
        row[C_THROUGH] = i[THROUGH]
        row[C_SWEEPS] = i[SWEEPS]
        row[C_RUNS] = i[RUNS]
        row[C_HAWKES_BUY] = f[HAWKES_BUY] * decay
        row[C_HAWKES_SELL] = f[HAWKES_SELL] * decay
        row[C_EFF] = ratio_or_nan(float(i[EFF_SUM]), i[EFF_VOLUME])
        row[C_REAL] = ratio_or_nan(float(i[REAL_SUM]), i[REAL_VOLUME])
        if i[LARGE_TRADE] >= 0:
            row[C_LARGE_BUY] = i[LARGE_BUY]
            row[C_LARGE_SELL] = i[LARGE_SELL]
        if n == 0:
            row[C_STACK_BUY] = 0.0
            row[C_STACK_SELL] = 0.0
        elif i[HIGH] - i[LOW] < RING:
            row[C_STACK_BUY] = longest_stack(i, FOOT_BUY, FOOT_SELL, -1)
            row[C_STACK_SELL] = longest_stack(i, FOOT_SELL, FOOT_BUY, 1)


@inner
def write_profile(i, f, row):
    """Fill the volume-profile columns of a closing bar."""
    low = i[PROF_LO]
    high = i[PROF_HI]
    if high - low < PROFILE:
        poc, volume, moment = point_of_control(i, DEVELOPING, low, high)
        top, bottom = value_area(i, DEVELOPING, low, high, poc, volume)
        row[C_POC] = poc
        row[C_VAH] = top
        row[C_VAL] = bottom
        row[C_SKEW] = skewness(i, DEVELOPING, low, high, volume, moment)
    row[C_PRIOR_POC] = f[PRIOR_POC]
    row[C_PRIOR_VAH] = f[PRIOR_VAH]
    row[C_PRIOR_VAL] = f[PRIOR_VAL]
    row[C_HVN] = nearest_node(i, f, i[LAST_PX], 1.0)
    row[C_LVN] = nearest_node(i, f, i[LAST_PX], -1.0)


@inner
def write_quotes(i, row):
    """Fill the quote columns of a closing bar."""
    mid = mid2(i)
    if mid != VOID:
        row[C_MID] = mid / 2.0
    row[C_SPREAD] = ratio_or_nan(float(i[SPREAD_SUM]), i[SPREAD_NS])
    row[C_UPDATES] = i[UPDATES]
    row[C_MESSAGES] = i[UPDATES] / max(i[N], 1)
    end_burst(i)
    if i[BURST_N] > 0:
        row[C_BURST] = histogram_quantile(i[BURST_HIST : BURST_HIST + i[BURST_MAX] + 1], 99)
    else:
        row[C_BURST] = 0.0


@inner
def write_levels(i, row):
    """Fill the book columns of a closing bar; levels the feed has not shown this session stay NaN."""
    seen = max(i[SEEN], i[SEEN + 1])
    known_ns = float(i[KNOWN_NS])
    for side in range(2):
        px = C_PX_BID if side == 0 else C_PX_ASK
        sz = C_SZ_BID if side == 0 else C_SZ_ASK
        total = 0
        for k in range(LEVELS):
            at = side * LEVELS + k
            total += i[HELD + at]
            if i[KNOWN] == 1 and k < i[COUNT + side]:
                row[px + k] = (1 - 2 * side) * i[KEY + at]
            if i[KNOWN] == 1 and k < i[SEEN + side]:
                row[sz + k] = i[SIZE + at]
        if i[SEEN + side] >= 1:
            row[C_DEPTH_1[side]] = ratio_or_nan(float(i[HELD + side * LEVELS]), known_ns)
        if i[SEEN + side] >= 2:
            row[C_DEPTH_10[side]] = ratio_or_nan(float(total), known_ns)
    for k in range(seen):
        row[C_OFI + k] = i[OFI + k]
        row[C_DEPTH + k] = ratio_or_nan(0.5 * (i[HELD + k] + i[HELD + LEVELS + k]), known_ns)


@inner
def write_orders(i, row):
    """Fill the order-flow columns of a closing bar; best quotes alone cannot tell added from moved."""
    row[C_DEPLETION] = i[DEPLETION]
    row[C_REPLENISH] = i[REPLENISH]
    if max(i[SEEN], i[SEEN + 1]) < 2:
        return
    added = i[ADDED] + i[ADDED + 1]
    row[C_FLEETING] = i[FLEETING] / added if added > 0 else 0.0
    for side in range(2):
        row[C_ADD[side]] = i[ADDED + side]
        row[C_CANCEL[side]] = i[CANCELLED + side]
        if i[LARGE_ADD] >= 0:
            row[C_LARGE_CANCEL[side]] = i[LARGE_CANCEL + side]


@inner
def clear_bar(i, t):
    """Zero what belongs to one bar; the next begins at `t`."""
    if i[N] > 0:
        low = i[LOW]
        high = i[HIGH] if i[HIGH] - i[LOW] < RING else i[LOW] + RING - 1
        for price in range(low, high + 1):
            i[FOOT_BUY + (price & (RING - 1))] = 0
            i[FOOT_SELL + (price & (RING - 1))] = 0
    for k in range(i[BURST_MAX] + 1):
        i[BURST_HIST + k] = 0
    for k in range(OPEN, BAR_LAST):
        i[k] = 0
    i[BURST_SLOT] = VOID
    i[BAR_START] = t
    start_weighing(i, t)


@inner
def freeze_regular(i, f):
    """Regular hours are over: their profile becomes the prior one."""
    i[RTH_DONE] = 1
    if i[RTH_LO] <= i[RTH_HI] and i[RTH_HI] - i[RTH_LO] < PROFILE:
        poc, volume, _ = point_of_control(i, REGULAR, i[RTH_LO], i[RTH_HI])
        top, bottom = value_area(i, REGULAR, i[RTH_LO], i[RTH_HI], poc, volume)
        f[PRIOR_POC] = poc
        f[PRIOR_VAH] = top
        f[PRIOR_VAL] = bottom


@inner
def end_session(i, f):
    """Hand what the session taught to the next ones: its profiles and its size quantiles."""
    if i[TRADED] == 1:
        if i[RTH_DONE] == 0:
            freeze_regular(i, f)
        place = PAST_TRADE_HIST + (i[PAST] % PRIOR) * TRADE_BINS
        sizes = np.zeros(TRADE_BINS, np.int64)
        for k in range(TRADE_BINS):
            i[place + k] = i[TRADE_HIST + k]
            for s in range(PRIOR):
                sizes[k] += i[PAST_TRADE_HIST + s * TRADE_BINS + k]
        i[LARGE_TRADE] = histogram_quantile(sizes, LARGE_PERCENT)
        i[LARGE_ADD] = histogram_quantile(i[ADD_HIST : ADD_HIST + ADD_BINS], LARGE_PERCENT)
        remember_profile(i, f, DEVELOPING, i[PROF_LO], i[PROF_HI])
    i[SESSION] = VOID
    i[NEXT] += 1


@inner
def start_session(i, f, t, opened, closed):
    """Reset everything that may not outlive a session and open the interval that holds `t`."""
    i[SESSION] = i[NEXT]
    i[SESSION_OPEN] = opened
    erase(i, DEVELOPING, i[PROF_LO], i[PROF_HI])
    erase(i, REGULAR, i[RTH_LO], i[RTH_HI])
    for k in range(TRADE_BINS):
        i[TRADE_HIST + k] = 0
    for k in range(ADD_BINS):
        i[ADD_HIST + k] = 0
    i[TRADED] = 0
    i[RTH_DONE] = 0
    i[LAST_PX] = VOID
    i[LAST_DIRECTION] = 0
    i[RTH_LO] = 0
    i[RTH_HI] = -1
    i[PROF_LO] = 0
    i[PROF_HI] = -1
    i[RUN_SIDE] = 0
    i[ORDER_SIDE] = 0
    i[Q_HEAD] = i[Q_TAIL]
    i[HAWKES_TS] = opened
    f[HAWKES_ALL] = 0.0
    f[HAWKES_BUY] = 0.0
    f[HAWKES_SELL] = 0.0
    i[DEPTH_SEEN] = i[KNOWN]
    for side in range(2):
        i[SEEN + side] = i[COUNT + side]
    clear_bar(i, opened + (t - opened) // i[BAR_NS] * i[BAR_NS])
    i[BAR_END] = min(i[BAR_START] + i[BAR_NS], closed)


@inner
def close_bar(i, f, row, closed, regular_end):
    """Write the bar that ends now into `row` if the session has traded, and begin the next one."""
    end = i[BAR_END]
    written = 0
    if i[TRADED] == 1:
        written = 1
        realise_spreads(i, end + 1)
        accrue_book(i, end)
        if i[RTH_DONE] == 0 and end > regular_end:
            freeze_regular(i, f)
        row[:] = math.nan
        write_trades(i, f, row)
        write_profile(i, f, row)
        if i[DEPTH_SEEN] == 1:
            write_quotes(i, row)
            write_levels(i, row)
            write_orders(i, row)
    clear_bar(i, end)
    i[BAR_END] = min(end + i[BAR_NS], closed)
    if end == closed:
        end_session(i, f)
    return written


@inner
def apply_event(i, f, t, kind, price, size, side, order, rth_open, rth_close):
    """Apply one event to the state; sessions and bars are already where its stamp says."""
    i[EVENTS] += 1
    live = i[SESSION] >= 0
    if not live:
        i[OUTSIDE] += 1
    elif i[Q_HEAD] < i[Q_TAIL]:
        realise_spreads(i, t)
    if kind == DEPTH:
        if size < 0 or side == 0:
            i[BAD] += 1
            return
        if live:
            add_message(i, t)
        set_depth(i, t, 0 if side > 0 else 1, price, size, live)
    elif kind == TRADE:
        if size <= 0:
            i[BAD] += 1
        elif live:
            add_trade(i, f, t, price, size, side, order, rth_open <= t < rth_close)
    elif kind == CLEAR:
        clear_book(i, t)
    elif kind != CLOCK:
        i[BAD] += 1


@njit(cache=True, error_model="numpy")
def fold_events(events, start, i, f, grid, rows, stamps):
    """Fold `events[start:]`; stop early when `rows` is full. Returns (next event, rows written).

    grid : (4, S) int64, session open, close, regular open, regular close [ns UTC]
    """
    made = 0
    for n in range(start, len(events)):
        t = events[n].ts
        if t < i[NOW]:
            t = i[NOW]
        while i[SESSION] >= 0 and i[BAR_END] <= t:
            if made == len(rows):
                return n, made
            session = i[SESSION]
            stamps[made] = i[BAR_END]
            made += close_bar(i, f, rows[made], grid[1, session], grid[3, session])
        if i[SESSION] < 0:
            while i[NEXT] < grid.shape[1] and t >= grid[1, i[NEXT]]:
                i[NEXT] += 1
            if i[NEXT] < grid.shape[1] and t >= grid[0, i[NEXT]]:
                start_session(i, f, t, grid[0, i[NEXT]], grid[1, i[NEXT]])
        if events[n].ts < i[NOW]:
            i[LATE] += 1
        i[NOW] = t
        session = max(i[SESSION], 0)
        apply_event(
            i, f, t, np.int64(events[n].kind), np.int64(events[n].price), np.int64(events[n].size),
            np.int64(events[n].side), np.int64(events[n].order), grid[2, session], grid[3, session],
        )  # fmt: skip
    return len(events), made


class BarFolder:
    """Turns the events of one market into closed bars, in any chunking, with bit-identical rows.

    Parameters
    ----------
    sessions : when the market trades; bars lie on a grid from each session's open
    bar_minutes : length of a bar [minutes], >= 1; a session's last bar may be shorter

    Raises
    ------
    ConfigurationError : if `bar_minutes` < 1.

    Notes
    -----
    A session's first row is the interval of its first trade; later intervals without trades have volume 0 and
    the last price. Events must come in exchange order (a trade before the book messages it causes); a stamp
    that runs backwards is counted and taken as the latest. Outside sessions trades are ignored, while book
    messages keep the book whole for the open but count nowhere. Only CLEAR empties the book.
    """

    def __init__(self, sessions: Sessions, bar_minutes: int) -> None:
        if bar_minutes < 1:
            raise ConfigurationError(f"bar_minutes must be at least 1, was {bar_minutes}")
        self._grid = np.stack(
            [sessions.open_ns, sessions.close_ns, sessions.rth_open_ns, sessions.rth_close_ns]
        ).astype(np.int64)
        self._ints = np.zeros(INTS, np.int64)
        self._floats = np.zeros(FLOATS)
        self._rows = np.empty((256, WIDTH))
        self._stamps = np.empty(256, np.int64)
        self._begin(bar_minutes)

    def _begin(self, bar_minutes: int) -> None:
        i = self._ints
        i[SESSION] = VOID
        i[BAR_NS] = bar_minutes * MINUTE_NS
        i[NOW] = VOID
        i[[SESSION_OPEN, LAST_PX, BURST_SLOT, layout.SNAP_TS]] = VOID
        i[[LARGE_TRADE, LARGE_ADD, PROF_HI, RTH_HI, layout.NODE_HI]] = -1
        i[layout.ADD_SEQ] = 1
        i[KEY : KEY + 2 * LEVELS] = VOID
        i[LAST_KEY : LAST_KEY + 2 * LEVELS] = VOID
        i[SLOTS : SLOTS + 2 * RING * SLOT : SLOT] = VOID
        self._floats[[PRIOR_POC, PRIOR_VAH, PRIOR_VAL]] = np.nan

    def fold(self, events: Array) -> tuple[Array, Array]:
        """Fold events (E,) of dtype `EVENT`; return the bars that closed.

        Returns
        -------
        rows : (n, WIDTH) float64, base series; only bar, trade, quote and depth columns are filled
        ts : (n,) int64, close stamps [ns UTC]
        """
        events = np.ascontiguousarray(events, dtype=EVENT)
        rows, stamps = [], []
        start = 0
        while True:
            start, made = fold_events(events, start, self._ints, self._floats, self._grid, self._rows, self._stamps)
            rows.append(self._rows[:made].copy())
            stamps.append(self._stamps[:made].copy())
            if start == len(events):
                break
        if len(rows) == 1:
            return rows[0], stamps[0]
        return np.concatenate(rows), np.concatenate(stamps)

    def finish(self, until_ns: int | None = None) -> tuple[Array, Array]:
        """Close the bars of the session reached: up to its close, or those that end by `until_ns`."""
        session = self._ints[SESSION]
        if session < 0:
            return np.empty((0, WIDTH)), np.empty(0, np.int64)
        end = int(self._grid[1, session])
        clock = np.zeros(1, EVENT)
        clock["kind"] = CLOCK
        clock["ts"] = end if until_ns is None else min(end, until_ns)
        return self.fold(clock)

    def counts(self) -> dict[str, int]:
        """What was seen and what was not usable, over the folder's life."""
        names = ("EVENTS", "OUTSIDE", "LATE", "BAD", "CROSSED", "EVICTED", "QUEUE_LOST")
        return {name.lower(): int(self._ints[getattr(layout, name)]) for name in names}

    def state(self) -> dict[str, Array]:
        """Snapshot of everything, as arrays: what `restore` takes."""
        return {"ints": self._ints.copy(), "floats": self._floats.copy()}

    def restore(self, state: dict[str, Array]) -> None:
        """Continue from a snapshot, also on a calendar that has grown since.

        Raises
        ------
        DataError : if the snapshot is of another layout, bar length or calendar.
        """
        ints = np.array(state["ints"], np.int64)
        floats = np.array(state["floats"], np.float64)
        if ints.shape != self._ints.shape or floats.shape != self._floats.shape:
            raise DataError(f"bar folder: the snapshot has {len(ints)} numbers, expected {INTS}; rebuild it")
        if ints[BAR_NS] != self._ints[BAR_NS]:
            raise DataError(
                f"bar folder: the snapshot is of {ints[BAR_NS] // MINUTE_NS}-minute bars, "
                f"expected {self._ints[BAR_NS] // MINUTE_NS}; rebuild it"
            )
        opens = self._grid[0]
        if ints[SESSION] >= 0:
            at = int(np.searchsorted(opens, ints[SESSION_OPEN]))
            if at == len(opens) or opens[at] != ints[SESSION_OPEN]:
                raise DataError(
                    f"bar folder: no session opens at {ints[SESSION_OPEN]} ns as in the snapshot; "
                    "give the calendar it was made with"
                )
            ints[SESSION] = at
            ints[NEXT] = at
        else:
            ints[NEXT] = 0  # found again from the next event's stamp
        self._ints[:] = ints
        self._floats[:] = floats
