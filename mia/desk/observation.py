"""The observation: which numbers a policy sees, in which order. Batch is a scan of the row live calls.

Market part: [selected view columns, weighted by regime, clipped | group masks | belief]. Env and desk append the
account part: the position held, as a share of the limit.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from mia.domain import digest
from mia.domain.errors import ArtefactMismatch, ConfigurationError

Array = np.ndarray

ACCOUNT_FIELDS = ("account.position",)
"""Account part of the observation, in order: the position held, as a share of the limit in [-1, 1]."""


@njit(cache=True)
def _row(view: Array, masks: Array, belief: Array, columns: Array, weights: Array, clip: float, out: Array) -> None:
    selected, groups = len(columns), len(masks)
    for i in range(selected):
        value = view[columns[i]]
        if len(weights) > 0:
            weight = 0.0
            for k in range(len(belief)):
                weight += belief[k] * weights[k, i]
            value *= weight
        # The scaler's neutral value; a NaN that slipped through must not reach a network.
        out[i] = 0.0 if np.isnan(value) else min(max(value, -clip), clip)
    for i in range(groups):
        out[selected + i] = masks[i]
    for i in range(len(belief)):
        out[selected + groups + i] = belief[i]


@njit(cache=True)
def _rows(view: Array, masks: Array, belief: Array, columns: Array, weights: Array, clip: float, out: Array) -> None:
    for t in range(len(view)):
        _row(view[t], masks[t], belief[t], columns, weights, clip, out[t])


@dataclass(frozen=True, kw_only=True)
class ObservationTemplate:
    """The layout of the market part, fixed when a policy is trained and stored with it.

    Parameters
    ----------
    view : (F,) names of all columns of the scaled view it selects from, in order
    selected : (S,) names of those the policy sees, in order; each once and in `view`
    masks : (M,) names of the feature groups whose presence the policy sees
    regimes : (K,) names of the regimes of the belief
    clip : selected values are clipped to [-clip, clip], > 0
    weights : (K, S) by which a selected column is multiplied in each regime, mixed by the belief; () : by nothing

    Raises
    ------
    ConfigurationError : if a selected name is unknown or named twice, the clip is not positive, or the weights
        are not one per regime and column.
    """

    view: tuple[str, ...]
    selected: tuple[str, ...]
    masks: tuple[str, ...]
    regimes: tuple[str, ...]
    clip: float
    weights: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        unknown = sorted(set(self.selected) - set(self.view))
        if unknown:
            raise ConfigurationError(f"observation: selected feature {unknown[0]} is not in the view; select again")
        if len(set(self.selected)) != len(self.selected) or len(set(self.view)) != len(self.view):
            raise ConfigurationError("observation: a feature is named twice; select again")
        if not 0 < self.clip < float("inf"):
            raise ConfigurationError(f"observation: clip must be positive, was {self.clip:g}")
        shape = [len(row) for row in self.weights]
        if self.weights and shape != [len(self.selected)] * len(self.regimes):
            raise ConfigurationError(
                f"observation: weights must be {len(self.regimes)} rows of {len(self.selected)}, were {shape}"
            )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """(Dm,) names of the market part, in order."""
        groups = (f"mask.{name}" for name in self.masks)
        return (*self.selected, *groups, *(f"belief.{name}" for name in self.regimes))

    @property
    def width(self) -> int:
        """Width Dm of the market part."""
        return len(self.selected) + len(self.masks) + len(self.regimes)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole layout: two policies see the same things if and only if it is equal."""
        return digest.of_json(self._body())

    @cached_property
    def columns(self) -> Array:
        """(S,) int64, columns of the view that are selected."""
        place = {name: i for i, name in enumerate(self.view)}
        return np.array([place[name] for name in self.selected], dtype=np.int64)

    @cached_property
    def weight_table(self) -> Array:
        """(K, S) float64 weights, (0, S) where columns are not weighted."""
        return np.array(self.weights, dtype=np.float64).reshape(-1, len(self.selected))

    def check(self, view: Sequence[str], masks: Sequence[str] | None = None) -> None:
        """Refuse a view, or groups, with other names or another order than the layout was made for.

        Raises
        ------
        ArtefactMismatch : naming the first difference.
        """
        for what, here, there in (("view", self.view, view), ("masks", self.masks, masks)):
            if there is None or tuple(there) == here:
                continue
            pairs = zip((*here, "nothing"), (*there, "nothing"), strict=False)
            column, (mine, its) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
            raise ArtefactMismatch(
                f"observation: column {column} of the {what} must be {mine}, was {its}; "
                "compute the features with the set the policy was trained on, or train again"
            )

    def row(self, view: Array, masks: Array, belief: Array) -> Array:
        """Return (Dm,) float32 from a view row (F,), group masks (M,) and belief (K,)."""
        return self._fill((), view, masks, belief)

    def batch(self, view: Array, masks: Array, belief: Array, *, names: Sequence[str]) -> Array:
        """Return (T, Dm) float32, bit-equal to `row` of each row.

        Parameters
        ----------
        view : (T, F) float64, scaled features
        masks : (T, M) presence of the feature groups
        belief : (T, K) float64, filtered regime probabilities
        names : (F,) names of the view's columns

        Raises
        ------
        ArtefactMismatch : if the view's names or a width are not those of the layout.
        """
        self.check(names)
        return self._fill((len(view),), view, masks, belief)

    def _fill(self, lead: tuple[int, ...], view: Array, masks: Array, belief: Array) -> Array:
        view, masks, belief = (np.ascontiguousarray(part, dtype=np.float64) for part in (view, masks, belief))
        widths = (len(self.view), len(self.masks), len(self.regimes))
        for what, part, width in zip(("view", "masks", "belief"), (view, masks, belief), widths, strict=True):
            if part.shape != (*lead, width):
                raise ArtefactMismatch(
                    f"observation: {what} must have the shape {(*lead, width)}, had {part.shape}; "
                    "use the artefacts the policy was trained with"
                )
        out = np.empty((*lead, self.width), dtype=np.float32)
        (_rows if lead else _row)(view, masks, belief, self.columns, self.weight_table, float(self.clip), out)
        return out

    def to_json(self) -> str:
        """Text form for a bundle."""
        return json.dumps(self._body(), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "ObservationTemplate":
        """Read what `to_json` wrote; ArtefactMismatch if it is not a layout."""
        try:
            body = json.loads(text)
            names = ("view", "selected", "masks", "regimes")
            weights = tuple(tuple(float(value) for value in row) for row in body["weights"])
            return cls(**(body | {name: tuple(body[name]) for name in names} | {"weights": weights}))
        except (ValueError, TypeError, KeyError, AttributeError, ConfigurationError) as error:
            raise ArtefactMismatch(f"observation template is not readable ({error}); train again") from error

    def _body(self) -> dict[str, object]:
        return {
            "view": list(self.view),
            "selected": list(self.selected),
            "masks": list(self.masks),
            "regimes": list(self.regimes),
            "clip": float(self.clip),
            "weights": [list(row) for row in self.weights],
        }
