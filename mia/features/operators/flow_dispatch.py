"""Compiled choice among the order-flow, structure, context and latent operators; called by `kernel.walk`."""

from mia.features.operators.flow_book import (
    BOOK_SLOPE,
    IMBALANCE,
    LEVEL_IMBALANCE,
    MICROPRICE,
    MICROPRICE_TABLE,
    OFI_INTEGRATED,
    OFI_NORM,
    SPOOFING,
    book_slope_step,
    imbalance_step,
    level_imbalance_step,
    microprice_step,
    microprice_table_step,
    ofi_integrated_step,
    ofi_norm_step,
    spoofing_step,
)
from mia.features.operators.flow_context import (
    COUNTDOWN,
    CYCLE,
    EVENT_PROFILE,
    PCA_FIRST,
    PCA_OTHERS,
    PCA_SCORE,
    REMAINING,
    SHARE_OF,
    countdown_step,
    cycle_step,
    event_profile_step,
    pca_first_step,
    pca_others_step,
    pca_score_step,
    remaining_step,
    share_of_step,
)
from mia.features.operators.flow_history import (
    SESSION_CDF,
    session_cdf_step,
)
from mia.features.operators.flow_impact import (
    AMIHUD,
    CORWIN_SCHULTZ,
    ROLL_SPREAD,
    VAR_IMPULSE,
    amihud_step,
    corwin_schultz_step,
    roll_spread_step,
    var_impulse_step,
)
from mia.features.operators.flow_structure import (
    BETWEEN,
    BREAKOUT,
    ROUND_DISTANCE,
    SWING,
    VWAP,
    between_step,
    breakout_step,
    round_distance_step,
    swing_step,
    vwap_step,
)
from mia.features.operators.flow_trades import (
    ABSORPTION,
    COMPOSITE,
    DIVERGENCE,
    ENTROPY,
    HAWKES,
    SESSION_DIFF,
    STACKED_IMBALANCE,
    TOTAL,
    absorption_step,
    composite_step,
    divergence_step,
    entropy_step,
    hawkes_step,
    session_diff_step,
    stacked_imbalance_step,
    total_step,
)
from mia.features.operators.flow_vpin import (
    VPIN,
    vpin_step,
)
from mia.features.operators.registry import Operator
from mia.features.operators.window import inner
from mia.features.pointers import later

FLOW_OPERATORS: tuple[Operator, ...] = (
    IMBALANCE,
    LEVEL_IMBALANCE,
    OFI_NORM,
    OFI_INTEGRATED,
    MICROPRICE,
    MICROPRICE_TABLE,
    BOOK_SLOPE,
    SPOOFING,
    VPIN,
    SESSION_CDF,
    ABSORPTION,
    DIVERGENCE,
    STACKED_IMBALANCE,
    ENTROPY,
    TOTAL,
    COMPOSITE,
    HAWKES,
    SESSION_DIFF,
    VAR_IMPULSE,
    AMIHUD,
    ROLL_SPREAD,
    CORWIN_SCHULTZ,
    VWAP,
    SWING,
    BETWEEN,
    ROUND_DISTANCE,
    BREAKOUT,
    COUNTDOWN,
    CYCLE,
    REMAINING,
    SHARE_OF,
    EVENT_PROFILE,
    PCA_SCORE,
)


@inner
def _book(code, v, stride, count, at, x, i, s, o, p, q):
    """Opcodes 100 to 107."""
    if code == 100:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = imbalance_step(row, x, i, s, o, p, q)
    elif code == 101:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = level_imbalance_step(row, x, i, s, o, p, q)
    elif code == 102:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = ofi_norm_step(row, x, i, s, o, p, q)
    elif code == 103:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = ofi_integrated_step(row, x, i, s, o, p, q)
    elif code == 104:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = microprice_step(row, x, i, s, o, p, q)
    elif code == 105:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = microprice_table_step(row, x, i, s, o, p, q)
    elif code == 106:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = book_slope_step(row, x, i, s, o, p, q)
    elif code == 107:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = spoofing_step(row, x, i, s, o, p, q)


@inner
def _trades(code, v, stride, count, at, x, i, s, o, p, q):
    """Opcodes 108 to 119."""
    if code == 108:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = vpin_step(row, x, i, s, o, p, q)
    elif code == 109:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = session_cdf_step(row, x, i, s, o, p, q)
    elif code == 110:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = absorption_step(row, x, i, s, o, p, q)
    elif code == 111:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = divergence_step(row, x, i, s, o, p, q)
    elif code == 112:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = stacked_imbalance_step(row, x, i, s, o, p, q)
    elif code == 113:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = entropy_step(row, x, i, s, o, p, q)
    elif code == 114:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = total_step(row, x, i, s, o, p, q)
    elif code == 115:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = composite_step(row, x, i, s, o, p, q)
    elif code == 116:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = hawkes_step(row, x, i, s, o, p, q)
    elif code == 117:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = session_diff_step(row, x, i, s, o, p, q)


@inner
def _impact(code, v, stride, count, at, x, i, s, o, p, q):
    """Opcodes 120 to 129."""
    if code == 120:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = var_impulse_step(row, x, i, s, o, p, q)
    elif code == 121:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = amihud_step(row, x, i, s, o, p, q)
    elif code == 122:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = roll_spread_step(row, x, i, s, o, p, q)
    elif code == 123:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = corwin_schultz_step(row, x, i, s, o, p, q)


@inner
def _structure(code, v, stride, count, at, x, i, s, o, p, q):
    """Opcodes 130 to 139."""
    if code == 130:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = vwap_step(row, x, i, s, o, p, q)
    elif code == 131:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = swing_step(row, x, i, s, o, p, q)
    elif code == 132:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = between_step(row, x, i, s, o, p, q)
    elif code == 133:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = round_distance_step(row, x, i, s, o, p, q)
    elif code == 134:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = breakout_step(row, x, i, s, o, p, q)


@inner
def _context(code, v, stride, count, at, x, i, s, o, p, q):
    """Opcodes 140 to 199."""
    if code == 140:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = countdown_step(row, x, i, s, o, p, q)
    elif code == 141:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = cycle_step(row, x, i, s, o, p, q)
    elif code == 142:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = remaining_step(row, x, i, s, o, p, q)
    elif code == 143:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = share_of_step(row, x, i, s, o, p, q)
    elif code == 144:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = event_profile_step(row, x, i, s, o, p, q)
    elif code == 145:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = pca_score_step(row, x, i, s, o, p, q)
    elif code == PCA_FIRST:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = pca_first_step(row, x, i, s, o, p, q)
    elif code == PCA_OTHERS:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = pca_others_step(row, x, i, s, o, p, q)


@inner
def dispatch_flow(code, v, stride, count, at, x, i, s, o, p, q):
    """Run the operator of one opcode on `count` rows; see `price_dispatch.dispatch_price`."""
    if code < 108:
        _book(code, v, stride, count, at, x, i, s, o, p, q)
    elif code < 120:
        _trades(code, v, stride, count, at, x, i, s, o, p, q)
    elif code < 130:
        _impact(code, v, stride, count, at, x, i, s, o, p, q)
    elif code < 140:
        _structure(code, v, stride, count, at, x, i, s, o, p, q)
    elif code < 200:
        _context(code, v, stride, count, at, x, i, s, o, p, q)
