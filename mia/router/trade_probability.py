"""How likely a trade is to succeed, as a calibrated probability. Asked before a trade begins; task/ fits and judges it.

A logistic regression on what three sources know of the trade (`mia.router.trades`), then a second one of two numbers
that makes told and happened agree on later trades. Kept as JSON, never as a pickle.
"""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numba import njit

from mia.domain.errors import ArtefactMismatch, DataError
from mia.router.settings import RouterSettings

Array = np.ndarray

_CLIP = 8.0  # deviations beyond which evidence counts no more
_TUPLES = ("names", "centre", "scale", "weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeProbability:
    """Coefficients of the probability.

    Parameters
    ----------
    names : what it reads, in order
    centre, scale : of each, on the fitted trades; missing evidence counts as the centre
    weights : logit per deviation of each
    intercept : logit at the centre
    slope, offset : the calibration: logit = slope x logit before + offset
    base_rate : share of the fitted trades that succeeded
    trades : how many they were
    """

    names: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    slope: float
    offset: float
    base_rate: float
    trades: int

    def __post_init__(self) -> None:
        numbers = (*self.centre, *self.scale, *self.weights, self.intercept, self.slope, self.offset, self.base_rate)
        if (
            not self.names
            or any(len(getattr(self, name)) != len(self.names) for name in _TUPLES)
            or not all(math.isfinite(number) for number in numbers)
            or min(self.scale) <= 0
        ):
            raise ArtefactMismatch("trade probability: its coefficients do not fit together; fit it again")

    @classmethod
    def fit(
        cls, names: tuple[str, ...], evidence: Array, happened: Array, settings: RouterSettings
    ) -> "TradeProbability":
        """Learn from trades in time order.

        Parameters
        ----------
        names : what the columns of `evidence` are
        evidence : (N, F), NaN where something is unknown
        happened : (N,) bool, whether the trade succeeded
        settings : penalties and shares. With fewer than `least_trades`, or one kind of outcome, the base rate is told

        Raises
        ------
        DataError : if shapes disagree or there is no trade.

        Source: Platt (1999), Probabilistic outputs for support vector machines, for the second regression.
        """
        X, y = np.asarray(evidence, np.float64), np.asarray(happened, np.float64)
        if X.shape != (len(y), len(names)) or len(y) == 0:
            raise DataError(
                f"trade probability: {X.shape} evidence of {len(names)} kinds for {len(y)} trades; none fits"
            )
        first = max(1, round(len(y) * (1.0 - settings.calibrate_share)))
        centre, scale = _standard(X[:first])
        rate = (y.sum() + 1.0) / (len(y) + 2.0)  # never 0 or 1: no finite number of trades proves that
        weights, intercept = np.zeros(len(names)), math.log(rate / (1.0 - rate))
        slope, offset = 1.0, 0.0
        if len(y) >= settings.least_trades and 0 < y[:first].sum() < first:
            Z = _standardised(X, centre, scale)
            weights, intercept = _regress(Z[:first], y[:first], settings.penalty)
            logit = Z @ weights + intercept
            slope, offset = _agree(logit[first:], y[first:], settings.anchor)
        return cls(
            names=tuple(names),
            centre=tuple(centre.tolist()),
            scale=tuple(scale.tolist()),
            weights=tuple(weights.tolist()),
            intercept=float(intercept),
            slope=slope,
            offset=offset,
            base_rate=float(y.mean()),
            trades=len(y),
        )

    def of(self, evidence: Array) -> Array:
        """Return (n,) probabilities in [0, 1] of evidence (n, F); one row gives the same bits as many."""
        X = np.ascontiguousarray(np.atleast_2d(evidence), dtype=np.float64)
        if X.shape[1] != len(self.names):
            raise ArtefactMismatch(f"trade probability reads {len(self.names)} kinds of evidence, was given {X.shape}")
        out = np.empty(len(X))
        _probabilities(
            X,
            np.array(self.centre),
            np.array(self.scale),
            np.array(self.weights),
            np.array([self.intercept, self.slope, self.offset]),
            out,
        )
        return out

    def to_json(self) -> str:
        """Return the coefficients as JSON text."""
        return json.dumps(asdict(self), allow_nan=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "TradeProbability":
        """Build what `to_json` gave.

        Raises
        ------
        ArtefactMismatch : if it is something else.
        """
        try:
            found: dict[str, Any] = json.loads(text)
            if set(found) != set(cls.__dataclass_fields__):
                raise ArtefactMismatch("trade probability: has other keys than it should; fit it again")
            tuples = {name: tuple(map(str if name == "names" else float, found[name])) for name in _TUPLES}
            rest = {name: float(found[name]) for name in ("intercept", "slope", "offset", "base_rate")}
            return cls(**tuples, **rest, trades=int(found["trades"]))  # type: ignore[arg-type]
        except (TypeError, ValueError, RecursionError) as error:
            raise ArtefactMismatch(f"trade probability is not readable ({error}); fit it again") from error


def vetoes(probability: float, settings: RouterSettings) -> bool:
    """Whether a new trade of this probability is not to be taken; closing one is never stopped."""
    return settings.veto and not probability >= settings.trade_threshold


def _standard(X: Array) -> tuple[Array, Array]:
    """Centre and deviation of each column, leaving out what is missing; 0 and 1 where nothing is known of it."""
    known = np.isfinite(X)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, X, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, X - centre, 0.0) ** 2).sum(axis=0) / count)
    return centre, np.where(spread > 1e-12 * (1.0 + np.abs(centre)), spread, 1.0)


def _standardised(X: Array, centre: Array, scale: Array) -> Array:
    return np.clip(np.where(np.isfinite(X), (X - centre) / scale, 0.0), -_CLIP, _CLIP)


def _regress(Z: Array, y: Array, penalty: float) -> tuple[Array, float]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0 / penalty if penalty > 0 else np.inf, max_iter=1000, tol=1e-8)
    model.fit(Z, y)
    return model.coef_[0], float(model.intercept_[0])


def _agree(logit: Array, y: Array, anchor: float) -> tuple[float, float]:
    """Slope and offset that make told and happened agree, pulled to 1 and 0 as if by `anchor` / 4 trades each."""
    line, pull = np.array([1.0, 0.0]), anchor / 4.0
    X = np.column_stack([logit, np.ones(len(logit))])
    off = np.array([1.0, 0.0])

    def misfit(line: Array) -> float:
        z = X @ line
        return float(np.sum(np.logaddexp(0.0, z) - y * z) + 0.5 * pull * np.sum((line - off) ** 2))

    for _ in range(100):  # Newton's steps, halved until they descend; the sum is convex
        z = X @ line
        told = np.exp(-np.logaddexp(0.0, -z))
        gradient = X.T @ (told - y) + pull * (line - off)
        curvature = (X * (told * (1.0 - told))[:, None]).T @ X + (pull + 1e-9) * np.eye(2)
        step, now = np.linalg.solve(curvature, gradient), misfit(line)
        while misfit(line - step) > now and np.abs(step).max() > 1e-12:
            step = step / 2.0
        line = line - step
        if np.abs(step).max() < 1e-10:
            break
    # More evidence for success must not tell less of it.
    return max(float(line[0]), 0.0), float(line[1])


@njit(cache=True)
def _probabilities(X: Array, centre: Array, scale: Array, weights: Array, line: Array, out: Array) -> None:
    for t in range(len(X)):
        logit = line[0]
        for k in range(len(centre)):
            if np.isfinite(X[t, k]):
                z = (X[t, k] - centre[k]) / scale[k]
                logit += weights[k] * min(_CLIP, max(-_CLIP, z))
        logit = line[1] * logit + line[2]
        out[t] = 1.0 / (1.0 + math.exp(-logit)) if logit >= 0.0 else math.exp(logit) / (1.0 + math.exp(logit))
