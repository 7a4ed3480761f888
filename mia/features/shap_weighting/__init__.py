"""Choose the features of inference inside one training fold: stability selection by SHAP (350 -> 150).

task/ calls `select` once per fold; nothing after the fold's last row is looked at. `chosen` decides what is used
when choosing failed, `agreement` says how far folds agree. One idea per file; LightGBM lives in trees.py.
"""

from mia.features.shap_weighting.agreement import Agreement, agreement
from mia.features.shap_weighting.artefact import Selection, Spec, catalogue_digest
from mia.features.shap_weighting.choose import REGIMES, select
from mia.features.shap_weighting.fallback import chosen, static

__all__ = [
    "REGIMES",
    "Agreement",
    "Selection",
    "Spec",
    "agreement",
    "catalogue_digest",
    "chosen",
    "select",
    "static",
]
