"""Did the encoders earn their place? Judged on the rows after each fit, beside linear models of the same inputs."""

import math
from typing import Any

from mia.desk.snapshot import Snapshot
from mia.domain.series import INDEX
from mia.task.features import FeatureTable
from mia.task.ingest import Ingested
from mia.task.settings import RunSettings
from mia.task.snapshots import encoder_rows

LEAST_ROWS = 500


def checks(settings: RunSettings, made: Ingested, table: FeatureTable) -> list[dict[str, Any]]:
    """One row per fit and target: correlation with what followed, of the encoder and of the better linear model."""
    found: list[dict[str, Any]] = []
    stops = [snapshot.fit_stop for snapshot in table.snapshots[1:]] + [len(made.bars)]
    for snapshot, stop in zip(table.snapshots, stops, strict=True):
        if snapshot.encoder is not None and stop - snapshot.fit_stop >= LEAST_ROWS:
            found += _check(settings, made, table, snapshot, stop)
    return found


def _check(
    settings: RunSettings, made: Ingested, table: FeatureTable, snapshot: Snapshot, stop: int
) -> list[dict[str, Any]]:
    from mia.encoder.linear import linear_check

    span = slice(snapshot.fit_start, stop)
    values = made.bars.values[span]
    view, _ = snapshot.scaler.transform(table.block.features[span], values[:, INDEX["cal.slot"]])
    rows = encoder_rows(table.plans, snapshot.encoder.inputs, view, values, snapshot.fit_end)
    cut = snapshot.fit_stop - snapshot.fit_start
    told = linear_check(
        snapshot.encoder,
        rows.part(max(0, cut - settings.encoder.max_rows), cut),
        rows.part(cut, len(rows)),
        settings.encoder,
        bar_minutes=made.bars.bar_minutes,
    )
    return [
        {"fit": snapshot.index + 1, "target": target, **{name: _plain(value) for name, value in figures.items()}}
        for target, figures in told.items()
    ]


def _plain(value: Any) -> Any:
    """None for what is no number: JSON knows none."""
    return None if isinstance(value, float) and math.isnan(value) else value


def sentence(found: list[dict[str, Any]]) -> str:
    """What the checks say, for the report; empty without an encoder."""
    if not found:
        return ""
    said = []
    for target in dict.fromkeys(row["target"] for row in found):
        rows = [row for row in found if row["target"] == target]
        wins = sum(bool(row["beats_linear"]) for row in rows)
        said.append(f"{target.replace('_', ' ')} in {wins} of {len(rows)} fits")
    return "On the rows after each fit the encoders beat a linear model of the same inputs at " + ", ".join(said) + "."
