"""Which groups keep the limit on risk of a known world that has one, and how far the worst seed is from it."""

from collections.abc import Sequence
from typing import Any

from mia.evaluation.compare_report import LEEWAY
from mia.task import compare_runs
from mia.task.compare_runs import Run


def rows(runs: Sequence[Run], places: Sequence[str], by: str) -> list[dict[str, Any]]:
    """Return one mapping per group and stratum; none if no run was judged against a limit.

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
    found: dict[tuple[str, str], list[Run]] = {}
    for run, place in zip(runs, places, strict=True):
        if {"limit", "cvar_high"} <= run.summary.get("known_world", {}).keys():
            found.setdefault((compare_runs.group(run, by), place), []).append(run)
    return [_row(group, place, found[group, place]) for group, place in sorted(found)]


def _row(group: str, place: str, runs: Sequence[Run]) -> dict[str, Any]:
    judged = [run.summary["known_world"] for run in runs]
    # One stratum is one world, and so one limit.
    limit = judged[0]["limit"]
    worst = max(runs, key=lambda run: run.summary["known_world"]["cvar_high"])
    return {
        "group": group,
        "judged_on": place,
        "limit": limit,
        "runs": len(runs),
        "kept": sum(own["cvar_high"] <= LEEWAY * limit for own in judged),
        "stay_flat": sum(bool(run.summary.get("abstains")) for run in runs),
        "worst_cvar_high": worst.summary["known_world"]["cvar_high"],
        "worst_seed": worst.seed,
    }
