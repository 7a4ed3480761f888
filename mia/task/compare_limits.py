"""Which groups keep a limit on risk, a known world's or their own, and how far the worst seed is from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mia.evaluation.compare_report import LEEWAY
from mia.task import compare_runs
from mia.task.compare_runs import Run


def rows(runs: Sequence[Run], places: Sequence[str], by: str) -> list[dict[str, Any]]:
    """Return one mapping per group and stratum; none if no run has a limit.

    A run that stays flat keeps every limit, so how many do is told beside.

    Parameters
    ----------
    runs, places : what was read, and the stratum of each
    by : what makes a group

    Returns
    -------
    `group`, `judged_on`, `limit` [units], `runs`, `kept`, `stay_flat` [count], and of the run with the highest upper
    end `worst_cvar_high` [units] and `worst_seed`; in the order of group and stratum.
    """
    found: dict[tuple[str, str, float], list[Bound]] = {}
    for run, place in zip(runs, places, strict=True):
        bound = bound_of(run, place)
        if bound:
            found.setdefault((compare_runs.group(run, by), bound.place, bound.limit), []).append(bound)
    return [_row(*key, found[key]) for key in sorted(found)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bound:
    """A run beside its limit.

    Parameters
    ----------
    run : it
    place : what its risk was measured on
    limit, high : limit and upper end of the interval of CVaR [units of the limit]
    kept : whether no upper end is above `LEEWAY` times its limit
    """

    run: Run
    place: str
    limit: float
    high: float
    kept: bool


def bound_of(run: Run, place: str) -> Bound | None:
    """Return a run beside its limit: on fresh rows of a world that has one, else of its fold that is nearest to it."""
    world = run.summary.get("known_world", {})
    if {"limit", "cvar_high"} <= world.keys():
        limit, high = world["limit"], world["cvar_high"]
        return Bound(run=run, place=place, limit=limit, high=high, kept=high <= LEEWAY * limit)
    folds = [run.summary, *run.summary.get("folds", ())]
    told = [fold["constraint"] for fold in folds if "constraint" in fold]
    if not told:
        return None
    worst = max(told, key=lambda block: block["cvar_high"] / block["limit"])
    where = f"{place}, episodes of the training fold [{worst['unit']}]"
    kept = all(block["cvar_high"] <= LEEWAY * block["limit"] for block in told)
    return Bound(run=run, place=where, limit=worst["limit"], high=worst["cvar_high"], kept=kept)


def _row(group: str, place: str, limit: float, bounds: Sequence[Bound]) -> dict[str, Any]:
    worst = max(bounds, key=lambda bound: bound.high)
    return {
        "group": group,
        "judged_on": place,
        "limit": limit,
        "runs": len(bounds),
        "kept": sum(bound.kept for bound in bounds),
        "stay_flat": sum(bool(bound.run.summary.get("abstains")) for bound in bounds),
        "worst_cvar_high": worst.high,
        "worst_seed": worst.run.seed,
    }
