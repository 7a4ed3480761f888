"""Method 3: columns count more or less by regime. Settings of conf/regime_weights, and their weights per column."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mia.domain.errors import ConfigurationError

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class RegimeWeightSettings:
    """Weights by regime.

    Parameters
    ----------
    name : option name
    weights : regime -> {feature, or the beginning of several features' names: weight > 0}; all others weigh 1
    """

    name: str
    weights: dict[str, dict[str, float]]

    def __post_init__(self) -> None:
        for regime, by_name in self.weights.items():
            for feature, weight in by_name.items():
                if not 0 < weight < 100:
                    raise ConfigurationError(
                        f"regime_weights {self.name}: {regime}.{feature} must lie in (0, 100), was {weight!r}; "
                        f"correct it in conf/regime_weights/{self.name}.yaml"
                    )

    def columns(self, regimes: Sequence[str], selected: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """Return (K, S) weights of the selected columns; () where every weight is 1.

        Raises
        ------
        ConfigurationError : if a regime is unknown.
        """
        unknown = sorted(set(self.weights) - set(regimes))
        if unknown:
            raise ConfigurationError(
                f"regime_weights {self.name}: unknown regime {unknown[0]}; known are {', '.join(regimes)}"
            )
        table = tuple(tuple(_weight(self.weights.get(regime, {}), name) for name in selected) for regime in regimes)
        return table if any(weight != 1.0 for row in table for weight in row) else ()


def _weight(by_name: dict[str, float], column: str) -> float:
    """The weight of the longest name that is the column or its beginning up to an underscore."""
    fits = [name for name in by_name if column == name or column.startswith(f"{name}_")]
    return float(by_name[max(fits, key=len)]) if fits else 1.0
