"""Cutting a recorded file off changes no bar and no feature before the cut: rolls, gaps and quality checks included."""

import os

import numpy as np
import pandas as pd
import pytest

from mia.domain.rng import generator
from mia.task import command_line, features, ingest
from mia.task.watch import Watch

CUTS = int(os.environ.get("MIA_CUTS", "4"))


def table_of(path):
    settings = command_line.compose(
        [
            "+market=MNQ",
            "features=bars_only",
            "snapshots.first_sessions=3",
            "snapshots.growth=3",
            "source=files",
            f"source.path={path}",
            "source.label=open",
            "source.columns.roll=roll_jump",
        ]
    )
    watch = Watch(quiet=True)
    made = ingest.make(settings, watch)
    table = features.make(settings, made, watch)
    return made.bars, table.block.table(table.plans)


@pytest.fixture(scope="module")
def frame(shared_data):
    frame = pd.read_parquet(shared_data / "bars_5m" / "MNQ_5m_2025.parquet")
    return frame.iloc[:9000] if CUTS < 50 else frame


def test_a_file_that_ends_earlier_gives_the_same_bars_and_features_until_then(frame, tmp_path):
    frame.to_parquet(tmp_path / "whole.parquet")
    bars, values = table_of(tmp_path / "whole.parquet")
    rng = generator(0, "test", "file cuts")
    jumps = np.flatnonzero(frame["roll_jump"].to_numpy(bool))
    cuts = [*rng.integers(400, len(frame), CUTS), *jumps, *(jumps + 1)]
    for rows in sorted({int(cut) for cut in cuts}):
        frame.iloc[:rows].to_parquet(tmp_path / "cut.parquet")
        some, part = table_of(tmp_path / "cut.parquet")
        assert np.array_equal(some.values, bars.values[: len(some)], equal_nan=True), rows
        assert np.array_equal(part, values[: len(some)], equal_nan=True), rows
