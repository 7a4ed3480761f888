"""What the paths of a cross-validation say together: how figures lie over them, the chance of loss, one sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mia.evaluation import formats
from mia.evaluation.bootstrap import block_length, stationary_indices

Array = np.ndarray

LATER_ROWS = (
    "Policies here also learned from sessions after those they were tested on: this tells how stable what is learned "
    "is, not what could have been earned. The walk-forward run stays the headline."
)
SHARED_ROWS = (
    "Paths cover the same sessions and share trainings, so they are not independent: their spread shows how much "
    "depends on what was learned from, and understates how much depends on the days."
)


def spread(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """How an account's figures lie over the paths.

    Parameters
    ----------
    figures : per path, with `net_usd` and `sharpe`

    Returns
    -------
    median, worst and best of both (median_net_usd, ...), and losing_share: the share of paths that end below where
    they began
    """
    found = {}
    for name in ("net_usd", "sharpe"):
        values = np.array([path[name] for path in figures], dtype=np.float64)
        found |= {
            f"median_{name}": float(np.median(values)),
            f"worst_{name}": float(values.min()),
            f"best_{name}": float(values.max()),
        }
    return found | {"losing_share": float(np.mean([path["net_usd"] < 0 for path in figures]))}


def loss_probability(daily: Sequence[Array], rng: np.random.Generator, samples: int) -> float:
    """Probability that as many sessions as were tested end in a loss: any path, its days drawn anew in blocks.

    Parameters
    ----------
    daily : per path, (n,) net profit of each session [USD]
    rng : source of the resamples
    samples : resamples over all paths
    """
    each = -(-samples // len(daily))
    lost = [path[stationary_indices(len(path), each, block_length(path), rng)].sum(axis=1) < 0 for path in daily]
    return float(np.mean(lost))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found.

    Parameters
    ----------
    paths, trainings : how many
    idle : trainings whose policy stayed flat because nothing it learned beat doing nothing by more than luck
    spread : of the policy, see `spread`
    loss_probability : see there
    hold_net_usd : buy and hold on the same sessions [USD]
    """

    paths: int
    trainings: int
    idle: int
    spread: Mapping[str, float]
    loss_probability: float
    hold_net_usd: float


def sentence(found: Found, confidence: float) -> tuple[str, str]:
    """The verdict in plain words, and its tone: "good", "open" or "bad".

    Stable means that no path loses and that the chance of loss is at most 1 - `confidence`.
    """
    if found.idle == found.trainings:
        idle = f"The policy stayed flat in all {found.trainings} trainings"
        return f"{idle}: there is nothing whose stability could be judged.", "open"
    over, lost = found.spread, round(found.spread["losing_share"] * found.paths)
    if over["median_net_usd"] < 0:
        judged, tone = "What is learned loses on most paths", "bad"
    elif lost == 0 and over["worst_net_usd"] > 0 and found.loss_probability <= 1.0 - confidence:
        judged, tone = "What is learned is stable over the choice of sessions", "good"
    else:
        judged, tone = "What is learned depends on which sessions it is learned from", "open"
    # No share of finitely many resamples can tell "never".
    chance = formats.percent(found.loss_probability) if found.loss_probability >= 0.001 else "under 0.1 %"
    told = (
        f"{judged}: over {found.paths} path{'s' if found.paths > 1 else ''} from {found.trainings} trainings the "
        f"median earned {formats.usd(over['median_net_usd'])} (Sharpe {formats.ratio(over['median_sharpe'])}), the "
        f"worst {formats.usd(over['worst_net_usd'])}; {lost or 'none'} of {found.paths} lost, the chance of loss is "
        f"{chance}; buy and hold made {formats.usd(found.hold_net_usd)} on the same "
        "sessions."
    )
    if found.idle:
        told += f" In {found.idle} trainings the policy stayed flat."
    return told, tone


def account_row(name: str, over: Mapping[str, float], paths: int) -> dict[str, Any]:
    """A row of the table of accounts, for page and terminal."""
    return {
        "account": name.replace("_", " "),
        "median_usd": over["median_net_usd"],
        "worst_usd": over["worst_net_usd"],
        "median Sharpe": over["median_sharpe"],
        "worst Sharpe": over["worst_sharpe"],
        "paths that lose": f"{round(over['losing_share'] * paths)} of {paths}",
    }


def written(row: Mapping[str, Any]) -> dict[str, str]:
    """A row as text for the terminal, units told by the keys' suffix."""
    return {
        f"{key.removesuffix('_usd')} [USD]" if key.endswith("_usd") else key: formats.plain(value, key)
        for key, value in row.items()
    }
