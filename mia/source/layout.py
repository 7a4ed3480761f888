"""Where every number of the bar-folding state lives: offsets into one int64 and one float64 array.

Shared by the kernels of `book`, `profile` and `bars`; a snapshot of the folder is a copy of the two arrays.
Numba's on-disk cache does not see a change of these constants: remove `__pycache__` after editing them.
"""

import numpy as np
from numba import njit

from mia.domain.series import LEVELS

inner = njit(cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Compiles what only other kernels call: without an entry from Python, which halves the time to compile."""

VOID = -(2**62)
"""No such price, stamp or session."""

RING = 4096  # book and footprint: prices closer than this to each other never share a slot [ticks]
PROFILE = 16384  # the same for volume profiles [ticks]
QUEUE = 32768  # trades waiting for their mid of five seconds later
ADD_RING = 16384  # most recent additions to the book
PRIOR = 5  # sessions of history behind nodes and trade-size quantiles
TRADE_BINS = 1024  # trade sizes 0 ... 1022 and larger
ADD_BINS = 4096
BURST_BINS = 1024

(
    # where time stands
    SESSION,
    NEXT,
    SESSION_OPEN,
    BAR_NS,
    BAR_START,
    BAR_END,
    NOW,
    # counters over the folder's life
    EVENTS,
    OUTSIDE,
    LATE,
    BAD,
    CROSSED,
    EVICTED,
    QUEUE_LOST,
    # the session so far
    TRADED,
    SIDED,
    REF,
    RTH_DONE,
    LAST_PX,
    LAST_DIRECTION,
    PROF_LO,
    PROF_HI,
    RTH_LO,
    RTH_HI,
    RUN_SIDE,
    RUN_LENGTH,
    RUN_TS,
    ORDER_ID,
    ORDER_SIDE,
    ORDER_PX,
    ORDER_TS,
    ORDER_SWEPT,
    ORDER_MID2,
    HAWKES_TS,
    Q_HEAD,
    Q_TAIL,
    # histories of earlier sessions
    PAST,
    LARGE_TRADE,
    LARGE_ADD,
    ADD_SEQ,
    NODE_LO,
    NODE_HI,
    # the book
    KNOWN,
    SNAP_TS,
    DEPTH_SEEN,
    KNOWN_NS,
    KNOWN_FROM,
    SPREAD_SUM,
    SPREAD_NS,
    SPREAD_FROM,
    # the bar so far: everything from OPEN to BAR_LAST is zeroed when a bar begins
    OPEN,
    HIGH,
    LOW,
    VOLUME,
    N,
    BUY,
    SELL,
    N_SIGNED,
    MAX_SIZE,
    THROUGH,
    SWEEPS,
    REFILL,
    LARGE_BUY,
    LARGE_SELL,
    EFF_SUM,
    EFF_VOLUME,
    REAL_SUM,
    REAL_VOLUME,
    RUNS,
    PV,
    PV2,
    UPDATES,
    BURST_SLOT,
    BURST_COUNT,
    BURST_N,
    BURST_MAX,
    FLEETING,
    DEPLETION,
    REPLENISH,
    ADDED,  # pairs from here: bid, ask
    ADDED_ASK,
    CANCELLED,
    CANCELLED_ASK,
    LARGE_CANCEL,
    LARGE_CANCEL_ASK,
    SCALARS,
) = np.arange(86)  # not range: numba gives each plain integer a type of its own, which takes longer to compile

SIZE_BIN = SCALARS  # counts of the six size classes
OFI = SIZE_BIN + 6  # per level
BAR_LAST = OFI + LEVELS

# per side (bid 0, ask 1), best first; a key is a bid's price or minus an ask's price: better is greater
COUNT = BAR_LAST
TOTAL = COUNT + 2
SEEN = TOTAL + 2
KEY = SEEN + 2
SIZE = KEY + 2 * LEVELS
LAST_KEY = SIZE + 2 * LEVELS  # last occupied state of each level, what order-flow imbalance compares with
LAST_SIZE = LAST_KEY + 2 * LEVELS
HELD = LAST_SIZE + 2 * LEVELS  # size x time of each level [contracts x ns]
HELD_FROM = HELD + 2 * LEVELS

PRIOR_LO = HELD_FROM + 2 * LEVELS
PRIOR_HI = PRIOR_LO + PRIOR

# one slot per side and price
SLOT = 8
S_PRICE, S_SIZE, S_PENDING, S_PENDING_TS, S_EXECUTED, S_DEPLETED, S_DEPLETED_TS, S_HEAD = np.arange(SLOT)
SLOTS = 8 * ((PRIOR_HI + PRIOR + 7) // 8)

QUEUED = SLOTS + 2 * RING * SLOT  # due stamp, signed size, price
ENTRY = 8
E_TS, E_LEFT, E_LARGE, E_EVENT, E_PREVIOUS = np.arange(5)
ADDS = QUEUED + 3 * QUEUE
FOOT_BUY = ADDS + ENTRY * ADD_RING
FOOT_SELL = FOOT_BUY + RING
DEVELOPING = FOOT_SELL + RING
REGULAR = DEVELOPING + PROFILE
PAST_PROFILE = REGULAR + PROFILE
TRADE_HIST = PAST_PROFILE + PRIOR * PROFILE  # of this session, then of the prior ones
PAST_TRADE_HIST = TRADE_HIST + TRADE_BINS
ADD_HIST = PAST_TRADE_HIST + PRIOR * TRADE_BINS
BURST_HIST = ADD_HIST + ADD_BINS
INTS = BURST_HIST + BURST_BINS

HAWKES_ALL, HAWKES_BUY, HAWKES_SELL, PRIOR_POC, PRIOR_VAH, PRIOR_VAL, SMOOTHED = np.arange(7)
FLOATS = SMOOTHED + PROFILE
