"""The libraries users would take instead, doing as much work as we do; read by the benchmark only.

Each workload is a list of calls or objects that together publish as many columns as asked for: the same functions over
the same windows, again and again. Nothing is said about values here; tests compare those.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from types import ModuleType
from typing import Any

import numpy as np

from mia.features.catalogue import FeatureSpec

Array = np.ndarray
Prices = dict[str, Array]  # open, high, low, close in points, volume; (T,) float64 each

WINDOWS = (5, 7, 10, 14, 15, 20, 21, 30, 42, 50, 60)
# (function, inputs, columns it publishes); its first parameter is a window, but for MACD's three.
TALIB = (
    ("RSI", ("close",), 1),
    ("ADX", ("high", "low", "close"), 1),
    ("PLUS_DI", ("high", "low", "close"), 1),
    ("MINUS_DI", ("high", "low", "close"), 1),
    ("MACD", ("close",), 3),
    ("MOM", ("close",), 1),
    ("STOCHF", ("high", "low", "close"), 2),
    ("CCI", ("high", "low", "close"), 1),
    ("MFI", ("high", "low", "close", "volume"), 1),
    ("LINEARREG_SLOPE", ("close",), 1),
    ("CORREL", ("close", "volume"), 1),
    ("WILLR", ("high", "low", "close"), 1),
    ("EMA", ("close",), 1),
    ("ATR", ("high", "low", "close"), 1),
    ("NATR", ("high", "low", "close"), 1),
    ("BBANDS", ("close",), 3),
    ("STDDEV", ("close",), 1),
)
TALIPP = (
    ("RSI", 1, "close"),
    ("EMA", 1, "close"),
    ("SMA", 1, "close"),
    ("WMA", 1, "close"),
    ("ROC", 1, "close"),
    ("StdDev", 1, "close"),
    ("ATR", 1, "bar"),
    ("NATR", 1, "bar"),
    ("CCI", 1, "bar"),
    ("Williams", 1, "bar"),
    ("ADX", 2, "bar"),
    ("DonchianChannels", 1, "bar"),
)
# TA-Lib calls behind the columns that name a TA-Lib function: word in the catalogue -> functions of `TALIB`.
SHARED = {
    "NATR(x100)": ("NATR",),
    "STDDEV(ddof=0)": ("STDDEV",),
    "CORREL(close,t)^2": ("CORREL",),
    "EMA+ATR": ("EMA", "ATR"),
    "BBANDS+ATR": (),  # both are computed for other columns already
}
_FACTS = {name: (inputs, columns) for name, inputs, columns in TALIB}

Call = tuple[str, tuple[str, ...], tuple[int, ...]]


def talib_module() -> ModuleType | None:
    """Return TA-Lib if it is installed."""
    try:
        import talib
    except ImportError:
        return None
    return talib


def talipp_module() -> ModuleType | None:
    """Return talipp's indicators if it is installed."""
    try:
        from talipp import indicators
    except ImportError:
        return None
    return indicators


def calls(columns: int) -> list[Call]:
    """TA-Lib calls that publish at least `columns` columns."""
    found, have = [], 0
    for at, (name, inputs, count) in enumerate(_again(TALIB)):
        if have >= columns:
            break
        window = WINDOWS[at // len(TALIB) % len(WINDOWS)]
        found.append((name, inputs, _parameters(name, window)))
        have += count
    return found


def shared_calls(specs: Sequence[FeatureSpec]) -> list[Call]:
    """TA-Lib calls behind the columns that name TA-Lib; the arithmetic after them is not counted, which favours it."""
    found = {}
    for spec in specs:
        for name in SHARED.get(spec.talib, (spec.talib,)) if spec.talib else ():
            window = int(dict(spec.params).get("n", 14))
            found[(name, window if name not in ("MACD", "BBANDS") else 0)] = (
                name,
                _FACTS[name][0],
                _parameters(name, window),
            )
    return list(found.values())


def _parameters(name: str, window: int) -> tuple[int, ...]:
    if name == "MACD":
        return (12, 26, 9)
    return (window, 1) if name == "STOCHF" else (window,)


def _again(items: Sequence[Any]) -> Iterator[Any]:
    while True:
        yield from items


def batch(talib: ModuleType, work: list[Call], prices: Prices) -> Callable[[], None]:
    """Return what computes all columns over all bars."""
    ready = [(getattr(talib, name), [prices[key] for key in inputs], given) for name, inputs, given in work]

    def run() -> None:
        for function, series, given in ready:
            function(*series, *given)

    return run


def stream(talib: ModuleType, work: list[Call], prices: Prices, warm: int) -> Callable[[int], None]:
    """Return what takes bar t into stateful handles opened on the first `warm` bars."""
    series = [(getattr(talib.stream, name), inputs, given) for name, inputs, given in work]
    handles = [(make(*(prices[key][:warm] for key in inputs), *given).update, inputs) for make, inputs, given in series]

    def take(t: int) -> None:
        bar = {key: float(values[t]) for key, values in prices.items()}
        for update, inputs in handles:
            update(*[bar[key] for key in inputs])

    return take


def pure_python(indicators: ModuleType, columns: int, prices: Prices, warm: int) -> Callable[[int], None]:
    """Return what takes bar t into `columns` talipp indicators that have seen the first `warm` bars."""
    from talipp.ohlcv import OHLCV

    made = []
    for at, (name, windows, fed) in islice(enumerate(_again(TALIPP)), columns):
        window = WINDOWS[at // len(TALIPP) % len(WINDOWS)]
        made.append((getattr(indicators, name)(*[window] * windows), fed == "bar"))
    keys = ("open", "high", "low", "close", "volume")

    def take(t: int) -> None:
        bar = OHLCV(*(float(prices[key][t]) for key in keys))
        for indicator, whole in made:
            indicator.add(bar if whole else bar.close)

    for t in range(warm):
        take(t)
    return take
