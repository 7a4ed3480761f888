"""What a selection leaves behind: the list, why it looks like this, and the hashes that tie it to its makers."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol, get_origin

import numpy as np

from mia.domain import digest
from mia.domain.errors import ArtefactMismatch

Array = np.ndarray

METHODS = ("shap", "random", "all", "fallback")
ORIGINS = ("fold", "last_valid", "static")
_TUPLES = ("names", "mandatory", "fitted_on")


class Spec(Protocol):
    """What is needed to know of a feature; `mia.features.catalogue.FeatureSpec` is one."""

    name: str
    family: str
    mandatory: bool
    fallback: bool


def catalogue_digest(specs: Sequence[Spec]) -> str:
    """SHA-256 of the definitions of all columns, in order: a list is valid only for the catalogue it came from."""
    return digest.of_json([asdict(spec) for spec in specs])  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The columns a policy sees, best first.

    Parameters
    ----------
    names : chosen columns in order of rank
    method : "shap", "random", "all", or "fallback" (the catalogue's static list, because choosing failed)
    origin : "fold" (chosen in this fold), "last_valid" (an older fold's list) or "static"
    pi : column -> share of fits in which it was among the best `top_k`; empty if nothing was measured
    shap : column -> mean absolute SHAP value as a share of all columns', averaged over fits
    beats : column -> share of fits in which it beat every shadow
    n_significant : columns that beat every shadow often enough
    regime_importance : regime -> column -> its share of |SHAP| on rows of that regime; rare regimes are left out
    clusters : groups of near-copies among the candidates, single columns left out
    dropped : column -> why it was no candidate
    mandatory : columns that are in by rule
    bonus_effect : mandatory column -> its place in the list without and with the bonus, from 1
    held : column that is in only because a newcomer was not clearly better -> that newcomer
    note : what was decided, for people
    fitted_on : first and last moment of the fold
    data_digest, catalogue_digest, encoder_version, scaler_fingerprint : what it was made from; "" if not said
    settings : the settings of the choice
    """

    names: tuple[str, ...]
    method: str
    origin: str
    pi: dict[str, float]
    shap: dict[str, float]
    beats: dict[str, float]
    n_significant: int
    regime_importance: dict[str, dict[str, float]]
    clusters: tuple[tuple[str, ...], ...]
    dropped: dict[str, str]
    mandatory: tuple[str, ...]
    bonus_effect: dict[str, tuple[int, int]]
    held: dict[str, str]
    note: str
    fitted_on: tuple[str, str]
    data_digest: str
    catalogue_digest: str
    encoder_version: str
    scaler_fingerprint: str
    settings: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the ordered list of names; a policy refuses any other list."""
        return digest.of_json(list(self.names))

    def check(self, names: Sequence[str]) -> None:
        """Refuse any list but this one, order included.

        Raises
        ------
        ArtefactMismatch : naming the first difference.
        """
        if tuple(names) == self.names:
            return
        pairs = zip((*self.names, "nothing"), (*names, "nothing"), strict=False)
        at, (mine, its) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
        raise ArtefactMismatch(
            f"selection {self.fingerprint[:12]}: column {at} must be {mine}, was {its}; "
            "use the list the policy was trained on, or train again"
        )

    def columns(self, names: Sequence[str]) -> Array:
        """Positions (S,) of the chosen columns among `names`.

        Raises
        ------
        ArtefactMismatch : if one of them is not there.
        """
        at = {name: i for i, name in enumerate(names)}
        missing = [name for name in self.names if name not in at]
        if missing:
            raise ArtefactMismatch(
                f"selection needs {len(missing)} columns that are not computed, first {missing[0]}; "
                "select again with these features"
            )
        return np.array([at[name] for name in self.names], np.int64)

    def regime_weights(self, regimes: Sequence[str], *, limit: float = 2.0) -> Array:
        """Weight (K, S) of each chosen column in each regime: its importance there over its mean importance.

        Shares are shrunk by the share of an average column, so that the noise of unimportant columns makes no
        weights; then clipped to [1 / limit, limit]. A regime or column without a measurement weighs 1.
        """
        weights = np.ones((len(regimes), len(self.names)))
        known = [k for k, regime in enumerate(regimes) if regime in self.regime_importance]
        if len(known) < 2:
            return weights
        tables = [self.regime_importance[regimes[k]] for k in known]
        for s, name in enumerate(self.names):
            if name in tables[0]:
                share = np.array([table[name] for table in tables]) + 1.0 / len(tables[0])
                weights[known, s] = np.clip(share / share.mean(), 1.0 / limit, limit)
        return weights

    def to_json(self) -> str:
        """Text form; its own SHA-256 stands at the end, the list's at the beginning."""
        body = {"fingerprint": self.fingerprint, **{f.name: getattr(self, f.name) for f in fields(self)}}
        return json.dumps({**body, "sha256": digest.of_json(body)}, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Selection":
        """Read what `to_json` wrote; ArtefactMismatch if it is not a selection or was altered."""
        try:
            body = json.loads(text)
            stored = body.pop("sha256")
            altered = digest.of_json(body) != stored
            fingerprint = body.pop("fingerprint")
            for name in _TUPLES:
                body[name] = tuple(body[name])
            body["clusters"] = tuple(tuple(group) for group in body["clusters"])
            body["bonus_effect"] = {name: tuple(places) for name, places in body["bonus_effect"].items()}
            selection = cls(**body)
            _check_kinds(selection)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ArtefactMismatch(f"feature selection is not readable ({error}); select again") from error
        if altered or selection.fingerprint != fingerprint:
            raise ArtefactMismatch("feature selection was altered: its SHA-256 does not fit; select again")
        return selection


def _check_kinds(selection: Selection) -> None:
    for field in fields(Selection):
        kind: Any = get_origin(field.type) or field.type
        if type(getattr(selection, field.name)) is not kind:
            raise TypeError(f"{field.name} is no {kind.__name__}")
    if not all(isinstance(name, str) for name in selection.names) or len(set(selection.names)) != len(selection.names):
        raise ValueError("names must be different words")
    if selection.method not in METHODS or selection.origin not in ORIGINS:
        raise ValueError(f"method {selection.method!r} or origin {selection.origin!r} is unknown")
