"""The rows an encoder learns from and how they are parted; made by the caller from training rows only."""

from dataclasses import dataclass, replace

import numpy as np

from mia.domain import digest
from mia.domain.errors import ConfigurationError
from mia.encoder import labels
from mia.encoder.settings import BOOK_SERIES, EncoderSettings

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncoderRows:
    """T rows, all known at `fit_end`.

    Parameters
    ----------
    inputs : (L,) names of the view's columns; those of `EncoderSettings.inputs` that are computed, in that order
    view : (T, L) float64 scaled features, 0 where missing
    present : (T,) bool, rows that may be learned from
    depth : (T, 20) float64, the base series `BOOK_SERIES`; NaN where there is no book
    price : (T,) float64, close [ticks]
    vix : (T,) float64, volatility index [vol points]; NaN where unknown
    session : (T,) int64
    fit_end : close time of the last row [ns UTC]

    Raises
    ------
    ConfigurationError : if shapes disagree.
    """

    inputs: tuple[str, ...]
    view: Array
    present: Array
    depth: Array
    price: Array
    vix: Array
    session: Array
    fit_end: int

    def __post_init__(self) -> None:
        rows = len(self.price)
        shapes = {
            "view": (rows, len(self.inputs)),
            "present": (rows,),
            "depth": (rows, len(BOOK_SERIES)),
            "vix": (rows,),
            "session": (rows,),
        }
        for field, shape in shapes.items():
            if getattr(self, field).shape != shape:
                raise ConfigurationError(
                    f"encoder rows: {field} must have shape {shape}, had {getattr(self, field).shape}; cut all alike"
                )

    def __len__(self) -> int:
        return len(self.price)

    def part(self, start: int, stop: int) -> "EncoderRows":
        """Rows `start` to `stop - 1`, sharing memory."""
        names = ("view", "present", "depth", "price", "vix", "session")
        return replace(self, **{name: getattr(self, name)[start:stop] for name in names})

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything."""
        names = ("view", "present", "depth", "price", "vix", "session")
        arrays = digest.of_arrays(*(getattr(self, name) for name in names))
        return digest.of_json([list(self.inputs), arrays, self.fit_end])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Targets:
    """What follows each row; NaN or -1 where that is not known.

    Parameters
    ----------
    returns : (T, N) [bp], a column per horizon, the published one first
    volatility : (T,) log of the realised volatility; vix : (T,) log ratio of the index
    barrier : (T,) int64, see `labels`
    longest : longest horizon [bars]
    """

    returns: Array
    volatility: Array
    vix: Array
    barrier: Array
    longest: int


def targets(rows: EncoderRows, settings: EncoderSettings, bar_minutes: float) -> Targets:
    """Label every row; rows not present get none."""
    ahead = labels.bars_of(settings.volatility_minutes, bar_minutes)
    vix_ahead = labels.bars_of(settings.vix_minutes, bar_minutes)
    price = np.where(rows.present & (rows.price > 0), rows.price, np.nan)
    returns = np.column_stack([labels.return_ahead(price, rows.session, bars) for bars in settings.horizons])
    realised = labels.volatility_ahead(price, rows.session, ahead, bar_minutes)
    barrier = labels.barrier_ahead(price, rows.session, settings.return_bars, settings.barrier, settings.barrier_memory)
    return Targets(
        returns=returns,
        volatility=np.log(np.where((realised > 0) & rows.present, realised, np.nan)),
        vix=labels.ratio_ahead(np.where(rows.present, rows.vix, np.nan), rows.session, vix_ahead),
        barrier=np.where(np.isfinite(returns[:, 0]), barrier, labels.UNKNOWN),
        longest=max(*settings.horizons, ahead, vix_ahead),
    )


@dataclass(frozen=True, slots=True)
class Split:
    """Rows [0, learn) teach, rows [validate, T) judge; no label of the first part reaches the second."""

    learn: int
    validate: int


def split(rows: int, settings: EncoderSettings, longest: int) -> Split:
    """Part the rows.

    Raises
    ------
    ConfigurationError : if too few rows are left to learn from.
    """
    validate = round(rows * (1.0 - settings.validation_share))
    learn = validate - longest - settings.embargo
    if learn < settings.sequence_bars + 1:
        raise ConfigurationError(
            f"encoder {settings.name}: {rows} rows leave {max(learn, 0)} to learn from, fewer than a sequence of "
            f"{settings.sequence_bars}; give it more rows or set encoder=none"
        )
    return Split(learn, validate)
