"""Settings of the choice of features for inference; conf/selection/<option>.yaml makes one."""

from dataclasses import dataclass

from mia.domain.errors import ConfigurationError

METHODS = ("shap", "random", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionSettings:
    """How columns are chosen inside one training fold.

    Parameters
    ----------
    name : option name
    method : "shap" (stability selection by SHAP), "random" (by lot, to compare with) or "all" (keep every column)
    top_k : columns kept, mandatory ones included
    min_availability : least share of training rows with a value
    bonus : the rank of mandatory columns is divided by it, >= 1
    horizons : forward returns that are explained [bars]
    barrier_bars : life of the two barriers of which the first touched is explained too [bars]; 0: no such target
    barrier_width : their distance [expected deviations of that many bars]
    volatility_bars : window of the volatility that scales labels and barriers [bars]
    splits : inner validation blocks, purged
    bootstraps : resamples of whole sessions per block
    embargo_bars : gap beyond the label horizon around a validation block [bars]
    max_rows : training rows per fit; validation takes a third of it [bars]
    cluster_distance : columns nearer than this in 1 - |Spearman| are one cluster
    shadows : time-shifted columns added to each fit, the yardstick of chance
    shadow_share : a column is significant if it beats every shadow in this share of fits
    require_significant : if no column is significant, use the static list
    hysteresis : a newcomer's frequency must exceed a member's by more than this
    regime_min_rows : judging rows below which a regime's importances are not reported [bars]
    trees, leaves, min_leaf_rows : size of the boosted trees; classes share the trees of a fit
    learning_rate, column_share : shrinkage, and the share of columns each tree sees
    early_stop_rounds : stop when the judging rows have gained nothing for so many rounds; 0: never
    """

    name: str
    method: str
    top_k: int
    min_availability: float
    bonus: float
    horizons: tuple[int, ...]
    barrier_bars: int
    barrier_width: float
    volatility_bars: int
    splits: int
    bootstraps: int
    embargo_bars: int
    max_rows: int
    cluster_distance: float
    shadows: int
    shadow_share: float
    require_significant: bool
    hysteresis: float
    regime_min_rows: int
    trees: int
    leaves: int
    min_leaf_rows: int
    learning_rate: float
    column_share: float
    early_stop_rounds: int

    def __post_init__(self) -> None:
        def refuse(field: str, needed: str) -> None:
            raise ConfigurationError(
                f"selection {self.name}: {field} must {needed}, was {getattr(self, field)!r}; "
                f"correct it in conf/selection/{self.name}.yaml"
            )

        if self.method not in METHODS:
            refuse("method", f"be one of {', '.join(METHODS)}")
        if not self.horizons or min(self.horizons) < 1:
            refuse("horizons", "name at least one horizon of at least 1 bar")
        for field in ("top_k", "bootstraps", "trees", "min_leaf_rows", "shadows", "regime_min_rows"):
            if getattr(self, field) < 1:
                refuse(field, "be at least 1")
        for field in ("splits", "leaves", "volatility_bars"):
            if getattr(self, field) < 2:
                refuse(field, "be at least 2")
        for field in ("embargo_bars", "barrier_bars", "early_stop_rounds"):
            if getattr(self, field) < 0:
                refuse(field, "not be negative")
        if not 0 < self.barrier_width < float("inf"):
            refuse("barrier_width", "be positive")
        if not 0 <= self.hysteresis <= 1:
            refuse("hysteresis", "lie in [0, 1]")
        if self.max_rows < 100:
            refuse("max_rows", "be at least 100 bars")
        for field in (
            "min_availability",
            "cluster_distance",
            "shadow_share",
            "learning_rate",
            "column_share",
        ):
            if not 0 < getattr(self, field) <= 1:
                refuse(field, "lie in (0, 1]")
        if not 1 <= self.bonus < float("inf"):
            refuse("bonus", "be at least 1")
