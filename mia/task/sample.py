"""Makes sample/<market>.parquet, the recorded market data that data.dvc pins and `dvc repro` starts from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mia.domain.errors import ConfigurationError
from mia.domain.series import CALENDAR, CROSS, INDEX, OPTIONS
from mia.task import ingest
from mia.task.settings import RunSettings
from mia.task.watch import Watch

Array = np.ndarray
DIGITS = 3  # of fractions such as time-weighted sizes; the file is half as large and no feature minds
MOST_BYTES = 4 << 20


def rounded(values: Array, digits: int = DIGITS) -> Array:
    """Round what is not a whole number to so many significant digits; prices, sizes and counts stay exact."""
    out = values.copy()
    fraction = np.isfinite(values) & (values != np.rint(values))
    inside = values[fraction]
    step = 10.0 ** (digits - 1 - np.floor(np.log10(np.abs(inside))))
    out[fraction] = np.round(inside * step) / step
    # The mid may be half a tick and money needs it exactly; other markets' prices and option levels are read in
    # differences that three digits would drown.
    exact = [INDEX[name] for name in ("qot.mid", *CROSS, *OPTIONS)]
    out[:, exact] = values[:, exact]
    return out


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Simulate, round and write; the calendar's columns are left out, they are computed on reading."""
    from mia.source import table

    if settings.source.kind != "simulated":
        raise ConfigurationError(f"task=sample makes simulated data, source was {settings.source.name}; leave it out")
    bars = ingest.make(settings, watch).bars
    values = rounded(bars.values)
    values[:, [INDEX[name] for name in CALENDAR]] = np.nan
    path = table.write(replace(bars, values=values), Path("sample", f"{settings.market.name}.parquet"), single=True)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ConfigurationError(f"{path} has {size / 1e6:.1f} MB, more than 4; lower source.sessions")
    watch.say(f"wrote {path}: {len(bars)} bars, {size / 1e6:.1f} MB")
