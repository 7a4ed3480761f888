"""Simple rules every policy must beat: targets [contracts] decided at a bar's close from bars up to it.

task/ runs them through the same accounting kernel as policies. `must_flat` rows are those whose target must
be zero (the last decisions of a session); rules that hold through sessions do not take it.
"""

from dataclasses import dataclass

import numpy as np

from mia.evaluation.settings import BaselineSettings

Array = np.ndarray


def flat(rows: int) -> Array:
    """Never trade: (T,) zeros."""
    return np.zeros(rows, np.int64)


def buy_and_hold(rows: int) -> Array:
    """Long one contract from the first decision on, through sessions; (T,)."""
    return np.ones(rows, np.int64)


def always_short(rows: int) -> Array:
    """Short one contract from the first decision on, through sessions; (T,)."""
    return -np.ones(rows, np.int64)


def long_intraday(must_flat: Array) -> Array:
    """Long one contract within each session, flat between sessions; (T,)."""
    return np.where(must_flat, 0, 1).astype(np.int64)


def sma_cross(close: Array, must_flat: Array, fast: int, slow: int) -> Array:
    """Long while the fast average of closes is above the slow one, short otherwise.

    Parameters
    ----------
    close : (T,) [ticks]; averages run on through sessions
    must_flat : (T,) bool
    fast, slow : windows [bars]

    Returns
    -------
    (T,) targets; 0 until the slow average exists. Equal averages keep the side of the bar before.
    """
    gap = _rolling_sum(close, fast) * slow - _rolling_sum(close, slow) * fast  # exact: integer ticks
    side = np.zeros(len(close), np.int64)
    side[slow - 1 :] = np.sign(gap[slow - 1 :]).astype(np.int64)
    known = np.maximum.accumulate(np.where(side != 0, np.arange(len(side)), 0))
    return np.where(must_flat, 0, side[known])


def sma_windows(bar_minutes: int, settings: BaselineSettings) -> tuple[int, int]:
    """Fast and slow window [bars] declared for bars of this length."""
    pairs = sorted(zip(settings.sma_bar_minutes, settings.sma_fast, settings.sma_slow, strict=True))
    fitting = [entry for entry in pairs if entry[0] <= bar_minutes] or pairs[:1]
    return fitting[-1][1], fitting[-1][2]


def rsi(close: Array, window: int) -> Array:
    """Relative strength index, Wilder-smoothed.

    Parameters
    ----------
    close : (T,)
    window : smoothing [bars], >= 2

    Returns
    -------
    (T,) 0..100; NaN for the first `window` rows; 50 where nothing has moved.

    Source: Wilder (1978), New Concepts in Technical Trading Systems.
    """
    out = np.full(len(close), np.nan)
    if len(close) <= window:
        return out
    change = np.diff(np.asarray(close, np.float64)).tolist()
    up = sum(c for c in change[:window] if c > 0) / window
    down = -sum(c for c in change[:window] if c < 0) / window
    for t in range(window, len(close)):
        if t > window:
            step = change[t - 1]
            up = (up * (window - 1) + max(step, 0.0)) / window
            down = (down * (window - 1) + max(-step, 0.0)) / window
        out[t] = 100.0 * up / (up + down) if up + down > 0 else 50.0
    return out


def rsi_reversion(close: Array, must_flat: Array, settings: BaselineSettings) -> Array:
    """Long below `rsi_low`, short above `rsi_high`, out once back at `rsi_exit`; (T,) targets.

    The rule's side runs on through sessions; `must_flat` rows only interrupt its holding.
    """
    index = rsi(close, settings.rsi_window).tolist()
    out = np.zeros(len(close), np.int64)
    side = 0
    for t, value in enumerate(index):
        if value < settings.rsi_low:
            side = 1
        elif value > settings.rsi_high:
            side = -1
        elif (side > 0 and value >= settings.rsi_exit) or (side < 0 and value <= settings.rsi_exit):
            side = 0
        out[t] = side
    return np.where(must_flat, 0, out)


def random_like(targets: Array, must_flat: Array, session: Array, rng: np.random.Generator) -> Array:
    """Trade as often and as long as a given policy, but at random moments and in random directions.

    Within each session the lengths of the policy's holding spells are shuffled among themselves, those of
    its flat spells likewise, and each stretch in the market is turned around with probability 1/2. Sides and
    time in the market stay exactly the policy's. A policy that holds through session ends is shuffled as one
    piece.

    Parameters
    ----------
    targets : (T,) the policy's targets [contracts]; of a track: its positions, one row earlier
    must_flat : (T,) bool, rows whose target must be zero; they stay where they are
    session : (T,)
    rng : source of chance
    """
    targets = np.asarray(targets, np.int64)
    ends = np.flatnonzero(np.diff(session)) + 1
    if np.any(targets[ends - 1] != 0):
        ends = ends[:0]
    out = np.zeros_like(targets)
    for a, b in zip(np.append(0, ends), np.append(ends, len(targets)), strict=True):
        free = b - a
        while free and must_flat[a + free - 1] and targets[a + free - 1] == 0:
            free -= 1
        out[a : a + free] = _shuffled(targets[a : a + free], rng)
    return out


def _shuffled(targets: Array, rng: np.random.Generator) -> Array:
    """Shuffle spell lengths (in market and flat apart) and turn whole stretches in the market around."""
    if not np.any(targets):
        return targets.copy()
    starts = np.append(0, np.flatnonzero(np.diff(targets)) + 1)
    lengths = np.diff(np.append(starts, len(targets)))
    values = targets[starts].copy()
    for group in (values == 0, values != 0):
        lengths[group] = rng.permutation(lengths[group])
    # A stretch is what lies between flat spells; flipping it whole keeps its number of sides.
    stretch = np.cumsum(values == 0)
    signs = rng.choice(np.array([-1, 1]), stretch[-1] + 1)
    return np.repeat(values * signs[stretch], lengths)


@dataclass(frozen=True, slots=True, kw_only=True)
class RidgeRule:
    """A fitted ridge regression with its trading threshold.

    Parameters
    ----------
    centre, scale, weights : (F,) of the view's columns
    intercept : mean label [ticks]
    threshold : enter when the predicted change exceeds it [ticks]; infinite = never trade
    """

    centre: Array
    scale: Array
    weights: Array
    intercept: float
    threshold: float

    def predict(self, view: Array) -> Array:
        """Predicted price change over the horizon (T,) [ticks]; one row at a time gives the same bits."""
        # A sum per row, not a matrix product: BLAS may round differently for another number of rows.
        return self.intercept + np.sum((view - self.centre) / self.scale * self.weights, axis=1)

    def targets(self, view: Array, must_flat: Array) -> Array:
        """(T,) targets: enter above the threshold, stay until the prediction changes sign."""
        return _held(self.predict(view), self.threshold, must_flat)


def fit_ridge(
    view: Array,
    open_ticks: Array,
    close_ticks: Array,
    session: Array,
    must_flat: Array,
    side_cost_ticks: float,
    settings: BaselineSettings,
) -> RidgeRule:
    """Fit the ridge rule on the rows of one training fold.

    Parameters
    ----------
    view : (T, F) scaled selected features of the training fold
    open_ticks, close_ticks : (T,) [ticks]
    session : (T,); labels do not cross sessions
    must_flat : (T,) bool
    side_cost_ticks : cost of one contract on one side [ticks]
    settings : horizon, penalty, thresholds

    Returns
    -------
    The rule. Its threshold is chosen on the last part of the fold, purged by the horizon: the one with the
    largest net profit less one standard error of it, or never trading if none is above zero. Its weights are
    then fitted on the whole fold.
    """
    horizon = settings.ridge_horizon_bars
    label = np.full(len(close_ticks), np.nan)
    if len(label) > horizon:
        inside = session[horizon:] == session[:-horizon]
        label[:-horizon][inside] = (close_ticks[horizon:] - close_ticks[:-horizon])[inside]
    split = int(len(label) * (1 - settings.ridge_validation_share))
    fitted = slice(0, max(split - horizon, 0))
    threshold = np.inf
    if np.count_nonzero(np.isfinite(label[fitted])) > view.shape[1] // 4 + 10:
        trial = _ridge(view[fitted], label[fitted], np.inf, settings)
        rest = slice(split, len(label))
        predicted = trial.predict(view[rest])
        best = 0.0
        for quantile in np.linspace(0.0, 0.99, settings.ridge_thresholds):
            level = float(np.quantile(np.abs(predicted), quantile)) if len(predicted) else np.inf
            held = _held(predicted, level, must_flat[rest])
            score = _score(held, open_ticks[rest], close_ticks[rest], side_cost_ticks)
            if score > best:
                best, threshold = score, level
    return _ridge(view, label, threshold, settings)


def _ridge(view: Array, label: Array, threshold: float, settings: BaselineSettings) -> RidgeRule:
    """Closed-form ridge regression on standardised columns; labels beyond 5 deviations are cut."""
    known = np.isfinite(label)
    width = view.shape[1]
    if not known.any():
        return RidgeRule(
            centre=np.zeros(width),
            scale=np.ones(width),
            weights=np.zeros(width),
            intercept=0.0,
            threshold=np.inf,
        )
    rows, answer = view[known], label[known]
    limit = 5 * answer.std()
    answer = np.clip(answer, -limit, limit)
    centre, scale = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    standard = (rows - centre) / scale
    gram = standard.T @ standard / len(rows) + settings.ridge_penalty * np.eye(width)
    weights = np.linalg.solve(gram, standard.T @ (answer - answer.mean()) / len(rows))
    return RidgeRule(centre=centre, scale=scale, weights=weights, intercept=float(answer.mean()), threshold=threshold)


def _held(predicted: Array, threshold: float, must_flat: Array) -> Array:
    """Targets that enter beyond the threshold and stay until the prediction changes sign."""
    out = np.zeros(len(predicted), np.int64)
    side = 0
    for t, (value, closing) in enumerate(zip(predicted.tolist(), np.asarray(must_flat).tolist(), strict=True)):
        if closing:
            side = 0
        elif abs(value) > threshold:
            side = 1 if value > 0 else -1
        elif side * value < 0:
            side = 0
        out[t] = side
    return out


def _score(targets: Array, open_ticks: Array, close_ticks: Array, side_cost_ticks: float) -> float:
    """Net profit of targets filled at the next open, less its standard error over bars [ticks].

    The best of a dozen thresholds is usually above zero by chance alone; the error is what that costs.
    """
    before = np.append(0, targets[:-2])
    now = targets[:-1]
    gross = before * (open_ticks[1:] - close_ticks[:-1]) + now * (close_ticks[1:] - open_ticks[1:])
    net = gross - side_cost_ticks * np.abs(now - before)
    return float(net.sum() - net.std() * np.sqrt(len(net)))


def _rolling_sum(values: Array, window: int) -> Array:
    """(T,) sums of the last `window` values, of fewer at the start; exact for integers."""
    total = np.cumsum(np.asarray(values, np.int64))
    out = total.copy()
    out[window:] -= total[:-window]
    return out
