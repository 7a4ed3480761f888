"""Many small fits on resampled sessions: how often, and how much, does each column matter on rows not fitted on?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mia.features.selection_settings import SelectionSettings
from mia.features.shap_weighting import splits, trees
from mia.features.shap_weighting.targets import Targets

Array = np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """The rows of one training fold, and nothing else.

    Parameters
    ----------
    view : (T, F) scaled features
    columns : (C,) candidates among the F
    session : (T,) session of each row
    targets : what is to be explained
    regime : (T,) number of each row's regime, -1 where it is not clear
    """

    view: Array
    columns: Array
    session: Array
    targets: Targets
    regime: Array

    def rows(self, rows: Array) -> Array:
        """Candidates (n, C) on some rows, neutral where missing."""
        picked = self.view[np.ix_(rows, self.columns)].astype(np.float64)
        return np.nan_to_num(picked, copy=False, nan=0.0, posinf=0.0, neginf=0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One fit on one resample: shares of the mean |SHAP| of all columns, averaged over targets.

    Parameters
    ----------
    own : (C,) share of each column
    grouped : (G,) share of each cluster, its members' SHAP values summed row by row first
    shadow : largest share of a shadow
    by_regime : (K, C) each column's |SHAP| summed over the judging rows of a regime, in the same units
    """

    own: Array
    grouped: Array
    shadow: float
    by_regime: Array


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What all runs say, (C,) each: see `Selection` for the meaning.

    Parameters
    ----------
    pi, shap, beats : frequency among the best, own share, frequency above the shadows
    score : mean score by which runs ranked
    by_regime : (K, C) shares that add up to 1 in each regime; NaN for one with too few rows
    """

    pi: Array
    shap: Array
    beats: Array
    score: Array
    by_regime: Array


def usable_splits(fold: Fold, settings: SelectionSettings) -> list[tuple[Array, Array]]:
    """The purged splits, only rows on which every target is known."""
    known = fold.targets.known
    return [(rest[known[rest]], valid[known[valid]]) for rest, valid in splits.purged_splits(fold.session, settings)]


def runs(
    fold: Fold, groups: Array, regimes: int, settings: SelectionSettings, rng: np.random.Generator
) -> tuple[list[Run], Array]:
    """Fit every split on every resample; also count (K,) the judging rows of each regime."""
    out, judged = [], np.zeros(regimes, np.int64)
    for rest, valid in usable_splits(fold, settings):
        judges = splits.thinned(valid, settings.max_rows // 3)
        judged += np.bincount(fold.regime[judges] + 1, minlength=regimes + 1)[1:]
        out += [one_run(fold, rest, judges, groups, regimes, settings, rng) for _ in range(settings.bootstraps)]
    return out, judged


def one_run(
    fold: Fold,
    rest: Array,
    valid: Array,
    groups: Array,
    regimes: int,
    settings: SelectionSettings,
    rng: np.random.Generator,
) -> Run:
    """Fit every target on a resample of `rest`, explain `valid`; no other row is read."""
    drawn = splits.resampled(rest, fold.session, settings.max_rows, rng)
    train, judge = _with_shadows(fold, rest, drawn, valid, settings.shadows, rng)
    bins = trees.binned(train)
    its_bins = trees.binned(judge, reference=bins)
    labels, weights = fold.targets.labels, fold.targets.weights
    width = len(fold.columns)
    own, grouped = np.zeros(width + settings.shadows), np.zeros(int(groups.max()) + 1)
    by_regime = np.zeros((regimes, width))
    for i, classes in enumerate(fold.targets.classes):
        booster = trees.fit_trees(
            bins,
            labels[rest[drawn], i],
            weights[rest[drawn], i],
            settings,
            int(rng.integers(0, 2**31 - 1)),
            classes=classes,
            valid=(its_bins, labels[valid, i], weights[valid, i]),
        )
        values = trees.shap_values(booster, judge)
        rowwise = np.abs(values).mean(axis=1)
        total = rowwise.mean(axis=0).sum() * labels.shape[1]
        if total > 0:
            own += rowwise.mean(axis=0) / total
            grouped += _by_cluster(values[:, :, :width], groups) / total
            for k in range(regimes):
                by_regime[k] += rowwise[fold.regime[valid] == k, :width].sum(axis=0) / total
    return Run(own[:width], grouped, float(own[width:].max()), by_regime)


def _with_shadows(
    fold: Fold, rest: Array, drawn: Array, valid: Array, shadows: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Candidates with shadows beside them, (n, C + shadows) float32, for the drawn rows and for `valid`.

    A shadow is a column shifted far in time, not shuffled: slow columns fit overlapping labels by chance far
    better than shuffled ones do, and a shadow must be as slow as what it is a yardstick for. It is shifted
    before sessions are drawn, and inside the fitted and the judging rows, so that no purged row is touched.
    """
    train, judge = fold.rows(rest[drawn]), fold.rows(valid)
    width = train.shape[1]
    wide = [np.empty((len(part), width + shadows), np.float32) for part in (train, judge)]
    wide[0][:, :width], wide[1][:, :width] = train, judge
    for j in range(width, width + shadows):
        column = fold.columns[rng.integers(0, width)]
        for part, rows, at in ((wide[0], rest, drawn), (wide[1], valid, np.arange(len(valid)))):
            n = len(rows)
            shift = int(rng.integers(n // 4, max(n * 3 // 4, n // 4 + 1)))
            part[:, j] = np.nan_to_num(fold.view[rows[(at + shift) % n], column], nan=0.0, posinf=0.0, neginf=0.0)
    return wide[0], wide[1]


def _by_cluster(values: Array, groups: Array) -> Array:
    """Mean |sum of the members' SHAP values| (G,) of values (n, outputs, C): what the cluster says as one."""
    order = np.argsort(groups, kind="stable")
    first = np.flatnonzero(np.diff(groups[order], prepend=-1))
    return np.abs(np.add.reduceat(values[:, :, order], first, axis=2)).mean(axis=(0, 1))


def evidence(found: Sequence[Run], judged: Array, groups: Array, settings: SelectionSettings) -> Evidence:
    """Sum up the runs."""
    own = np.array([run.own for run in found])
    speaker = speakers(own.mean(axis=0), groups)
    score = np.array([shared(run, groups, speaker) for run in found])
    top = min(settings.top_k, own.shape[1])
    pi = np.zeros(own.shape[1])
    for line in score:
        best = np.argsort(-line, kind="stable")[:top]
        pi[best[line[best] > 0]] += 1 / len(found)
    beats = (score > np.array([run.shadow for run in found])[:, None]).mean(axis=0)
    by_regime = np.sum([run.by_regime for run in found], axis=0)
    total = by_regime.sum(axis=1)
    by_regime[(judged < settings.regime_min_rows) | (total <= 0)] = np.nan
    return Evidence(pi, own.mean(axis=0), beats, score.mean(axis=0), by_regime / np.where(total > 0, total, 1)[:, None])


def speakers(own: Array, groups: Array) -> Array:
    """Whether each column (C,) speaks for its cluster: the one that is strongest over all runs.

    Chosen run by run, copies that take turns would split the frequency among them.
    """
    out = np.zeros(len(own), bool)
    for group in range(int(groups.max()) + 1):
        members = np.flatnonzero(groups == group)
        out[members[np.argmax(own[members])]] = True
    return out


def shared(run: Run, groups: Array, speaker: Array) -> Array:
    """Score (C,) of each column: SHAP is summed per cluster, then split inside.

    The speaker stands for the whole cluster; the others get their part of the sum, so that copies do not crowd
    out other columns.
    """
    inside = np.bincount(groups, weights=run.own)
    part = np.divide(run.own, inside[groups], out=np.zeros_like(run.own), where=inside[groups] > 0)
    return np.where(speaker, run.grouped[groups], run.grouped[groups] * part)
