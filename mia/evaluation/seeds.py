"""Runs beside runs that differ in their seed: what is typical, how sure that is, and who is better. For task=compare.

A stratum is a market or world and the span it was judged on; only runs of one stratum are exchangeable.
Source: Agarwal, Schwarzer, Castro, Courville & Bellemare (2021), "Deep Reinforcement Learning at the Edge of the
Statistical Precipice", NeurIPS.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

Array = np.ndarray
Interval = tuple[float, float]
_CHUNK = 256  # resamples per step, so that memory stays bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one run reached.

    Parameters
    ----------
    group, stratum : what it belongs to
    seed : its seed
    value : the score, larger is better
    """

    group: str
    stratum: str
    seed: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a group stands.

    Parameters
    ----------
    group : its name
    scores : all of them
    seeds : runs in the stratum that has fewest
    iqm : interquartile mean, every stratum weighing the same
    interval : of it; None unless every stratum has two runs
    worst : the score of the run that did worst
    """

    group: str
    scores: tuple[Score, ...]
    seeds: int
    iqm: float
    interval: Interval | None
    worst: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """Two groups beside each other.

    Parameters
    ----------
    ahead, behind : their names, the larger interquartile mean first
    probability : that a run of `ahead` beats one of `behind`
    interval : of it; None unless each has two runs in every stratum
    """

    ahead: str
    behind: str
    probability: float
    interval: Interval | None

    @property
    def decided(self) -> bool:
        """Whether the interval excludes a coin toss."""
        return self.interval is not None and self.interval[0] > 0.5


def interquartile_mean(values: Array, weights: Array | None = None) -> float:
    """Mean of the middle half of the values (n,); the values on the edges count in part.

    Parameters
    ----------
    values : (n,)
    weights : (n,) positive; all the same by default
    """
    values = np.asarray(values, np.float64)
    weights = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    return float(_iqm(values[None], weights)[0])


def _iqm(values: Array, weights: Array) -> Array:
    """Weighted interquartile mean of every row: (B, n), (n,) -> (B,)."""
    order = np.argsort(values, axis=1, kind="stable")
    mass = (weights / weights.sum())[order]
    above = np.cumsum(mass, axis=1)
    middle = np.clip(np.minimum(above, 0.75) - np.maximum(above - mass, 0.25), 0.0, None)
    return (middle * np.take_along_axis(values, order, axis=1)).sum(axis=1) / middle.sum(axis=1)


def pooled_iqm(strata: Sequence[Array]) -> float:
    """Interquartile mean of the runs of all strata, every stratum weighing the same."""
    return interquartile_mean(np.concatenate(strata), _weights(strata))


def _weights(strata: Sequence[Array]) -> Array:
    return np.concatenate([np.full(len(part), 1.0 / len(part)) for part in strata])


def _resamples(strata: Sequence[Array], rng: np.random.Generator, samples: int) -> Iterator[list[Array]]:
    """Draw runs with replacement within each stratum: lists of (b, n) per stratum, `samples` rows in all."""
    for begin in range(0, samples, _CHUNK):
        size = min(_CHUNK, samples - begin)
        yield [np.asarray(part)[rng.integers(0, len(part), (size, len(part)))] for part in strata]


def iqm_interval(strata: Sequence[Array], rng: np.random.Generator, samples: int, confidence: float) -> Interval | None:
    """Percentile interval of `pooled_iqm` by the stratified bootstrap; None if a stratum has fewer than two runs."""
    if min(map(len, strata)) < 2:
        return None
    weights = _weights(strata)
    found = [_iqm(np.concatenate(drawn, axis=1), weights) for drawn in _resamples(strata, rng, samples)]
    return _percentiles(np.concatenate(found), confidence)


def probability_of_improvement(ours: Array, theirs: Array) -> float:
    """Probability that a random run of ours beats a random run of theirs, ties counting half."""
    return float(_beats(np.asarray(ours, np.float64)[None], np.asarray(theirs, np.float64)[None])[0])


def _beats(ours: Array, theirs: Array) -> Array:
    gap = np.sign(ours[:, :, None] - theirs[:, None, :])
    return 0.5 + 0.5 * gap.mean(axis=(1, 2))


def improvement(ours: Sequence[Array], theirs: Sequence[Array]) -> float:
    """Mean over strata of `probability_of_improvement`; both name the same strata in the same order."""
    return float(np.mean([probability_of_improvement(a, b) for a, b in zip(ours, theirs, strict=True)]))


def improvement_interval(
    ours: Sequence[Array], theirs: Sequence[Array], rng: np.random.Generator, samples: int, confidence: float
) -> Interval | None:
    """Percentile interval of `improvement` by the stratified bootstrap; None if anyone has fewer than two runs."""
    if min(map(len, [*ours, *theirs])) < 2:
        return None
    found = []
    for drawn in _resamples([*ours, *theirs], rng, samples):
        half = len(drawn) // 2
        found.append(np.mean([_beats(a, b) for a, b in zip(drawn[:half], drawn[half:], strict=True)], axis=0))
    return _percentiles(np.concatenate(found), confidence)


def _percentiles(values: Array, confidence: float) -> Interval:
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


def common_strata(scores: Sequence[Score]) -> list[str]:
    """Strata in which every group has a run, in the order they first appear."""
    held: dict[str, set[str]] = {}
    for score in scores:
        held.setdefault(score.stratum, set()).add(score.group)
    everyone = {score.group for score in scores}
    return [stratum for stratum, groups in held.items() if groups == everyone]


def standings(
    scores: Sequence[Score], rng: np.random.Generator, samples: int, confidence: float
) -> tuple[list[Standing], list[Duel]]:
    """Rank groups by interquartile mean, best first, and let every two of them meet.

    Parameters
    ----------
    scores : of all groups; every group must have a run in every stratum named
    rng, samples, confidence : of the stratified bootstrap

    Raises
    ------
    ValueError : if a group has no run in a stratum: its mean would rest on other tasks than the others'.
    """
    strata = common_strata(scores)
    if set(strata) != {score.stratum for score in scores}:
        raise ValueError("every group needs a run in every stratum; leave out those that are not common to all")
    by_group: dict[str, list[Score]] = {}
    for score in scores:
        by_group.setdefault(score.group, []).append(score)
    values = {
        name: [np.array([s.value for s in own if s.stratum == stratum]) for stratum in strata]
        for name, own in by_group.items()
    }
    found = [
        Standing(
            group=name,
            scores=tuple(own),
            seeds=min(map(len, values[name])),
            iqm=pooled_iqm(values[name]),
            interval=iqm_interval(values[name], rng, samples, confidence),
            worst=min(own, key=lambda score: score.value),
        )
        for name, own in by_group.items()
    ]
    found.sort(key=lambda standing: -standing.iqm)
    return found, _duels(found, values, rng, samples, confidence)


def _duels(
    ranked: Sequence[Standing],
    values: Mapping[str, Sequence[Array]],
    rng: np.random.Generator,
    samples: int,
    confidence: float,
) -> list[Duel]:
    return [
        Duel(
            ahead=a.group,
            behind=b.group,
            probability=improvement(values[a.group], values[b.group]),
            interval=improvement_interval(values[a.group], values[b.group], rng, samples, confidence),
        )
        for a, b in combinations(ranked, 2)
    ]
