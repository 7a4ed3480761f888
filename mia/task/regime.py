"""Per fold: fitted features, scaler and hidden Markov model, all from the fold's training rows alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mia.desk.regime_inputs import regime_inputs
from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.evaluation.walk_forward import Fold, folds
from mia.features.fitted import FittedParameters
from mia.features.fitted import fit as fit_features
from mia.features.normalisation import Scaler
from mia.features.plan import Plan
from mia.regime import regime_detector
from mia.regime.regime_detector import RegimeModel
from mia.task import features, ingest, store
from mia.task.features import FeatureTable
from mia.task.ingest import Ingested
from mia.task.settings import RunSettings
from mia.task.watch import Watch

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldState:
    """What one fold's training rows taught everything below the policy.

    Parameters
    ----------
    fold : its rows
    plan : the feature plan with this fold's fitted numbers
    fitted : those numbers, and what could not be fitted
    scaler : raw features to the model view
    regime : the hidden Markov model
    """

    fold: Fold
    plan: Plan
    fitted: FittedParameters
    scaler: Scaler
    regime: RegimeModel


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldView:
    """All T rows as one fold's artefacts see them.

    Parameters
    ----------
    features : (T, C) raw; view : (T, F) scaled, neutral where missing; masks : (T, M); belief : (T, K)
    """

    features: Array
    view: Array
    masks: Array
    belief: Array


def splits(settings: RunSettings, made: Ingested) -> list[Fold]:
    """The walk-forward folds of the bars at hand."""
    return folds(made.bars.column("cal.session").astype(np.int64), settings.evaluation)


def make(
    settings: RunSettings, made: Ingested, table: FeatureTable, fold: Fold, previous: RegimeModel | None
) -> FoldState:
    """Fit features, then the scaler on them, then the regime model on the scaled view."""
    from mia.features.engine import FeatureEngine

    values, slots = made.bars.values, _slots(made)
    fitted = fit_features(table.plan, values, table.values, fold.train)
    plan = table.plan.with_parameters(fitted.params)
    raw = FeatureEngine(plan).batch(values[: fold.train.stop])
    ts = made.bars.ts[: fold.train.stop]
    slots = slots[: fold.train.stop]
    scaler = Scaler.fit(plan, raw, slots, fold.train, ts=ts, settings=settings.features.scaler)
    scaled, _ = scaler.transform(raw, slots)
    X = regime_inputs(raw, scaled, input_columns(settings.regime.inputs, plan))[fold.train]
    model = regime_detector.fit(
        X,
        settings.regime,
        generator(settings.seed, "regime", str(fold.index)),
        previous,
        (_moment(ts[fold.train.start]), _moment(ts[-1])),
    )
    return FoldState(fold=fold, plan=plan, fitted=fitted, scaler=scaler, regime=model)


def view(made: Ingested, state: FoldState) -> FoldView:
    """Walk all rows with a fold's artefacts; nothing is fitted here."""
    from mia.features.engine import FeatureEngine

    raw = FeatureEngine(state.plan).batch(made.bars.values)
    scaled, masks = state.scaler.transform(raw, _slots(made))
    belief = state.regime.filter(regime_inputs(raw, scaled, input_columns(state.regime.inputs, state.plan)))
    return FoldView(features=raw, view=scaled, masks=masks, belief=belief)


def input_columns(names: Sequence[str], plan: Plan) -> Array:
    """(Fx,) columns of the view the regime model reads.

    Raises
    ------
    ConfigurationError : if the feature set does not compute one of them.
    """
    place = {name: at for at, name in enumerate(plan.names)}
    for name in names:
        if name not in place:
            raise ConfigurationError(f"regime.inputs names {name}, which is not computed; choose a feature of the set")
    return np.array([place[name] for name in names], dtype=np.int64)


def _slots(made: Ingested) -> Array:
    return made.bars.column("cal.slot").astype(np.int64)


def _moment(ts: int) -> str:
    return str(np.datetime64(int(ts), "ns"))[:19] + "Z"


def all_folds(settings: RunSettings, made: Ingested, table: FeatureTable, watch: Watch) -> list[FoldState]:
    """Fit every fold in order; each regime model is aligned to the one before."""
    states: list[FoldState] = []
    todo = splits(settings, made)
    with watch.step("scaler and regimes", len(todo)) as step:
        for fold in todo:
            previous = states[-1].regime if states else None
            states.append(make(settings, made, table, fold, previous))
            step(len(states), len(todo))
    return states


def transitions_csv(states: list[FoldState]) -> str:
    """The transition matrices of all folds as CSV text."""
    rows = [row for state in states for row in regime_detector.transitions_table(state.regime, state.fold.index)]
    lines = [",".join(rows[0])]
    lines += [",".join(str(value) for value in row.values()) for row in rows]
    return "\n".join(lines) + "\n"


def save(states: list[FoldState], target: Path) -> None:
    """Write fold_<k>/{fitted,scaler,regime}.json and hmm_transitions.csv as one folder."""
    with store.replacing(target) as fresh:
        for state in states:
            folder = fresh / f"fold_{state.fold.index}"
            store.write_text(folder / "fitted.json", state.fitted.to_json())
            store.write_text(folder / "scaler.json", state.scaler.to_json())
            store.write_text(folder / "regime.json", state.regime.to_json())
        store.write_text(fresh / "hmm_transitions.csv", transitions_csv(states))


def load(settings: RunSettings, made: Ingested, table: FeatureTable) -> list[FoldState]:
    """Read what `save` wrote.

    Raises
    ------
    ArtefactMissing : if the stage has not run.
    """
    market = settings.market.name
    remedy = f"python -m mia +market={market} task=regime"
    root = store.folder(settings.outputs, "regime", market)
    states = []
    for fold in splits(settings, made):
        folder = root / f"fold_{fold.index}"
        fitted = FittedParameters.from_json(store.read_text(folder / "fitted.json", remedy))
        states.append(
            FoldState(
                fold=fold,
                plan=table.plan.with_parameters(fitted.params),
                fitted=fitted,
                scaler=Scaler.from_json(store.read_text(folder / "scaler.json", remedy)),
                regime=RegimeModel.from_json(store.read_text(folder / "regime.json", remedy)),
            )
        )
    return states


def log_transitions(settings: RunSettings, states: list[FoldState]) -> None:
    """Keep the transition matrices where people look for logs: outputs/logs/<market>/hmm_transitions.csv."""
    path = store.folder(settings.outputs, "logs", settings.market.name) / "hmm_transitions.csv"
    store.write_text(path, transitions_csv(states))


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Run the stage on its own."""
    made = ingest.load(settings)
    states = all_folds(settings, made, features.load(settings, made), watch)
    target = store.folder(settings.outputs, "regime", settings.market.name)
    save(states, target)
    log_transitions(settings, states)
    watch.say(f"wrote {target}")
