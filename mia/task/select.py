"""Per fold: the columns the policy sees, chosen on the fold's training rows alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mia.domain import digest
from mia.domain.rng import generator
from mia.features.shap_weighting import Selection, chosen
from mia.features.shap_weighting import select as choose
from mia.task import features, ingest, regime, store
from mia.task.ingest import Ingested
from mia.task.regime import FoldState, FoldView
from mia.task.settings import RunSettings
from mia.task.watch import Watch

Array = np.ndarray

EXEMPT = ("self_awareness",)
"""Families SHAP cannot judge: what a policy says of itself explains no return before there is a policy."""


def make(
    settings: RunSettings, made: Ingested, state: FoldState, seen: FoldView, previous: Selection | None = None
) -> Selection:
    """Choose columns inside one training fold."""
    bars, train = made.bars.head(len(seen.block)), state.fold.train
    encoder = state.snapshot.encoder
    found = choose(
        seen.view,
        bars.column("bar.close"),
        bars.column("cal.session").astype(np.int64),
        train,
        state.plans.view_specs,
        settings.selection,
        generator(settings.seed, "select", str(state.fold.index)),
        availability=availability(state, seen),
        fitted_on=state.regime.fitted_on,
        previous=previous,
        belief=seen.block.belief,
        exempt=EXEMPT,
        data_digest=digest.of_arrays(bars.ts[train], bars.values[train]),
        encoder_version=encoder.version if encoder else "",
        scaler_fingerprint=state.view.fingerprint,
    )
    selection, _, message = chosen(found, previous, state.plans.view_specs)
    return selection if not message else replace(selection, note=message)


def availability(state: FoldState, seen: FoldView) -> Array:
    """Share of training rows with a value, (F,); for columns of fits, of the rows after the first fit.

    Before the first fit they cannot exist: that is no lack of data.
    """
    train, plans = state.fold.train, state.plans
    parts = (seen.block.features[train, : len(plans.market.names)], seen.block.model[train], seen.block.own[train])
    table = np.concatenate([np.isfinite(part) for part in parts], axis=1)
    learned = plans.market.learned_nodes
    late = [at for at, name in enumerate(plans.names) if name in learned or name not in plans.market.names]
    share = table.mean(axis=0)
    there = table[:, late].any(axis=1)
    if there.any():
        share[late] = table[int(np.argmax(there)) :, late].mean(axis=0)
    return share


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
    table = features.load(settings)
    states = regime.load(settings, made, table)
    selections: list[Selection] = []
    with watch.step("selection", len(states)) as step:
        for state in states:
            before = selections[-1] if selections else None
            selections.append(make(settings, made, state, regime.view(settings, made, table, state), before))
            step(len(selections), len(states))
    target = store.folder(settings.outputs, "select", settings.market.name)
    save(selections, target)
    watch.say(f"wrote {target}: {len(selections[-1].names)} columns in the last fold")
