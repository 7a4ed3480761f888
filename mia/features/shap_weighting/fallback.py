"""What is used when choosing fails: this fold's list, else the last valid one, else the catalogue's static list."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mia.features.selection_settings import SelectionSettings
from mia.features.shap_weighting.artefact import Selection, Spec, catalogue_digest


def chosen(
    fold_artefact: Selection | None, last_valid: Selection | None, specs: Sequence[Spec], *, problem: str = ""
) -> tuple[Selection, str, str]:
    """Return the selection to use, where it comes from, and what to tell people if it is not this fold's.

    Parameters
    ----------
    fold_artefact : what `select` returned, or None if there is none
    last_valid : an artefact of an earlier fold; it must have ended before this fold's test begins
    specs : the catalogue in use; a list of another catalogue is not valid
    problem : why there is no artefact of the fold, if the caller knows

    Returns
    -------
    The selection, its origin ("fold", "last_valid" or "static"), and a message, empty for "fold" only: callers
    alert with it.
    """
    catalogue = catalogue_digest(specs)
    why = problem or _objection(fold_artefact, catalogue)
    if fold_artefact is not None and not why:
        return fold_artefact, "fold", ""
    against = _objection(last_valid, catalogue)
    if last_valid is not None and not against:
        message = (
            f"selection: list of the fold that ended {last_valid.fitted_on[1] or 'earlier'} is used, because {why}"
        )
        return replace(last_valid, origin="last_valid", note=message), "last_valid", message
    why = f"{why}; and of the last valid one, {against}"
    if fold_artefact is not None and fold_artefact.method == "fallback" and fold_artefact.catalogue_digest == catalogue:
        # The fold knows which columns of the static list it can have.
        spare = replace(fold_artefact, note=f"{fold_artefact.note}; of the last valid list, {against}")
    else:
        spare = static(specs, why)
    return spare, "static", f"selection: {spare.note}"


def static(
    specs: Sequence[Spec],
    problem: str,
    *,
    settings: SelectionSettings | None = None,
    dropped: Mapping[str, str] | None = None,
    common: Mapping[str, Any] | None = None,
) -> Selection:
    """The catalogue's static list, as far as it is available, mandatory columns always; said in the note."""
    mandatory = tuple(spec.name for spec in specs if spec.mandatory)
    flagged = [s.name for s in specs if s.fallback and not s.mandatory and s.name not in (dropped or {})]
    if settings is not None:
        flagged = flagged[: max(settings.top_k - len(mandatory), 0)]
    wanted = {*mandatory, *flagged}
    names = [spec.name for spec in specs if spec.name in wanted]
    if common is None:
        common = {
            "mandatory": mandatory,
            "fitted_on": ("", ""),
            "data_digest": "",
            "catalogue_digest": catalogue_digest(specs),
            "encoder_version": "",
            "scaler_fingerprint": "",
            "settings": {},
        }
    note = f"static list of {len(names)} columns, because {problem}"
    return unmeasured(names, "fallback", note, origin="static", dropped=dict(dropped or {}), **common)


def unmeasured(
    names: Sequence[str],
    method: str,
    note: str,
    *,
    origin: str = "fold",
    dropped: dict[str, str] | None = None,
    **common: Any,
) -> Selection:
    """Return a selection of columns nobody weighed."""
    return Selection(
        names=tuple(names),
        method=method,
        origin=origin,
        pi={},
        shap={},
        beats={},
        n_significant=0,
        regime_importance={},
        clusters=(),
        dropped=dropped or {},
        bonus_effect={},
        held={},
        note=note,
        **common,
    )


def _objection(artefact: Selection | None, catalogue: str) -> str:
    """Why an artefact cannot be used, or nothing."""
    if artefact is None:
        return "there is no artefact"
    if artefact.catalogue_digest != catalogue:
        return "it was made from another catalogue"
    if artefact.method == "fallback":
        return artefact.note.removeprefix(f"static list of {len(artefact.names)} columns, because ")
    return ""
