"""The price-aggregated limit order book inside the bar-folding state, and the order flow seen in its changes.

Levels are the occupied prices, best first. A level's last occupied state is remembered, so order-flow
imbalance compares like with like whether a feed deletes before it adds or the other way round.
For `bars` only.
"""

from mia.domain.series import LEVELS
from mia.source.layout import (
    ADD_BINS,
    ADD_HIST,
    ADD_RING,
    ADD_SEQ,
    ADDED,
    ADDS,
    BAR_START,
    CANCELLED,
    COUNT,
    CROSSED,
    DEPTH_SEEN,
    E_EVENT,
    E_LARGE,
    E_LEFT,
    E_PREVIOUS,
    E_TS,
    ENTRY,
    EVENTS,
    EVICTED,
    FLEETING,
    HELD,
    HELD_FROM,
    KEY,
    KNOWN,
    KNOWN_FROM,
    KNOWN_NS,
    LARGE_ADD,
    LARGE_CANCEL,
    LAST_KEY,
    LAST_SIZE,
    OFI,
    REPLENISH,
    RING,
    S_DEPLETED,
    S_DEPLETED_TS,
    S_EXECUTED,
    S_HEAD,
    S_PENDING,
    S_PENDING_TS,
    S_PRICE,
    S_SIZE,
    SEEN,
    SIZE,
    SLOT,
    SLOTS,
    SNAP_TS,
    SPREAD_FROM,
    SPREAD_NS,
    SPREAD_SUM,
    TOTAL,
    VOID,
    inner,
)

PENDING_NS = 1_000_000_000  # a trade explains decreases of the book for this long
FLEETING_NS = 500_000_000
LARGE_NS = 2_000_000_000
REPLENISH_NS = 5_000_000_000
LARGE_LEVELS = 5


@inner
def slot_of(side, price):
    """Offset of the slot that a price of a side would use."""
    return SLOTS + (side * RING + (price & (RING - 1))) * SLOT


@inner
def displayed(i, side, price):
    """Size shown at a price [contracts]."""
    at = slot_of(side, price)
    if i[at + S_PRICE] == price:
        return i[at + S_SIZE]
    return 0


@inner
def mid2(i):
    """Twice the mid [ticks], exact; VOID while a side is empty or the book is crossed."""
    if i[COUNT] == 0 or i[COUNT + 1] == 0:
        return VOID
    bid = i[KEY]
    ask = -i[KEY + LEVELS]
    if ask < bid:
        return VOID
    return bid + ask


@inner
def accrue_levels(i, t, side, first):
    """Bring size x time of the levels from `first` on up to `t`."""
    for k in range(side * LEVELS + first, (side + 1) * LEVELS):
        i[HELD + k] += i[SIZE + k] * (t - i[HELD_FROM + k])
        i[HELD_FROM + k] = t


@inner
def accrue_spread(i, t):
    """Bring spread x time up to `t`; a crossed, locked or one-sided book has no spread."""
    if i[COUNT] > 0 and i[COUNT + 1] > 0:
        spread = -i[KEY + LEVELS] - i[KEY]
        if spread > 0:
            i[SPREAD_SUM] += spread * (t - i[SPREAD_FROM])
            i[SPREAD_NS] += t - i[SPREAD_FROM]
    i[SPREAD_FROM] = t


@inner
def accrue_book(i, t):
    """Bring every time-weighted sum up to `t`."""
    accrue_levels(i, t, 0, 0)
    accrue_levels(i, t, 1, 0)
    accrue_spread(i, t)
    if i[KNOWN] == 1:
        i[KNOWN_NS] += t - i[KNOWN_FROM]
    i[KNOWN_FROM] = t


@inner
def start_weighing(i, t):
    """Begin the time-weighted sums of a bar at `t`."""
    for k in range(2 * LEVELS):
        i[HELD + k] = 0
        i[HELD_FROM + k] = t
    i[SPREAD_SUM] = 0
    i[SPREAD_NS] = 0
    i[SPREAD_FROM] = t
    i[KNOWN_NS] = 0
    i[KNOWN_FROM] = t


@inner
def clear_book(i, t):
    """Forget the book until it is rebuilt."""
    accrue_book(i, t)
    i[KNOWN] = 0
    i[SNAP_TS] = VOID
    for side in range(2):
        i[COUNT + side] = 0
        i[TOTAL + side] = 0
    for k in range(2 * LEVELS):
        i[KEY + k] = VOID
        i[SIZE + k] = 0
        i[LAST_KEY + k] = VOID
        i[LAST_SIZE + k] = 0
    for at in range(SLOTS, SLOTS + 2 * RING * SLOT, SLOT):
        i[at + S_PRICE] = VOID
        i[at + S_SIZE] = 0


@inner
def rank_of(i, side, key):
    """Level of a key among the ten best, -1 if deeper or absent."""
    base = KEY + side * LEVELS
    for k in range(i[COUNT + side]):
        if i[base + k] <= key:
            return k if i[base + k] == key else -1
    return -1


@inner
def next_deeper(i, side, key):
    """Nearest occupied key worse than `key`, VOID if none lies within the ring."""
    sign = 1 - 2 * side
    for step in range(1, RING):
        price = sign * (key - step)
        at = slot_of(side, price)
        if i[at + S_PRICE] == price and i[at + S_SIZE] > 0:
            return key - step
    return VOID


@inner
def insert_level(i, t, side, key, size):
    """Put a newly occupied price among the ten best; return its level or -1 if it lies deeper."""
    count = i[COUNT + side]
    base = KEY + side * LEVELS
    level = 0
    while level < count and i[base + level] > key:
        level += 1
    i[TOTAL + side] += 1
    if level == LEVELS:
        return -1
    accrue_levels(i, t, side, level)
    for k in range(min(count, LEVELS - 1), level, -1):
        i[base + k] = i[base + k - 1]
        i[SIZE + side * LEVELS + k] = i[SIZE + side * LEVELS + k - 1]
    i[base + level] = key
    i[SIZE + side * LEVELS + level] = size
    if count < LEVELS:
        i[COUNT + side] = count + 1
        i[SEEN + side] = max(i[SEEN + side], count + 1)
    return level


@inner
def remove_level(i, t, side, key):
    """Take an emptied price out of the ten best; return the level it had or -1."""
    level = rank_of(i, side, key)
    i[TOTAL + side] -= 1
    if level < 0:
        return -1
    accrue_levels(i, t, side, level)
    base = KEY + side * LEVELS
    last = i[COUNT + side] - 1
    for k in range(level, last):
        i[base + k] = i[base + k + 1]
        i[SIZE + side * LEVELS + k] = i[SIZE + side * LEVELS + k + 1]
    found = VOID
    if i[TOTAL + side] > last:
        found = next_deeper(i, side, i[base + last - 1] if last > 0 else key)
    i[base + last] = found
    if found == VOID:
        i[SIZE + side * LEVELS + last] = 0
        i[COUNT + side] = last
    else:
        i[SIZE + side * LEVELS + last] = displayed(i, side, (1 - 2 * side) * found)
    return level


@inner
def compare_levels(i, side, first, last, counted):
    """Add e_n of the levels in [first, last) to order-flow imbalance and remember their state.

    An empty level is no observation: it is compared when it is occupied again.
    Source: Cont, Kukanov, Stoikov (2014); per level as Xu, Gould, Howison (2018).
    """
    sign = 1 - 2 * side
    for k in range(first, min(last, i[COUNT + side])):
        at = side * LEVELS + k
        before = i[LAST_KEY + at]
        key = i[KEY + at]
        if counted and before != VOID:
            flow = 0
            if key >= before:
                flow += i[SIZE + at]
            if key <= before:
                flow -= i[LAST_SIZE + at]
            i[OFI + k] += sign * flow
        i[LAST_KEY + at] = key
        i[LAST_SIZE + at] = i[SIZE + at]


@inner
def book_addition(i, t, side, at, level, size):
    """Count size added at a level, remember it, and see whether it replaces what trades took."""
    i[ADDED + side] += size
    i[ADD_HIST + min(size, ADD_BINS - 1)] += 1
    sequence = i[ADD_SEQ]
    entry = ADDS + (sequence & (ADD_RING - 1)) * ENTRY
    i[entry + E_TS] = t
    i[entry + E_LEFT] = size
    i[entry + E_LARGE] = 1 if level < LARGE_LEVELS and 0 <= i[LARGE_ADD] < size else 0
    i[entry + E_EVENT] = i[EVENTS]
    i[entry + E_PREVIOUS] = i[at + S_HEAD]
    i[at + S_HEAD] = sequence
    i[ADD_SEQ] = sequence + 1
    i[at + S_PENDING] = 0
    if i[at + S_DEPLETED] > 0 and t - i[at + S_DEPLETED_TS] <= REPLENISH_NS:
        back = min(size, i[at + S_DEPLETED])
        i[at + S_DEPLETED] -= back
        i[REPLENISH] += back


@inner
def book_cancellation(i, t, side, at, size):
    """Count size cancelled, taking the most recent additions at that price first."""
    i[CANCELLED + side] += size
    left = size
    sequence = i[at + S_HEAD]
    while left > 0 and sequence > 0 and i[ADD_SEQ] - sequence <= ADD_RING:
        entry = ADDS + (sequence & (ADD_RING - 1)) * ENTRY
        age = t - i[entry + E_TS]
        if age > LARGE_NS:
            break
        taken = min(left, i[entry + E_LEFT])
        if age < FLEETING_NS and i[entry + E_TS] >= i[BAR_START]:
            i[FLEETING] += taken
        if i[entry + E_LARGE] == 1 and i[at + S_EXECUTED] < i[entry + E_EVENT]:
            i[LARGE_CANCEL + side] += taken
        i[entry + E_LEFT] -= taken
        left -= taken
        if i[entry + E_LEFT] > 0:
            break
        sequence = i[entry + E_PREVIOUS]
        i[at + S_HEAD] = sequence


@inner
def book_decrease(i, t, side, at, size):
    """Explain a decrease by trades at its price first; what remains was cancelled."""
    explained = 0
    if i[at + S_PENDING] > 0:
        if t - i[at + S_PENDING_TS] <= PENDING_NS:
            explained = min(size, i[at + S_PENDING])
        i[at + S_PENDING] -= explained
    if size > explained:
        book_cancellation(i, t, side, at, size - explained)


@inner
def take_slot(i, t, side, price):
    """Offset of the slot of `price`, emptied first if a far price still held it."""
    at = slot_of(side, price)
    if i[at + S_PRICE] != price:
        old = i[at + S_PRICE]
        if i[at + S_SIZE] > 0:
            i[EVICTED] += 1
            i[at + S_SIZE] = 0
            remove_level(i, t, side, (1 - 2 * side) * old)
        i[at + S_PRICE] = price
        i[at + S_SIZE] = 0
        i[at + S_PENDING] = 0
        i[at + S_EXECUTED] = 0
        i[at + S_DEPLETED] = 0
        i[at + S_HEAD] = 0
    return at


@inner
def set_depth(i, t, side, price, size, live):
    """Apply one book message: the new total size at a price.

    The messages that share the first stamp after a CLEAR are the snapshot: they build the book
    and are no flow.
    Outside sessions (`live` False) the book is kept, so that it is whole at the open, and nothing is counted.
    """
    if i[KNOWN] == 0:
        i[KNOWN] = 1
        i[SNAP_TS] = t
        i[KNOWN_FROM] = t
    i[DEPTH_SEEN] = 1
    counted = live and t != i[SNAP_TS]
    key = (1 - 2 * side) * price
    best = i[COUNT + side] == 0 or key >= i[KEY + side * LEVELS]
    if best:
        accrue_spread(i, t)
    at = take_slot(i, t, side, price)
    old = i[at + S_SIZE]
    if size == old:
        return
    i[at + S_SIZE] = size
    if old == 0:
        level = insert_level(i, t, side, key, size)
        last = LEVELS
    elif size == 0:
        level = remove_level(i, t, side, key)
        last = LEVELS
    else:
        level = rank_of(i, side, key)
        last = level + 1
        if level >= 0:
            k = side * LEVELS + level
            i[HELD + k] += old * (t - i[HELD_FROM + k])
            i[HELD_FROM + k] = t
            i[SIZE + k] = size
    if level < 0:
        return
    compare_levels(i, side, level, last, counted)
    if counted:
        if size > old:
            book_addition(i, t, side, at, level, size - old)
        else:
            book_decrease(i, t, side, at, old - size)
    if best and i[COUNT] > 0 and i[COUNT + 1] > 0 and i[KEY] >= -i[KEY + LEVELS]:
        i[CROSSED] += 1
