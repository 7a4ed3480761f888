"""Option chains as base series: implied volatility, exposure of dealers, and the levels it draws."""

from typing import Any

__all__ = ["OptionsMetrics"]


def __getattr__(name: str) -> Any:
    """Import the compiled part only when somebody computes; the settings beside it must load fast."""
    if name == "OptionsMetrics":
        from mia.features.options.options_metrics import OptionsMetrics

        return OptionsMetrics
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
