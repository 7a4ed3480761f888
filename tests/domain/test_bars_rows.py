"""A table of bars refuses what would let the future in or break time."""

import numpy as np
import pytest

from mia.domain.bars import Bars
from mia.domain.errors import DataError
from mia.domain.series import INDEX, WIDTH


def table(rows: int = 4, **changes) -> Bars:
    values = np.full((rows, WIDTH), np.nan)
    values[:, INDEX["bar.close"]] = np.arange(rows)
    ts = np.arange(rows, dtype=np.int64) * 60 + 60
    return Bars(**{"market": "ES", "bar_minutes": 1, "ts": ts, "available_at": ts, "values": values, **changes})


def test_time_must_increase():
    with pytest.raises(DataError, match="increase"):
        table(ts=np.array([60, 60, 120, 180]), available_at=np.array([60, 60, 120, 180]))


def test_a_row_cannot_be_available_before_its_bar_closes():
    with pytest.raises(DataError, match="before"):
        table(available_at=np.array([59, 120, 180, 240]))


def test_only_sources_with_values_are_present():
    assert table().sources_present() == ("bars",)


def test_head_is_what_was_known_then():
    assert table().head(2).column("bar.close").tolist() == [0.0, 1.0]
