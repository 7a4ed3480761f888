"""Labels of other days: what a system finds there is not skill but a crack in how it learns and judges."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mia.evaluation.audit.delay import rank_correlation
from mia.evaluation.audit.finding import CLEAN, LEAK, Finding, Offence, skipped

Array = np.ndarray


def other_days(close: Array, session: Array, slot: Array, rng: np.random.Generator) -> Array:
    """(T,) closes [ticks] whose changes come from another session, at the same slot, of random sign.

    The sign keeps a pattern of the day (what the clock tells) from being foreseen.
    """
    days = np.unique(session)
    taken = dict(zip(days, rng.permutation(days), strict=True))
    sign = dict(zip(days, rng.choice([-1.0, 1.0], len(days)), strict=True))
    change = np.diff(close, prepend=close[:1])
    change[np.diff(session, prepend=session[:1]) != 0] = 0.0
    table = {day: dict(zip(slot[session == day], change[session == day], strict=True)) for day in days}
    out = np.zeros(len(close))
    for day in days:
        rows = np.flatnonzero(session == day)
        source = table[taken[day]]
        out[rows] = sign[day] * np.array([source.get(s, 0.0) for s in slot[rows]])
    walked = np.cumsum(np.nan_to_num(out))
    return close[0] + walked - min(0.0, float(walked.min()) + float(close[0]) - 1.0)


def ridge_forecast(view: Array, target: Array, train: slice, penalty: float = 1.0) -> Array:
    """(T,) linear forecast of `target` from (T, S) columns, learned on the rows `train` where it is known."""
    rows = np.arange(len(target))[train]
    rows = rows[np.isfinite(target[rows])]
    mean, spread = view[rows].mean(axis=0), view[rows].std(axis=0)
    scaled = (view - mean) / np.where(spread > 1e-9, spread, 1.0)
    x, y = scaled[rows], target[rows] - target[rows].mean()
    weights = np.linalg.solve(x.T @ x + penalty * len(rows) * np.eye(x.shape[1]), x.T @ y)
    return scaled @ weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One shuffled run: rank correlation of forecast and outcome in each test session, and hits of its direction."""

    correlations: tuple[float, ...]
    hits: int
    calls: int


def judge(forecast: Array, target: Array, session: Array, test: slice) -> Run:
    """Judge a forecast on the test rows, session by session."""
    days, f, y = session[test], forecast[test], target[test]
    found = [rank_correlation(f[days == day], y[days == day], 30) for day in np.unique(days)]
    told = np.isfinite(y) & (y != 0) & (f != 0)
    return Run(
        correlations=tuple(c for c in found if np.isfinite(c)),
        hits=int(np.sum(np.sign(f[told]) == np.sign(y[told]))),
        calls=int(told.sum()),
    )


def finding(runs: Sequence[Run], errors: float, least_ic: float) -> Finding:
    """Call it a leak if what cannot be foreseen is foreseen: mean correlation beyond `errors` standard errors."""
    found = np.array([c for run in runs for c in run.correlations])
    calls = sum(run.calls for run in runs)
    if len(found) < 4 or not calls:
        return skipped("learning", "shuffled sessions", "too few test sessions; raise audit.shuffles or audit.sessions")
    mean, error = float(found.mean()), float(found.std(ddof=1) / np.sqrt(len(found)))
    share = sum(run.hits for run in runs) / calls
    told = f"IC {mean:+.4f} +- {error:.4f} over {len(found)} sessions, direction right in {share:.2%}"
    leak = mean > errors * error and mean > least_ic
    return Finding(
        area="learning",
        check="shuffled sessions",
        verdict=LEAK if leak else CLEAN,
        rows=calls,
        cuts=len(runs),
        offences=(Offence(column="selection and ridge", detail=told),) if leak else (),
        note=told,
        facts={"ic": mean, "standard_error": error, "accuracy": share},
    )
