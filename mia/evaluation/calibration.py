"""Do told probabilities and quantiles come true? Scores, curves and what a perfect model would show at this size.

Called by the tasks for `trade_probability` and for the quantiles of qr_dqn. Intervals of shares take rows as
independent; those of the Brier skill respect dependence between neighbouring rows.
"""

from statistics import NormalDist
from typing import Any

import numpy as np

from mia.evaluation.bootstrap import block_length, stationary_indices

Array = np.ndarray
ECE_BINS = 15
"""Bins of the calibration error where nothing else is asked for, as Guo et al. (2017) and most since take."""

_CHUNK = 256  # resamples per step, so that memory stays bounded
_LEAST = 1e-15  # a probability of exactly 0 or 1 that fails would cost infinitely much


def wilson(hits: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share of which `hits` of `n` independent rows were seen.

    Unlike the share plus or minus its deviation it stays inside 0-1 and keeps its coverage near the ends.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"calibration: hits must lie between 0 and n >= 1, were {hits} of {n}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends the formula gives 0 and 1 up to rounding.
    return (0.0 if hits == 0 else float(centre - half)), (1.0 if hits == n else float(centre + half))


def coverage(quantiles: Array, levels: Array, realised: Array, confidence: float = 0.95) -> list[dict[str, Any]]:
    """Share of outcomes at or below each told quantile; of a calibrated model it is the level.

    Parameters
    ----------
    quantiles : (n, Q) quantiles told before
    levels : (Q,) their levels, increasing, inside 0-1
    realised : (n,) what came, in the same unit
    confidence : coverage of the intervals

    Returns
    -------
    One row per level: level, covered, low, high (Wilson), n, within (whether the level lies in the interval).

    Raises
    ------
    ValueError : if shapes disagree, there is no row, or something is not finite.
    """
    told, outcome = np.asarray(quantiles, np.float64), np.asarray(realised, np.float64)
    at = np.asarray(levels, np.float64)
    wanted = (len(outcome), len(at))
    if told.shape != wanted or told.size == 0:
        raise ValueError(f"calibration: quantiles must be {wanted} and not empty, were {told.shape}")
    if not (np.isfinite(told).all() and np.isfinite(outcome).all()):
        raise ValueError("calibration: quantiles and outcomes must be finite; leave rows without them out")
    if not (np.all(at > 0) and np.all(at < 1) and np.all(np.diff(at) > 0)):
        raise ValueError(f"calibration: levels must increase inside 0-1, were {at.tolist()}")
    rows = []
    for level, column in zip(at.tolist(), told.T, strict=True):
        hits = int(np.count_nonzero(outcome <= column))
        low, high = wilson(hits, len(outcome), confidence)
        rows.append(
            {
                "level": level,
                "covered": hits / len(outcome),
                "low": low,
                "high": high,
                "n": len(outcome),
                "within": low <= level <= high,
            }
        )
    return rows


def reliability(probability: Array, happened: Array, bins: int = 10, confidence: float = 0.95) -> list[dict[str, Any]]:
    """How often it happened where about so much was told, in bins of equal width; empty bins are left out.

    Parameters
    ----------
    probability : (n,) told, 0-1
    happened : (n,) 0 or 1
    bins : bins between 0 and 1
    confidence : coverage of the intervals and bands

    Returns
    -------
    One row per bin: from, to (its edges), told (mean probability), happened (share), low, high (Wilson interval of
    the share), band_low, band_high (where the share of a calibrated model would lie, by the binomial), n.

    Raises
    ------
    ValueError : as `brier`.
    """
    from scipy.stats import binom

    told, came = _checked(probability, happened)
    edges = _edges(bins)
    place = _bins(told, bins)
    tail = (1 - confidence) / 2
    rows = []
    for k in range(bins):
        here = place == k
        n = int(here.sum())
        if n == 0:
            continue
        mean, hits = float(told[here].mean()), int(came[here].sum())
        low, high = wilson(hits, n, confidence)
        rows.append(
            {
                "from": float(edges[k]),
                "to": float(edges[k + 1]),
                "told": mean,
                "happened": hits / n,
                "low": low,
                "high": high,
                "band_low": float(binom.ppf(tail, n, mean)) / n,
                "band_high": float(binom.ppf(1 - tail, n, mean)) / n,
                "n": n,
            }
        )
    return rows


def brier(probability: Array, happened: Array) -> float:
    """Mean squared distance of probabilities (n,) to outcomes (n,) of 0 or 1; less is better.

    Raises
    ------
    ValueError : if lengths disagree, there is no row, or a value is out of range.
    """
    told, came = _checked(probability, happened)
    return float(np.mean((told - came) ** 2))


def brier_skill(
    probability: Array,
    happened: Array,
    rng: np.random.Generator,
    *,
    base_rate: float | None = None,
    samples: int = 2000,
    confidence: float = 0.95,
) -> tuple[float, float, float]:
    """Share of the base rate's Brier score that the model takes away, with its interval.

    Parameters
    ----------
    probability, happened : (n,) in time order
    rng : source of the resamples (stationary blocks, since neighbouring rows are alike)
    base_rate : probability told without a model, e.g. the share on training rows; None: the share of these very
        rows, which nobody knows before and is therefore the harder rival
    samples : resamples
    confidence : coverage

    Returns
    -------
    (skill, low, high); NaN where the base rate makes no error. Above 0: better than the base rate.

    Raises
    ------
    ValueError : as `brier`.
    """
    told, came = _checked(probability, happened)
    error = (told - came) ** 2
    skill = float(_skill(error, came, base_rate))
    if np.isnan(skill):
        return np.nan, np.nan, np.nan
    rate = came.mean() if base_rate is None else base_rate
    mean_block = block_length((rate - came) ** 2 - error)
    drawn = []
    for begin in range(0, samples, _CHUNK):
        rows = stationary_indices(len(came), min(_CHUNK, samples - begin), mean_block, rng)
        drawn.append(_skill(error[rows], came[rows], base_rate))
    tail = (1 - confidence) / 2
    # A resample of one kind of outcome has no base rate to beat.
    low, high = np.nanquantile(np.concatenate(drawn), [tail, 1 - tail])
    return skill, float(low), float(high)


def log_loss(probability: Array, happened: Array) -> float:
    """Mean of minus the logarithm of what was told for what came; probabilities are kept 1e-15 from 0 and 1.

    Raises
    ------
    ValueError : as `brier`.
    """
    told, came = _checked(probability, happened)
    told = np.clip(told, _LEAST, 1 - _LEAST)
    return float(-np.mean(came * np.log(told) + (1 - came) * np.log1p(-told)))


def ece(probability: Array, happened: Array, bins: int = ECE_BINS) -> float:
    """Expected calibration error: distance of told to happened per bin of equal width, weighted by its rows.

    It is above 0 even of a perfect model; read it beside `ece_of_perfect`.

    Raises
    ------
    ValueError : as `brier`.
    """
    told, came = _checked(probability, happened)
    return float(np.abs(np.bincount(_bins(told, bins), told - came, bins)).sum() / len(told))


def ece_of_perfect(
    probability: Array, rng: np.random.Generator, samples: int = 1000, level: float = 0.95, bins: int = ECE_BINS
) -> float:
    """Calibration error that a perfect model stays below in a share `level` of samples of this size.

    Outcomes are drawn from the told probabilities themselves. Probabilities in the middle give about 0.08 at 500
    rows, 0.04 at 2000 and 0.018 at 10,000: with few rows nothing can be said about calibration.

    Parameters
    ----------
    probability : (n,) told, 0-1
    rng : source of the outcomes
    samples : draws
    level : quantile of the errors
    bins : as in `ece`
    """
    told, _ = _checked(probability, np.zeros(len(probability)))
    order = np.argsort(_bins(told, bins), kind="stable")
    told = told[order]
    starts = np.flatnonzero(np.diff(_bins(told, bins), prepend=-1))
    errors = []
    for begin in range(0, samples, _CHUNK):
        came = rng.random((min(_CHUNK, samples - begin), len(told))) < told
        errors.append(np.abs(np.add.reduceat(told - came, starts, axis=1)).sum(axis=1) / len(told))
    return float(np.quantile(np.concatenate(errors), level))


def summary(
    probability: Array, happened: Array, rng: np.random.Generator, *, base_rate: float | None = None
) -> dict[str, Any]:
    """Everything said about probabilities, for summary.json: n, base_rate, brier, brier_skill, brier_skill_ci,
    log_loss, ece, ece_of_perfect_p95, reliability (rows); None where undefined.
    """
    told, came = _checked(probability, happened)
    skill, low, high = brier_skill(told, came, rng, base_rate=base_rate)
    known = not np.isnan(skill)
    return {
        "n": len(told),
        "base_rate": float(came.mean()),
        "brier": brier(told, came),
        "brier_skill": skill if known else None,
        "brier_skill_ci": [low, high] if known else None,
        "log_loss": log_loss(told, came),
        "ece": ece(told, came),
        "ece_of_perfect_p95": ece_of_perfect(told, rng),
        "reliability": reliability(told, came),
    }


def _checked(probability: Array, happened: Array) -> tuple[Array, Array]:
    told, came = np.asarray(probability, np.float64), np.asarray(happened, np.float64)
    if told.ndim != 1 or told.shape != came.shape or len(told) == 0:
        raise ValueError(
            f"calibration: probabilities and outcomes must be (n,) alike, n >= 1, were {told.shape}, {came.shape}"
        )
    if not np.all((told >= 0) & (told <= 1)):
        raise ValueError("calibration: probabilities must lie between 0 and 1; leave rows without one out")
    if not np.all((came == 0) | (came == 1)):
        raise ValueError("calibration: outcomes must be 0 or 1")
    return told, came


def _bins(told: Array, bins: int) -> Array:
    """(n,) place of each probability: 0 from 0 to 1/bins, and so on; 1 belongs to the last."""
    return np.searchsorted(_edges(bins)[1:-1], told, side="right")


def _edges(bins: int) -> Array:
    """(bins + 1,) edges, rounded so that what a person would call an edge is one: 0.3, not 0.30000000000000004."""
    return np.round(np.linspace(0.0, 1.0, bins + 1), 12)


def _skill(error: Array, came: Array, base_rate: float | None) -> Array:
    """Skill along the last axis; NaN where the base rate makes no error."""
    rate = came.mean(axis=-1, keepdims=True) if base_rate is None else base_rate
    rival = ((rate - came) ** 2).mean(axis=-1)
    known = rival > 0
    return np.where(known, 1.0 - error.mean(axis=-1) / np.where(known, rival, 1.0), np.nan)
