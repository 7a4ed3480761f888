"""Compiled choice among the operators of options, other markets, news and models; called by `kernel.walk`."""

import numpy as np

from mia.features.operators.registry import Operator
from mia.features.operators.window import inner

CONTEXT_OPERATORS: tuple[Operator, ...] = ()


@inner
def dispatch_context(code, v, x, i, s, o, p, q):
    """Run the operator of one opcode on one row; see `registry.Operator.step`."""
    return np.nan
