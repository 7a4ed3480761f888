"""What a reward may know of the moment of a decision. Tapes carry these columns; rewards read them."""

CONTEXT = ("news_impact_score", "vix", "atr_dynamic", "orderflow_imbalance", "cvar_loss")
"""Columns of a context, each known at the close of the bar the decision is taken at; NaN where unknown.

news_impact_score [-1, 1], vix [volatility points], atr_dynamic [points], orderflow_imbalance [-1, 1],
cvar_loss [R multiples].
"""

NEWS, VIX, ATR, FLOW, CVAR = range(len(CONTEXT))
