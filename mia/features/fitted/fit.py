"""Fits every node of a plan that learns from the training fold."""

from collections.abc import Callable

import numpy as np

from mia.domain.errors import ConfigurationError
from mia.features.fitted.components import integrated_weights, principal_component
from mia.features.fitted.events import event_multiples
from mia.features.fitted.fold import Fold, Rows
from mia.features.fitted.har import har_coefficients
from mia.features.fitted.hawkes import hawkes_parameters
from mia.features.fitted.microprice import microprice_table
from mia.features.fitted.news_topics import topic_multiples
from mia.features.fitted.parameters import FittedParameters, TooShortError
from mia.features.plan import Node, Plan

Array = np.ndarray

FITTERS: dict[str, Callable[[Node, Fold], Array]] = {
    "ofi_integrated": integrated_weights,
    "microprice_table": microprice_table,
    "hawkes": hawkes_parameters,
    "event_profile": event_multiples,
    "pca_score": principal_component,
    "har": har_coefficients,
    "news_impact": topic_multiples,
}


def fit(plan: Plan, values: Array, features: Array, rows: Rows) -> FittedParameters:
    """Fit all nodes with a fitted block on the training rows only.

    Parameters
    ----------
    plan : compiled plan
    values : (T, WIDTH) float64 base series
    features : (T, C) float64, `FeatureEngine(plan).batch(values)`
    rows : training rows, as slice, (T,) bool or row numbers; nothing after the last of them is read

    Returns
    -------
    FittedParameters for `plan.with_parameters(result.params)`; nodes the fold is too short for are named in
    `unavailable` and stay NaN.

    Raises
    ------
    ConfigurationError : if a node's operator has no fitter.
    """
    fold = Fold.cut(plan, values, features, rows)
    blocks: dict[str, Array] = {}
    unavailable: dict[str, str] = {}
    for name in plan.fitted_nodes:
        node = plan.node(name)
        if node.op not in FITTERS:
            raise ConfigurationError(f"feature {name}: operator {node.op} has no fitter; add it to FITTERS")
        try:
            blocks[name] = FITTERS[node.op](node, fold)
        except TooShortError as problem:
            unavailable[name] = str(problem)
    return FittedParameters(
        params=blocks,
        unavailable=unavailable,
        fit_end=len(fold.train) - 1,
        fit_rows=int(fold.train.sum()),
    )
