"""One plain sentence: can the result be told from luck?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mia.evaluation.compare import Comparison
from mia.evaluation.settings import EvaluationSettings

LUCK, SKILL, LOSS = "luck", "skill", "loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the figures allow to be said.

    Parameters
    ----------
    code : "luck" (cannot be told from it), "skill" (every hurdle cleared) or "loss" (interval below zero)
    sentence : the same for people
    dsr : deflated Sharpe ratio [probability]
    trials : runs counted in the ledger
    """

    code: str
    sentence: str
    dsr: float
    trials: int


def judge(
    figures: Mapping[str, Any],
    *,
    sessions: int,
    trials: int,
    dsr: float,
    comparison: Comparison | None,
    settings: EvaluationSettings,
) -> Verdict:
    """Judge a policy's out-of-sample figures.

    Parameters
    ----------
    figures : of `mia.evaluation.performance.performance`
    sessions : sessions tested
    trials : runs counted in the ledger, this one included
    dsr : of `mia.evaluation.deflated_sharpe.deflated_sharpe` with that count
    comparison : with the best baseline, flat among them; None if there is none
    settings : hurdles

    Returns
    -------
    "skill" needs all of: enough trades, an interval above zero, a deflated Sharpe ratio above its threshold,
    and a significant lead over the best baseline. "loss" needs an interval below zero. Everything else is
    "luck".
    """
    runs = f"{trials} trial" + ("" if trials == 1 else "s")

    def verdict(code: str, sentence: str) -> Verdict:
        return Verdict(code=code, sentence=sentence, dsr=dsr, trials=trials)

    span = f"{sessions} session" + ("" if sessions == 1 else "s")
    if figures["trades"] == 0:
        return verdict(
            LUCK,
            f"The policy stayed out of the market in all {span}: nothing to tell from luck ({runs}).",
        )
    made = f"After costs the policy made {_money(figures['net_usd'])} in {span}"
    if figures["trades"] < settings.min_trades:
        return verdict(
            LUCK,
            f"{made} with only {figures['trades']} sides: it almost stayed out, too little to tell from luck ({runs}).",
        )
    low, high = figures["sharpe_ci"]
    interval = f"its Sharpe interval [{low:.1f}, {high:.1f}]"
    if low <= 0 <= high:
        return verdict(
            LUCK,
            f"{made}; {interval} contains zero: this cannot be told from luck ({runs}{_years(figures)}).",
        )
    if high < 0:
        return verdict(LOSS, f"{made}; {interval} lies below zero: this is a loss, not bad luck ({runs}).")
    if dsr <= settings.dsr_threshold:
        return verdict(
            LUCK,
            f"{made}; {interval} lies above zero, but with {runs} the deflated Sharpe ratio is "
            f"{dsr:.2f}, not above {settings.dsr_threshold:.2f}: this cannot be told from luck.",
        )
    if comparison is not None and (comparison.p_value >= settings.baseline_p or comparison.difference_usd <= 0):
        return verdict(
            LUCK,
            f"{made}; {interval} lies above zero, but its lead over "
            f"{_words(comparison.baseline)} ({_money(comparison.difference_usd)}, "
            f"p = {comparison.p_value:.2f}) cannot be told from luck ({runs}).",
        )
    lead = "" if comparison is None else f", and it beats {_words(comparison.baseline)} (p = {comparison.p_value:.3f})"
    return verdict(
        SKILL,
        f"{made}; {interval} lies above zero, the deflated Sharpe ratio is {dsr:.2f} with {runs}{lead}: "
        "luck alone is an unlikely explanation.",
    )


def _money(usd: float) -> str:
    return f"-${-usd:,.0f}" if round(usd) < 0 else f"${abs(usd):,.0f}"


def _years(figures: Mapping[str, Any]) -> str:
    years = figures["years_needed"]
    if years is None:
        return "; no amount of data would help at a Sharpe ratio of zero"
    if years >= 100:
        return "; more than a hundred years of data would be needed"
    return f"; about {years:.1f} years of data would be needed"


def _words(name: str) -> str:
    return name.replace("_", " ")
