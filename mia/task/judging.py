"""Walks every fold's test rows with policy and baselines, and turns the walks into figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mia.broker.terms import Terms, terms
from mia.desk.backtest import Track, run_policy, run_targets
from mia.desk.tape import Tape
from mia.domain.rng import generator
from mia.evaluation import baselines
from mia.evaluation.performance import Outcome, daily_net_usd, joined, outcome, performance
from mia.evaluation.walk_forward import Fold
from mia.features.shap_weighting import Selection
from mia.risk.limits import Limits, limits, unlimited
from mia.task.regime import FoldState
from mia.task.settings import RunSettings

Array = np.ndarray
POLICY = "policy"
HOLDS_OVERNIGHT = ("buy_and_hold", "always_short")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """One fold, ready to be judged.

    Parameters
    ----------
    fold : its rows
    tape : rows from the first bar to the end of the test, with this fold's observations
    policy : what decides
    state : fitted artefacts of the fold
    selection : columns the policy sees
    bar_minutes : length of a bar [minutes]
    """

    fold: Fold
    tape: Tape
    policy: Any
    state: FoldState
    selection: Selection
    bar_minutes: int


@dataclass(slots=True, kw_only=True)
class Walks:
    """Outcomes by fill model and by name under the headline fills, fold by fold, and the policy's tracks."""

    fills: dict[str, list[Outcome]] = field(default_factory=dict)
    names: dict[str, list[Outcome]] = field(default_factory=dict)
    tracks: list[Track] = field(default_factory=list)


def unseen(judged: Judged) -> tuple[Any, Tape]:
    """The fold's policy and the test rows it never saw."""
    return judged.policy, judged.tape.slice(judged.fold.test.start, judged.fold.test.stop)


def walk(settings: RunSettings, folds: Sequence[Judged], progress: Any) -> Walks:
    """Walk every fold's test rows with the policy and the baselines."""
    walks = Walks()
    for at, judged in enumerate(folds):
        _walk_fold(settings, judged, walks)
        progress(at + 1, len(folds))
    return walks


def _walk_fold(settings: RunSettings, judged: Judged, walks: Walks) -> None:
    _, tape = unseen(judged)
    bounds = limits(settings.risk, settings.market)
    headline = settings.broker.headline
    for model in settings.broker.models:
        track = run_policy(tape, judged.policy, terms(settings.market, model), bounds)
        walks.fills.setdefault(model.name, []).append(outcome(track))
        if model.name == headline:
            walks.tracks.append(track)
    cost = terms(settings.market, settings.broker.model(headline))
    walks.names.setdefault(POLICY, []).append(walks.fills[headline][-1])
    for name, targets in _targets(settings, judged, tape, walks.tracks[-1]).items():
        walks.names.setdefault(name, []).append(outcome(_run(name, tape, targets, cost, bounds)))


def _run(name: str, tape: Tape, targets: Array, cost: Terms, bounds: Limits) -> Track:
    """Baselines obey the desk's rules, except those whose whole point is to hold through the night."""
    if name in HOLDS_OVERNIGHT:
        tape = replace(tape, must_flat=np.zeros(len(tape), np.bool_))
        bounds = unlimited(bounds.max_contracts)
    everywhere = replace(tape, may_enter=np.ones(len(tape), np.bool_))
    return run_targets(everywhere, targets * bounds.max_contracts, cost, bounds)


def rules(settings: RunSettings, tape: Tape, bar_minutes: int) -> dict[str, Array]:
    """Targets of the rules that learn nothing: name -> (T,) in -1, 0, 1."""
    rules_of = settings.evaluation.baselines
    fast, slow = baselines.sma_windows(bar_minutes, rules_of)
    return {
        "flat": baselines.flat(len(tape)),
        "buy_and_hold": baselines.buy_and_hold(len(tape)),
        "always_short": baselines.always_short(len(tape)),
        "long_intraday": baselines.long_intraday(tape.must_flat),
        "sma_cross": baselines.sma_cross(tape.close, tape.must_flat, fast, slow),
        "rsi_reversion": baselines.rsi_reversion(tape.close, tape.must_flat, rules_of),
    }


def _targets(settings: RunSettings, judged: Judged, tape: Tape, track: Track) -> dict[str, Array]:
    test, whole = judged.fold.test, judged.tape
    # Rules see the bars before the test as well: their averages are warm, as the policy's features are.
    found = {name: values[test] for name, values in rules(settings, whole, judged.bar_minutes).items()}
    wished = np.append(track.position[1:], 0)
    rng = generator(settings.seed, "baseline", "random", str(judged.fold.index))
    found["random"] = baselines.random_like(np.sign(wished), tape.must_flat, tape.session, rng)
    found["ridge"] = _ridge(settings, judged)[test]
    return found


def _ridge(settings: RunSettings, judged: Judged) -> Array:
    """Ridge targets for all rows, fitted on the training rows of the very columns the policy sees."""
    train, whole = judged.fold.train, judged.tape
    seen = whole.obs[:, : len(judged.selection.names)].astype(np.float64)
    cost = terms(settings.market, settings.broker.model(settings.broker.headline))
    rule = baselines.fit_ridge(
        seen[train],
        whole.open[train],
        whole.close[train],
        whole.session[train],
        whole.must_flat[train],
        cost.side_cost_cents / cost.tick_value_cents,
        settings.evaluation.baselines,
    )
    return rule.targets(seen, whole.must_flat)


def figures(settings: RunSettings, outcomes: Sequence[Outcome], name: str) -> dict[str, Any]:
    """Performance of consecutive outcomes, bootstrapped with a stream of its own."""
    judge = settings.evaluation
    rng = generator(settings.seed, "bootstrap", name)
    return performance(joined(outcomes), rng, judge.bootstrap_samples, judge.confidence)


def reference(settings: RunSettings, tape: Tape, bar_minutes: int) -> dict[str, dict[str, Any]]:
    """Rules that learn nothing over the whole sample under central fills: to be held against others' results."""
    cost = terms(settings.market, settings.broker.central)
    found = {}
    for name, targets in rules(settings, tape, bar_minutes).items():
        if name != "flat":
            track = _run(name, tape, targets, cost, unlimited(settings.risk.max_contracts))
            found[name] = figures(settings, [outcome(track)], f"reference-{name}")
    return found


def daily(outcomes: Sequence[Outcome]) -> Array:
    """Net profit of every judged session [USD]."""
    return np.concatenate([daily_net_usd(part) for part in outcomes])


def compare(walks: Walks, settings: RunSettings) -> Any:
    """The policy against the best baseline, flat among them."""
    from mia.evaluation.compare import against_best

    others: Mapping[str, Array] = {
        name: daily(parts) for name, parts in walks.names.items() if name not in (POLICY, "random")
    }
    rng = generator(settings.seed, "compare")
    return against_best(daily(walks.names[POLICY]), others, rng, settings.evaluation.bootstrap_samples)
