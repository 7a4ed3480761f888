from dataclasses import replace

import numpy as np
import pytest

from mia.desk import accounting as acc
from mia.desk.backtest import run_policy
from mia.desk.feature_pipeline import Block
from mia.desk.observation import ObservationTemplate
from mia.desk.tape import from_bars
from mia.desk.trading_desk import TradingDesk
from mia.domain.bars import Bars
from mia.domain.errors import ArtefactMismatch, DataError
from mia.domain.rng import generator
from mia.domain.series import INDEX, WIDTH
from mia.risk.flat_rules import may_enter, must_flat
from mia.risk.limits import Limits
from mia.risk.settings import RiskProfile

NAMES = ("move", "range", "level")
ROWS, SESSION = 400, 50
PROFILE = RiskProfile(
    name="test",
    account_usd=50000.0,
    max_contracts=2,
    margin="intraday",
    flat_at="session_end",
    flat_before_minutes=3,
    max_daily_loss_usd=600.0,
    max_drawdown_usd=None,
    warm_up_bars=0,
    safety_features=(),
)
LIMITS = Limits(
    max_contracts=2,
    account_cents=5_000_000,
    margin_cents=500_000,
    max_daily_loss_cents=60_000,
    max_drawdown_cents=0,
)
TEMPLATE = ObservationTemplate(
    view=NAMES, selected=("level", "move"), masks=("bars",), regimes=("trend", "range", "defensive"), clip=3.0
)


class Engine:
    """Keeps the last close, so that skipping or repeating a row would show."""

    def __init__(self):
        self.last, self.seen = np.nan, 0

    def step(self, row):
        high, low, close = row[[INDEX[f"bar.{n}"] for n in ("high", "low", "close")]]
        out = np.array([close - self.last, high - low, (close - 20000) / 50])
        self.last, self.seen = close, self.seen + 1
        if self.seen % 37 == 0:
            out[1] = np.nan
        return out


class Scaler:
    def transform_row(self, features, slot):
        scaled = np.where(np.isnan(features), 0.0, features / (4.0 + 0.01 * slot))
        return scaled, np.array([float(not np.isnan(features).any())])


class Drift:
    """A belief that remembers, like a filter."""

    inputs = ("move", "range")
    initial = np.array([0.2, 0.3, 0.5])

    def step(self, belief, x):
        x = np.nan_to_num(x)
        mixed = 0.9 * belief + 0.1 * np.array([abs(x[0]), 1.0, abs(x[1])])
        return mixed / mixed.sum()


class Pipeline:
    """Engine, scaler and filter behind one door, as the desk knows them."""

    def __init__(self):
        self.engine, self.scaler, self.regime, self.belief = Engine(), Scaler(), Drift(), Drift.initial

    def advance(self, ts, rows):
        features = np.stack([self.engine.step(row) for row in rows])
        slots = rows[:, INDEX["cal.slot"]].astype(int)
        beliefs = []
        for row, slot in zip(features, slots, strict=True):
            scaled, _ = self.scaler.transform_row(row, slot)
            self.belief = self.regime.step(self.belief, np.where(np.isfinite(row[:2]), scaled[:2], np.nan))
            beliefs.append(self.belief)
        nothing = np.empty((len(rows), 0))
        return Block(features=features, model=nothing, own=nothing, belief=np.array(beliefs))


class View:
    def transform(self, block, slots):
        rows = [Scaler().transform_row(row, int(slot)) for row, slot in zip(block.features, slots, strict=True)]
        return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


class Policy:
    def decide(self, obs, position):
        return float(np.tanh(obs[1] + 0.3 * position + obs[3] - 0.3))


def market_bars():
    rng = generator(5, "test")
    values = np.full((ROWS, WIDTH), np.nan)
    close = 20000 + np.cumsum(rng.integers(-8, 9, ROWS)).astype(float)
    open_ = np.concatenate([close[:1], close[:-1]]) + rng.integers(-2, 3, ROWS)
    at = np.arange(ROWS) % SESSION
    columns = {
        "bar.open": open_,
        "bar.high": np.maximum(open_, close) + rng.integers(0, 4, ROWS),
        "bar.low": np.minimum(open_, close),
        "bar.close": close,
        "cal.session": 7 + np.arange(ROWS) // SESSION,
        "cal.slot": at,
        "cal.minutes_to_close": SESSION - 1 - at,
        "cal.minutes_to_rth_close": SESSION - 1 - at,
        "cal.rth": np.ones(ROWS),
    }
    for name, column in columns.items():
        values[:, INDEX[name]] = column
    stamps = np.arange(1, ROWS + 1, dtype=np.int64) * 60_000_000_000
    return Bars(market="ES", bar_minutes=1, ts=stamps, available_at=stamps, values=values)


def make_desk(es_terms, **changes):
    parts = {
        "names": NAMES,
        "features": NAMES,
        "pipeline": Pipeline(),
        "view": View(),
        "template": TEMPLATE,
        "policy": Policy(),
        "terms": es_terms,
        "profile": PROFILE,
        "limits": LIMITS,
        "safety": ("range",),
        "warm_up": 20,
        "bar_minutes": 1,
    }
    return TradingDesk(**(parts | changes))


def batch_track(es, es_terms, bars):
    """The same pipeline over the whole table at once, written out without the desk."""
    block = Pipeline().advance(bars.ts, bars.values)
    view, masks = View().transform(block, bars.column("cal.slot"))
    columns = (bars.column(f"cal.{n}") for n in ("minutes_to_close", "minutes_to_rth_close", "rth"))
    tape = from_bars(
        es,
        bars,
        must_flat=must_flat(*columns, 1, PROFILE),
        may_enter=may_enter(block.features, (1,), warm_up=20),
        obs=TEMPLATE.batch(view, masks, block.belief, names=NAMES),
        belief=block.belief,
    )
    return tape, run_policy(tape, Policy(), es_terms, LIMITS, close_at_end=False)


def test_bar_by_bar_equals_the_backtest_bit_for_bit(es, es_terms):
    bars = market_bars()
    tape, track = batch_track(es, es_terms, bars)
    desk = make_desk(es_terms)
    decisions = [desk.see(ts, row) for ts, row in zip(bars.ts, bars.values, strict=True)]
    assert np.stack([d.observation for d in decisions]).tobytes() == tape.obs.tobytes()
    assert np.stack([d.belief for d in decisions]).tobytes() == tape.belief.tobytes()
    assert [d.position for d in decisions] == track.position.tolist()
    assert [d.equity_cents for d in decisions] == track.equity_cents.tolist()
    assert [d.flags for d in decisions][:-1] == track.flags.tolist()[:-1]
    assert [d.target for d in decisions][:-1] == track.position.tolist()[1:]
    assert np.count_nonzero(track.position) > 100
    seen = np.bitwise_or.reduce(track.flags)
    assert seen & acc.FLAT_RULE
    assert seen & acc.NO_ENTRY
    assert seen & acc.DAILY_LOSS
    # Only the last decision, which no later bar fills, may add to the count of forced positions.
    assert desk.account[acc.FORCED] - track.account[acc.FORCED] in (0, 1)


def test_an_order_is_the_difference_to_what_is_held(es_terms):
    desk = make_desk(es_terms)
    held = 0
    for at, row in enumerate(market_bars().values):
        decision = desk.see(at, row)
        assert decision.position == held
        assert decision.order == decision.target - held
        held = decision.target


def test_nothing_is_entered_before_the_features_are_warm(es_terms):
    desk = make_desk(es_terms, warm_up=120)
    targets = [desk.see(at, row).target for at, row in enumerate(market_bars().values[:200])]
    assert not any(targets[:120])
    assert any(targets[120:])


@pytest.mark.parametrize("column", ["bar.open", "bar.close", "cal.session"])
def test_a_bar_without_a_whole_price_or_session_is_refused_and_leaves_no_trace(es_terms, column):
    rows = market_bars().values
    desk, twin = make_desk(es_terms), make_desk(es_terms)
    for at, row in enumerate(rows[:60]):
        desk.see(at, row)
        twin.see(at, row)
    bad = rows[60].copy()
    bad[INDEX[column]] = np.nan
    with pytest.raises(DataError, match="whole number"):
        desk.see(60, bad)
    after, expected = desk.see(60, rows[60]), twin.see(60, rows[60])
    assert after.observation.tobytes() == expected.observation.tobytes()
    assert desk.account.tolist() == twin.account.tolist()


def test_a_part_that_reads_an_unknown_feature_is_refused_at_the_start(es_terms):
    with pytest.raises(ArtefactMismatch, match="safety list reads volume"):
        make_desk(es_terms, safety=("volume",))
    with pytest.raises(ArtefactMismatch, match="must be"):
        make_desk(es_terms, template=replace(TEMPLATE, view=("range", "move", "level")))
