"""All trials the ledger holds of the markets compared: how many there were, and whether the best is more than luck."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mia.domain.rng import generator
from mia.evaluation.ledger import TrialLedger
from mia.evaluation.luck import Luck, Trial, luck
from mia.task.compare_runs import Run
from mia.task.settings import RunSettings

Array = np.ndarray
NO_RULE = ("policy", "random")
"""Accounts of a run that are no rule to be beaten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketLuck:
    """The trials of one market.

    Parameters
    ----------
    market : its name
    counted : trials ever counted
    best : (digest of the data, what luck explains of the best there), most trials first
    note : how many trials entered and what became of the others; empty if none could
    """

    market: str
    counted: int
    best: tuple[tuple[str, Luck], ...]
    note: str


def ledger(settings: RunSettings) -> TrialLedger | None:
    """The project's ledger, if there is one: reading must not make it."""
    path = Path(settings.outputs, "trials.sqlite")
    return TrialLedger(path) if path.is_file() else None


def judge(settings: RunSettings, runs: Sequence[Run]) -> list[MarketLuck]:
    """Judge the best of all trials of every market the runs are of, whether the runs were chosen or not."""
    book = ledger(settings)
    return [
        _of_market(settings, market, [run for run in runs if run.market == market], book)
        for market in sorted({run.market for run in runs})
    ]


def _of_market(settings: RunSettings, market: str, runs: Sequence[Run], book: TrialLedger | None) -> MarketLuck:
    # A run knows how many had been counted when it ended: that holds even if the ledger was moved away.
    known = max(int(run.summary.get("trials", 0)) for run in runs)
    counted = max(book.trials(market) if book else 0, known)
    rows = book.rows(market) if book else []
    variance = book.sharpe_variance(market) if book else None
    best = []
    for (data, days), trials in _on_same_days(rows).items():
        rng = generator(settings.seed, "luck", market, data, str(days))
        baselines = _baselines(runs, data, days)
        best.append((data, luck(trials, counted, variance, baselines, rng, settings.evaluation, settings.compare)))
    best.sort(key=lambda item: -item[1].entered)
    note = _entered(market, counted, rows, len(best)) if best else ""
    return MarketLuck(market=market, counted=counted, best=tuple(best), note=note)


def _on_same_days(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, int], list[Trial]]:
    """Trials by data and number of sessions judged.

    Tests end with the last session of the data, so trials on the same data with as many sessions judged the same ones.
    """
    groups: dict[tuple[str, int], list[Trial]] = {}
    for row in rows:
        if row["daily_net_usd"]:
            daily = np.array(row["daily_net_usd"], np.float64)
            trial = Trial(number=row["id"], algo=row["algo"], seed=row["seed"], daily=daily)
            groups.setdefault((row["data_digest"], len(daily)), []).append(trial)
    return groups


def _entered(market: str, counted: int, rows: Sequence[Mapping[str, Any]], sets: int) -> str:
    """Say how many trials entered the tests and what became of the others."""
    completed = sum(bool(row["daily_net_usd"]) for row in rows)
    told = [f"{completed} entered the tests"]
    if sets > 1:
        told[0] += f", on {sets} sets of days that cannot be joined"
    if len(rows) > completed:
        told.append(f"{len(rows) - completed} left no days (failed, never ended, or of a task without)")
    if counted > len(rows):
        told.append(f"{counted - len(rows)} are no longer on record but count")
    return f"{market}: of {counted} trials counted, {'; '.join(told)}."


def _baselines(runs: Sequence[Run], data: str, days: int) -> dict[str, Array]:
    """Net profit of every rule on the same sessions, from the runs that still lie there; flat is among them."""
    found: dict[str, Array] = {}
    for run in runs:
        accounts = run.summary.get("daily_net_usd")
        if run.summary["data_digest"] != data or not isinstance(accounts, Mapping):
            continue
        for name, values in accounts.items():
            if name not in NO_RULE and len(values) == days:
                series = np.array(values, np.float64)
                # Some rules are fitted per run (ridge): the best of them is the one to beat.
                if name not in found or series.sum() > found[name].sum():
                    found[name] = series
    return found
