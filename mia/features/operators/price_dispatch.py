"""Compiled choice among the price, trend, volatility and session operators; called by `kernel.walk`."""

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
from mia.features.pointers import later

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
def _arithmetic(code, v, stride, count, at, x, i, s, o, p, q):
    """Opcodes 0 to 19."""
    if code == 0:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = arithmetic.take_step(row, x, i, s, o, p, q)
    elif code == 1:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = arithmetic.sub_step(row, x, i, s, o, p, q)
    elif code == 2:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = arithmetic.product_step(row, x, i, s, o, p, q)
    elif code == 3:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = arithmetic.ratio_step(row, x, i, s, o, p, q)
    elif code == 4:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = arithmetic.sign_step(row, x, i, s, o, p, q)
    elif code == 5:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = arithmetic.log_step(row, x, i, s, o, p, q)
    elif code == 6:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = arithmetic.diff_step(row, x, i, s, o, p, q)
    elif code == 7:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = arithmetic.log_return_step(row, x, i, s, o, p, q)
    elif code == 8:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = arithmetic.roll_sum_step(row, x, i, s, o, p, q)
    elif code == 9:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = arithmetic.rel_distance_step(row, x, i, s, o, p, q)
    elif code == 10:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = arithmetic.zscore_step(row, x, i, s, o, p, q)
    elif code == 11:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = arithmetic.pct_rank_step(row, x, i, s, o, p, q)
    elif code == 12:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = arithmetic.threshold_step(row, x, i, s, o, p, q)
    elif code == 13:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = arithmetic.bars_since_step(row, x, i, s, o, p, q)


@inner
def _regression(code, v, stride, count, at, x, i, s, o, p, q):
    """Opcodes 20 to 29."""
    if code == 20:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = regression.linreg_step(row, x, i, s, o, p, q)
    elif code == 21:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = regression.corr_step(row, x, i, s, o, p, q)
    elif code == 22:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = regression.roll_ols_step(row, x, i, s, o, p, q)
    elif code == 23:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = regression.autocorr_step(row, x, i, s, o, p, q)


@inner
def _smoothing(code, v, stride, count, at, x, i, s, o, p, q):
    """Opcodes 30 to 39."""
    if code == 30:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = smoothing.ema_step(row, x, i, s, o, p, q)
    elif code == 31:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = smoothing.atr_step(row, x, i, s, o, p, q)
    elif code == 32:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = smoothing.rsi_step(row, x, i, s, o, p, q)
    elif code == 33:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = smoothing.dmi_step(row, x, i, s, o, p, q)
    elif code == 34:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = smoothing.macd_step(row, x, i, s, o, p, q)
    elif code == 35:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = smoothing.keltner_step(row, x, i, s, o, p, q)


@inner
def _oscillators(code, v, stride, count, at, x, i, s, o, p, q):
    """Opcodes 40 to 49."""
    if code == 40:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = oscillators.channel_position_step(row, x, i, s, o, p, q)
    elif code == 41:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = oscillators.cci_step(row, x, i, s, o, p, q)
    elif code == 42:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = oscillators.mfi_step(row, x, i, s, o, p, q)
    elif code == 43:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = oscillators.efficiency_ratio_step(row, x, i, s, o, p, q)
    elif code == 44:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = oscillators.bollinger_step(row, x, i, s, o, p, q)


@inner
def _long_memory(code, v, stride, count, at, x, i, s, o, p, q):
    """Opcodes 50 to 59."""
    if code == 50:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = long_memory.hurst_step(row, x, i, s, o, p, q)
    elif code == 51:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = long_memory.variance_ratio_step(row, x, i, s, o, p, q)
    elif code == 52:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = long_memory.fracdiff_step(row, x, i, s, o, p, q)


@inner
def _volatility(code, v, stride, count, at, x, i, s, o, p, q):
    """Opcodes 60 to 69."""
    if code == 60:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = vol.range_vol_step(row, x, i, s, o, p, q)
    elif code == 61:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = vol.realised_step(row, x, i, s, o, p, q)
    elif code == 62:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = vol.deviation_step(row, x, i, s, o, p, q)
    elif code == 63:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = vol.yang_zhang_step(row, x, i, s, o, p, q)
    elif code == 64:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = vol.har_step(row, x, i, s, o, p, q)


@inner
def _sessions(code, v, stride, count, at, x, i, s, o, p, q):
    """Opcodes 70 to 79."""
    if code == 70:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = session.session_cumsum_step(row, x, i, s, o, p, q)
    elif code == 71:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = session.session_last_step(row, x, i, s, o, p, q)
    elif code == 72:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = session.range_so_far_step(row, x, i, s, o, p, q)
    elif code == 73:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = session.daily_atr_step(row, x, i, s, o, p, q)
    elif code == 74:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = session.session_level_step(row, x, i, s, o, p, q)


@inner
def _seasonal(code, v, stride, count, at, x, i, s, o, p, q):
    """Opcodes 80 to 99."""
    if code == 80:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = seasonal.seasonal_step(row, x, i, s, o, p, q)
    elif code == 81:
        for t in range(count):
            row = later(v, t * stride)
            row[at] = seasonal.atr_dynamic_step(row, x, i, s, o, p, q)


@inner
def dispatch_price(code, v, stride, count, at, x, i, s, o, p, q):
    """Run the operator of one opcode on `count` rows, `stride` apart, in order; values go to column `at`.

    In groups: numba clears room for every call a function may make, each time it is entered.
    """
    if code < 20:
        _arithmetic(code, v, stride, count, at, x, i, s, o, p, q)
    elif code < 30:
        _regression(code, v, stride, count, at, x, i, s, o, p, q)
    elif code < 40:
        _smoothing(code, v, stride, count, at, x, i, s, o, p, q)
    elif code < 50:
        _oscillators(code, v, stride, count, at, x, i, s, o, p, q)
    elif code < 60:
        _long_memory(code, v, stride, count, at, x, i, s, o, p, q)
    elif code < 70:
        _volatility(code, v, stride, count, at, x, i, s, o, p, q)
    elif code < 80:
        _sessions(code, v, stride, count, at, x, i, s, o, p, q)
    elif code < 100:
        _seasonal(code, v, stride, count, at, x, i, s, o, p, q)
