"""The money law: equity is cash plus what is held, to the cent, whatever is traded."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.broker.settings import FillModel
from mia.broker.terms import terms
from mia.desk.backtest import run_targets
from mia.desk.tape import Tape
from mia.domain.market import Market
from mia.domain.rng import generator
from mia.risk.limits import Limits, unlimited

ES = Market(
    name="ES",
    description="a future",
    tick_size=0.25,
    multiplier=50.0,
    commission_round_turn=4.5,
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
MNQ = replace(ES, name="MNQ", multiplier=2.0, commission_round_turn=1.5)
FREE = FillModel(name="free", concession_half_ticks=0, commission_factor=0.0)
CENTRAL = FillModel(name="central", concession_half_ticks=2)


def make_tape(open_, close, market=ES, **fields):
    rows = len(close)
    open_, close = np.asarray(open_, dtype=np.int64), np.asarray(close, dtype=np.int64)
    parts = {
        "ts": np.arange(1, rows + 1, dtype=np.int64) * 60_000_000_000,
        "open": open_,
        "high": np.maximum(open_, close),
        "low": np.minimum(open_, close),
        "close": close,
        "session": np.zeros(rows, dtype=np.int64),
        "must_flat": np.zeros(rows, dtype=bool),
        "may_enter": np.ones(rows, dtype=bool),
        "obs": np.zeros((rows, 1), dtype=np.float32),
        "belief": np.full((rows, 3), 1 / 3),
    }
    return Tape(market=market, **(parts | fields))


def random_tape(rows, seed):
    rng = generator(seed, "law", "money")
    close = 20000 + np.cumsum(rng.integers(-9, 10, rows))
    open_ = np.concatenate([close[:1], close[:-1]]) + rng.integers(-3, 4, rows)
    return make_tape(
        open_,
        close,
        session=np.arange(rows, dtype=np.int64) // 276,
        must_flat=np.arange(rows) % 276 >= 270,
        may_enter=rng.random(rows) < 0.9,
    ), rng.integers(-6, 7, rows)


def ledger(tape, wishes, deal, limits):
    """An independent account: Python integers, a cash box and marked contracts, no changes of equity."""
    tick, side = deal.tick_value_cents, deal.side_cost_cents
    columns = (tape.open, tape.close, tape.session, tape.must_flat, tape.may_enter, wishes)
    opens, closes, sessions, flats, enters, asked = (column.tolist() for column in columns)
    cash = held = high = settlement = 0
    equity, held_at, out, over = [0], [0], False, False
    for t in range(len(closes) - 1):
        room = limits.max_contracts
        if limits.margin_cents:
            room = min(room, max(0, limits.account_cents + equity[-1]) // limits.margin_cents)
        least, most = -room, room
        if not enters[t]:
            least, most = max(least, min(held, 0)), min(most, max(held, 0))
        if flats[t] or out or over:
            least = most = 0
        wanted = sorted((least, asked[t], most))[1]
        bought = wanted - held
        cash -= bought * opens[t + 1] * tick + abs(bought) * side
        held = wanted
        if sessions[t + 1] != sessions[t]:
            settlement, out = equity[-1], False
        equity.append(cash + held * closes[t + 1] * tick)
        held_at.append(held)
        high = max(high, equity[-1])
        if limits.max_daily_loss_cents and equity[-1] <= settlement - limits.max_daily_loss_cents:
            out = True
        if limits.max_drawdown_cents and equity[-1] <= high - limits.max_drawdown_cents:
            over = True
    return equity, held_at


def test_equity_equals_cash_plus_marked_contracts_over_a_million_steps():
    tape, wishes = random_tape(1_000_001, seed=1)
    deal = terms(ES, CENTRAL)
    # Rich enough to survive a million steps of paying for noise, so that every step is a real one.
    limits = Limits(
        max_contracts=4,
        account_cents=10**14,
        margin_cents=500_000,
        max_daily_loss_cents=60_000_000,
        max_drawdown_cents=0,
    )
    track = run_targets(tape, wishes, deal, limits, close_at_end=False)
    equity, held = ledger(tape, wishes, deal, limits)
    assert np.abs(track.equity_cents - np.array(equity)).max() == 0
    assert np.array_equal(track.position, held)
    assert np.count_nonzero(np.diff(track.position)) > 500_000


@pytest.mark.parametrize("seed", range(6))
def test_equity_and_positions_agree_with_the_ledger_while_every_rule_bites(seed):
    tape, wishes = random_tape(6000, seed)
    deal = terms(ES, FREE if seed % 2 else CENTRAL)
    limits = Limits(
        max_contracts=3,
        account_cents=3_000_000,
        margin_cents=700_000,
        max_daily_loss_cents=250_000,
        max_drawdown_cents=1_500_000,
    )
    track = run_targets(tape, wishes, deal, limits, close_at_end=False)
    equity, held = ledger(tape, wishes, deal, limits)
    assert track.equity_cents.tolist() == equity
    assert track.position.tolist() == held
    assert track.flags.any()


def test_fills_alone_rebuild_the_final_equity():
    tape, wishes = random_tape(20_000, seed=3)
    deal = terms(ES, CENTRAL)
    track = run_targets(tape, wishes, deal)
    cash = 0
    for fill in track.fills():
        value = int(fill["price_ticks"]) * int(fill["contracts"]) * deal.tick_value_cents
        cash -= int(fill["side"]) * value + int(fill["cost_cents"])
    assert track.position[-1] != 0  # so the closing at the end is among them
    assert cash == track.equity_cents[-1]
    assert track.fills()["cost_cents"].sum() == track.cost_cents[-1]


def test_equity_is_always_gross_less_cost():
    tape, wishes = random_tape(20_000, seed=4)
    track = run_targets(tape, wishes, terms(ES, CENTRAL))
    assert np.array_equal(track.equity_cents, track.gross_cents - track.cost_cents)
    assert np.all(np.diff(track.cost_cents) >= 0)


@pytest.mark.parametrize(("market", "cents"), [(ES, 1250), (MNQ, 50)], ids=["ES", "MNQ"])
def test_one_tick_is_12_50_usd_on_es_and_0_50_usd_on_mnq(market, cents):
    tape = make_tape([100, 100, 101], [100, 100, 101], market)
    for side in (1, -1):
        track = run_targets(tape, np.full(3, side), terms(market, FREE))
        assert track.equity_cents.tolist() == [0, 0, side * cents]


@pytest.mark.parametrize(("market", "cents"), [(ES, 2950), (MNQ, 250)], ids=["ES", "MNQ"])
def test_a_round_turn_on_an_unmoved_market_costs_two_sides(market, cents):
    tape = make_tape([100] * 4, [100] * 4, market)
    track = run_targets(tape, np.array([1, 0, 0, 0]), terms(market, CENTRAL))
    assert track.equity_cents[-1] == -cents


def test_no_fill_happens_before_the_next_open():
    jump = make_tape([100, 900, 900], [100, 900, 900])
    assert run_targets(jump, np.array([1, 1, 1]), terms(ES, FREE)).equity_cents.tolist() == [0, 0, 0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 198))
def test_what_comes_later_never_changes_what_was_earned(seed, cut):
    tape, wishes = random_tape(200, seed)
    deal, limits = terms(ES, CENTRAL), replace(unlimited(3), max_daily_loss_cents=100_000)
    whole = run_targets(tape, wishes, deal, limits, close_at_end=False)
    other = wishes.copy()
    other[cut:] = -wishes[cut:] + 1
    future = tape.close.copy()
    future[cut + 1 :] += 500
    changed = replace(tape, close=future, high=np.maximum(tape.high, future))
    track = run_targets(changed, other, deal, limits, close_at_end=False)
    assert np.array_equal(track.equity_cents[: cut + 1], whole.equity_cents[: cut + 1])
    assert np.array_equal(track.position[: cut + 1], whole.position[: cut + 1])
