"""Compiled choice among the order-flow, structure, context and latent operators; called by `kernel.walk`."""

import numpy as np

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
    PCA_SCORE,
    REMAINING,
    SHARE_OF,
    countdown_step,
    cycle_step,
    event_profile_step,
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
def dispatch_flow(code, v, x, i, s, o, p, q):
    """Run the operator of one opcode on one row; see `registry.Operator.step`."""
    if code == 100:
        return imbalance_step(v, x, i, s, o, p, q)
    if code == 101:
        return level_imbalance_step(v, x, i, s, o, p, q)
    if code == 102:
        return ofi_norm_step(v, x, i, s, o, p, q)
    if code == 103:
        return ofi_integrated_step(v, x, i, s, o, p, q)
    if code == 104:
        return microprice_step(v, x, i, s, o, p, q)
    if code == 105:
        return microprice_table_step(v, x, i, s, o, p, q)
    if code == 106:
        return book_slope_step(v, x, i, s, o, p, q)
    if code == 107:
        return spoofing_step(v, x, i, s, o, p, q)
    if code == 108:
        return vpin_step(v, x, i, s, o, p, q)
    if code == 109:
        return session_cdf_step(v, x, i, s, o, p, q)
    if code == 110:
        return absorption_step(v, x, i, s, o, p, q)
    if code == 111:
        return divergence_step(v, x, i, s, o, p, q)
    if code == 112:
        return stacked_imbalance_step(v, x, i, s, o, p, q)
    if code == 113:
        return entropy_step(v, x, i, s, o, p, q)
    if code == 114:
        return total_step(v, x, i, s, o, p, q)
    if code == 115:
        return composite_step(v, x, i, s, o, p, q)
    if code == 116:
        return hawkes_step(v, x, i, s, o, p, q)
    if code == 117:
        return session_diff_step(v, x, i, s, o, p, q)
    if code == 120:
        return var_impulse_step(v, x, i, s, o, p, q)
    if code == 121:
        return amihud_step(v, x, i, s, o, p, q)
    if code == 122:
        return roll_spread_step(v, x, i, s, o, p, q)
    if code == 123:
        return corwin_schultz_step(v, x, i, s, o, p, q)
    if code == 130:
        return vwap_step(v, x, i, s, o, p, q)
    if code == 131:
        return swing_step(v, x, i, s, o, p, q)
    if code == 132:
        return between_step(v, x, i, s, o, p, q)
    if code == 133:
        return round_distance_step(v, x, i, s, o, p, q)
    if code == 134:
        return breakout_step(v, x, i, s, o, p, q)
    if code == 140:
        return countdown_step(v, x, i, s, o, p, q)
    if code == 141:
        return cycle_step(v, x, i, s, o, p, q)
    if code == 142:
        return remaining_step(v, x, i, s, o, p, q)
    if code == 143:
        return share_of_step(v, x, i, s, o, p, q)
    if code == 144:
        return event_profile_step(v, x, i, s, o, p, q)
    if code == 145:
        return pca_score_step(v, x, i, s, o, p, q)
    return np.nan
