"""The space in which contexts are compared: principal directions of a training fold, each of unit variance.

Fitted once per snapshot by task/; context_memory reads rows with it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mia.domain import digest
from mia.domain.errors import ArtefactMismatch, DataError

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ContextBasis:
    """A whitening: (context - mean) @ directions.T has covariance I on the rows it was fitted on.

    Parameters
    ----------
    inputs : (C,) names of the features that make a context, in order
    mean : (C,) float64
    directions : (D, C) float64, principal directions over their deviation, widest first, D <= C
    deviations : (D,) float64, deviation along each direction before whitening
    rows : rows it was fitted on
    fitted_on : first and last moment of those rows
    """

    inputs: tuple[str, ...]
    mean: Array
    directions: Array
    deviations: Array
    rows: int
    fitted_on: tuple[str, str] = ("", "")

    @classmethod
    def fit(
        cls,
        contexts: Array,
        inputs: Sequence[str],
        min_variance_share: float,
        previous: "ContextBasis | None" = None,
        fitted_on: tuple[str, str] = ("", ""),
    ) -> "ContextBasis":
        """Fit to training rows.

        A direction's sign makes its largest loading positive; with `previous` of the same inputs it is instead
        the sign of the old direction most like it. Distances depend on neither.

        Parameters
        ----------
        contexts : (T, C) float64, training rows; rows with a NaN are left out
        inputs : (C,) their names
        min_variance_share : directions with less than this share of the mean variance are dropped
        previous : basis of the last fit
        fitted_on : first and last moment of the rows, kept for the record

        Raises
        ------
        DataError : if fewer than ten complete rows per column are there, or nothing varies.

        Source: Jolliffe (2002), Principal Component Analysis, ch. 2.
        """
        if contexts.ndim != 2 or contexts.shape[1] != len(inputs):
            raise DataError(f"context basis: {len(inputs)} inputs need as many columns, had {contexts.shape}")
        rows = contexts[np.isfinite(contexts).all(axis=1)].astype(np.float64)
        least = 10 * len(inputs)
        if len(rows) < least:
            raise DataError(
                f"context basis: {len(rows)} complete rows for {len(inputs)} inputs, {least} are needed; "
                "give it a longer fold or drop the inputs the source lacks"
            )
        mean = rows.mean(axis=0)
        centred = rows - mean
        variances, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
        kept = np.flatnonzero(variances > max(min_variance_share, 1e-12) * variances.mean())[::-1]
        if len(kept) == 0 or not variances.mean() > 0:
            raise DataError(f"context basis: none of {', '.join(inputs)} varies in {len(rows)} rows; check the source")
        axes = _signed(np.ascontiguousarray(vectors[:, kept].T), tuple(inputs), previous)
        deviations = np.sqrt(variances[kept])
        return cls(
            inputs=tuple(inputs),
            mean=mean,
            directions=axes / deviations[:, None],
            deviations=deviations,
            rows=len(rows),
            fitted_on=fitted_on,
        )

    @property
    def digest(self) -> str:
        """SHA-256 of its numbers."""
        return digest.of_arrays(self.mean, self.directions)

    def to_json(self) -> str:
        """Text form; reading it back gives the same bits (floats are written in full)."""
        body = {name: getattr(self, name) for name in self.__slots__}
        for name in ("mean", "directions", "deviations"):
            body[name] = body[name].tolist()
        return json.dumps(body, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "ContextBasis":
        """Read what `to_json` wrote; ArtefactMismatch if it is not a basis."""
        try:
            body = json.loads(text)
            arrays = {n: np.array(body.pop(n), np.float64) for n in ("mean", "directions", "deviations")}
            lists = {n: tuple(body.pop(n)) for n in ("inputs", "fitted_on")}
            basis = cls(**arrays, **lists, **body)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ArtefactMismatch(f"context basis is not readable ({error}); fit it again") from error
        width = len(basis.inputs)
        if basis.mean.shape != (width,) or basis.directions.shape != (len(basis.deviations), width):
            raise ArtefactMismatch(
                f"context basis: {width} inputs do not fit directions {basis.directions.shape}; fit it again"
            )
        return basis


def _signed(axes: Array, inputs: tuple[str, ...], previous: ContextBasis | None) -> Array:
    """Return unit axes (D, C) with their signs fixed."""
    largest = np.abs(axes).argmax(axis=1)
    sign = np.sign(axes[np.arange(len(axes)), largest])
    if previous is not None and previous.inputs == inputs:
        cosines = axes @ (previous.directions * previous.deviations[:, None]).T
        alike = np.abs(cosines).argmax(axis=1)
        old = np.sign(cosines[np.arange(len(axes)), alike])
        sign = np.where(old != 0, old, sign)
    return axes * sign[:, None]
