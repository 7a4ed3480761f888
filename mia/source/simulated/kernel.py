"""The order book and everything that happens to it, event by event, compiled. Called by `market` only.

Between price moves queues follow queue-reactive limit, cancel and market flows that never empty a best queue.
Price moves are a self-exciting stream of sweeps whose direction is drawn apart from everything else, and
whether a sweep stands or is refilled is a fair coin: without bias the mid is a martingale at every instant,
whatever the book.

Sources: Huang, Lehalle, Rosenbaum (2015), Simulating and analyzing order book data: the queue-reactive model;
Hawkes (1971), Spectra of some self-exciting and mutually exciting point processes; exact times by Ogata's
thinning.
"""

import math

import numpy as np
from numba import njit

from mia.domain.events import CLEAR, DEPTH, TRADE
from mia.source.simulated.chance import exponential, geometric, inner, uniform

RING = 256  # prices of a side kept at once; must exceed FAR plus the longest sweep
FAR = 120  # orders farther than this from the best price are withdrawn [ticks]
MAX_JUMP = 60  # longest sweep [ticks]
PENDING = 32  # orders waiting for their cancellation
ROOM = 2000  # free places in the output below which the kernel hands back what it has
_HASH, _HASH_MASK, _HASH_UNIT = 2654435761, 0xFFFFFFFF, 2.0**-32

# state: float64
T, BURST, GAP_AT, TOTAL = range(4)
FLOATS = 4
# state: int64
BID, ASK, GAP, ORDER, WAITING, MINUTE, STARTED = range(7)
INTS = 7
# per minute: float64
MOVES, ORDERS, ACTIVITY, QUEUE, BIAS, LEAN = range(6)
RATES = 6
# constants: float64
JUMP, OCCUPANCY, BRANCHING, DECAY, GAP_MEAN, ICEBERG, FLEETING, LARGE, LEVELS = range(9)
CONSTANTS = 9


@inner
def emit(out, n, ts, kind, price, size, side, order):
    """Write one event; returns the next place."""
    out[n].ts = ts
    out[n].price = price
    out[n].size = size
    out[n].kind = kind
    out[n].side = side
    out[n].order = order
    return n + 1


@inner
def stamp(origin, seconds):
    """Time [ns UTC] of a moment of the session."""
    return origin + np.int64(seconds * 1e9)


@inner
def preferred(price, occupancy):
    """Whether orders rest at this price: everywhere in a dense book, else at whole points and a fixed few."""
    if occupancy >= 1.0 or price % 4 == 0:
        return True
    share = (occupancy - 0.25) / 0.75
    return ((price * _HASH) & _HASH_MASK) * _HASH_UNIT < share


@inner
def profile(level):
    """Typical size at a distance from the best price over that at the best price."""
    return min(1.0 + 0.3 * level, 2.2)


@inner
def interest(level):
    """How often orders come to a distance from the best price."""
    return 1.0 / (1.0 + 0.35 * level)


@inner
def fresh(s, mean):
    """Size of a newly built queue, coefficient of variation near 0.7."""
    return 1 + int(mean * 0.5 * (exponential(s) + exponential(s)))


@inner
def put(book, side, price, size, out, n, ts):
    """Set the size at a price and report it."""
    book[side, price & (RING - 1)] = size
    return emit(out, n, ts, DEPTH, price, size, 1 - 2 * side, 0)


@inner
def best_of(i, side):
    return i[BID + side]


@inner
def price_at(i, side, level):
    return i[BID + side] - (1 - 2 * side) * level


@inner
def update_rate(book, rates, i, f, row, c, side, level):
    """Rates of additions and cancellations of one level, from the sizes now in the queues."""
    price = price_at(i, side, level)
    size = book[side, price & (RING - 1)]
    pace = row[ACTIVITY] * interest(level)
    add = 0.0
    if level == 0:
        other = book[1 - side, best_of(i, 1 - side) & (RING - 1)]
        add = pace * (0.6 + 0.8 * size / (size + other))
    elif preferred(price, c[OCCUPANCY]):
        add = pace * (1.0 + 0.5 * math.exp(-size / row[QUEUE]))
    add *= 1.0 + (1 - 2 * side) * row[LEAN]
    cancel = pace * size / (row[QUEUE] * profile(level))
    if level == 0 and size <= 1:
        cancel = 0.0
    f[TOTAL] += add + cancel - rates[side, level, 0] - rates[side, level, 1]
    rates[side, level, 0] = add
    rates[side, level, 1] = cancel


@inner
def update_level(book, rates, i, f, row, c, side, level):
    """Rates after the size of one level changed; best queues look at each other."""
    if level < rates.shape[1]:
        update_rate(book, rates, i, f, row, c, side, level)
    if level == 0:
        update_rate(book, rates, i, f, row, c, 1 - side, 0)


@inner
def update_all(book, rates, i, f, row, c):
    """All rates, after a price move or at the turn of a minute."""
    rates[:] = 0.0
    f[TOTAL] = 0.0
    for side in range(2):
        for level in range(rates.shape[1]):
            update_rate(book, rates, i, f, row, c, side, level)


@inner
def build(book, rates, i, row, c, s, out, n, ts):
    """Void the book and build a new one around the two best prices, all with one stamp."""
    book[:] = 0
    n = emit(out, n, ts, CLEAR, 0, 0, 0, 0)
    for side in range(2):
        for level in range(rates.shape[1]):
            price = price_at(i, side, level)
            if level == 0 or preferred(price, c[OCCUPANCY]):
                n = put(book, side, price, fresh(s, row[QUEUE] * profile(level)), out, n, ts)
    return n


@inner
def sweep(book, i, f, row, c, s, out, n, origin):
    """One aggressive order takes all queues of a drawn number of ticks and leaves the spread open."""
    side = 1 if uniform(s) < 0.5 + 0.5 * row[BIAS] else 0
    up = 2 * side - 1
    length = min(geometric(s, c[JUMP]), MAX_JUMP)
    start = best_of(i, side)
    target = start + up * length
    ts = stamp(origin, f[T])
    if book[side, target & (RING - 1)] == 0:
        n = put(book, side, target, fresh(s, row[QUEUE]), out, n, ts)
    i[ORDER] = i[ORDER] % 65535 + 1
    for k in range(length):
        price = start + up * k
        size = book[side, price & (RING - 1)]
        if size > 0:  # what is not taken was withdrawn ahead of the order
            taken = max(1, int(size * (0.3 + 0.7 * uniform(s))))
            n = emit(out, n, ts, TRADE, price, taken, up, i[ORDER])
            n = put(book, side, price, 0, out, n, ts)
    i[BID + side] = target
    i[GAP] = up * length
    f[GAP_AT] = f[T] + 1e-4 + c[GAP_MEAN] * exponential(s)
    return n


@inner
def trade_once(book, i, row, c, s, out, n, ts, up):
    """One print against a best queue, which keeps at least one contract (hidden size refills it)."""
    side = 1 if up > 0 else 0
    price = best_of(i, side)
    shown = book[side, price & (RING - 1)]
    size = 1
    if uniform(s) > 0.5:
        size = geometric(s, 1.0 + 0.15 * row[QUEUE])
        if uniform(s) < 0.02:
            size *= 5
    i[ORDER] = i[ORDER] % 65535 + 1
    if size >= shown or uniform(s) < c[ICEBERG]:
        size = min(size, 2 * shown)
        n = emit(out, n, ts, TRADE, price, size, up, i[ORDER])
        left = max(shown - size, 0) + fresh(s, 0.2 * row[QUEUE])
    else:
        n = emit(out, n, ts, TRADE, price, size, up, i[ORDER])
        left = shown - size
    return put(book, side, price, left, out, n, ts)


@inner
def resolve(book, rates, i, f, row, c, s, out, n, origin):
    """Close the open spread by a fair coin: the other side follows, or the swept side comes back.

    After a longer sweep one more print shows where the market now is.
    """
    ts = stamp(origin, f[T])
    up = 1 if i[GAP] > 0 else -1
    length = abs(i[GAP])
    swept = 1 if up > 0 else 0
    follow = uniform(s) < 0.5
    side = 1 - swept if follow else swept
    inward = 1 - 2 * side  # direction in which this side's best price advances
    mean = row[QUEUE] * (0.3 + 0.7 * exponential(s))  # how deep the new queues are, all alike
    for k in range(1, length + 1):
        price = best_of(i, side) + inward * k
        if k == length or preferred(price, c[OCCUPANCY]):
            n = put(book, side, price, fresh(s, mean * profile(length - k)), out, n, ts)
    i[BID + side] += inward * length
    i[GAP] = 0
    for k in range(length):  # what fell far behind is withdrawn
        price = price_at(i, side, FAR + k)
        if book[side, price & (RING - 1)] > 0:
            n = put(book, side, price, 0, out, n, ts)
    if follow:  # the swept side has moved away: its far end must be filled up
        depth = rates.shape[1]
        for level in range(max(0, depth - length), depth):
            price = price_at(i, swept, level)
            if book[swept, price & (RING - 1)] == 0 and preferred(price, c[OCCUPANCY]):
                n = put(book, swept, price, fresh(s, row[QUEUE] * profile(level)), out, n, ts)
    if length > 1:
        n = trade_once(book, i, row, c, s, out, n, ts, 1 if uniform(s) < 0.5 + 0.5 * row[LEAN] else -1)
    update_all(book, rates, i, f, row, c)
    return n


@inner
def market_order(book, rates, i, f, row, c, s, out, n, origin, until):
    """A market order, at times followed by slices of itself; its side is drawn apart from the book.

    Slices end before the minute does, so that no bar's first trade is foretold by the bar before.
    """
    up = 1 if uniform(s) < 0.5 + 0.5 * row[LEAN] else -1
    n = trade_once(book, i, row, c, s, out, n, stamp(origin, f[T]), up)
    if uniform(s) < 0.25:
        for _ in range(geometric(s, 2.0)):
            later = f[T] + 0.005 + 0.05 * uniform(s)
            if later >= until:
                break
            f[T] = later
            n = trade_once(book, i, row, c, s, out, n, stamp(origin, later), up)
    update_level(book, rates, i, f, row, c, 1 if up > 0 else 0, 0)
    return n


@inner
def wait_for_cancel(i, waits, at, side, price, size):
    """Note an order that will be withdrawn at a time; forgotten when too many wait."""
    if i[WAITING] < PENDING:
        waits[i[WAITING], 0] = at
        waits[i[WAITING], 1] = side
        waits[i[WAITING], 2] = price
        waits[i[WAITING], 3] = size
        i[WAITING] += 1


@inner
def next_wait(i, waits):
    """Index of the next withdrawal, -1 if none waits."""
    found = -1
    for k in range(i[WAITING]):
        if found < 0 or waits[k, 0] < waits[found, 0]:
            found = k
    return found


@inner
def reduce(book, rates, i, f, row, c, side, level, size, out, n, ts):
    """Withdraw size from a level; a best queue keeps its last contract."""
    price = price_at(i, side, level)
    shown = book[side, price & (RING - 1)]
    left = max(shown - size, 1 if level == 0 else 0)
    if left < shown:
        n = put(book, side, price, left, out, n, ts)
        update_level(book, rates, i, f, row, c, side, level)
    return n


@inner
def withdraw(book, rates, i, f, row, c, waits, at, out, n, origin):
    """Carry out a noted withdrawal, if its price still belongs to its side."""
    side = int(waits[at, 1])
    price = int(waits[at, 2])
    size = int(waits[at, 3])
    i[WAITING] -= 1
    waits[at] = waits[i[WAITING]]
    level = (best_of(i, side) - price) * (1 - 2 * side)
    if level >= 0:
        n = reduce(book, rates, i, f, row, c, side, level, size, out, n, stamp(origin, f[T]))
    return n


@inner
def queue_event(book, rates, i, f, row, c, s, waits, out, n, origin):
    """Add to or cancel from a level, drawn in proportion to the rates."""
    pick = uniform(s) * f[TOTAL]
    side = 0
    level = 0
    kind = 0
    for cell in range(4 * rates.shape[1]):  # near levels first: they are drawn most
        b = cell >> 1 & 1
        pick -= rates[b, cell >> 2, cell & 1]
        if pick < 0.0:
            side, level, kind = b, cell >> 2, cell & 1
            break
    size = geometric(s, 1.0 + 0.12 * row[QUEUE] * profile(level))
    ts = stamp(origin, f[T])
    if kind == 1:
        return reduce(book, rates, i, f, row, c, side, level, size, out, n, ts)
    draw = uniform(s)
    price = price_at(i, side, level)
    if draw < c[LARGE] and 0 < level < 5:
        size *= 8
        wait_for_cancel(i, waits, f[T] + 0.2 + 1.6 * uniform(s), side, price, size)
    elif draw < c[LARGE] + c[FLEETING]:
        wait_for_cancel(i, waits, f[T] + 0.005 + 0.44 * uniform(s), side, price, size)
    n = put(book, side, price, book[side, price & (RING - 1)] + size, out, n, ts)
    update_level(book, rates, i, f, row, c, side, level)
    return n


@inner
def happen(book, rates, i, f, row, c, s, waits, out, n, origin, until):
    """Draw which of the flows the accepted moment belongs to, and let it act."""
    kick = c[BRANCHING] * c[DECAY] / (row[MOVES] + row[ORDERS])
    pick = uniform(s) * (row[MOVES] + row[ORDERS] + f[TOTAL])
    if pick < row[MOVES]:
        f[BURST] += kick
        return sweep(book, i, f, row, c, s, out, n, origin)
    if pick < row[MOVES] + row[ORDERS]:
        f[BURST] += kick
        return market_order(book, rates, i, f, row, c, s, out, n, origin, until)
    return queue_event(book, rates, i, f, row, c, s, waits, out, n, origin)


@inner
def live_minute(book, rates, i, f, row, c, s, waits, out, n, origin, until):
    """Let time run to the end of the minute, or until the output is full."""
    while n < len(out) - ROOM:
        if i[GAP] != 0:
            if f[GAP_AT] >= until:
                f[T] = until
                return n
            f[T] = f[GAP_AT]
            n = resolve(book, rates, i, f, row, c, s, out, n, origin)
            continue
        rate = (row[MOVES] + row[ORDERS] + f[TOTAL]) * (1.0 + f[BURST])
        then = f[T] + exponential(s) / rate
        stop = until
        wait = next_wait(i, waits)
        if wait >= 0:
            stop = min(stop, max(waits[wait, 0], f[T]))
        faded = f[BURST] * math.exp(-c[DECAY] * (min(then, stop) - f[T]))
        thinned = (1.0 + faded) / (1.0 + f[BURST])
        f[BURST] = faded
        f[T] = min(then, stop)
        if then >= stop:
            if stop >= until:
                return n
            n = withdraw(book, rates, i, f, row, c, waits, wait, out, n, origin)
        elif uniform(s) < thinned:
            n = happen(book, rates, i, f, row, c, s, waits, out, n, origin, until)
    return n


@njit(cache=True, error_model="numpy")
def run(book, rates, waits, i, f, minutes, c, s, out, origin, mid2):
    """Simulate a session from where its state stands until it ends or the output is full.

    Parameters
    ----------
    book : (2, RING) int64, sizes by side (bid, ask) and price modulo RING
    rates : (2, L, 2) float64, additions and cancellations per second by side and level
    waits : (PENDING, 4) float64, orders to be withdrawn: time, side, price, size
    i, f : state, (INTS,) int64 and (FLOATS,) float64
    minutes : (M, RATES) float64, what drives each minute
    c : (CONSTANTS,) float64
    s : (4,) uint64, random state
    out : (n,) EVENT, filled from the start
    origin : session open [ns UTC]
    mid2 : (M,) int64, twice the mid at each minute's end [ticks], filled

    Returns
    -------
    number of events written; the session is over when i[MINUTE] == M.
    """
    n = 0
    if i[STARTED] == 0:
        i[STARTED] = 1
        f[T] = 1e-6
        n = build(book, rates, i, minutes[0], c, s, out, n, stamp(origin, f[T]))
        update_all(book, rates, i, f, minutes[0], c)
    while i[MINUTE] < len(minutes):
        row = minutes[i[MINUTE]]
        until = 60.0 * (i[MINUTE] + 1)
        n = live_minute(book, rates, i, f, row, c, s, waits, out, n, origin, until)
        if n >= len(out) - ROOM:
            return n
        mid2[i[MINUTE]] = i[BID] + i[ASK]
        i[MINUTE] += 1
        if i[MINUTE] < len(minutes) and i[GAP] == 0:
            update_all(book, rates, i, f, minutes[i[MINUTE]], c)
    return n
