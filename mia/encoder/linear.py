"""Is an encoder worth its complexity? The same inputs, the same targets, a linear model beside it.

Called at the end of every fit, and by reports on rows the encoder has never seen.
"""

from typing import Any

import numpy as np

from mia.domain.series import CNN, LSTM
from mia.encoder import kernels
from mia.encoder.encoder import CnnWeights, Encoder
from mia.encoder.labels import running_deviation, within
from mia.encoder.rows import EncoderRows, targets
from mia.encoder.settings import EncoderSettings

Array = np.ndarray

HALF_LIVES = np.array([3.0, 10.0, 30.0])  # of the means a linear model reads beside the last row [bars]
PENALTIES = (1e1, 1e2, 1e3, 1e4, 1e5)
_INNER_SHARE = 0.2
_LEAST_ROWS = 100
_AT = {name.removeprefix("mdl."): at for at, name in enumerate((*LSTM, *CNN))}


def linear_check(
    encoder: Encoder,
    learnt: EncoderRows,
    held_out: EncoderRows,
    settings: EncoderSettings,
    *,
    bar_minutes: float,
    expected: Array | None = None,
) -> dict[str, Any]:
    """Compare an encoder with ridge regressions on rows that neither was fitted on.

    Parameters
    ----------
    learnt : rows the encoder learned from; the regressions are fitted on them
    held_out : later rows; the first of them only warm up
    settings : of the encoder
    expected : (T,) return of each held-out row's bar expected from a simulated market's hidden state; adds the
        correlation with its sum over the horizon, which holds no noise

    Returns
    -------
    Per kind and target, e.g. "lstm_return": correlations with what followed, of the encoder, of ridge on the last
    row ("row") and on the last row and decaying means ("window"); rows judged; whether the encoder beat both.
    """
    before, after = targets(learnt, settings, bar_minutes), targets(held_out, settings, bar_minutes)
    typical, later = (_typical_return(rows, settings) for rows in (learnt, held_out))
    truths = {"return": after.returns[:, 0]}
    if expected is not None:
        truths["expected"] = sum_ahead(expected, held_out.session, settings.return_bars)
    told = encoder.advance(encoder.initial_state(), held_out.view, held_out.depth, held_out.vix)
    found: dict[str, Any] = {}
    if encoder.lstm is not None:
        linear = _forecasts(learnt.view, held_out.view, before.returns[:, 0])
        for target, truth in truths.items():
            found[f"lstm_{target}"] = _compare(truth, told[:, _AT["lstm_return_mean"]], linear)
        linear = _forecasts(learnt.view, held_out.view, before.volatility)
        found["lstm_volatility"] = _compare(after.volatility, np.log(told[:, _AT["lstm_volatility"]]), linear)
    if encoder.cnn is not None:
        read, reads = (book_inputs(encoder.cnn, rows.depth, encoder.clip) for rows in (learnt, held_out))
        # A probability knows no basis points: it is judged, and its rivals are fitted, in deviations.
        linear = _forecasts(read, reads, before.returns[:, 0] / typical)
        pressure = told[:, _AT["cnn_p_up"]] - told[:, _AT["cnn_p_down"]]
        for target, truth in truths.items():
            found[f"cnn_{target}"] = _compare(truth / later, pressure, linear)
    return found


def _typical_return(rows: EncoderRows, settings: EncoderSettings) -> Array:
    """(T,) deviation of returns up to each row, NaN where it is not known or 0."""
    known = running_deviation(rows.price, rows.session, settings.barrier_memory)
    return np.where(known > 0, known, np.nan)


def sum_ahead(values: Array, session: Array, bars: int) -> Array:
    """(T,) sum of the next `bars` values; NaN where they leave the session or the rows."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    out = np.full(len(values), np.nan)
    if bars < len(values):
        out[:-bars] = total[bars + 1 :] - total[1:-bars]
    out[~within(session, bars)] = np.nan
    return out


def book_inputs(weights: CnnWeights, depth: Array, clip: float) -> Array:
    """(T, 20) what the convolutions read; 0 where the book is not complete."""
    channels, clean = kernels.book_rows(np.ascontiguousarray(depth, dtype=np.float64))
    scaled = np.clip((channels - weights.center) / weights.spread, -clip, clip)
    return np.where(clean[:, None] > 0, scaled, 0.0)


def _forecasts(learnt: Array, later: Array, target: Array) -> dict[str, Array]:
    """Ridge forecasts of the later rows: from the last row, and from the last row and decaying means."""

    def window(rows: Array) -> Array:
        return np.hstack([rows, kernels.decaying_means(np.ascontiguousarray(rows), HALF_LIVES)])

    return {
        "row": ridge_forecast(learnt, target, later),
        "window": ridge_forecast(window(learnt), target, window(later)),
    }


def ridge_forecast(x: Array, y: Array, later: Array) -> Array:
    """(M,) forecasts for `later` (M, F) of a ridge regression of y on x (N, F); NaN if too little is known."""
    weights, constant = ridge(x, y)
    return later @ weights + constant


def ridge(x: Array, y: Array) -> tuple[Array, float]:
    """Weights (F,) and constant of a ridge regression of y (N,) on x (N, F); NaN if too little of y is known.

    Rows without y are left out. The penalty is the one that does best on the last fifth of the rows.
    """
    rows = np.flatnonzero(np.isfinite(y))
    if len(rows) < _LEAST_ROWS or y[rows].std() == 0:
        return np.full(x.shape[1], np.nan), float("nan")
    inner = rows[: int(len(rows) * (1.0 - _INNER_SHARE))]
    judged = rows[len(inner) :]
    scores = []
    for weights, constant in _ridges(x[inner], y[inner], PENALTIES):
        score = correlation(x[judged] @ weights + constant, y[judged])
        scores.append(score if np.isfinite(score) else -2.0)
    return _ridges(x[rows], y[rows], (PENALTIES[int(np.argmax(scores))],))[0]


def _ridges(x: Array, y: Array, penalties: tuple[float, ...]) -> list[tuple[Array, float]]:
    """One solution per penalty; columns are scaled to spread 1 before they are penalised."""
    center, spread = x.mean(axis=0), x.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    z = (x - center) / spread
    gram, moment = z.T @ z, z.T @ (y - y.mean())
    found = []
    for penalty in penalties:
        weights = np.linalg.solve(gram + penalty * np.eye(len(gram)), moment) / spread
        found.append((weights, float(y.mean() - center @ weights)))
    return found


def correlation(a: Array, b: Array) -> float:
    """Correlation over the rows where both are known; NaN if either does not vary."""
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < _LEAST_ROWS or a[both].std() == 0 or b[both].std() == 0:
        return float("nan")
    return float(np.corrcoef(a[both], b[both])[0, 1])


def _compare(truth: Array, encoder: Array, linear: dict[str, Array]) -> dict[str, Any]:
    """All correlations over the same rows."""
    judged = np.isfinite(truth) & np.isfinite(encoder)
    kept = np.where(judged, truth, np.nan)
    figures = {"encoder": correlation(encoder, kept)}
    figures |= {name: correlation(forecast, kept) for name, forecast in linear.items()}
    beats = all(figures["encoder"] > figures[name] for name in linear)
    return {**figures, "rows": int(judged.sum()), "beats_linear": bool(beats)}
