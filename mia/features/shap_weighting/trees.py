"""Boosted trees and the SHAP values of their predictions: the only file that knows LightGBM.

Its `pred_contrib` equals shap's TreeExplainer, so shap itself is needed by tests only. One thread, deterministic.
"""

from typing import Any

import numpy as np

from mia.features.selection_settings import SelectionSettings

Array = np.ndarray

# Binning costs more than the fit: 31 bins with borders from 1000 rows take half the time of the defaults, and
# a column is to be ranked here, not to be squeezed.
_BINS = {
    "max_bin": 31,
    "bin_construct_sample_cnt": 1000,
    "feature_pre_filter": False,
    "enable_bundle": False,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


def binned(rows: Array, *, reference: Any = None) -> Any:
    """Bin rows (n, F), by the borders of `reference` if one is given, so that several targets share the work."""
    import lightgbm

    return lightgbm.Dataset(rows, np.zeros(len(rows)), reference=reference, params=_BINS, free_raw_data=True)


def fit_trees(
    train: Any,
    label: Array,
    weight: Array,
    settings: SelectionSettings,
    seed: int,
    *,
    classes: int = 0,
    valid: tuple[Any, Array, Array] | None = None,
) -> Any:
    """Fit boosted trees to binned rows.

    Parameters
    ----------
    train : what `binned` made
    label, weight : (n,) target and weight of each row
    settings : number, size and shrinkage of the trees; with `early_stop_rounds` the validation rows say when
    seed : of the columns each tree may use
    classes : number of classes, 0 for a number; a round of classes grows one tree for each, so there are fewer
    valid : binned rows, label and weight that judge when to stop
    """
    import lightgbm

    options = {
        **_BINS,
        "objective": "multiclass" if classes else "regression",
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.min_leaf_rows,
        "learning_rate": settings.learning_rate,
        "feature_fraction": settings.column_share,
        "seed": seed,
    }
    if classes:
        options["num_class"] = classes
    train.set_label(label).set_weight(weight)
    more: dict[str, Any] = {}
    if settings.early_stop_rounds and valid is not None:
        judge, its_label, its_weight = valid
        judge.set_label(its_label).set_weight(its_weight)
        more["valid_sets"] = [judge]
        more["callbacks"] = [lightgbm.early_stopping(settings.early_stop_rounds, verbose=False)]
    rounds = max(settings.trees // max(classes, 1), 1)
    return lightgbm.train(options, train, num_boost_round=rounds, **more)


def shap_values(booster: Any, rows: Array) -> Array:
    """SHAP values (n, outputs, F) of a fitted booster for rows (n, F); one output unless it predicts classes."""
    flat = booster.predict(rows, pred_contrib=True, num_threads=1)
    width = rows.shape[1] + 1  # the last of each output is the expected value
    return flat.reshape(len(rows), -1, width)[:, :, :-1]
