"""The choice of one fold, step by step: drop, label, cluster, fit many times, rank, fill."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from mia.domain.errors import DataError
from mia.features.selection_settings import SelectionSettings
from mia.features.shap_weighting import clusters, fallback, ranking, splits, stability
from mia.features.shap_weighting.artefact import Selection, Spec, catalogue_digest
from mia.features.shap_weighting.stability import Evidence, Fold
from mia.features.shap_weighting.targets import targets

Array = np.ndarray

REGIMES = ("trend", "range", "defensive")


def select(
    view: Array,
    close_ticks: Array,
    session: Array,
    train_rows: slice | Array,
    specs: Sequence[Spec],
    settings: SelectionSettings,
    rng: np.random.Generator,
    *,
    availability: Array | None = None,
    fitted_on: tuple[str, str] = ("", ""),
    previous: Selection | None = None,
    belief: Array | None = None,
    regimes: Sequence[str] = REGIMES,
    exempt: Collection[str] = (),
    data_digest: str = "",
    encoder_version: str = "",
    scaler_fingerprint: str = "",
) -> Selection:
    """Choose columns from the rows of one training fold.

    Parameters
    ----------
    view : (T, F) scaled features, columns in the order of `specs`
    close_ticks : (T,) closes [ticks]
    session : (T,) session of each row
    train_rows : the fold's training rows, or their numbers; no other row is read. Pieces must be whole sessions, since
        labels only end where sessions do
    specs : (F,) name, family, mandatory and fallback of each column
    settings : how to choose
    rng : source of resamples, shadows and tree seeds
    availability : (F,) share of training rows with a value; None counts the finite values of `view`
    fitted_on : first and last moment of the fold, kept for the record
    previous : the list in use; a member gives way only to a clearly better newcomer
    belief : (T, K) filtered regime probabilities; importances per regime are measured if given
    regimes : (K,) names of the columns of `belief`
    exempt : names or families no tree is asked about (what the policy says of itself has no label of its own);
        mandatory ones are in as always, others only where places are left over
    data_digest, encoder_version, scaler_fingerprint : of what the view was made from, kept for the record

    Returns
    -------
    `settings.top_k` columns: mandatory ones always, the others by stability, then mean |SHAP|. With fewer
    candidates than that all are kept, with too little data the catalogue's static list; `note` says so.

    Raises
    ------
    DataError : if shapes disagree.

    Source: Meinshausen & Buehlmann (2010); Lundberg et al. (2020); Kursa & Rudnicki (2010) for the shadows.
    """
    names = [spec.name for spec in specs]
    _check_shapes(view, close_ticks, session, belief, len(names), len(regimes))
    view, close_ticks, session = view[train_rows], close_ticks[train_rows], session[train_rows]
    common: dict[str, Any] = {
        "mandatory": tuple(spec.name for spec in specs if spec.mandatory),
        "fitted_on": fitted_on,
        "data_digest": data_digest,
        "catalogue_digest": catalogue_digest(specs),
        "encoder_version": encoder_version,
        "scaler_fingerprint": scaler_fingerprint,
        "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(settings).items()},
    }
    if settings.method == "all":
        return fallback.unmeasured(names, "all", f"kept all {len(names)} columns", **common)
    dropped = _dropped(view, names, availability, settings.min_availability)
    spared = {spec.name for spec in specs if spec.name in exempt or spec.family in exempt}
    measured = [name for name in names if name not in dropped and name not in spared]
    left_over = [name for name in names if name in spared and name not in dropped]
    if settings.method == "random":
        return _random(measured + left_over, names, dropped, settings, rng, common)
    fold = Fold(
        view=view,
        columns=np.array([j for j, name in enumerate(names) if name in set(measured)], np.int64),
        session=np.asarray(session),
        targets=targets(close_ticks, session, settings),
        regime=regime_of(None if belief is None else belief[train_rows], len(view)),
    )
    problem = _too_little(fold, settings)
    if problem:
        return fallback.static(specs, problem, settings=settings, dropped=dropped, common=common)
    groups = clusters.clusters(
        fold.rows(splits.thinned(np.arange(len(view)), clusters.MOST_ROWS)), settings.cluster_distance
    )
    known = 0 if belief is None else len(regimes)
    runs, judged = stability.runs(fold, groups, known, settings, rng)
    found = stability.evidence(runs, judged, groups, settings)
    significant = int(np.count_nonzero(found.beats >= settings.shadow_share - 1e-12))
    if settings.require_significant and significant == 0:
        problem = f"none of {len(measured)} columns beat the shadows in {settings.shadow_share:.0%} of fits"
        return fallback.static(specs, problem, settings=settings, dropped=dropped, common=common)
    kept, rest = _kept(found, measured, left_over, names, previous, settings, common)
    return Selection(
        names=kept,
        method="shap",
        origin="fold",
        pi=_table(measured, found.pi),
        shap=_table(measured, found.shap),
        beats=_table(measured, found.beats),
        n_significant=significant,
        regime_importance={
            name: _table(measured, line)
            for name, line in zip(regimes, found.by_regime, strict=False)
            if np.isfinite(line).all()
        },
        clusters=clusters.named(groups, measured),
        dropped=dropped,
        note=_note(kept, significant, len(measured), settings, common["mandatory"], rest["held"], rest["ignored"]),
        bonus_effect=rest["bonus_effect"],
        held=rest["held"],
        **common,
    )


def regime_of(belief: Array | None, rows: int) -> Array:
    """Number (T,) of the likeliest regime by the filtered belief (T, K); -1 where it is unknown or a tie."""
    if belief is None or belief.shape[1] < 2:
        return np.full(rows, -1, np.int64)
    ranked = np.sort(belief, axis=1)
    clear = np.isfinite(belief).all(axis=1) & (ranked[:, -1] - ranked[:, -2] > 1e-9)
    return np.where(clear, np.argmax(belief, axis=1), -1)


def _check_shapes(view: Array, close: Array, session: Array, belief: Array | None, width: int, regimes: int) -> None:
    if view.ndim != 2 or view.shape[1] != width or len({len(view), len(close), len(session)}) > 1:
        raise DataError(f"selection: view {view.shape} does not fit {width} specs and {len(close)} closes")
    if belief is not None and belief.shape != (len(view), regimes):
        raise DataError(f"selection: belief {belief.shape} does not fit {len(view)} rows and {regimes} regimes")


def _dropped(view: Array, names: Sequence[str], availability: Array | None, least: float) -> dict[str, str]:
    """Columns that cannot be candidates, and why."""
    out = {}
    for j, name in enumerate(names):
        finite = np.isfinite(view[:, j])
        if availability is not None:
            share = float(availability[j])
        else:
            share = float(finite.mean()) if len(view) else 0.0
        if not share >= least:
            out[name] = f"available in {share:.0%} of rows"
        elif not finite.any() or view[finite, j].std() < 1e-9:
            out[name] = "does not vary"
    return out


def _too_little(fold: Fold, settings: SelectionSettings) -> str:
    """Why choosing is impossible, or nothing."""
    if len(fold.columns) == 0:
        return "no column is available and varies"
    days = len(np.unique(fold.session))
    if days < 2 * settings.splits:
        return f"{days} sessions are too few for {settings.splits} inner splits"
    needed = 10 * settings.min_leaf_rows
    least = int(np.count_nonzero(fold.targets.known))
    if least < needed:
        return f"{least} labelled rows are too few for leaves of {settings.min_leaf_rows}"
    for rest, valid in stability.usable_splits(fold, settings):
        if len(rest) < needed or len(valid) < settings.min_leaf_rows:
            return f"purging leaves {len(rest)} rows to fit and {len(valid)} to judge, too few for inner splits"
    return ""


def _kept(
    found: Evidence,
    measured: Sequence[str],
    left_over: Sequence[str],
    names: Sequence[str],
    previous: Selection | None,
    settings: SelectionSettings,
    common: dict[str, Any],
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The list, and what the rules did to it."""
    mandatory = common["mandatory"]
    rank = ranking.ranks(found.pi, found.score, measured)
    for name in (*mandatory, *left_over):
        # A column without a measurement (exempt, constant or absent so far) stands behind all that have one.
        rank.setdefault(name, float(len(measured) + 1))
    usable = previous is not None and previous.method == "shap"
    usable = usable and previous.catalogue_digest == common["catalogue_digest"]
    kept, held = ranking.fill(
        ranking.ordered(rank, names, mandatory, settings.bonus),
        mandatory,
        settings.top_k,
        previous=previous.names if usable else (),
        pi=_table(measured, found.pi),
        margin=settings.hysteresis,
    )
    effect = ranking.bonus_effect(rank, names, mandatory, kept, settings.bonus)
    return kept, {"held": held, "bonus_effect": effect, "ignored": previous is not None and not usable}


def _random(
    available: Sequence[str],
    names: Sequence[str],
    dropped: dict[str, str],
    settings: SelectionSettings,
    rng: np.random.Generator,
    common: dict[str, Any],
) -> Selection:
    """Mandatory columns and others by lot, in catalogue order: what a choice must beat to be worth anything."""
    free = [name for name in available if name not in common["mandatory"]]
    wanted = min(max(settings.top_k - len(common["mandatory"]), 0), len(free))
    drawn = {*common["mandatory"], *(free[i] for i in rng.choice(len(free), wanted, replace=False))}
    kept = [name for name in names if name in drawn]
    note = f"kept {len(kept)} columns, {wanted} of {len(free)} available ones by lot"
    return fallback.unmeasured(kept, "random", note, dropped=dropped, **common)


def _table(names: Sequence[str], values: Array) -> dict[str, float]:
    return dict(zip(names, np.asarray(values, np.float64).tolist(), strict=True))


def _note(
    kept: Sequence[str],
    significant: int,
    width: int,
    settings: SelectionSettings,
    mandatory: Sequence[str],
    held: Collection[str],
    ignored: bool,
) -> str:
    text = f"kept {len(kept)} of {width} available columns ({len(mandatory)} mandatory), {significant} beat the shadows"
    if len(kept) < settings.top_k:
        text += f"; fewer than {settings.top_k} are available, so all are kept"
    if held:
        text += f"; {len(held)} stay because no newcomer was clearly better"
    if ignored:
        text += "; the previous list is of another catalogue or was not measured, so it holds no place"
    return text
