"""Bars to the feature table. Columns that are fitted stay empty here: the regime stage fits them fold by fold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mia.domain.errors import ArtefactMismatch
from mia.features.catalogue import FeatureSpec, expand
from mia.features.plan import Plan, compile_plan
from mia.task import ingest, store
from mia.task.ingest import Ingested
from mia.task.settings import RunSettings
from mia.task.watch import Watch

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureTable:
    """Unfitted features of all bars.

    Parameters
    ----------
    plan : what was computed
    values : (T, C) float64 raw columns of `plan.columns`, NaN where missing
    """

    plan: Plan
    values: Array

    @property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """The F published specs."""
        return self.plan.specs


def plan_of(settings: RunSettings, made: Ingested) -> Plan:
    """Compile the configured features for the market and bar length at hand."""
    specs = expand(settings.features.groups)
    plan = compile_plan(specs, settings.market, bar_minutes=made.bars.bar_minutes, session_minutes=made.session_minutes)
    settings.features.check_count(len(plan.names))
    return plan


def make(settings: RunSettings, made: Ingested, watch: Watch) -> FeatureTable:
    """Compute every column that needs no fitting, in one pass."""
    from mia.features.engine import FeatureEngine

    with watch.step("features"):
        plan = plan_of(settings, made)
        values = FeatureEngine(plan).batch(made.bars.values)
    return FeatureTable(plan=plan, values=values)


def catalogue_rows(table: FeatureTable, made: Ingested) -> list[dict[str, Any]]:
    """One row per feature: name, family, unit, sources, share of bars with a value."""
    present = set(made.bars.sources_present())
    rows = []
    for at, spec in enumerate(table.specs):
        sources = table.plan.sources(spec.name)
        missing = [source for source in sources if source not in present]
        share = float(np.mean(np.isfinite(table.values[:, at])))
        status = "fitted per fold" if spec.name in table.plan.fitted_nodes else "computed"
        if missing:
            status = f"masked: no {', '.join(missing)}"
        rows.append(
            {
                "name": spec.name,
                "family": spec.family,
                "unit": spec.unit,
                "sources": "+".join(sources),
                "available": round(share, 4),
                "status": status,
            }
        )
    return rows


def family_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The catalogue in short: per family how many are computed, fitted per fold, masked for want of input."""
    counts: dict[str, dict[str, Any]] = {}
    for row in rows:
        family = counts.setdefault(
            row["family"], {"family": row["family"], "computed": 0, "fitted per fold": 0, "masked": 0}
        )
        family["masked" if row["status"].startswith("masked") else row["status"]] += 1
    totals = {key: sum(family[key] for family in counts.values()) for key in ("computed", "fitted per fold", "masked")}
    return [*counts.values(), {"family": "all", **totals}]


def save(table: FeatureTable, made: Ingested, target: Path) -> None:
    """Write features.parquet (index: time available, UTC) and catalogue.json as one folder."""
    import pandas as pd

    with store.replacing(target) as fresh:
        index = pd.DatetimeIndex(pd.to_datetime(made.bars.available_at, utc=True), name="available_at")
        pd.DataFrame(table.values, index=index, columns=list(table.plan.columns)).to_parquet(
            fresh / "features.parquet", compression="zstd"
        )
        store.write_json(
            fresh / "catalogue.json", {"plan": table.plan.fingerprint, "features": catalogue_rows(table, made)}
        )


def load(settings: RunSettings, made: Ingested) -> FeatureTable:
    """Read what `save` wrote; the plan is compiled anew and must be the same.

    Raises
    ------
    ArtefactMissing, ArtefactMismatch
    """
    import pandas as pd

    market = settings.market.name
    remedy = f"python -m mia +market={market} task=features"
    target = store.folder(settings.outputs, "features", market)
    about = store.read_json(target / "catalogue.json", remedy)
    plan = plan_of(settings, made)
    if about["plan"] != plan.fingerprint:
        raise ArtefactMismatch(f"{target} was computed by another feature set; run {remedy}")
    frame = pd.read_parquet(target / "features.parquet", columns=list(plan.columns))
    if len(frame) != len(made.bars):
        raise ArtefactMismatch(f"{target} has {len(frame)} rows but there are {len(made.bars)} bars; run {remedy}")
    return FeatureTable(plan=plan, values=np.ascontiguousarray(frame.to_numpy(np.float64)))


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Run the stage on its own."""
    made = ingest.load(settings)
    table = make(settings, made, watch)
    target = store.folder(settings.outputs, "features", settings.market.name)
    save(table, made, target)
    rows = catalogue_rows(table, made)
    watch.rows("features by family", family_rows(rows))
    watch.say(f"wrote {target}; every column with unit, sources and availability is in catalogue.json")
