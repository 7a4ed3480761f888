"""Do the quantiles of a policy come true on rows it never saw? For summary.json, the report and the terminal.

Called by task=run, task=evaluate and task=known_world for learners with quantiles; the others have nothing to check.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mia.algo.outlook import Outlook, outlook
from mia.broker.terms import Terms
from mia.desk.tape import Tape
from mia.evaluation import calibration
from mia.task.settings import RunSettings

READ = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
"""Levels shown: of those the policy has, the nearest."""

MOST_ROWS = 20_000  # of all folds together: the share of a level is then known to half a percent
A_BAR = "the next bar's profit plus the value the policy expects from there on"
ALL = "the whole discounted return along the policy's path"


def check(settings: RunSettings, walks: Sequence[tuple[Any, Tape]], terms: Terms) -> dict[str, Any] | None:
    """Return the coverage of the quantiles of policies on fresh rows, all of them pooled.

    Parameters
    ----------
    settings : of the run
    walks : each policy with the rows it never saw
    terms : what a tick is worth and a side costs, as while learning

    Returns
    -------
    None if the learner has no quantiles. `of` what the quantiles are, `rows` [count], `overlapping` whether what came
    of neighbouring rows shares bars, `levels` (rows of `calibration.coverage` nearest to `READ`), and of all levels
    `levels_in_all` [count] and `mean_absolute_error` [share]. If they cannot be checked only `absent`, which says why.
    """
    if any(policy.n_quantiles == 0 for policy, _ in walks):
        return None
    if settings.reward.name != "pnl":
        return {
            "absent": f"The quantiles are of the reward {settings.reward.name}, which no account ever shows; "
            "with reward=pnl they are checked."
        }
    whole = settings.algo.target_quantiles > 0
    found = [
        outlook(
            policy,
            tape,
            terms,
            discount=settings.algo.discount,
            whole_return=whole,
            most_rows=MOST_ROWS // len(walks),
        )
        for policy, tape in walks
    ]
    return {"of": ALL if whole else A_BAR, "overlapping": whole, **_coverage(found)}


def _coverage(found: Sequence[Outlook]) -> dict[str, Any]:
    levels = found[0].levels
    table = calibration.coverage(
        np.concatenate([part.told for part in found]), levels, np.concatenate([part.realised for part in found])
    )
    places = dict.fromkeys(int(np.abs(levels - level).argmin()) for level in READ)
    return {
        "rows": table[0]["n"],
        "levels": [table[place] for place in places],
        "levels_in_all": len(table),
        "mean_absolute_error": float(np.mean([abs(row["covered"] - row["level"]) for row in table])),
    }


def sentence(checked: Mapping[str, Any]) -> str:
    """Say in one line what `check` found."""
    if "absent" in checked:
        return str(checked["absent"])
    pairs = ", ".join(f"{row['level']:.1%} told {row['covered']:.1%} came" for row in checked["levels"])
    return (
        f"quantiles on {checked['rows']:,} fresh rows: {pairs}; off by {checked['mean_absolute_error']:.1%} on average "
        f"over {checked['levels_in_all']} levels"
    )
