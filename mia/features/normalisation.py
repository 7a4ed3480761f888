"""Raw features to the model view: statistics frozen on the train fold, neutral where missing, masks per group.

Made once per fold by the regime stage, stored in the bundle, called row by row live with the same
compiled function.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from mia.domain import digest
from mia.domain.errors import ArtefactMismatch, ConfigurationError
from mia.domain.series import MARKET_SERIES
from mia.features.catalogue import FeatureSpec
from mia.features.plan import SERVICE, Plan
from mia.features.scaling import (
    ATR,
    DEAD,
    LEVEL,
    LINEAR,
    LOG,
    REFERENCES,
    SETTLED,
    SIGNED_LOG,
    SLOT,
    SLOT_LOG,
    scale,
)
from mia.features.settings import ScalerSettings

Array = np.ndarray

MAD_TO_SD = 1.4826
TAIL = 0.005  # share of the train fold beyond the edges of an unbounded feature that is only mapped, not scaled

_KIND = {
    "z": LINEAR,
    "logz": LOG,
    "slogz": SIGNED_LOG,
    "todz": SLOT,
    "relpx": LEVEL,
    "prevset": SETTLED,
    "atr": ATR,
    "none": LINEAR,
    "bin": LINEAR,
}
_NEEDS = {
    LEVEL: ("close", "atr_dynamic", "atr_14"),
    SETTLED: ("prior_settlement", "_atr_daily"),
    ATR: ("atr_dynamic", "atr_14"),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaler:
    """Frozen statistics of F published features.

    Parameters
    ----------
    names : the F features, in the order of the view
    columns : the C columns of the engine's table it reads (names, then service columns)
    groups : the M mask groups: families first, then sources
    fit_rows : number of train rows
    fit_end : close time of the last train row [ns UTC]
    kind : (F,) int64, what is done to a feature, see `scaling`
    unit : (F,) float64, size by which log features are divided first
    center, spread : (F,) float64, subtracted and divided by
    bound : (F,) float64, the result lies within +-bound
    neutral : (F,) float64, what stands for a missing value: 0, or the scaled neutral point of the feature
    table : (F,) int64, row of the slot tables, -1 if none
    slot_center, slot_spread : (K, slots) float64, baseline per time of day
    reference : (5,) int64, columns of `plan.SERVICE`, -1 where absent
    member : (M, F) int64, 1 where the feature belongs to the group
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    groups: tuple[str, ...]
    fit_rows: int
    fit_end: int
    kind: Array
    unit: Array
    center: Array
    spread: Array
    bound: Array
    neutral: Array
    table: Array
    slot_center: Array
    slot_spread: Array
    reference: Array
    member: Array

    @classmethod
    def fit(
        cls, plan: Plan, features: Array, slots: Array, rows: Any, *, ts: Array, settings: ScalerSettings
    ) -> "Scaler":
        """Learn the statistics from the train rows only.

        Parameters
        ----------
        plan : that made the features
        features : (T, C) float64, columns of `plan.columns`, published units
        slots : (T,) bar slot of each row within a full session
        rows : train rows: boolean mask, slice or indices
        ts : (T,) int64, close times [ns UTC]
        settings : clips and the least rows per slot

        Raises
        ------
        ConfigurationError : if there is no train row, or a level feature lacks what it is measured in.
        """
        index = np.arange(len(features))[rows]
        if features.shape[1:] != (len(plan.columns),) or len(index) == 0:
            raise ConfigurationError(
                f"scaler: needs train rows and {len(plan.columns)} columns, got {len(index)} rows of shape "
                f"{features.shape}; check the fold"
            )
        train, train_slots = features[index, : len(plan.names)], np.asarray(slots)[index]
        learnt = [_learn(spec, train[:, f], train_slots, plan, settings) for f, spec in enumerate(plan.specs)]
        tables = [item for item in learnt if item.slots is not None]
        table = np.full(len(learnt), -1, dtype=np.int64)
        table[[f for f, item in enumerate(learnt) if item.slots is not None]] = np.arange(len(tables))
        groups, member = _groups(plan)
        return cls(
            names=plan.names,
            columns=plan.columns,
            groups=groups,
            fit_rows=len(index),
            fit_end=int(np.max(np.asarray(ts)[index])),
            kind=np.array([item.kind for item in learnt], dtype=np.int64),
            unit=np.array([item.unit for item in learnt]),
            center=np.array([item.center for item in learnt]),
            spread=np.array([item.spread for item in learnt]),
            bound=np.array([item.bound for item in learnt]),
            neutral=np.array([item.neutral for item in learnt]),
            table=table,
            slot_center=np.array([item.slots[0] for item in tables]).reshape(len(tables), plan.n_slots),
            slot_spread=np.array([item.slots[1] for item in tables]).reshape(len(tables), plan.n_slots),
            reference=np.array(
                [plan.columns.index(name) if name in plan.columns else -1 for name in SERVICE], dtype=np.int64
            ),
            member=member,
        )

    def transform(self, features: Array, slots: Array) -> tuple[Array, Array]:
        """View (T, F) float64, neutral where missing, and masks (T, M) float64, 1 where the group is available.

        Parameters
        ----------
        features : (T, C) float64, columns of `self.columns`
        slots : (T,) bar slot of each row
        """
        features = np.ascontiguousarray(features, dtype=np.float64)
        if features.ndim != 2 or features.shape[1] != len(self.columns):
            raise ArtefactMismatch(
                f"scaler: made for {len(self.columns)} columns, got shape {features.shape}; refit it with this plan"
            )
        view = np.empty((len(features), len(self.names)))
        masks = np.empty((len(features), len(self.groups)))
        scale(
            features,
            np.ascontiguousarray(slots, dtype=np.float64),
            self.kind,
            self.unit,
            self.center,
            self.spread,
            self.bound,
            self.neutral,
            self.table,
            self.slot_center,
            self.slot_spread,
            self.reference,
            self.member,
            view,
            masks,
        )
        return view, masks

    def transform_row(self, features: Array, slot: float) -> tuple[Array, Array]:
        """View (F,) and masks (M,) of one row (C,): the same compiled function, so the same bits."""
        view, masks = self.transform(np.reshape(features, (1, -1)), np.array([slot], dtype=np.float64))
        return view[0], masks[0]

    def to_json(self) -> str:
        """Everything as JSON text; floats are written so that they read back exactly."""
        return json.dumps({field.name: _plain(getattr(self, field.name)) for field in fields(self)})

    @classmethod
    def from_json(cls, text: str) -> "Scaler":
        """Read what `to_json` wrote.

        Raises
        ------
        ArtefactMismatch : if keys are missing or unknown.
        """
        data = json.loads(text)
        if set(data) != {field.name for field in fields(cls)}:
            raise ArtefactMismatch("scaler: the stored statistics are of another version; refit them")
        for name in ("names", "columns", "groups"):
            data[name] = tuple(data[name])
        for name in ("kind", "table", "reference", "member"):
            data[name] = np.array(data[name], dtype=np.int64)
        for name in ("unit", "center", "spread", "bound", "neutral"):
            data[name] = np.array(data[name], dtype=np.float64)
        for name in ("slot_center", "slot_spread"):
            shape, flat = data[name]
            data[name] = np.array(flat, dtype=np.float64).reshape(shape)
        return cls(**data)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything `to_json` writes."""
        return digest.of_json(self.to_json())


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.ndim == 2 and value.dtype == np.float64:  # may have no rows: keep the shape beside the numbers
            return [list(value.shape), value.ravel().tolist()]
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Learnt:
    """Statistics of one feature."""

    kind: int
    unit: float = 1.0
    center: float = 0.0
    spread: float = 1.0
    bound: float = 1.0
    neutral: float = 0.0
    slots: tuple[Array, Array] | None = None


def _learn(spec: FeatureSpec, values: Array, slots: Array, plan: Plan, settings: ScalerSettings) -> _Learnt:
    kind = _KIND[spec.norm]
    for name in _NEEDS.get(kind, ()):
        if name not in plan.columns:
            raise ConfigurationError(
                f"feature {spec.name}: norm {spec.norm} needs {name}; add the group that declares it"
            )
    if kind in _NEEDS:
        return _Learnt(kind=kind, bound=settings.level_clip if kind == LEVEL else settings.clip)
    good = np.isfinite(values)
    finite = values[good]
    if spec.norm in ("none", "bin"):
        return _mapped(spec, finite)
    if len(finite) == 0:
        return _Learnt(kind=DEAD)
    heavy = kind in (LOG, SIGNED_LOG) or (kind == SLOT and spec.low is not None and spec.high is None)
    unit = _typical(finite) if heavy else 1.0
    if kind == SIGNED_LOG:
        finite = np.sign(finite) * np.log1p(np.abs(finite) / unit)
    elif heavy:
        finite = np.log1p(np.maximum(finite, 0.0) / unit)
    center, spread = _robust(finite)
    if spread == 0.0:
        return _Learnt(kind=DEAD)
    if kind != SLOT:
        return _Learnt(kind=kind, unit=unit, center=center, spread=spread, bound=settings.clip)
    return _Learnt(
        kind=SLOT_LOG if heavy else SLOT,
        unit=unit,
        center=center,
        spread=spread,
        bound=settings.clip,
        slots=_slot_baseline(finite, slots[good], plan.n_slots, settings.slot_rows, (center, spread)),
    )


def _mapped(spec: FeatureSpec, finite: Array) -> _Learnt:
    """Expected range to [-1, 1]; an unbounded side is cut at the train fold's tail, the median becomes 0."""
    if spec.low is not None and spec.high is not None:
        center, spread = 0.5 * (spec.low + spec.high), 0.5 * (spec.high - spec.low)
        neutral = 0.0 if spec.neutral is None else (spec.neutral - center) / spread
        return _Learnt(kind=LINEAR, center=center, spread=spread, neutral=neutral)
    if len(finite) == 0:
        return _Learnt(kind=DEAD)
    low, center, high = np.quantile(finite, [TAIL, 0.5, 1.0 - TAIL])
    spread = float(max(center - low, high - center))
    return _Learnt(kind=LINEAR, center=float(center), spread=spread) if spread > 0.0 else _Learnt(kind=DEAD)


def _typical(values: Array) -> float:
    """Median size of the values that are not 0: what log features are multiples of."""
    sizes = np.abs(values[values != 0.0])
    return float(np.median(sizes)) if len(sizes) else 1.0


def _robust(values: Array) -> tuple[float, float]:
    """Median and MAD-based deviation; the ordinary one where half of the values are equal."""
    center = float(np.median(values))
    spread = MAD_TO_SD * float(np.median(np.abs(values - center)))
    return center, spread if spread > 0.0 else float(np.std(values))


def _slot_baseline(
    values: Array, slots: Array, n_slots: int, least: int, overall: tuple[float, float]
) -> tuple[Array, Array]:
    """(slots,) medians and deviations; a slot with few rows widens to its neighbours, at last to all rows.

    Parameters
    ----------
    values, slots : train rows without missing values
    least : rows needed
    overall : median and deviation of all rows
    """
    inside = (slots >= 0) & (slots < n_slots)
    order = np.argsort(slots[inside], kind="stable")
    values, slots = values[inside][order], slots[inside][order].astype(np.int64)
    edge = np.searchsorted(slots, np.arange(n_slots + 1))
    centers, spreads = np.full(n_slots, overall[0]), np.full(n_slots, overall[1])
    reach = max(1, n_slots // 8)
    for slot in range(n_slots):
        for width in range(reach + 1):
            near = values[edge[max(0, slot - width)] : edge[min(n_slots, slot + width + 1)]]
            if len(near) >= least:
                center, spread = _robust(near)
                centers[slot] = center
                spreads[slot] = spread if spread > 0.0 else overall[1]
                break
    return centers, spreads


def _groups(plan: Plan) -> tuple[tuple[str, ...], Array]:
    """Mask groups and which features belong to each: every family of the market's plan, then every source.

    The columns of models and of the policy itself come in groups by source alone: some of their families have
    members in the market's plan, and a name must not stand for two groups.
    """
    families = list(dict.fromkeys(spec.family for spec in plan.specs)) if plan.series is MARKET_SERIES else []
    needs = {node.name: node.sources for node in plan.nodes}
    sources = [source for source in plan.series.groups if any(source in needs[name] for name in plan.names)]
    member = np.zeros((len(families) + len(sources), len(plan.names)), dtype=np.int64)
    for f, spec in enumerate(plan.specs):
        if families:
            member[families.index(spec.family), f] = 1
        for source in needs[spec.name]:
            member[len(families) + sources.index(source), f] = 1
    return (*families, *sources), member


def check_references(names: Sequence[str]) -> None:
    """The compiled scaler counts on this order of service columns."""
    if tuple(names) != REFERENCES:
        raise ConfigurationError("scaler: plan.SERVICE and scaling.REFERENCES must list the same names")


check_references(SERVICE)
