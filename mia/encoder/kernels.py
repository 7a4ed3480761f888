"""The trained encoders as compiled loops, one row at a time, every sum in one fixed order.

Outputs therefore never depend on how rows are cut into calls. Matrices are input-major (inputs x outputs), so that
one input feeds all outputs: the compiler may use wide registers without changing the order of any sum.
"""

import numpy as np
from numba import njit

Array = np.ndarray

KERNEL = 4
"""Taps of each convolution; with `DILATIONS` the last output sees exactly `WINDOW` rows."""
DILATIONS = (1, 4, 16)
WINDOW = 1 + (KERNEL - 1) * sum(DILATIONS)
MEANS = (10.0, 30.0)
"""Half-lives of the decaying means that reach the LSTM's bottleneck beside its cell [bars]."""
SIDE = 10  # channels per side of the book: five prices, five sizes
CHANNELS = 2 * SIDE
LEVELS = 5

# State of the book encoder: complete rows in a row, rows in all, mid of the row before; then the rings.
CLEAN, COUNT, MID, RINGS = 0, 1, 2, 3


@njit(cache=True)
def _add(x: float, row: Array, out: Array) -> None:
    # `row` and `out` are slices of one length: an offset inside the loop would keep it from being vectorised.
    for j in range(len(out)):
        out[j] += x * row[j]


@njit(cache=True)
def _copy(values: Array, out: Array) -> None:
    # Assigning to a slice does the same and takes ten times as long to compile.
    for j in range(len(out)):
        out[j] = values[j]


@njit(cache=True)
def _fill(out: Array, value: float) -> None:
    for j in range(len(out)):
        out[j] = value


@njit(cache=True)
def _multiply(x: Array, matrix: Array, out: Array) -> None:
    """Add x @ matrix to `out`."""
    for i in range(len(x)):
        _add(x[i], matrix[i], out)


@njit(cache=True)
def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + np.exp(-x))


@njit(cache=True)
def _probabilities(scores: Array, out: Array) -> None:
    highest = max(scores[0], scores[1], scores[2])
    total = 0.0
    for k in range(3):
        out[k] = np.exp(scores[k] - highest)
        total += out[k]
    for k in range(3):
        out[k] /= total


@njit(cache=True)
def _cell(x: Array, h: Array, c: Array, from_input: Array, from_hidden: Array, bias: Array, gates: Array) -> None:
    """One step of a long short-term memory; moves h and c on. Gates in the order input, forget, cell, output."""
    n = len(h)
    _copy(bias, gates)
    _multiply(x, from_input, gates)
    _multiply(h, from_hidden, gates)
    for j in range(n):
        c[j] = _sigmoid(gates[n + j]) * c[j] + _sigmoid(gates[j]) * np.tanh(gates[2 * n + j])
        h[j] = _sigmoid(gates[3 * n + j]) * np.tanh(c[j])


@njit(cache=True)
def _decay(share: float, x: Array, mean: Array) -> None:
    """Move decaying means on by one row."""
    for i in range(len(x)):
        mean[i] += share * (x[i] - mean[i])


@njit(cache=True)
def _bottleneck(raw: Array, code: Array, turn: Array, shift: Array, out: Array) -> None:
    """Squash the bottleneck's sums for the heads (`code`) and, turned into the published axes, for `out`."""
    _copy(shift, out)
    _multiply(raw, turn, out)
    for j in range(len(raw)):
        code[j] = np.tanh(raw[j])
        out[j] = np.tanh(out[j])


@njit(cache=True)
def _dense(x: Array, matrix: Array, bias: Array, out: Array) -> None:
    _copy(bias, out)
    _multiply(x, matrix, out)


@njit(cache=True)
def lstm_rows(
    state: Array,
    view: Array,
    vix: Array,
    from_input: Array,
    from_hidden: Array,
    bias: Array,
    narrow: Array,
    narrow_bias: Array,
    turn: Array,
    shift: Array,
    head: Array,
    head_bias: Array,
    back: Array,
    back_bias: Array,
    units: Array,
    window: int,
    clip: float,
    out: Array,
) -> None:
    """Advance over rows; fills out (n, E + 8) in the order of series.LSTM and moves `state` on.

    Parameters
    ----------
    state : (1 + 2H + 2L,): rows seen, h, c, decaying means of the inputs at each of `MEANS`
    view : (n, L), NaN is read as 0; vix : (n,) [vol points]
    from_input (L, 4H), from_hidden (H, 4H), bias (4H,) : of the cell
    narrow (H + 3L, E), narrow_bias (E,) : cell, inputs and their means to the bottleneck
    turn (E, E), shift (E,) : bottleneck to published axes
    head (E, 7), head_bias : return over its deviation, log deviation, three barrier scores, volatility, index
    back (E, L), back_bias : bottleneck back to the inputs
    units : return [bp], mean and deviation of log volatility, mean and deviation of the index' log ratio
    window : rows before the first output; clip : bound of inputs
    """
    rows, width = view.shape
    hidden, code_width = from_hidden.shape[0], len(shift)
    h, c = state[1 : 1 + hidden], state[1 + hidden : 1 + 2 * hidden]
    means = state[1 + 2 * hidden :]
    both = np.empty(hidden + 3 * width)
    gates = np.empty(4 * hidden)
    raw, code = np.empty(code_width), np.empty(code_width)
    told, again = np.empty(len(head_bias)), np.empty(width)
    for t in range(rows):
        x = both[hidden : hidden + width]
        for i in range(width):
            value = view[t, i]
            x[i] = min(max(value, -clip), clip) if value == value else 0.0
        _cell(x, h, c, from_input, from_hidden, bias, gates)
        for k in range(len(MEANS)):
            _decay(1.0 - 0.5 ** (1.0 / MEANS[k]), x, means[k * width : (k + 1) * width])
        _copy(h, both[:hidden])
        _copy(means, both[hidden + width :])
        state[0] += 1.0
        if state[0] < window:
            _fill(out[t], np.nan)
            continue
        _dense(both, narrow, narrow_bias, raw)
        _bottleneck(raw, code, turn, shift, out[t, :code_width])
        _dense(code, head, head_bias, told)
        _dense(code, back, back_bias, again)
        error = 0.0
        for i in range(width):
            error += (again[i] - x[i]) ** 2
        deviation = np.exp(min(max(told[1], -4.0), 4.0))
        out[t, code_width] = vix[t] * np.exp(min(max(units[3] + units[4] * told[6], -1.0), 1.0))
        out[t, code_width + 1] = np.exp(units[1] + units[2] * min(max(told[5], -6.0), 6.0))
        out[t, code_width + 2] = units[0] * deviation * told[0]
        out[t, code_width + 3] = units[0] * deviation
        _probabilities(told[2:5], out[t, code_width + 4 : code_width + 7])
        out[t, code_width + 7] = error / width


@njit(cache=True)
def book_channels(depth: Array, mid_before: float, out: Array) -> float:
    """Fill out (20,) with one row of the book and return its mid [ticks], NaN if the row is not complete.

    Per side: the best price against the mid one row before, then each price's distance from the better one
    [ticks], then log(1 + size). The ask's prices are mirrored, so that turning the market upside down swaps the
    sides. Depth is (20,) in the order of settings.BOOK_SERIES.
    """
    for i in range(CHANNELS):
        if not np.isfinite(depth[i]):
            return np.nan
    bid, ask = depth[0], depth[SIDE]
    mid = 0.5 * (bid + ask)
    before = mid_before if mid_before == mid_before else mid
    out[0], out[SIDE] = bid - before, before - ask
    for k in range(1, LEVELS):
        out[k] = depth[k] - depth[k - 1]
        out[SIDE + k] = depth[SIDE + k - 1] - depth[SIDE + k]
    for k in range(LEVELS):
        out[LEVELS + k] = np.log1p(max(depth[LEVELS + k], 0.0))
        out[SIDE + LEVELS + k] = np.log1p(max(depth[SIDE + LEVELS + k], 0.0))
    return mid


@njit(cache=True)
def book_rows(depth: Array) -> tuple[Array, Array]:
    """Channels (T, 20), 0 where the book is not complete, and rows complete so far without a gap (T,)."""
    out = np.zeros((len(depth), CHANNELS))
    clean = np.zeros(len(depth), dtype=np.int64)
    mid, run = np.nan, 0
    for t in range(len(depth)):
        mid = book_channels(depth[t], mid, out[t])
        run = run + 1 if mid == mid else 0
        clean[t] = run
        if run == 0:
            _fill(out[t], 0.0)
    return out, clean


@njit(cache=True)
def _convolve(ring: Array, count: int, dilation: int, taps: Array, bias: Array, out: Array) -> None:
    """One causal convolution over a ring whose newest row is at `count`.

    The first outputs are rectified sums over all columns, the others the means of the ring's last columns.
    """
    width, length, pooled = len(bias), len(ring), len(out) - len(bias)
    summed, mean = out[:width], out[width:]
    _copy(bias, summed)
    _fill(mean, 0.0)
    for k in range(KERNEL):
        # the last tap reads the newest row, as torch lays its kernels out
        row = ring[(count - (KERNEL - 1 - k) * dilation) % length]
        _multiply(row, taps[k], summed)
        _add(1.0 / KERNEL, row[len(row) - pooled :], mean)
    for j in range(width):
        summed[j] = max(summed[j], 0.0)


@njit(cache=True)
def cnn_rows(
    state: Array,
    depth: Array,
    center: Array,
    spread: Array,
    taps_1: Array,
    bias_1: Array,
    taps_2: Array,
    bias_2: Array,
    taps_3: Array,
    bias_3: Array,
    narrow: Array,
    narrow_bias: Array,
    turn: Array,
    shift: Array,
    head: Array,
    head_bias: Array,
    clip: float,
    out: Array,
) -> None:
    """Advance over rows; fills out (n, E + 3) in the order of series.CNN and moves `state` on.

    Parameters
    ----------
    state : (RINGS + ring rows,), see `cnn_state_size`
    depth : (n, 20) in the order of settings.BOOK_SERIES; center, spread : (20,) of the channels
    taps_1 (4, 20, C), taps_2, taps_3 (4, C + 20, C) : the convolutions; each hands on its outputs and the mean of
        its inputs' channels, so that the rows' means over 4, 16 and 64 reach the bottleneck as they are
    narrow (C + 80, E) : last convolution, means over 64, 16 and 4 rows, newest row, to the bottleneck
    turn, shift, head (E, 3) : as in `lstm_rows`; head gives the three barrier scores
    """
    width, wide = len(bias_1), len(bias_1) + CHANNELS
    first, middle, last = 3 * DILATIONS[0] + 1, 3 * DILATIONS[1] + 1, 3 * DILATIONS[2] + 1
    at = RINGS + first * CHANNELS
    then = at + middle * wide
    ring_1 = state[RINGS:at].reshape((first, CHANNELS))
    ring_2 = state[at:then].reshape((middle, wide))
    ring_3 = state[then:].reshape((last, wide))
    both = np.empty(wide + 3 * CHANNELS)
    raw, code = np.empty(len(shift)), np.empty(len(shift))
    channels, told = np.empty(CHANNELS), np.empty(3)
    for t in range(len(depth)):
        state[COUNT] += 1.0
        count = int(state[COUNT])
        state[MID] = book_channels(depth[t], state[MID], channels)
        complete = state[MID] == state[MID]
        state[CLEAN] = state[CLEAN] + 1.0 if complete else 0.0
        x, x_4, x_16 = ring_1[count % first], ring_2[count % middle], ring_3[count % last]
        for i in range(CHANNELS):
            value = (channels[i] - center[i]) / spread[i] if complete else 0.0
            x[i] = min(max(value, -clip), clip)
        _convolve(ring_1, count, DILATIONS[0], taps_1, bias_1, x_4)
        _convolve(ring_2, count, DILATIONS[1], taps_2, bias_2, x_16)
        if state[CLEAN] < WINDOW:
            _fill(out[t], np.nan)
            continue
        _convolve(ring_3, count, DILATIONS[2], taps_3, bias_3, both[:wide])
        _copy(x_16[width:], both[wide : wide + CHANNELS])
        _copy(x_4[width:], both[wide + CHANNELS : wide + 2 * CHANNELS])
        _copy(x, both[wide + 2 * CHANNELS :])
        _dense(both, narrow, narrow_bias, raw)
        _bottleneck(raw, code, turn, shift, out[t, : len(shift)])
        _dense(code, head, head_bias, told)
        _probabilities(told, out[t, len(shift) :])


def cnn_state_size(width: int) -> int:
    """Numbers in the state of the book encoder with `width` channels per convolution."""
    first, middle, last = (3 * dilation + 1 for dilation in DILATIONS)
    return RINGS + first * CHANNELS + (middle + last) * (width + CHANNELS)


@njit(cache=True)
def decaying_means(values: Array, half_lives: Array) -> Array:
    """(T, F x N) exponentially weighted means of each column at each half-life [rows], begun at 0."""
    rows, width = values.shape
    out = np.empty((rows, width * len(half_lives)))
    for k in range(len(half_lives)):
        share = 1.0 - 0.5 ** (1.0 / half_lives[k])
        mean = np.zeros(width)
        for t in range(rows):
            _decay(share, values[t], mean)
            _copy(mean, out[t, k * width : (k + 1) * width])
    return out
