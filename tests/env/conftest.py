"""Contracts and random tapes for the envs' tests."""

import numpy as np
import pytest

from mia.broker.settings import FillModel
from mia.broker.terms import terms
from mia.desk.tape import Tape
from mia.domain.market import Market
from mia.domain.rng import generator


def _market(name, multiplier, commission):
    return Market(
        name=name,
        description="a future",
        tick_size=0.25,
        multiplier=multiplier,
        commission_round_turn=commission,
        margin_initial=20000.0,
        margin_intraday=5000.0,
        calendar="CME Globex Equity",
        timezone="America/New_York",
        rth_open="09:30",
        rth_close="16:00",
        roll_months=(3, 6, 9, 12),
        round_step=100.0,
        reference_price=6000.0,
        partner="NQ",
    )


@pytest.fixture(scope="session")
def es():
    return _market("ES", 50.0, 4.5)


@pytest.fixture(scope="session")
def mnq():
    return _market("MNQ", 2.0, 1.5)


@pytest.fixture(scope="session")
def es_terms(es):
    return terms(es, FillModel(name="central", concession_half_ticks=2))


@pytest.fixture(scope="session")
def make_tape(es):
    """Return a maker of tapes from open and close prices [ticks]; random ones if none are given."""

    def make(rows=2000, width=3, seed=0, per_session=100, market=es, **fields):
        rng = generator(seed, "test")
        close = 20000 + np.cumsum(rng.integers(-6, 7, rows))
        close = np.asarray(fields.pop("close", close), dtype=np.int64)
        rows = len(close)
        gap = np.concatenate([close[:1], close[:-1]]) + rng.integers(-2, 3, rows)
        open_ = np.asarray(fields.pop("open", gap), dtype=np.int64)
        parts = {
            "ts": np.arange(1, rows + 1, dtype=np.int64) * 60_000_000_000,
            "open": open_,
            "high": np.maximum(open_, close) + 1,
            "low": np.minimum(open_, close) - 1,
            "close": close,
            "session": np.arange(rows, dtype=np.int64) // per_session,
            "must_flat": np.zeros(rows, dtype=bool),
            "may_enter": np.ones(rows, dtype=bool),
            "obs": rng.standard_normal((rows, width)).astype(np.float32),
            "belief": np.full((rows, 3), 1 / 3),
        }
        return Tape(market=market, **(parts | fields))

    return make
