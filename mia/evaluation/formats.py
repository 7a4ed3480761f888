"""How numbers are written for people: one style in the report and in the terminal's table."""

import math
from collections.abc import Mapping
from typing import Any

NONE = "–"


def missing(value: Any) -> bool:
    """Tell whether a value is absent: None, NaN or infinite."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def usd(value: Any) -> str:
    """Money, in whole dollars from 10 upwards, with cents below: $1,234, -$2.50."""
    if missing(value):
        return NONE
    amount = float(value)
    digits = 0 if abs(amount) >= 9.995 or amount == int(amount) else 2
    text = f"{abs(amount):,.{digits}f}"
    return f"-${text}" if amount < 0 and float(text.replace(",", "")) else f"${text}"


def ratio(value: Any) -> str:
    """A ratio with two decimals: 0.48."""
    if missing(value):
        return NONE
    text = f"{float(value):,.2f}"
    return "0.00" if text == "-0.00" else text


def count(value: Any) -> str:
    """A whole number with thousands separators: 12,345."""
    return NONE if missing(value) else f"{round(float(value)):,}"


def percent(value: Any) -> str:
    """A share as a percentage: 0.153 becomes 15.3 %."""
    if missing(value):
        return NONE
    share = 100 * float(value)
    return f"{share:.1f} %" if abs(share) >= 0.1 else f"{share:.1g} %"


def interval(value: Any) -> str:
    """An interval of ratios: -0.21 to 1.10."""
    if value is None or missing(value[0]) or missing(value[1]):
        return NONE
    return f"{_small(value[0])} to {_small(value[1])}"


METRICS = {
    "net_usd": ("Net profit", usd),
    "gross_usd": ("Before costs", usd),
    "cost_usd": ("Costs", usd),
    "sharpe": ("Sharpe", ratio),
    "sharpe_ci": ("95 % interval", interval),
    "max_drawdown_usd": ("Drawdown, day", usd),
    "max_drawdown_intraday_usd": ("Drawdown, bar", usd),
    "cvar95_usd": ("CVaR 95 %", usd),
    "trades": ("Trades", count),
    "turnover": ("Turnover", ratio),
    "exposure": ("Exposure", percent),
}
"""The figures every account is judged by: key -> (label, how it is written), in reading order."""


def metric(metrics: Mapping[str, Any], key: str) -> str:
    """One metric as text; a dash when it is absent."""
    return METRICS[key][1](metrics.get(key))


def plain(value: Any, key: str = "") -> str:
    """Any cell of a table, its style chosen by type and by the unit at the end of its key."""
    if missing(value):
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)) and len(value) == 2 and not isinstance(value[0], str):
        return f"{usd(value[0])} to {usd(value[1])}" if key.endswith("_usd") else interval(value)
    if isinstance(value, str):
        return value
    if key.endswith("_usd"):
        return usd(value)
    if key.endswith(("_share", "exposure")):
        return percent(value)
    number = float(value)
    if number == int(number) and not isinstance(value, float):
        # Dates written as yyyymmdd and seeds are names, not quantities.
        return f"{int(number)}" if key.endswith(("date", "seed")) else f"{int(number):,}"
    return _small(number)


def _small(number: float) -> str:
    """Two decimals, or two digits where those would show nothing."""
    return f"{number:.2g}" if number != 0 and abs(number) < 0.005 else ratio(number)
