"""Everything that was learned from rows before one moment, and turns the rows after it into features."""

from dataclasses import dataclass
from typing import Any

from mia.desk.sentinel import Sentinel
from mia.features.drift import DriftReference
from mia.features.fitted import FittedParameters
from mia.features.normalisation import Scaler
from mia.memory.context_basis import ContextBasis
from mia.regime.regime_detector import RegimeModel


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """One fit. Nothing in it has seen a row at or after `fit_stop`.

    Parameters
    ----------
    index : 0-based number of the fit
    fit_start, fit_stop : rows it was fitted on, as numbers since the first bar
    fit_end : close time of the last of them [ns UTC]
    fitted : numbers of the market plan's fitted nodes
    scaler : of the market plan's columns; what regime, encoder and memory read
    regime : the hidden Markov model
    encoder : or None
    memory : basis of the context memory, or None
    drift : the distribution of the columns, or None
    sentinel : a policy of this fit on a shadow account, or None
    """

    index: int
    fit_start: int
    fit_stop: int
    fit_end: int
    fitted: FittedParameters
    scaler: Scaler
    regime: RegimeModel
    encoder: Any
    memory: ContextBasis | None
    drift: DriftReference | None
    sentinel: Sentinel | None = None
