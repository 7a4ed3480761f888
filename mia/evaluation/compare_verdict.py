"""Plain sentences on groups and on the best of all trials, and their tone. Called by task=compare."""

from collections.abc import Mapping, Sequence
from typing import Any

from mia.evaluation import formats
from mia.evaluation.compare_report import Panel
from mia.evaluation.luck import Luck
from mia.evaluation.seeds import Standing
from mia.evaluation.settings import CompareSettings, EvaluationSettings

MOST_SENTENCES = 3


def verdict(
    panels: Sequence[Panel],
    trials: Mapping[str, int],
    lucks: Mapping[str, Sequence[Luck]],
    judge: EvaluationSettings,
    settings: CompareSettings,
) -> tuple[str, str]:
    """Say who is ahead and whether the best of all trials is more than luck.

    Parameters
    ----------
    panels : the main ones first
    trials : market -> trials counted
    lucks : market -> what luck explains of the best, per set of days; markets without any are left out
    judge, settings : hurdles

    Returns
    -------
    (sentences, tone): "good" only if the lead is clear, rests on enough seeds and no market's best may be luck.
    """
    shown = [panel for panel in panels if panel.main][:MOST_SENTENCES]
    leads = [lead(panel, settings.least_seeds, brief=len(shown) > 1) for panel in shown]
    sentences = [
        sentence if len(shown) == 1 else f"On {panel.title}: {sentence}"
        for panel, (sentence, _) in zip(shown, leads, strict=True)
    ]
    good = all(clear for _, clear in leads)
    for market, found in lucks.items():
        skilled = sum(luck.is_skill(judge, settings) for luck in found)
        where = f"{market}, {trials[market]} trial" + ("" if trials[market] == 1 else "s")
        good &= skilled == len(found)
        if skilled == 0:
            sentences.append(f"The best of all trials is not distinguishable from luck ({where}).")
        elif skilled < len(found):
            sentences.append(
                f"The best of all trials clears every hurdle on {skilled} of {len(found)} sets of days ({where})."
            )
        else:
            sentences.append(f"The best of all trials clears every hurdle ({where}).")
    return " ".join(sentences), "good" if good else "open"


def lead(panel: Panel, least_seeds: int, brief: bool = False) -> tuple[str, bool]:
    """Say who stands first and who cannot be told from it; whether the lead is clear and rests on enough seeds.

    Brief leaves the worst seed to the table.
    """
    best = panel.standings[0]
    enough = min(standing.seeds for standing in panel.standings) >= least_seeds
    reached = f"interquartile mean of the {panel.label} {_text(best.iqm, panel)}"
    if best.interval:
        reached += f" ({_text(best.interval, panel)})"
    reached += f" over {_runs(best)}"
    worst = "" if brief else f"; its worst seed, {best.worst.seed}, reached {_text(best.worst.value, panel)}"
    own = [duel for duel in panel.duels if duel.ahead == best.group]
    if own and len({score.value for standing in panel.standings for score in standing.scores}) == 1:
        names = ", ".join(standing.group for standing in panel.standings)
        return f"Nobody is ahead: every run of {names} reached the same {panel.label}, {_text(best.iqm, panel)}.", False
    if not own:
        return f"{best.group}: {reached}{worst}.", enough
    unclear = sorted((duel for duel in own if not duel.decided), key=lambda duel: duel.probability)
    if unclear:
        closest = unclear[0]
        span = f", {formats.interval(closest.interval)}" if closest.interval else ""
        others = f" nor from {', '.join(duel.behind for duel in unclear[1:])}" if unclear[1:] else ""
        return (
            f"{best.group} stands first, {reached}, but cannot be told from {closest.behind} "
            f"(probability of improvement {closest.probability:.2f}{span}){others}{worst}."
        ), False
    closest = min(own, key=lambda duel: duel.probability)
    return (
        f"{best.group} is ahead of {', '.join(duel.behind for duel in own)}, {reached} "
        f"(probability of improvement at least {closest.probability:.2f}){worst}."
    ), enough


def _runs(standing: Standing) -> str:
    count = len(standing.scores)
    return f"{count} run" + ("" if count == 1 else "s")


def _text(value: Any, panel: Panel) -> str:
    return formats.plain(value, f"score{panel.unit}")
