"""Per fold: the columns the policy sees, chosen on the fold's training rows alone."""

from pathlib import Path
from typing import Any

import numpy as np

from mia.domain.rng import generator
from mia.features.shap_weighting import Selection
from mia.features.shap_weighting import select as choose
from mia.task import features, ingest, regime, store
from mia.task.ingest import Ingested
from mia.task.regime import FoldState, FoldView
from mia.task.settings import RunSettings
from mia.task.watch import Watch


def make(settings: RunSettings, made: Ingested, state: FoldState, seen: FoldView) -> Selection:
    """Choose columns inside one training fold."""
    bars, train = made.bars, state.fold.train
    published = len(state.plan.names)
    return choose(
        seen.view,
        bars.column("bar.close"),
        bars.column("cal.session").astype(np.int64),
        train,
        state.plan.specs,
        settings.selection,
        generator(settings.seed, "select", str(state.fold.index)),
        availability=np.isfinite(seen.features[train, :published]).mean(axis=0),
        fitted_on=state.regime.fitted_on,
    )


def save(selections: list[Selection], target: Path) -> None:
    """Write fold_<k>.json files as one folder."""
    with store.replacing(target) as fresh:
        for at, selection in enumerate(selections):
            store.write_text(fresh / f"fold_{at}.json", selection.to_json())


def load(settings: RunSettings, folds: int) -> list[Selection]:
    """Read what `save` wrote.

    Raises
    ------
    ArtefactMissing : if the stage has not run.
    """
    market = settings.market.name
    root = store.folder(settings.outputs, "select", market)
    remedy = f"python -m mia +market={market} task=select"
    return [Selection.from_json(store.read_text(root / f"fold_{at}.json", remedy)) for at in range(folds)]


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Run the stage on its own."""
    made = ingest.load(settings)
    states = regime.load(settings, made, features.load(settings, made))
    selections = []
    with watch.step("selection", len(states)) as step:
        for state in states:
            selections.append(make(settings, made, state, regime.view(made, state)))
            step(len(selections), len(states))
    target = store.folder(settings.outputs, "select", settings.market.name)
    save(selections, target)
    watch.say(f"wrote {target}: {len(selections[-1].names)} columns in the last fold")
