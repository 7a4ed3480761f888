"""The 3-state hidden Markov model of the market's regime: fitted on a training fold, filtered forward.

task/ fits one per fold; desk/ steps it row by row. hmmlearn is imported only while fitting.
"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mia.domain.errors import ArtefactMismatch, DataError
from mia.regime.settings import HmmSettings

Array = np.ndarray
REGIMES = ("trend", "range", "defensive")
_LEAST_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegimeModel:
    """A fitted model, its states in the order of `names`.

    Parameters
    ----------
    inputs : (F,) names of the feature columns it reads
    names : (K,) state names, always (trend, range, defensive)
    startprob : (K,) belief before the first row: the chain's stationary distribution, so that the first row
        needs no special step
    transmat : (K, K) probability from state (row) to state (column)
    means, variances : (K, F), in units of the inputs
    log_likelihood : of the rows fitted on [nats per row]
    iterations : EM iterations of the chosen start
    rows : rows fitted on
    converged : False if the fit is a bad one and no earlier model could be kept
    note : what went wrong or was decided, for people; empty if nothing
    fitted_on : first and last moment of the fold it was fitted on
    """

    inputs: tuple[str, ...]
    names: tuple[str, ...]
    startprob: Array
    transmat: Array
    means: Array
    variances: Array
    log_likelihood: float
    iterations: int
    rows: int
    converged: bool
    note: str = ""
    fitted_on: tuple[str, str] = ("", "")

    @property
    def initial(self) -> Array:
        """(K,) belief before the first row."""
        return self.startprob.copy()

    def kernel(self) -> tuple[Array, Array, Array, Array]:
        """Arguments of `forward_filter.step_into`: transmat, means, precisions, log_norms."""
        log_norms = -0.5 * np.log(2 * np.pi * self.variances).sum(axis=1)
        return (
            np.ascontiguousarray(self.transmat),
            np.ascontiguousarray(self.means),
            np.ascontiguousarray(1.0 / self.variances),
            log_norms,
        )

    def step(self, belief: Array, x: Array) -> Array:
        """Return the belief (K,) after one row x (F,); a NaN in x keeps the predicted belief A' belief."""
        from mia.regime.forward_filter import step_into

        out = np.empty(len(self.startprob))
        step_into(np.ascontiguousarray(belief, np.float64), np.ascontiguousarray(x, np.float64), *self.kernel(), out)
        return out

    def filter(self, X: Array) -> Array:
        """Return the beliefs (T, K) after each row of X (T, F): `step` from `initial`, bit for bit."""
        return self.scan(self.initial, X)

    def scan(self, belief: Array, X: Array) -> Array:
        """Return the beliefs (T, K) after each row of X (T, F), starting from a belief (K,)."""
        from mia.regime.forward_filter import scan_into

        rows = np.ascontiguousarray(X, np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.inputs):
            raise ArtefactMismatch(
                f"regime model reads {len(self.inputs)} inputs ({', '.join(self.inputs)}), got {rows.shape}; refit it"
            )
        out = np.empty((len(rows), len(self.startprob)))
        scan_into(np.ascontiguousarray(belief, np.float64), rows, *self.kernel(), out)
        return out

    def to_json(self) -> str:
        """Text form; reading it back gives the same bits (floats are written in full)."""
        body: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        for name in ("startprob", "transmat", "means", "variances"):
            body[name] = body[name].tolist()
        return json.dumps(body, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "RegimeModel":
        """Read what `to_json` wrote.

        Raises
        ------
        ArtefactMismatch : if it is not a regime model or its shapes or probabilities are impossible.
        """
        try:
            body = json.loads(text)
            arrays = {n: np.array(body.pop(n), np.float64) for n in ("startprob", "transmat", "means", "variances")}
            lists = {n: tuple(body.pop(n)) for n in ("inputs", "names", "fitted_on")}
            model = cls(**arrays, **lists, **body)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ArtefactMismatch(f"regime model is not readable ({error}); refit it") from error
        states, width = len(model.names), len(model.inputs)
        shapes_fit = model.means.shape == model.variances.shape == (states, width)
        shapes_fit = shapes_fit and model.transmat.shape == (states, states) and model.startprob.shape == (states,)
        if not (
            shapes_fit
            and np.all(model.variances > 0)
            and np.all(model.transmat >= 0)
            and np.allclose(model.transmat.sum(axis=1), 1, atol=1e-9)
        ):
            raise ArtefactMismatch("regime model has impossible shapes or probabilities; refit it")
        return model


def detect_regime(belief: Array) -> str:
    """Name of the most probable regime of a belief (K,)."""
    return REGIMES[int(np.argmax(belief))]


def fit(
    X: Array,
    settings: HmmSettings,
    rng: np.random.Generator,
    previous: RegimeModel | None = None,
    fitted_on: tuple[str, str] = ("", ""),
) -> RegimeModel:
    """Fit the model to the rows of a training fold.

    Parameters
    ----------
    X : (T, F) inputs in the order of `settings.inputs`; rows with a NaN separate sequences
    settings : what to read, how to start, when to stop
    rng : source of the jittered starts
    previous : model of the last fit; states are aligned to it, and a bad fit returns it with a note
    fitted_on : first and last moment of the rows, kept for the record

    Returns
    -------
    The model with the best likelihood over the starts, states named by rule.

    Raises
    ------
    DataError : if fewer than 100 complete rows exist or an input does not vary.

    Source: Hamilton (1989); Rabiner (1989).
    """
    rows, lengths = _sample(np.asarray(X, np.float64), settings)
    centre, scale = rows.mean(axis=0), rows.std(axis=0)
    for name, spread in zip(settings.inputs, scale, strict=True):
        if not spread > 1e-12:
            raise DataError(f"regime input {name} does not vary over the fold; choose another in conf/regime")
    best, iterations, problem = _best_start((rows - centre) / scale, lengths, settings, rng)
    if problem and previous is not None:
        return replace(previous, note=f"kept the previous model: {problem}")
    means = best.means_ * scale + centre
    variances = np.array([np.diag(c) for c in best.covars_]) * scale**2
    transmat = best.transmat_ / best.transmat_.sum(axis=1, keepdims=True)
    order, remark = _named_order(means, variances, settings, previous)
    transmat = np.ascontiguousarray(transmat[np.ix_(order, order)])
    return RegimeModel(
        inputs=settings.inputs,
        names=REGIMES,
        startprob=_stationary(transmat),
        transmat=transmat,
        means=means[order],
        variances=variances[order],
        log_likelihood=float(best.monitor_.history[-1] / len(rows) - np.log(scale).sum()),
        iterations=iterations,
        rows=len(rows),
        converged=not problem,
        note="; ".join(part for part in (problem, remark) if part),
        fitted_on=fitted_on,
    )


def transitions_table(model: RegimeModel, fold: int) -> list[dict[str, Any]]:
    """Rows of outputs/logs/<market>/hmm_transitions.csv: one per pair of states."""
    return [
        {
            "fold": fold,
            "from": origin,
            "to": target,
            "probability": float(model.transmat[i, j]),
            "fitted_from": model.fitted_on[0],
            "fitted_to": model.fitted_on[1],
        }
        for i, origin in enumerate(model.names)
        for j, target in enumerate(model.names)
    ]


def _sample(X: Array, settings: HmmSettings) -> tuple[Array, list[int]]:
    """Complete rows as contiguous sequences, evenly spread blocks if there are more than `max_rows`."""
    if X.ndim != 2 or X.shape[1] != len(settings.inputs):
        raise DataError(f"regime fit needs (rows, {len(settings.inputs)}) inputs, got shape {X.shape}")
    complete = np.all(np.isfinite(X), axis=1)
    if len(X) > settings.max_rows:
        count = settings.max_rows // settings.block_rows
        starts = np.linspace(0, len(X) - settings.block_rows, count).astype(np.int64)
        spans = [(int(start), int(start) + settings.block_rows) for start in starts]
    else:
        spans = [(0, len(X))]
    kept, lengths = [], []
    for start, stop in spans:
        flags = complete[start:stop]
        edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
        for a, b in zip(edges[::2], edges[1::2], strict=True):
            kept.append(X[start + a : start + b])
            lengths.append(int(b - a))
    if sum(lengths) < _LEAST_ROWS:
        raise DataError(
            f"regime fit needs at least {_LEAST_ROWS} complete rows, got {sum(lengths)}; "
            "use more sessions or inputs that are available"
        )
    return np.concatenate(kept), lengths


def _best_start(
    rows: Array, lengths: Sequence[int], settings: HmmSettings, rng: np.random.Generator
) -> tuple[Any, int, str]:
    """Short EM from every start, the best one continued; it, its iterations, what is wrong with it."""
    candidates = []
    for start in range(settings.starts):
        model = _initial(rows, settings, rng, jitter=settings.start_jitter if start else 0.0)
        _run(model, rows, lengths, settings.start_iterations)
        candidates.append((model.monitor_.history[-1], -start, model))
    finite = [item for item in candidates if np.isfinite(item[0])]
    if not finite:
        return candidates[0][2], 0, f"none of {settings.starts} starts has a finite likelihood"
    model = max(finite, key=lambda item: item[:2])[2]
    iterations = int(model.monitor_.iter)
    # hmmlearn calls a fit converged when it merely ran out of iterations, hence the check of our own.
    done = _run(model, rows, lengths, settings.max_iterations - settings.start_iterations + 1)
    iterations += int(model.monitor_.iter) - 1  # the first of the second run repeats where the first ended
    if not done:
        return model, iterations, f"not converged in {settings.max_iterations} iterations"
    share = model.predict_proba(rows, lengths).mean(axis=0)  # whole training fold: looking both ways is fine here
    if share.min() < settings.min_occupancy:
        return model, iterations, f"a state holds only {share.min():.2%} of the rows"
    return model, iterations, ""


def _initial(rows: Array, settings: HmmSettings, rng: np.random.Generator, jitter: float) -> Any:
    """An unfitted model whose states start at the terciles of the first (volatility) input.

    k-means starts were measured to end in poor optima with the wrong regimes; terciles do not.
    """
    from hmmlearn.hmm import GaussianHMM

    states = len(REGIMES)
    third = np.digitize(rows[:, 0], np.quantile(rows[:, 0], np.arange(1, states) / states))
    groups = [rows[third == k] if np.count_nonzero(third == k) > 1 else rows for k in range(states)]
    model = GaussianHMM(
        n_components=states,
        covariance_type="diag",
        min_covar=settings.min_variance,
        tol=settings.tolerance * len(rows),
        transmat_prior=1.0 + settings.sticky_bars * np.eye(states),
        params="tmc",
        init_params="",
        implementation="log",
    )
    model.startprob_ = np.full(states, 1 / states)
    model.transmat_ = np.full((states, states), 0.05 / (states - 1)) + np.eye(states) * (0.95 - 0.05 / (states - 1))
    model.means_ = np.array([group.mean(axis=0) for group in groups])
    if jitter:
        model.means_ = model.means_ + jitter * rng.standard_normal(model.means_.shape)
    model.covars_ = np.array([np.maximum(group.var(axis=0), 0.05) for group in groups])
    return model


def _run(model: Any, rows: Array, lengths: Sequence[int], iterations: int) -> bool:
    """Run EM; True if the likelihood stopped rising before the iterations ran out."""
    import logging

    # The monitor was made with the model and keeps its own limit: left alone it would stop at hmmlearn's default.
    model.n_iter = model.monitor_.n_iter = iterations
    log = logging.getLogger("hmmlearn")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns of every last-digit dip; `history` is judged below instead
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            model.fit(rows, lengths)
    finally:
        log.setLevel(level)
    history = list(model.monitor_.history)
    return len(history) > 1 and history[-1] - history[-2] < model.tol and np.isfinite(history[-1])


def _named_order(
    means: Array, variances: Array, settings: HmmSettings, previous: RegimeModel | None
) -> tuple[Array, str]:
    """Fitted states in the order trend, range, defensive; a remark if rule and history differ."""
    ruled = _ruled_order(means, variances, settings)
    if previous is None or previous.inputs != settings.inputs:
        return ruled, ""
    from scipy.optimize import linear_sum_assignment

    gaps = (previous.means[:, None, :] - means[None, :, :]) ** 2 / previous.variances[:, None, :]
    aligned = linear_sum_assignment(gaps.sum(axis=2))[1]
    if np.array_equal(aligned, ruled):
        return ruled, ""
    # Leverage hangs on "defensive": it must be the most volatile state even if that breaks with history.
    if aligned[2] != ruled[2]:
        return ruled, "states renamed by rule: the most volatile one is no longer where it was"
    return aligned, "trend and range kept as in the previous fit although the rule would swap them"


def _ruled_order(means: Array, variances: Array, settings: HmmSettings) -> Array:
    """Defensive = most volatile; of the rest trend = higher trend score; range = the other.

    Where the trend input does not tell the two apart, its sign would be a coin toss at every refit; then the
    more volatile of them is called trend, since a market that goes somewhere moves more than one that does not.
    """
    column = settings.inputs.index(settings.trend_input)
    score = means[:, column].copy()
    if settings.trend_rule == "drift":
        score = np.abs(score) / np.sqrt(variances[:, column])
    defensive = int(np.argmax(means[:, 0]))
    rest = [k for k in range(len(means)) if k != defensive]
    spread = np.sqrt(variances[rest, column].mean()) if settings.trend_rule == "level" else 1.0
    told_apart = np.ptp(score[rest]) >= settings.trend_margin * spread
    trend = max(rest, key=lambda k: score[k] if told_apart else means[k, 0])
    return np.array([trend, next(k for k in rest if k != trend), defensive])


def _stationary(transmat: Array) -> Array:
    """Stationary distribution of a chain: the solution of p A = p, sum p = 1."""
    states = len(transmat)
    system = np.vstack([transmat.T - np.eye(states), np.ones(states)])
    found = np.linalg.lstsq(system, np.append(np.zeros(states), 1.0), rcond=None)[0]
    found = np.clip(found, 1e-12, None)
    return found / found.sum()
