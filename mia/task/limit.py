"""What a learner under a limit says of it: for summary.json, the report and the sentences on a policy that stays flat.

Everything is read off the policy's card, so that it can be told of a bundle as well. Called by the tasks that judge.
"""

from collections.abc import Mapping
from typing import Any

from mia.evaluation import formats

MEASURED = ("cvar_low", "cvar_high", "violation_rate", "violation_rate_exploring", "worst_episode")

WHY_FLAT = {
    "luck": "on rows kept from training it did not beat doing nothing by more than luck",
    "limit": "no checkpoint kept the limit on its worst episodes",
}
"""What `abstains_because` of a card means, to follow "stays flat: "."""

UNITS = {
    "usd": "US dollars",
    "bar": "deviations of what a bar gains",
    "episode": "deviations of what a bar gains times the root of an episode's length",
}
"""How people call the units of a limit."""


def why_flat(policy: Any) -> str | None:
    """Return the key of `WHY_FLAT` of a policy that abstains, None if it does not."""
    return (policy.card.get("abstains_because") or "luck") if policy.abstains else None


def constraint(card: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the checkpoint chosen risks beside its limit; None for a learner without one.

    Returns
    -------
    `measure`, `alpha`, `unit`, `limit` [unit], `allowed` (where the interval's upper end may be [unit]), `kept`;
    of the episodes learned from and those kept for choosing `cvar`, `cvar_low`, `cvar_high`, `worst_episode` [unit],
    `violation_rate` and `violation_rate_exploring` [share; since the training
    began, at the costs charged then]; of the latter alone `cvar_unseen` [unit]; `multiplier`;
    `episodes` [count]; `trace`, how multiplier and CVaR went at each measurement.
    """
    if card.get("breach") is None:
        return None
    asked = card["settings"]["constraint"]
    seen = next(look for look in reversed(card["curve"]) if look["step"] == card["selected_step"])
    return {
        "measure": asked["measure"],
        "alpha": asked["alpha"],
        "confidence": asked["confidence"],
        "unit": asked["unit"],
        "limit": seen["cvar_limit"],
        "allowed": seen["cvar_limit"] * (1.0 + asked["tolerance"]),
        # By the learner's own measure, to which the episodes no gradient has seen have a say as well.
        "kept": card["breach"] <= 0,
        "cvar": seen["cvar_loss"],
        **{key: seen[key] for key in MEASURED},
        "cvar_unseen": seen["cvar_unseen"],
        "multiplier": seen["multiplier"],
        "selected_step": card["selected_step"],
        "episodes": card["episodes"],
        "episodes_are_scarce": card["episodes_are_scarce"],
        "trace": card["trace"],
    }


def looks(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the looks at the CVaR and the measurements that set the multiplier: `training_figures.risk`'s rows."""
    blank = dict.fromkeys(("cvar_loss", "cvar_low", "cvar_high", "cvar_limit", "multiplier"))
    seen = [{key: look[key] for key in ("step", *blank)} | {"multiplier": None} for look in card["curve"]]
    trace = card["trace"]
    priced = [
        {**blank, "step": step, "multiplier": price}
        for step, price in zip(trace["step"], trace["multiplier"], strict=True)
    ]
    return sorted(seen + priced, key=lambda row: row["step"])


def row(fold: int, block: Mapping[str, Any]) -> dict[str, Any]:
    """Return a fold's line of the report's table; `block` is that of `constraint`."""
    return {
        "fold": fold,
        "CVaR": block["cvar"],
        "interval": (block["cvar_low"], block["cvar_high"]),
        "limit": block["limit"],
        "kept": block["kept"],
        "CVaR of unseen rows": block["cvar_unseen"],
        "episodes above it_share": block["violation_rate"],
        "worst episode": block["worst_episode"],
        "multiplier": block["multiplier"],
    }


def note(block: Mapping[str, Any]) -> str:
    """Say what is limited and in which unit."""
    what = {"loss": "loss", "drawdown": "largest drawdown"}[block["measure"]]
    worst, sure = formats.percent(1 - block["alpha"]), formats.percent(block["confidence"])
    return (
        f"CVaR is the mean {what} of the worst {worst} of the episodes, for one contract, in {UNITS[block['unit']]}. "
        f"The limit is kept if the upper end of the {sure} interval is at most "
        f"{block['allowed'] / block['limit']:.3g} times the limit and rows no gradient has seen do not belie it."
    )
