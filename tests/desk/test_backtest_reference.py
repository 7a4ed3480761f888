"""The backtest on real bars against the reference results, whose figures are read, not kept."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mia.broker.settings import FillModel
from mia.broker.terms import terms
from mia.desk import accounting as acc
from mia.desk.backtest import run_targets


def reference(folder, data, strategy, contract):
    """Sides, gross and cost [USD] of one row of the reference table."""
    for line in (folder / "REFERENCE_RESULTS.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")][1:-1]
        if len(cells) > 8 and cells[0].startswith(data) and cells[1:3] == [strategy, contract]:
            return int(cells[4]), int(cells[6]), int(cells[7])
    raise AssertionError(f"the reference has no {strategy} on {data}")


def unrolled(frame, make_tape):
    """The bars as a tape in which the gap into a new contract earns nothing."""
    prices = {name: np.rint(frame[name].to_numpy() * 4) for name in ("open", "high", "low", "close")}
    gap = np.zeros(len(frame))
    jumped = np.flatnonzero(frame["roll_jump"].to_numpy()[1:]) + 1
    gap[jumped] = prices["open"][jumped] - prices["close"][jumped - 1]
    shifted = {name: (price - np.cumsum(gap)).astype(np.int64) for name, price in prices.items()}
    return make_tape(session=pd.factorize(frame["trade_date"])[0].astype(np.int64), **shifted)


def crossing(close, fast, slow):
    """Long over, short under the slow mean; flat until it exists."""
    quick, steady = close.rolling(fast).mean(), close.rolling(slow).mean()
    return np.where(steady.isna(), 0, np.where(quick > steady, 1, -1)).astype(np.int64)


@pytest.mark.parametrize(("contract", "multiplier"), [("ES", 50.0), ("NQ", 20.0)])
def test_hourly_reference_results_are_reproduced_to_the_dollar(shared_data, make_tape, es, contract, multiplier):
    frame = pd.read_parquet(shared_data / "bars_60m" / f"{contract}_60m_2024_2026.parquet")
    tape = unrolled(frame, make_tape)
    deal = terms(replace(es, multiplier=multiplier), FillModel(name="central", concession_half_ticks=2))
    wishes = {
        "buy and hold": np.ones(len(tape), dtype=np.int64),
        "SMA 10/50 long-short": crossing(frame["close"], 10, 50),
    }
    for strategy, targets in wishes.items():
        track = run_targets(tape, targets, deal, close_at_end=False)
        traded, gross, cost = reference(shared_data, f"{contract} futures 60m", strategy, contract)
        assert track.account[acc.TRADED] == traded
        assert abs(track.gross_cents[-1] / 100 - gross) <= 0.5
        assert abs(track.cost_cents[-1] / 100 - cost) <= 0.5
