"""Settings of the encoders; conf/encoder/<option>.yaml makes one. Importing this costs nothing."""

from dataclasses import dataclass
from math import isfinite

from mia.domain.errors import ConfigurationError

LSTM_KIND, CNN_KIND = "lstm", "cnn"
KINDS = (LSTM_KIND, CNN_KIND)
BOOK_WINDOW = 64  # rows the CNN sees; fixed by its three convolutions
LEVELS_READ = 5
BOOK_SERIES: tuple[str, ...] = tuple(
    f"dom.{side}_{what}_{k}" for side in ("bid", "ask") for what in ("px", "sz") for k in range(1, LEVELS_READ + 1)
)
"""The 20 base series of `EncoderRows.depth`: bid prices and sizes, ask prices and sizes, best level first."""

_BOUNDS: dict[str, tuple[float, float]] = {
    "lstm_hidden": (2, 256),
    "lstm_window": (2, 10_000),
    "cnn_width": (2, 256),
    "clip": (0.5, 100),
    "return_bars": (1, 1000),
    "volatility_minutes": (1, 10_000),
    "vix_minutes": (1, 10_000),
    "barrier": (0.01, 100),
    "barrier_memory": (1, 10_000),
    "max_rows": (500, 100_000_000),
    "validation_share": (0.05, 0.5),
    "embargo": (0, 100_000),
    "epochs": (1, 10_000),
    "steps": (1, 100_000),
    "sequences": (1, 10_000),
    "sequence_bars": (2, 100_000),
    "learning_rate": (1e-6, 1),
    "weight_decay": (0, 10),
    "input_dropout": (0, 0.9),
    "side_weight": (0, 100),
    "patience": (1, 10_000),
    "anchor_rows": (50, 1_000_000),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSettings:
    """What the encoders read, what they learn to foresee, and how long they learn.

    Parameters
    ----------
    name : option name
    kinds : which are trained: "lstm" (scaled features), "cnn" (order book); none, one or both
    directional : scaled features the LSTM reads that change sign when the market is turned upside down
    undirected : those that do not
    lstm_hidden : cells
    lstm_window : bars seen before the first output [bars]
    cnn_width : channels of each convolution
    clip : bound of every input [deviations]
    return_bars : horizon of the return head and of the barriers [bars]
    other_return_bars : horizons foreseen in training only; shorter ones teach more, because they overlap less [bars]
    volatility_minutes, vix_minutes : horizons of the volatility and the volatility index head [minutes]
    barrier : half the distance of the two barriers [deviations of the return over the horizon]
    barrier_memory : half-life of the deviation behind it [bars]
    max_rows : a fit reads at most so many of the newest rows [bars]
    validation_share : last share of the rows, which no gradient sees
    embargo : rows left out between the parts, beyond the longest horizon [bars]
    epochs : looks at the validation part
    steps : gradient steps between two looks
    sequences, sequence_bars : sequences of a gradient step and their length [count], [bars]
    learning_rate : largest step size; it rises and falls once during training
    weight_decay : pull of all weights towards 0
    input_dropout : chance that an input of a sequence is silenced, in [0, 0.9]
    side_weight : weight of volatility, index and reconstruction beside the return heads
    patience : stop after so many looks without a better one
    anchor_rows : last training rows on which the axes are aligned to the previous encoder's [bars]

    Raises
    ------
    ConfigurationError : naming the field, its value and the remedy.
    """

    name: str
    kinds: tuple[str, ...]
    directional: tuple[str, ...]
    undirected: tuple[str, ...]
    lstm_hidden: int
    lstm_window: int
    cnn_width: int
    clip: float
    return_bars: int
    other_return_bars: tuple[int, ...]
    volatility_minutes: float
    vix_minutes: float
    barrier: float
    barrier_memory: float
    max_rows: int
    validation_share: float
    embargo: int
    epochs: int
    steps: int
    sequences: int
    sequence_bars: int
    learning_rate: float
    weight_decay: float
    input_dropout: float
    side_weight: float
    patience: int
    anchor_rows: int

    def __post_init__(self) -> None:
        if len(set(self.kinds)) != len(self.kinds) or not set(self.kinds) <= set(KINDS):
            self._refuse("kinds", f"name each of {', '.join(KINDS)} at most once")
        if len(set(self.inputs)) != len(self.inputs):
            self._refuse("directional", "name each feature once, here or in undirected")
        if LSTM_KIND in self.kinds and not self.inputs:
            self._refuse("directional", "name at least one feature for the LSTM to read")
        for field, (low, high) in _BOUNDS.items():
            value = getattr(self, field)
            if not (isfinite(value) and low <= value <= high):
                self._refuse(field, f"lie between {low:g} and {high:g}")
        horizons = (self.return_bars, *self.other_return_bars)
        if len(set(horizons)) != len(horizons) or not all(1 <= bars <= 1000 for bars in horizons):
            self._refuse("other_return_bars", "hold different horizons of 1 to 1000 bars, none of them return_bars")
        warm = max(self.lstm_window // 2, BOOK_WINDOW if CNN_KIND in self.kinds else 0)
        if self.sequence_bars <= warm:
            self._refuse("sequence_bars", f"exceed the {warm} bars that only warm up")

    def _refuse(self, field: str, needed: str) -> None:
        raise ConfigurationError(
            f"encoder {self.name}: {field} must {needed}, was {getattr(self, field)!r}; "
            f"correct it in conf/encoder/{self.name}.yaml"
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        """Features the LSTM reads, in order; of those a feature set does not compute, none is needed."""
        return (*self.directional, *self.undirected)

    @property
    def horizons(self) -> tuple[int, ...]:
        """Horizons of the return heads [bars]; the published one first."""
        return (self.return_bars, *self.other_return_bars)
