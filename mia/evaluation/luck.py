"""All trials of a market on the same days: can the best of them be told from the luckiest? Called by task=compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mia.evaluation.bootstrap import sharpe_ratio
from mia.evaluation.compare import superior_predictive_ability
from mia.evaluation.deflated_sharpe import deflated_sharpe
from mia.evaluation.overfitting import Overfitting, backtest_overfitting, fitting_blocks
from mia.evaluation.settings import CompareSettings, EvaluationSettings

Array = np.ndarray
LEAST_DAYS = 8  # with fewer the tests say nothing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """One trial of the ledger.

    Parameters
    ----------
    number : in the ledger
    algo, seed : what ran
    daily : (n,) net profit of each session judged [USD]
    """

    number: int
    algo: str
    seed: int
    daily: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Luck:
    """What luck explains of the best of the trials on the same days.

    Parameters
    ----------
    days : sessions judged
    entered : trials on these days
    different : of them, trials whose days are not those of another
    best : number, algorithm and seed of the trial with the largest Sharpe ratio
    best_sharpe : its Sharpe ratio, annual
    spa_flat : p-value that the best beats doing nothing only because so many were tried; None: too few days
    baseline : the best of the baselines, flat among them; None if their days are not known
    spa_baseline : the same p-value against it
    overfitting : of choosing among the trials; None if there is no choice or too few days
    dsr : deflated Sharpe ratio of the best, for all trials ever counted [probability]
    """

    days: int
    entered: int
    different: int
    best: tuple[int, str, int]
    best_sharpe: float
    spa_flat: float | None
    baseline: str | None
    spa_baseline: float | None
    overfitting: Overfitting | None
    dsr: float

    def is_skill(self, judge: EvaluationSettings, settings: CompareSettings) -> bool:
        """Whether the best clears every hurdle; what could not be tested is not cleared."""
        chosen = self.different == 1 or (
            self.overfitting is not None and self.overfitting.probability <= settings.pbo_limit
        )
        beats = self.spa_baseline is not None and self.spa_baseline < judge.baseline_p
        return chosen and beats and self.dsr > judge.dsr_threshold

    def record(self, judge: EvaluationSettings, settings: CompareSettings) -> dict[str, Any]:
        """Everything for programs, JSON-able."""
        return {
            "sessions": self.days,
            "entered": self.entered,
            "different": self.different,
            "best": dict(zip(("trial", "algo", "seed"), self.best, strict=True)),
            "sharpe": self.best_sharpe,
            "spa_p_flat": self.spa_flat,
            "baseline": self.baseline,
            "spa_p_baseline": self.spa_baseline,
            "pbo": self.overfitting.probability if self.overfitting else None,
            "deflated_sharpe": self.dsr,
            "skill": self.is_skill(judge, settings),
        }

    def row(self) -> dict[str, Any]:
        """The same for people, as a row of a table."""
        number, algo, seed = self.best
        return {
            "sessions": self.days,
            "trials": self.entered,
            "different": self.different,
            "best": f"{algo}, seed {seed} (trial {number})",
            "Sharpe": self.best_sharpe,
            "SPA p, flat": self.spa_flat,
            "best baseline": self.baseline or "not known",
            "SPA p, baseline": self.spa_baseline,
            "PBO": self.overfitting.probability if self.overfitting else None,
            "deflated Sharpe": self.dsr,
        }


def luck(
    trials: Sequence[Trial],
    counted: int,
    variance: float | None,
    baselines: Mapping[str, Array],
    rng: np.random.Generator,
    judge: EvaluationSettings,
    settings: CompareSettings,
) -> Luck:
    """Judge the best of all trials on the same days.

    Parameters
    ----------
    trials : at least one, all judged on the same sessions
    counted : trials the ledger ever counted for the market
    variance : of their daily Sharpe ratios, None if unknown; see `deflated_sharpe`
    baselines : name -> (n,) net profit on the same sessions [USD]; empty if not known
    rng : of the bootstrap
    judge, settings : resamples and hurdles
    """
    profits = np.column_stack([trial.daily for trial in trials])
    ratios = [sharpe_ratio(trial.daily) for trial in trials]
    best = int(np.argmax(ratios))
    # A repeated run is the same strategy again: it neither adds a chance nor shares a rank.
    distinct = np.unique(profits, axis=1)
    days, different = distinct.shape
    blocks = fitting_blocks(days, settings.blocks)
    name = max(sorted(baselines), key=lambda name: float(np.sum(baselines[name]))) if baselines else None

    def spa(benchmark: Array) -> float | None:
        if days < LEAST_DAYS:
            return None
        return superior_predictive_ability(distinct - benchmark[:, None], rng, judge.bootstrap_samples)

    return Luck(
        days=days,
        entered=len(trials),
        different=different,
        best=(trials[best].number, trials[best].algo, trials[best].seed),
        best_sharpe=ratios[best],
        spa_flat=spa(np.zeros(days)),
        baseline=name,
        spa_baseline=spa(np.asarray(baselines[name], np.float64)) if name is not None else None,
        overfitting=backtest_overfitting(distinct, blocks) if blocks and different > 1 else None,
        dsr=deflated_sharpe(trials[best].daily, counted, variance),
    )
