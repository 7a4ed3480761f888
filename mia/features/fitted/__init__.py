"""Features that learn a few numbers on the training fold and nothing later; called by task and evaluation."""

from mia.features.fitted.fit import fit
from mia.features.fitted.parameters import FittedParameters

__all__ = ["FittedParameters", "fit"]
