"""Axes of a bottleneck that stay what they were: a new encoder is turned towards the one before it.

Two trainings find the same things along different axes. The turn is applied to the bottleneck's sums before they are
squashed, so that published values stay within (-1, 1), nothing is cut off and nothing is lost: turning the squashed
values themselves would leave that range.
"""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray

_LEAST_SPREAD = 1e-6
_IDLE = 0.01  # share of the widest direction's variance below which one counts as idle


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """Published = tanh(raw @ turn + shift).

    Parameters
    ----------
    turn : (E, E); shift : (E,)
    agreement : (E,) correlation of each axis with the one before, on the anchor rows; NaN if there was none
    """

    turn: Array
    shift: Array
    agreement: Array


def own_axes(raw: Array) -> Axes:
    """Axes of a first encoder: sums centred, uncorrelated and of spread 1 on the anchor rows raw (N, E)."""
    center = raw.mean(axis=0)
    turn = _whitening(raw - center)
    return Axes(turn, -center @ turn, np.full(raw.shape[1], np.nan))


def aligned_axes(raw: Array, before: Array) -> Axes:
    """Axes that come closest to those of the encoder before.

    Parameters
    ----------
    raw : (N, E) sums of the new encoder on the anchor rows
    before : (N, E) published sums (before squashing) of the previous encoder on the same rows

    The new sums are whitened first (their axes are arbitrary, also in size), turned by the orthogonal matrix
    nearest to the previous encoder's, and given the previous centre and spread.

    Source: Schoenemann (1966), A generalized solution of the orthogonal Procrustes problem, Psychometrika 31.
    """
    center, old_center = raw.mean(axis=0), before.mean(axis=0)
    old_spread = np.maximum(before.std(axis=0), _LEAST_SPREAD)
    whiten = _whitening(raw - center)
    white = (raw - center) @ whiten
    left, _, right = np.linalg.svd(white.T @ ((before - old_center) / old_spread))
    turn = whiten @ (left @ right) * old_spread
    shift = old_center - center @ turn
    return Axes(turn, shift, _correlations(raw @ turn + shift, before))


def _whitening(centred: Array) -> Array:
    """(E, E) symmetric matrix that makes the rows uncorrelated with spread 1; idle directions are left small."""
    covariance = centred.T @ centred / len(centred)
    values, vectors = np.linalg.eigh(covariance)
    # A direction with next to no spread means nothing; blowing it up to spread 1 would publish noise.
    floor = max(_IDLE * float(values.max()), _LEAST_SPREAD**2)
    return (vectors / np.sqrt(np.maximum(values, floor))) @ vectors.T


def _correlations(a: Array, b: Array) -> Array:
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    scale = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    return np.where(scale > 0, (a * b).sum(axis=0) / np.where(scale > 0, scale, 1.0), 0.0)
