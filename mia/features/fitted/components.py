"""Principal components: integrated order-flow imbalance and the latent factor scores."""

from dataclasses import dataclass

import numpy as np

from mia.domain.series import INDEX
from mia.features.fitted.fold import Fold
from mia.features.fitted.parameters import TooShortError
from mia.features.operators.flow_context import IDENTITY, LOG, MEMBER_CLIP, SIGNED_LOG
from mia.features.plan import Node

Array = np.ndarray

MIN_ROWS = 500
MIN_SHARE = 0.5
KIND_OF_NORM = {"logz": LOG, "slogz": SIGNED_LOG}
MAD_TO_SD = 1.4826022185056018


def integrated_weights(node: Node, fold: Fold) -> Array:
    """Return first-component weights of the levels' normalised order-flow imbalance, L1 norm 1, sum positive.

    Source: Cont, Cucuringu, Zhang (2023).
    """
    inputs = fold.inputs(node)
    levels = inputs.shape[1] // 2
    depth = inputs[:, levels:].mean(axis=1)
    good = fold.train & np.isfinite(inputs).all(axis=1) & (depth > 0)
    if good.sum() < MIN_ROWS:
        raise TooShortError(f"needs {MIN_ROWS} bars with {levels} levels, the fold has {int(good.sum())}")
    flow = inputs[good, :levels] / depth[good, None]
    _, vectors = np.linalg.eigh(np.cov(flow, rowvar=False))
    first = vectors[:, -1] / np.abs(vectors[:, -1]).sum()
    return first if first.sum() > 0 else -first


def principal_component(node: Node, fold: Fold) -> Array:
    """Return [offset, then kind, centre, scale, weight of each member] of one whitened component.

    Members are centred and scaled by median and MAD of the training rows, clipped, 0 where missing. Left out
    (weight 0) are members that are themselves fitted, constant, or missing on half of the rows. The largest
    loading is positive. Source: Jolliffe (2002).
    """
    component = int(node.params["component"])
    if node.inputs not in fold.memo:
        fold.memo[node.inputs] = Decomposition.of(node, fold)
    parts = fold.memo[node.inputs]
    if component > len(parts.chosen) or parts.variances[-component] <= 1e-9 * parts.variances[-1]:
        raise TooShortError(f"its members span fewer than {component} directions in the training fold")
    loading = parts.vectors[:, -component]
    loading = loading * np.sign(loading[np.argmax(np.abs(loading))])
    weight = np.zeros(len(node.inputs))
    weight[parts.chosen] = loading / np.sqrt(parts.variances[-component])
    block = np.stack([parts.kinds, parts.center, parts.scale, weight], axis=1).ravel()
    return np.concatenate([[float(weight[parts.chosen] @ parts.mean)], block])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decomposition:
    """What the components of one list of members have in common.

    Parameters
    ----------
    kinds, center, scale : (F,) how each member is transformed, centred and scaled
    chosen : (C,) members taking part
    mean : (C,) their mean after that
    variances, vectors : (C,), (C, C) spectrum of their covariance, ascending
    """

    kinds: Array
    center: Array
    scale: Array
    chosen: Array
    mean: Array
    variances: Array
    vectors: Array

    @classmethod
    def of(cls, node: Node, fold: Fold) -> "Decomposition":
        """Decompose the members of `node` on the training rows."""
        kinds = np.array([kind_of(name, fold) for name in node.inputs])
        members, used = usable_members(node, fold)
        center, scale = np.zeros(len(kinds)), np.ones(len(kinds))
        columns = []
        for k in np.flatnonzero(used):
            column = transform(members[:, k], kinds[k])
            center[k], spread = center_and_scale(column)
            if spread == 0.0:
                used[k] = False
                continue
            scale[k] = spread
            columns.append(np.nan_to_num(np.clip((column - center[k]) / spread, -MEMBER_CLIP, MEMBER_CLIP)))
        if len(columns) < 2:
            raise TooShortError(f"only {len(columns)} of its members vary in the training fold")
        view = np.stack(columns, axis=1)
        variances, vectors = np.linalg.eigh(np.cov(view, rowvar=False))
        return cls(
            kinds=kinds,
            center=center,
            scale=scale,
            chosen=np.flatnonzero(used),
            mean=view.mean(axis=0),
            variances=variances,
            vectors=vectors,
        )


def kind_of(name: str, fold: Fold) -> float:
    """How a member is transformed: as its norm says; base series carry none and stay as they are."""
    return IDENTITY if name in INDEX else KIND_OF_NORM.get(fold.spec(name).norm, IDENTITY)


def usable_members(node: Node, fold: Fold) -> tuple[Array, Array]:
    """Training rows with at least half of the usable members, (n, F), and which members are usable, (F,)."""
    members = fold.inputs(node)[fold.train]
    learned = fold.plan.learned_nodes
    used = np.array([name not in learned for name in node.inputs])
    if len(members):
        used &= np.isfinite(members).mean(axis=0) >= MIN_SHARE
    enough = np.isfinite(members[:, used]).sum(axis=1) * 2 >= max(used.sum(), 1)
    if enough.sum() < MIN_ROWS:
        raise TooShortError(
            f"needs {MIN_ROWS} bars with half of its members, the training fold has {int(enough.sum())}"
        )
    return members[enough], used


def transform(column: Array, kind: float) -> Array:
    """Return the column as the operator transforms it: plain, log1p, or sign x log1p."""
    if kind == LOG:
        return np.log1p(np.maximum(column, 0.0))
    if kind == SIGNED_LOG:
        return np.copysign(np.log1p(np.abs(column)), column)
    return column


def center_and_scale(column: Array) -> tuple[float, float]:
    """Median and 1.4826 x MAD of the finite values; the standard deviation where more than half are equal."""
    finite = column[np.isfinite(column)]
    center = float(np.median(finite))
    spread = MAD_TO_SD * float(np.median(np.abs(finite - center)))
    return center, spread if spread > 0.0 else float(finite.std())
