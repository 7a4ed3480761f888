"""Per fold: the newest fit below the policy and the model view, from the fold's training rows alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mia.desk.feature_pipeline import Block
from mia.desk.model_view import ModelView
from mia.desk.plans import Plans
from mia.desk.snapshot import Snapshot
from mia.evaluation.walk_forward import Fold, folds
from mia.regime import regime_detector
from mia.regime.regime_detector import REGIMES, RegimeModel
from mia.task import features, ingest, store
from mia.task.features import FeatureTable
from mia.task.ingest import Ingested
from mia.task.settings import RunSettings
from mia.task.watch import Watch

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldState:
    """What a fold knows below the policy.

    Parameters
    ----------
    fold : its rows
    plans : the feature plans
    snapshot : the newest fit on rows before the end of training
    view : raw features to the model view, fitted on the training rows
    """

    fold: Fold
    plans: Plans
    snapshot: Snapshot
    view: ModelView

    @property
    def regime(self) -> RegimeModel:
        """The hidden Markov model in force from the end of training on."""
        return self.snapshot.regime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldView:
    """The rows of a fold, from the first bar to the end of its test, as its artefacts see them.

    Parameters
    ----------
    block : raw columns and belief, R rows
    view : (R, F) scaled, neutral where missing
    masks : (R, M) presence of the groups
    """

    block: Block
    view: Array
    masks: Array


def splits(settings: RunSettings, made: Ingested) -> list[Fold]:
    """The walk-forward folds of the bars at hand.

    Raises
    ------
    ConfigurationError : if there are too few sessions, or no fit falls before the first training ends.
    """
    session = made.bars.column("cal.session")
    found = folds(session.astype(np.int64), settings.evaluation)
    features.check_fits(settings, session, found[0].train.stop)
    return found


def make(settings: RunSettings, made: Ingested, table: FeatureTable, fold: Fold) -> FoldState:
    """Choose the newest fit before the fold's training ends, and fit the view on the training rows."""
    return FoldState(
        fold=fold,
        plans=table.plans,
        snapshot=features.newest(settings, table.snapshots, fold.train_stop),
        view=fit_view(settings, table.plans, table.block, made.bars.column("cal.slot"), made.bars.ts, fold.train),
    )


def fit_view(
    settings: RunSettings, plans: Plans, block: Block, slots: Array, ts: Array, train: slice | Array
) -> ModelView:
    """Fit the model view on at most `snapshots.most_rows` training rows, evenly chosen."""
    rows = thinned(train, settings.snapshots.most_rows)
    return ModelView.fit(plans, block, slots.astype(np.int64), rows, ts=ts, settings=settings.features.scaler)


def thinned(train: slice | Array, most: int) -> slice | Array:
    """At most so many of the training rows, evenly spread; all of them if they are fewer."""
    if isinstance(train, slice):
        if train.stop - train.start <= most:
            return train
        return np.unique(np.linspace(train.start, train.stop - 1, most).astype(np.int64))
    return train[thinned(slice(0, len(train)), most)]


def view(settings: RunSettings, made: Ingested, table: FeatureTable, state: FoldState) -> FoldView:
    """Walk a fold's rows with its artefacts; nothing is fitted here."""
    _, block = features.frozen(settings, made, table, state.fold.train_stop, state.fold.test.stop)
    return scaled(made, state, block)


def scaled(made: Ingested, state: FoldState, block: Block) -> FoldView:
    """The first rows of the bars as the fold's scaler sees them."""
    view, masks = state.view.transform(block, made.bars.column("cal.slot")[: len(block)].astype(np.int64))
    return FoldView(block=block, view=view, masks=masks)


def all_folds(settings: RunSettings, made: Ingested, table: FeatureTable, watch: Watch) -> list[FoldState]:
    """Prepare every fold in order."""
    todo = splits(settings, made)
    states: list[FoldState] = []
    with watch.step("scale per fold", len(todo)) as step:
        for fold in todo:
            states.append(make(settings, made, table, fold))
            step(len(states), len(todo))
    return states


def transitions_csv(snapshots: list[Snapshot]) -> str:
    """The transition matrices of all fits as CSV text."""
    rows = [row for snapshot in snapshots for row in regime_detector.transitions_table(snapshot.regime, snapshot.index)]
    if not rows:
        return ""
    lines = [",".join(rows[0])]
    lines += [",".join(str(value) for value in row.values()) for row in rows]
    return "\n".join(lines) + "\n"


def log_transitions(settings: RunSettings, snapshots: list[Snapshot]) -> None:
    """Keep the transition matrices where people look for logs: outputs/logs/<market>/hmm_transitions.csv."""
    path = store.folder(settings.outputs, "logs", settings.market.name) / "hmm_transitions.csv"
    store.write_text(path, transitions_csv(snapshots))


def load(settings: RunSettings, made: Ingested, table: FeatureTable) -> list[FoldState]:
    """Read what the stage wrote.

    Raises
    ------
    ArtefactMissing : if the stage has not run.
    """
    market = settings.market.name
    remedy = f"python -m mia +market={market} task=regime"
    root = store.folder(settings.outputs, "regime", market)
    return [
        FoldState(
            fold=fold,
            plans=table.plans,
            snapshot=features.newest(settings, table.snapshots, fold.train.stop),
            view=ModelView.from_json(store.read_text(root / f"fold_{fold.index}" / "view.json", remedy)),
        )
        for fold in splits(settings, made)
    ]


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Run the stage on its own, in the memory of one fold's training sample.

    Writes fold_<k>/view.json, hmm_transitions.csv and regimes.parquet (belief and likeliest regime of every bar).
    """
    stored = ingest.stored(settings)
    written = features.Stored(settings, stored)
    ts, slots, session = written.clock()
    todo = folds(session, settings.evaluation)
    target = store.folder(settings.outputs, "regime", settings.market.name)
    with store.replacing(target) as fresh, watch.step("scale per fold", len(todo)) as step:
        for done, fold in enumerate(todo):
            features.newest(settings, written.snapshots, fold.train.stop)
            rows = thinned(fold.train, settings.snapshots.most_rows)
            sample = np.arange(len(ts))[rows]
            found = ModelView.fit(
                written.plans,
                written.rows(sample),
                slots[sample],
                slice(0, len(sample)),
                ts=ts[sample],
                settings=settings.features.scaler,
            )
            store.write_text(fresh / f"fold_{fold.index}" / "view.json", found.to_json())
            step(done + 1, len(todo))
        store.write_text(fresh / "hmm_transitions.csv", transitions_csv(written.snapshots))
        written.write_regimes(fresh / "regimes.parquet", REGIMES)
    log_transitions(settings, written.snapshots)
    watch.rows("regimes by fit", [_regime_row(snapshot) for snapshot in written.snapshots])
    watch.say(f"wrote {target}")


def _regime_row(snapshot: Snapshot) -> dict[str, Any]:
    stays = np.diag(snapshot.regime.transmat)
    return {
        "fit": snapshot.index + 1,
        "bars": snapshot.fit_stop - snapshot.fit_start,
        "until": str(np.datetime64(snapshot.fit_end, "ns"))[:16],
        **{f"stay {name}": round(float(p), 4) for name, p in zip(REGIMES, stays, strict=True)},
        "log likelihood per bar": round(snapshot.regime.log_likelihood, 3),
    }
