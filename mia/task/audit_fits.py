"""Everything that is fitted, fitted again with the rows after its own replaced; and the log of who saw which rows."""

from dataclasses import replace
from typing import Any

import numpy as np

from mia.desk.snapshot import Snapshot
from mia.domain.bars import Bars
from mia.domain.rng import generator
from mia.domain.series import CALENDAR, INDEX
from mia.evaluation.audit import fits, poison
from mia.evaluation.audit.finding import Finding, skipped
from mia.evaluation.audit.fits import Fit
from mia.task import features, regime, select, snapshots, train
from mia.task.audit_subject import Subject, short_training
from mia.task.features import FeatureTable
from mia.task.ingest import Ingested
from mia.task.regime import FoldView
from mia.task.watch import Watch

Array = np.ndarray
PLANNED = [INDEX[name] for name in CALENDAR]
PRICES = [INDEX[f"bar.{name}"] for name in ("open", "high", "low", "close")]
AFTER = 300
"""Rows of another market that follow the last fit when all of them are made again."""


def replaced(subject: Subject, row: int, stop: int) -> Ingested:
    """The bars up to `stop`, those from `row` on of another market."""
    bars = subject.made.bars.head(stop)
    values = bars.values.copy()
    rng = generator(subject.settings.audit.seed, "audit", "other market")
    values[row:] = poison.other_market(values[row:], PRICES, PLANNED, rng)
    return replace(subject.made, bars=replace(bars, values=values))


def below_the_policy(subject: Subject, watch: Watch) -> list[Finding]:
    """Walk and fit again on bars of which those after the last fit are replaced."""
    made = subject.table.snapshots
    if not made:
        return [skipped("fits", "fitted again", "nothing was fitted: too few sessions")]
    last = made[-1].fit_stop
    again = features.make(subject.settings, replaced(subject, last, min(last + AFTER, len(subject.made.bars))), watch)
    return [
        fits.same(
            f"fit {before.index + 1}", snapshots.parts(before), snapshots.parts(after), last, rows=before.fit_stop
        )
        for before, after in zip(made, again.snapshots, strict=True)
    ]


def of_the_fold(subject: Subject, watch: Watch) -> list[Finding]:
    """Scale, select and train again with everything after the fold's training rows replaced."""
    cut, stop = subject.state.fold.train.stop, subject.state.fold.test.stop
    settings, made = subject.settings, replaced(subject, cut, stop)
    rng = generator(settings.audit.seed, "audit", "other columns")
    block, state = subject.table.block.take(np.arange(len(subject.made.bars))), subject.state
    for part in (block.features, block.model, block.own):
        part[cut:] *= rng.uniform(-3.0, 3.0, part[cut:].shape)
    block.belief[cut:] = rng.dirichlet(np.ones(block.belief.shape[1]), len(block.belief) - cut)
    table: FeatureTable = replace(subject.table, block=block)
    whole_bars: Bars = subject.made.bars
    values = whole_bars.values.copy()
    values[: len(made.bars)] = made.bars.values
    # Selection and training are told of the whole table, as in a run: a slip in a slice then shows.
    made = replace(made, bars=replace(whole_bars, values=values))
    again = regime.make(settings, made, table, state.fold)
    slots = made.bars.column("cal.slot")[:stop].astype(np.int64)
    part = block.part(0, stop)
    view, masks = state.view.transform(part, slots)
    seen = FoldView(block=part, view=view, masks=masks)
    chosen = select.make(settings, made, state, seen)
    taught = train.lesson(settings, made, state, seen, subject.selection)
    found = [
        fits.same("view", {"scalers": state.view.to_json()}, {"scalers": again.view.to_json()}, cut, rows=cut),
        fits.same(
            "fold's fit",
            {"number": state.snapshot.index, "rows": state.snapshot.fit_stop},
            {"number": again.snapshot.index, "rows": again.snapshot.fit_stop},
            cut,
            rows=cut,
        ),
        fits.same("selection", {"columns": subject.selection.to_json()}, {"columns": chosen.to_json()}, cut, rows=cut),
    ]
    policy = short_training(settings, taught, watch)
    found.append(fits.same("policy", {"weights": subject.policy.digest}, {"weights": policy.digest}, cut, rows=cut))
    return found


def log(subject: Subject) -> Finding:
    """Who was fitted on which rows, by the moments the artefacts carry themselves where they do."""
    ts = subject.made.bars.ts
    found: list[Fit] = []
    for snapshot in subject.table.snapshots:
        found += [
            Fit(what=f"fit {snapshot.index + 1}: {name}", first=snapshot.fit_start, stop=stop, used=snapshot.fit_stop)
            for name, stop in _ends(snapshot, ts).items()
        ]
    fold, card = subject.state.fold, subject.policy.card
    rows = (fold.train.start, fold.train.stop)
    for what in ("view", "selection", "policy"):
        found.append(Fit(what=f"fold: {what}", first=rows[0], stop=rows[1], used=fold.test.start))
    judged = int(card.get("validation_rows", 0))
    if judged:
        found.append(Fit(what="fold: choice of checkpoint", first=rows[1] - judged, stop=rows[1], used=fold.test.start))
    used = subject.state.snapshot
    found.append(Fit(what="fold: everything below", first=used.fit_start, stop=used.fit_stop, used=fold.train.stop))
    embargo = subject.settings.evaluation.purge_bars + subject.settings.evaluation.embargo_bars
    longest = max(subject.settings.selection.horizons)
    found.append(Fit(what="fold: labels of training", first=rows[0], stop=rows[1] + longest, used=fold.test.start))
    finding = fits.log(found)
    return replace(finding, note=f"{embargo} bars lie between training and test, labels reach {longest}")


def _ends(snapshot: Snapshot, ts: Array) -> dict[str, int]:
    """Row after the last one each part says it has seen."""
    moments: dict[str, Any] = {
        "all parts": snapshot.fit_end,
        "scaler": snapshot.scaler.fit_end,
        "regime": _moment(snapshot.regime.fitted_on[1]),
        "encoder": getattr(snapshot.encoder, "fit_end", None),
        "memory": _moment(snapshot.memory.fitted_on[1]) if snapshot.memory else None,
    }
    ends = {
        name: int(np.searchsorted(ts, moment, side="right")) for name, moment in moments.items() if moment is not None
    }
    return ends | {"features, drift, sentinel": snapshot.fit_stop}


def _moment(text: str) -> int | None:
    """A moment as artefacts write it [ns UTC]."""
    return int(np.datetime64(text.removesuffix("Z"), "ns").astype(np.int64)) if text else None
