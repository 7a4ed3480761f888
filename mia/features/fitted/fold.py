"""The training rows as the fitters see them: nothing after the last training row exists here."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mia.domain.series import INDEX
from mia.features.catalogue import FeatureSpec
from mia.features.plan import Node, Plan

Array = np.ndarray
Rows = slice | Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fold:
    """R rows up to the last training row.

    Parameters
    ----------
    plan : plan whose nodes are fitted
    values : (R, WIDTH) base series
    features : (R, C) columns of the plan in published units
    train : (R,) bool, the rows to learn from
    memo : results several nodes of the same members share
    """

    plan: Plan
    values: Array
    features: Array
    train: Array
    memo: dict[tuple[str, ...], Any] = field(default_factory=dict)

    @classmethod
    def cut(cls, plan: Plan, values: Array, features: Array, rows: Rows) -> "Fold":
        """Keep everything up to the last of `rows` (slice, (T,) bool or row numbers) and forget the rest."""
        mask = np.zeros(len(values), dtype=bool)
        mask[rows] = True
        stop = int(np.flatnonzero(mask)[-1]) + 1 if mask.any() else 0
        return cls(
            plan=plan,
            values=np.asarray(values[:stop], dtype=np.float64),
            features=np.asarray(features[:stop], dtype=np.float64),
            train=mask[:stop],
        )

    def base(self, name: str) -> Array:
        """(R,) one base series."""
        return self.values[:, INDEX[name]]

    def column(self, name: str) -> Array:
        """(R,) an input of a node in inside units (ticks): a base series or a published column."""
        if name in INDEX:
            return self.base(name)
        at = self.plan.columns.index(name)
        return self.features[:, at] / self.plan.out_scale[at]

    def inputs(self, node: Node) -> Array:
        """(R, inputs) the node's inputs in inside units."""
        return np.stack([self.column(name) for name in node.inputs], axis=1)

    def spec(self, name: str) -> FeatureSpec:
        """Spec of a published column."""
        return self.plan.specs[self.plan.names.index(name)]

    def steps(self) -> Array:
        """Rows t such that t and t + 1 are both training rows of one session."""
        session = self.base("cal.session")
        together = self.train[:-1] & self.train[1:] & (session[:-1] == session[1:])
        return np.flatnonzero(together)
