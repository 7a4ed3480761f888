"""Choose the features of inference inside one training fold: stability selection by SHAP (350 -> 150).

task/ calls `select` once per fold; nothing after the fold's last row is looked at. LightGBM is imported only
here, and only while selecting; its `pred_contrib` equals TreeExplainer, so shap itself is not needed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mia.domain import digest
from mia.domain.errors import ArtefactMismatch, DataError
from mia.features.selection_settings import SelectionSettings

Array = np.ndarray
_CLUSTER_ROWS = 2000
_LABEL_LIMIT = 5.0


class Spec(Protocol):
    """What is needed to know of a feature; `mia.features.catalogue.FeatureSpec` is one."""

    name: str
    mandatory: bool
    fallback: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The columns a policy sees, best first.

    Parameters
    ----------
    names : chosen columns in order of rank
    method : "shap", "all", or "fallback" (the catalogue's static list, because choosing failed)
    pi : column -> share of fits in which it was among the best `top_k`
    shap : column -> mean absolute SHAP value as a share of all columns', averaged over fits
    n_significant : columns that beat every shadow often enough
    clusters : groups of near-copies among the candidates, single columns left out
    dropped : column -> why it was no candidate
    mandatory : columns that are in by rule
    note : what was decided, for people
    fitted_on : first and last moment of the fold
    """

    names: tuple[str, ...]
    method: str
    pi: dict[str, float]
    shap: dict[str, float]
    n_significant: int
    clusters: tuple[tuple[str, ...], ...]
    dropped: dict[str, str]
    mandatory: tuple[str, ...]
    note: str
    fitted_on: tuple[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of the ordered list of names; a policy refuses any other list."""
        return digest.of_json(list(self.names))

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

    def to_json(self) -> str:
        """Text form with the digest of the list."""
        body: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps({"digest": self.digest, **body}, indent=1, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Selection":
        """Read what `to_json` wrote; ArtefactMismatch if it is not a selection or its digest is another."""
        try:
            body = json.loads(text)
            stored = body.pop("digest")
            for name in ("names", "mandatory", "fitted_on"):
                body[name] = tuple(body[name])
            body["clusters"] = tuple(tuple(group) for group in body["clusters"])
            selection = cls(**body)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ArtefactMismatch(f"feature selection is not readable ({error}); select again") from error
        if selection.digest != stored:
            raise ArtefactMismatch("feature selection was altered: its digest does not fit its list; select again")
        return selection


def select(
    view: Array,
    close_ticks: Array,
    session: Array,
    train_rows: slice,
    specs: Sequence[Spec],
    settings: SelectionSettings,
    rng: np.random.Generator,
    *,
    availability: Array | None = None,
    fitted_on: tuple[str, str] = ("", ""),
) -> Selection:
    """Choose columns from the rows of one training fold.

    Parameters
    ----------
    view : (T, F) scaled features, columns in the order of `specs`
    close_ticks : (T,) closes [ticks]
    session : (T,) session of each row
    train_rows : the fold's training rows; no other row is read
    specs : (F,) name, mandatory and fallback of each column
    settings : how to choose
    rng : source of resamples, shadows and tree seeds
    availability : (F,) share of training rows with a value; None counts the finite values of `view`
    fitted_on : first and last moment of the fold, kept for the record

    Returns
    -------
    `settings.top_k` columns: mandatory ones always, the others by stability, then mean |SHAP|. With fewer
    candidates than that all are kept, with too little data the catalogue's static list; `note` says so.

    Raises
    ------
    DataError : if shapes disagree.

    Labels of a fixed horizon overlap equally everywhere, so weights by label uniqueness would change nothing.
    Source: Meinshausen & Buehlmann (2010); Lundberg et al. (2020); Kursa & Rudnicki (2010) for the shadows.
    """
    names = [spec.name for spec in specs]
    if view.ndim != 2 or view.shape[1] != len(names) or len({len(view), len(close_ticks), len(session)}) > 1:
        raise DataError(f"selection: view {view.shape} does not fit {len(names)} specs and {len(close_ticks)} closes")
    mandatory = tuple(spec.name for spec in specs if spec.mandatory)
    data = np.asarray(view[train_rows], np.float64)
    common = {"mandatory": mandatory, "fitted_on": fitted_on}
    if settings.method == "all":
        return _whole(names, "all", f"kept all {len(names)} columns", {}, common)
    dropped = _dropped(data, names, availability, settings)
    candidates = [j for j, name in enumerate(names) if name not in dropped]
    labels = forward_labels(close_ticks[train_rows], session[train_rows], settings)
    problem = _too_little(labels, session[train_rows], candidates, settings)
    if problem:
        return _fallback(specs, dropped, problem, settings, common)
    data = np.nan_to_num(data[:, candidates], nan=0.0, posinf=0.0, neginf=0.0)
    groups = _clusters(data, settings)
    runs = _runs(data, labels, np.asarray(session[train_rows]), groups, settings, rng)
    return _ranked(runs, groups, [names[j] for j in candidates], names, dropped, settings, common)


def forward_labels(close: Array, session: Array, settings: SelectionSettings) -> Array:
    """Forward returns in units of their expected deviation, (T, horizons); NaN beyond session or fold.

    The volatility is the root mean square of the last `volatility_bars` changes inside sessions, known at t.
    """
    close = np.asarray(close, np.float64)
    change = np.diff(close, prepend=close[:1])
    change[1:][session[1:] != session[:-1]] = 0.0  # the gap between sessions is not a bar's change
    total = np.cumsum(change**2)
    total[settings.volatility_bars :] -= total[: -settings.volatility_bars].copy()
    scale = np.sqrt(total / settings.volatility_bars)
    scale[: settings.volatility_bars] = np.nan
    scale[scale < 1e-9] = np.nan
    labels = np.full((len(close), len(settings.horizons)), np.nan)
    for i, h in enumerate(settings.horizons):
        if h < len(close):
            inside = session[h:] == session[:-h]
            moved = np.where(inside, close[h:] - close[:-h], np.nan)
            labels[:-h, i] = np.clip(moved / (scale[:-h] * np.sqrt(h)), -_LABEL_LIMIT, _LABEL_LIMIT)
    return labels


def shap_values(booster: Any, rows: Array) -> Array:
    """SHAP values (n, F) of a fitted LightGBM booster for rows (n, F); equal to shap's TreeExplainer."""
    return booster.predict(rows, pred_contrib=True, num_threads=1)[:, :-1]


def fit_trees(rows: Array, label: Array, settings: SelectionSettings, seed: int) -> Any:
    """Fit boosted trees on one thread, deterministically."""
    import lightgbm

    options = {
        "objective": "regression",
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.min_leaf_rows,
        "learning_rate": settings.learning_rate,
        "feature_fraction": settings.column_share,
        "max_bin": 63,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbosity": -1,
    }
    return lightgbm.train(options, lightgbm.Dataset(rows, label), num_boost_round=settings.trees)


def _dropped(
    data: Array, names: Sequence[str], availability: Array | None, settings: SelectionSettings
) -> dict[str, str]:
    """Columns that cannot be candidates, and why."""
    if availability is None:
        availability = np.isfinite(data).mean(axis=0) if len(data) else np.zeros(len(names))
    out = {}
    for j, name in enumerate(names):
        if not availability[j] >= settings.min_availability:
            out[name] = f"available in {float(availability[j]):.0%} of rows"
            continue
        known = data[:, j][np.isfinite(data[:, j])]
        if len(known) == 0 or known.std() < 1e-9:
            out[name] = "does not vary"
    return out


def _too_little(labels: Array, session: Array, candidates: Sequence[int], settings: SelectionSettings) -> str:
    """Why choosing is impossible, or nothing."""
    if not candidates:
        return "no column is available and varies"
    days = len(np.unique(session))
    if days < 2 * settings.splits:
        return f"{days} sessions are too few for {settings.splits} inner splits"
    least = int(np.isfinite(labels).sum(axis=0).min())
    if least < 10 * settings.min_leaf_rows:
        return f"{least} labelled rows are too few for leaves of {settings.min_leaf_rows}"
    return ""


def _clusters(data: Array, settings: SelectionSettings) -> Array:
    """Cluster number of each column: average linkage on 1 - |Spearman|, on evenly thinned rows."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform
    from scipy.stats import rankdata

    width = data.shape[1]
    if width < 2:
        return np.zeros(width, np.int64)
    rows = np.linspace(0, len(data) - 1, min(len(data), _CLUSTER_ROWS)).astype(np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        related = np.corrcoef(rankdata(data[rows], axis=0), rowvar=False)
    distance = 1.0 - np.abs(np.nan_to_num(related))
    distance = np.clip((distance + distance.T) / 2, 0.0, 1.0)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="average")
    return fcluster(tree, settings.cluster_distance, criterion="distance") - 1


@dataclass(frozen=True, slots=True)
class _Run:
    """One inner fit: each column's own share of |SHAP|, its score, and whether it beat the shadows."""

    own: Array
    score: Array
    beats_shadows: Array


def _runs(
    data: Array,
    labels: Array,
    session: Array,
    groups: Array,
    settings: SelectionSettings,
    rng: np.random.Generator,
) -> list[_Run]:
    """Fit on purged inner splits x bootstraps of whole sessions; SHAP on the validation rows only."""
    days = np.unique(session)
    blocks = np.array_split(days, settings.splits)
    gap = max(settings.horizons) + settings.embargo_bars
    runs = []
    for block in blocks:
        valid = np.flatnonzero((session >= block[0]) & (session <= block[-1]))
        rest = np.concatenate([np.arange(max(valid[0] - gap, 0)), np.arange(valid[-1] + 1 + gap, len(session))])
        for _ in range(settings.bootstraps):
            rows = _resampled(rest, session, settings.max_rows, rng)
            runs.append(_fit_once(data, labels, rows, _thinned(valid, settings.max_rows // 3), groups, settings, rng))
    return runs


def _resampled(rows: Array, session: Array, most: int, rng: np.random.Generator) -> Array:
    """Rows of sessions drawn with replacement, thinned evenly to `most`."""
    days = np.unique(session[rows])
    by_day = {day: rows[session[rows] == day] for day in days}
    drawn = np.sort(rng.choice(days, len(days)))
    return _thinned(np.concatenate([by_day[day] for day in drawn]), most)


def _thinned(rows: Array, most: int) -> Array:
    """At most `most` of the rows, evenly spread."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _fit_once(
    data: Array,
    labels: Array,
    train: Array,
    valid: Array,
    groups: Array,
    settings: SelectionSettings,
    rng: np.random.Generator,
) -> _Run:
    """One run: trees for each horizon, |SHAP| averaged over them, shadows beside the columns."""
    width, rows = data.shape[1], len(data)
    shadows = np.empty((rows, settings.shadows))
    for j in range(settings.shadows):
        # Shifted far in time, not shuffled: slow columns fit overlapping labels by chance far better than
        # shuffled ones do, and a shadow must be as slow as what it is a yardstick for.
        shift = int(rng.integers(rows // 4, max(rows * 3 // 4, rows // 4 + 1)))
        shadows[:, j] = np.roll(data[:, rng.integers(0, width)], shift)
    wide = [np.concatenate([data[r], shadows[r]], axis=1).astype(np.float32) for r in (train, valid)]
    shares = np.zeros(width + settings.shadows)
    for i in range(labels.shape[1]):
        known = np.isfinite(labels[train, i])
        seed = int(rng.integers(0, 2**31 - 1))
        trees = fit_trees(wide[0][known], labels[train, i][known], settings, seed)
        size = np.abs(shap_values(trees, wide[1])).mean(axis=0)
        if size.sum() > 0:
            shares += size / size.sum() / labels.shape[1]
    own = shares[:width]
    score = _shared(own, groups)
    return _Run(own, score, score > shares[width:].max())


def _shared(own: Array, groups: Array) -> Array:
    """Score of each column: SHAP is summed per cluster, then split inside.

    Near-copies take turns in the trees, so each alone looks weak. The strongest of a cluster speaks for it
    with the cluster's sum; the others keep their own share, so that copies do not crowd out other columns.
    """
    score = own.copy()
    sums = np.bincount(groups, weights=own)
    for group, total in enumerate(sums):
        members = np.flatnonzero(groups == group)
        if len(members) > 1:
            score[members[np.argmax(own[members])]] = total
    return score


def _ranked(
    runs: Sequence[_Run],
    groups: Array,
    candidates: Sequence[str],
    names: Sequence[str],
    dropped: dict[str, str],
    settings: SelectionSettings,
    common: dict[str, Any],
) -> Selection:
    """Rank by stability, then mean |SHAP|; mandatory columns get their bonus and are always in."""
    width, top = len(candidates), min(settings.top_k, len(candidates))
    pi, shap, beaten = np.zeros(width), np.zeros(width), np.zeros(width)
    for run in runs:
        best = np.argsort(-run.score, kind="stable")[:top]
        pi[best[run.score[best] > 0]] += 1 / len(runs)
        shap += run.own / len(runs)
        beaten += run.beats_shadows / len(runs)
    significant = int(np.count_nonzero(beaten >= settings.shadow_share - 1e-12))
    order = np.lexsort((np.arange(width), -shap, -np.round(pi, 9)))
    rank = {candidates[j]: float(place + 1) for place, j in enumerate(order)}
    wanted = list(common["mandatory"])
    for name in wanted:
        # A mandatory column without a measurement (constant or absent so far) goes to the end, but it is in.
        rank[name] = rank.get(name, float(width + 1)) / settings.bonus
    ordered = sorted(rank, key=lambda name: (rank[name], names.index(name)))
    free = max(settings.top_k - len(wanted), 0)
    others = [name for name in ordered if name not in set(wanted)][:free]
    chosen = set(wanted) | set(others)
    kept = tuple(name for name in ordered if name in chosen)
    return Selection(
        names=kept,
        method="shap",
        pi=dict(zip(candidates, pi.tolist(), strict=True)),
        shap=dict(zip(candidates, shap.tolist(), strict=True)),
        n_significant=significant,
        clusters=_named_clusters(groups, candidates),
        dropped=dropped,
        note=_note(kept, significant, width, settings, len(wanted)),
        **common,
    )


def _named_clusters(groups: Array, candidates: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    members = (tuple(candidates[j] for j in np.flatnonzero(groups == g)) for g in range(int(groups.max()) + 1))
    return tuple(group for group in members if len(group) > 1)


def _note(kept: Sequence[str], significant: int, width: int, settings: SelectionSettings, wanted: int) -> str:
    text = f"kept {len(kept)} of {width} available columns ({wanted} mandatory), {significant} beat the shadows"
    if len(kept) < settings.top_k:
        text += f"; fewer than {settings.top_k} are available, so all are kept"
    return text


def _whole(names: Sequence[str], method: str, note: str, dropped: dict[str, str], common: dict[str, Any]) -> Selection:
    return Selection(
        names=tuple(names),
        method=method,
        pi=dict.fromkeys(names, 1.0),
        shap=dict.fromkeys(names, 0.0),
        n_significant=0,
        clusters=(),
        dropped=dropped,
        note=note,
        **common,
    )


def _fallback(
    specs: Sequence[Spec],
    dropped: dict[str, str],
    problem: str,
    settings: SelectionSettings,
    common: dict[str, Any],
) -> Selection:
    """The catalogue's static list, as far as it is available; said in the note, never silently."""
    wanted = set(common["mandatory"])
    flagged = [s.name for s in specs if s.fallback and s.name not in dropped and s.name not in wanted]
    chosen = wanted | set(flagged[: max(settings.top_k - len(wanted), 0)])
    names = [spec.name for spec in specs if spec.name in chosen]
    return _whole(names, "fallback", f"static list of {len(names)} columns, because {problem}", dropped, common)
