"""Does anything know the future? Pure checks on arrays and callables; task/audit applies them to a whole walk.

One idea per file: where to cut, what changed, how to spoil a future, what was fitted on which rows, what one bar's
delay costs, when a column has settled, whether shuffled sessions can be foreseen, what a decision is paid.
"""
