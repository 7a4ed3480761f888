"""Compiled choice among the price, trend, volatility and session operators; called by `kernel.walk`."""

import numpy as np

from mia.features.operators import (
    arithmetic,
    long_memory,
    oscillators,
    regression,
    seasonal,
    session,
    smoothing,
)
from mia.features.operators import volatility as vol
from mia.features.operators.registry import Operator
from mia.features.operators.window import inner

PRICE_OPERATORS: tuple[Operator, ...] = (
    *arithmetic.OPERATORS,
    *regression.OPERATORS,
    *smoothing.OPERATORS,
    *oscillators.OPERATORS,
    *long_memory.OPERATORS,
    *vol.OPERATORS,
    *session.OPERATORS,
    *seasonal.OPERATORS,
)


@inner
def dispatch_price(code, v, x, i, s, o, p, q):
    """Run the operator of one opcode on one row; see `registry.Operator.step`."""
    if code == 0:
        return arithmetic.take_step(v, x, i, s, o, p, q)
    if code == 1:
        return arithmetic.sub_step(v, x, i, s, o, p, q)
    if code == 2:
        return arithmetic.product_step(v, x, i, s, o, p, q)
    if code == 3:
        return arithmetic.ratio_step(v, x, i, s, o, p, q)
    if code == 4:
        return arithmetic.sign_step(v, x, i, s, o, p, q)
    if code == 5:
        return arithmetic.log_step(v, x, i, s, o, p, q)
    if code == 6:
        return arithmetic.diff_step(v, x, i, s, o, p, q)
    if code == 7:
        return arithmetic.log_return_step(v, x, i, s, o, p, q)
    if code == 8:
        return arithmetic.roll_sum_step(v, x, i, s, o, p, q)
    if code == 9:
        return arithmetic.rel_distance_step(v, x, i, s, o, p, q)
    if code == 10:
        return arithmetic.zscore_step(v, x, i, s, o, p, q)
    if code == 11:
        return arithmetic.pct_rank_step(v, x, i, s, o, p, q)
    if code == 12:
        return arithmetic.threshold_step(v, x, i, s, o, p, q)
    if code == 13:
        return arithmetic.bars_since_step(v, x, i, s, o, p, q)
    if code == 20:
        return regression.linreg_step(v, x, i, s, o, p, q)
    if code == 21:
        return regression.corr_step(v, x, i, s, o, p, q)
    if code == 22:
        return regression.roll_ols_step(v, x, i, s, o, p, q)
    if code == 23:
        return regression.autocorr_step(v, x, i, s, o, p, q)
    if code == 30:
        return smoothing.ema_step(v, x, i, s, o, p, q)
    if code == 31:
        return smoothing.atr_step(v, x, i, s, o, p, q)
    if code == 32:
        return smoothing.rsi_step(v, x, i, s, o, p, q)
    if code == 33:
        return smoothing.dmi_step(v, x, i, s, o, p, q)
    if code == 34:
        return smoothing.macd_step(v, x, i, s, o, p, q)
    if code == 35:
        return smoothing.keltner_step(v, x, i, s, o, p, q)
    if code == 40:
        return oscillators.channel_position_step(v, x, i, s, o, p, q)
    if code == 41:
        return oscillators.cci_step(v, x, i, s, o, p, q)
    if code == 42:
        return oscillators.mfi_step(v, x, i, s, o, p, q)
    if code == 43:
        return oscillators.efficiency_ratio_step(v, x, i, s, o, p, q)
    if code == 44:
        return oscillators.bollinger_step(v, x, i, s, o, p, q)
    if code == 50:
        return long_memory.hurst_step(v, x, i, s, o, p, q)
    if code == 51:
        return long_memory.variance_ratio_step(v, x, i, s, o, p, q)
    if code == 52:
        return long_memory.fracdiff_step(v, x, i, s, o, p, q)
    if code == 60:
        return vol.range_vol_step(v, x, i, s, o, p, q)
    if code == 61:
        return vol.realised_step(v, x, i, s, o, p, q)
    if code == 62:
        return vol.deviation_step(v, x, i, s, o, p, q)
    if code == 63:
        return vol.yang_zhang_step(v, x, i, s, o, p, q)
    if code == 64:
        return vol.har_step(v, x, i, s, o, p, q)
    if code == 70:
        return session.session_cumsum_step(v, x, i, s, o, p, q)
    if code == 71:
        return session.session_last_step(v, x, i, s, o, p, q)
    if code == 72:
        return session.range_so_far_step(v, x, i, s, o, p, q)
    if code == 73:
        return session.daily_atr_step(v, x, i, s, o, p, q)
    if code == 74:
        return session.session_level_step(v, x, i, s, o, p, q)
    if code == 80:
        return seasonal.seasonal_step(v, x, i, s, o, p, q)
    if code == 81:
        return seasonal.atr_dynamic_step(v, x, i, s, o, p, q)
    return np.nan
