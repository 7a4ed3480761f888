"""Raw columns of all plans to the view a policy's observation is chosen from, by statistics frozen on a fold."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from mia.desk.feature_pipeline import Block
from mia.desk.plans import Plans
from mia.domain import digest
from mia.domain.errors import ArtefactMismatch
from mia.features.normalisation import Scaler
from mia.features.settings import ScalerSettings

Array = np.ndarray
CHUNK_ROWS = 8192


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelView:
    """One frozen scaler per plan.

    Parameters
    ----------
    scalers : in the order of `Plans.parts`
    """

    scalers: tuple[Scaler, ...]

    @classmethod
    def fit(
        cls, plans: Plans, block: Block, slots: Array, rows: Any, *, ts: Array, settings: ScalerSettings
    ) -> "ModelView":
        """Learn the statistics from the train rows only; arguments as in `Scaler.fit`."""
        scalers = [
            Scaler.fit(plan, values, slots, rows, ts=ts, settings=settings)
            for plan, values in zip(plans.parts, _values(block, plans), strict=True)
        ]
        return cls(scalers=tuple(scalers))

    @property
    def names(self) -> tuple[str, ...]:
        """(F,) columns of the view."""
        return tuple(name for scaler in self.scalers for name in scaler.names)

    @property
    def groups(self) -> tuple[str, ...]:
        """(M,) mask groups."""
        return tuple(group for scaler in self.scalers for group in scaler.groups)

    @property
    def neutral(self) -> Array:
        """(F,) what stands for a missing value in each column."""
        return np.concatenate([scaler.neutral for scaler in self.scalers])

    def transform(self, block: Block, slots: Array) -> tuple[Array, Array]:
        """View (n, F), neutral where missing, and masks (n, M), of n rows."""
        view, masks = np.empty((len(block), len(self.names))), np.empty((len(block), len(self.groups)))
        # In pieces, so that the parts of a long table are not in memory beside the whole.
        for start in range(0, len(block), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            column = group = 0
            for scaler, values in zip(self.scalers, self._values(block), strict=True):
                part, seen = scaler.transform(values[rows], slots[rows])
                view[rows, column : column + part.shape[1]] = part
                masks[rows, group : group + seen.shape[1]] = seen
                column, group = column + part.shape[1], group + seen.shape[1]
        return view, masks

    def _values(self, block: Block) -> list[Array]:
        found = [values for values in (block.features, block.model, block.own) if values.shape[1]]
        if len(found) != len(self.scalers):
            raise ArtefactMismatch(f"view: made for {len(self.scalers)} plans, got {len(found)}; fit it again")
        return found

    def members(self) -> Array:
        """(M, F) int64, 1 where a column belongs to a group."""
        out = np.zeros((len(self.groups), len(self.names)), np.int64)
        row = column = 0
        for scaler in self.scalers:
            rows, columns = scaler.member.shape
            out[row : row + rows, column : column + columns] = scaler.member
            row, column = row + rows, column + columns
        return out

    def to_json(self) -> str:
        """Everything as JSON text; floats read back exactly."""
        return json.dumps([json.loads(scaler.to_json()) for scaler in self.scalers])

    @classmethod
    def from_json(cls, text: str) -> "ModelView":
        """Read what `to_json` wrote.

        Raises
        ------
        ArtefactMismatch : if it is something else.
        """
        try:
            scalers = tuple(Scaler.from_json(json.dumps(part)) for part in json.loads(text))
        except (ValueError, TypeError, KeyError) as error:
            raise ArtefactMismatch(f"view is not readable ({error}); fit it again") from error
        if not scalers:
            raise ArtefactMismatch("view is not readable (it holds no scaler); fit it again")
        return cls(scalers=scalers)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything `to_json` writes."""
        return digest.of_json(self.to_json())


def _values(block: Block, plans: Plans) -> list[Array]:
    of = {"market": block.features, "model": block.model, "self": block.own}
    return [of[plan.series.name] for plan in plans.parts]
