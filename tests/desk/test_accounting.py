import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mia.broker.terms import Terms
from mia.desk import accounting as acc
from mia.domain.rng import generator
from mia.risk.limits import Limits, unlimited

TERMS = Terms(tick_value_cents=1250, side_cost_cents=1475)


def rule(**changes):
    plain = {
        "max_contracts": 3,
        "account_cents": 0,
        "margin_cents": 0,
        "max_daily_loss_cents": 0,
        "max_drawdown_cents": 0,
    }
    return acc.rules(TERMS, Limits(**(plain | changes)))


def account(**values):
    state = acc.new_accounts(1)[0]
    for name, value in values.items():
        state[getattr(acc, name)] = value
    return state


def permit(state, wish, must_flat=False, may_enter=True, **changes):
    target, flags = acc.permit(state, wish, must_flat, may_enter, rule(**changes))
    return int(target), int(flags)


def test_one_step_is_the_hand_computed_sum():
    state = account(POSITION=1)
    net, flags = acc.step(state, -2, 100, 103, 98, False, True, False, rule())
    # Long 1 over the gap 100 -> 103: +3 ticks. Short 2 over 103 -> 98: +10 ticks. Three contracts traded.
    assert net == 13 * 1250 - 3 * 1475
    assert flags == 0
    assert state.tolist() == [-2, net, 13 * 1250, 3 * 1475, 0, net, 0, 3, 0, 0]


def test_an_order_does_not_earn_the_gap_to_its_fill():
    state = account()
    net, _ = acc.step(state, 1, 100, 500, 500, False, True, False, rule())
    assert net == -1475


def test_a_held_position_earns_the_gap_it_is_closed_after():
    state = account(POSITION=1)
    net, _ = acc.step(state, 0, 100, 90, 500, False, True, False, rule())
    assert net == -10 * 1250 - 1475


@pytest.mark.parametrize(
    ("target", "limit", "expected"),
    [
        (1.0, 1, 1),
        (-1.0, 1, -1),
        (0.5, 1, 0),
        (-0.5, 1, 0),
        (0.51, 1, 1),
        (-0.51, 1, -1),
        (0.49, 1, 0),
        (0.5, 3, 1),
        (-0.51, 3, -2),
        (7.0, 3, 3),
        (-np.inf, 3, -3),
        (np.nan, 3, 0),
        (0.0, 3, 0),
    ],
)
def test_a_target_means_the_nearest_contracts_with_ties_towards_zero(target, limit, expected):
    assert acc.contracts(target, limit) == expected


def test_targets_of_whole_contracts_survive_the_way_through_shares():
    for most in range(1, 40):
        for held in range(-most, most + 1):
            assert acc.contracts(held / most, most) == held


def test_a_wish_beyond_the_limit_is_clipped_to_it():
    assert permit(account(), 9) == (3, acc.LIMITED)
    assert permit(account(), -9) == (-3, acc.LIMITED)
    assert permit(account(), 3) == (3, 0)


def test_equity_carries_only_as_many_contracts_as_its_margin_allows():
    money = {"account_cents": 1_000_000, "margin_cents": 500_000}
    assert permit(account(), 3, **money) == (2, acc.MARGIN)
    assert permit(account(EQUITY=-1), 3, **money) == (1, acc.MARGIN)
    assert permit(account(EQUITY=500_000), 3, **money) == (3, 0)
    assert permit(account(EQUITY=-2_000_000, POSITION=-1), -1, **money) == (0, acc.MARGIN)


@pytest.mark.parametrize(
    ("held", "wish", "expected"),
    [
        (0, 1, 0),
        (2, 3, 2),
        (2, 1, 1),
        (2, 2, 2),
        (2, -1, 0),
        (-2, -3, -2),
        (-2, -1, -1),
        (-2, 3, 0),
        (1, 0, 0),
    ],
)
def test_exposure_may_only_shrink_where_entering_is_not_allowed(held, wish, expected):
    target, flags = permit(account(POSITION=held), wish, may_enter=False)
    assert target == expected
    assert flags == (0 if expected == wish else acc.NO_ENTRY)


def test_the_session_rule_forces_flat_and_is_counted_only_when_it_takes_a_position_away():
    state = account(POSITION=2)
    _, flags = acc.step(state, 2, 100, 100, 100, True, True, False, rule())
    assert (state[acc.POSITION], flags, state[acc.FORCED]) == (0, acc.FLAT_RULE, 1)
    acc.step(state, 0, 100, 100, 100, True, True, False, rule())
    acc.step(state, 1, 100, 100, 100, True, True, False, rule())
    assert state[acc.FORCED] == 1


def test_size_is_zero_once_daily_loss_limit_is_hit_until_the_next_session():
    limits = rule(max_daily_loss_cents=10 * 1250 + 1475)
    state = account()
    acc.step(state, 1, 100, 100, 91, False, True, False, limits)
    assert state[acc.HALT] == 0  # nine ticks and one side: not yet
    acc.step(state, 1, 91, 91, 90, False, True, False, limits)
    assert state[acc.HALT] == acc.OUT_FOR_SESSION  # exactly the limit
    _, flags = acc.step(state, 1, 90, 90, 95, False, True, False, limits)
    assert (state[acc.POSITION], flags, state[acc.FORCED]) == (0, acc.DAILY_LOSS, 1)
    acc.step(state, 1, 95, 95, 99, False, True, False, limits)
    assert state[acc.POSITION] == 0
    acc.step(state, 1, 99, 99, 99, False, True, True, limits)  # the next bar opens another session
    assert (state[acc.POSITION], state[acc.HALT]) == (0, 0)
    acc.step(state, 1, 99, 99, 99, False, True, False, limits)
    assert state[acc.POSITION] == 1


def test_the_overnight_gap_counts_towards_the_new_sessions_loss():
    limits = rule(max_daily_loss_cents=5 * 1250)
    state = account(POSITION=1, EQUITY=700_000, SESSION_EQUITY=0)
    acc.step(state, 1, 100, 95, 95, False, True, True, limits)
    assert state[acc.SESSION_EQUITY] == 700_000
    assert state[acc.HALT] == acc.OUT_FOR_SESSION
    assert state[acc.OVERNIGHT] == 1


def test_drawdown_from_the_highest_equity_ends_trading_for_good():
    limits = rule(max_drawdown_cents=4 * 1250)
    state = account()
    acc.step(state, 1, 100, 100, 110, False, True, False, limits)
    acc.step(state, 1, 110, 110, 107, False, True, False, limits)
    assert state[acc.HALT] == 0
    acc.step(state, 1, 107, 107, 106, False, True, False, limits)
    assert state[acc.HALT] == acc.OUT_FOR_GOOD
    assert acc.is_ruined(state, limits)
    _, flags = acc.step(state, 1, 106, 106, 106, False, True, True, limits)
    assert (state[acc.POSITION], flags) == (0, acc.DRAWDOWN)


def test_an_account_that_carries_no_contract_is_ruined():
    money = rule(account_cents=1_000_000, margin_cents=500_000)
    assert not acc.is_ruined(account(EQUITY=-500_000), money)
    assert acc.is_ruined(account(EQUITY=-500_001), money)
    assert not acc.is_ruined(account(EQUITY=-(10**12)), rule())


def test_settling_pays_one_side_and_leaves_nothing():
    state = account(POSITION=-2, EQUITY=10_000)
    assert acc.settle(state, rule()) == 2 * 1475
    assert (state[acc.POSITION], state[acc.EQUITY], state[acc.COST]) == (0, 10_000 - 2950, 2950)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(-3, 3),
    st.integers(-6, 6),
    st.booleans(),
    st.booleans(),
    st.integers(0, 4),
    st.sampled_from([0, acc.OUT_FOR_SESSION, acc.OUT_FOR_GOOD]),
)
def test_what_is_permitted_is_the_allowed_position_nearest_to_the_wish(held, wish, flat, enter, carried, halt):
    state = account(POSITION=held, HALT=halt, EQUITY=carried * 500_000 - 1_000_000)
    allowed = [
        a
        for a in range(-3, 4)
        if abs(a) <= carried and (enter or min(held, 0) <= a <= max(held, 0)) and (not (flat or halt) or a == 0)
    ]
    nearest = min(allowed, key=lambda a: abs(a - wish))
    target, flags = permit(state, wish, flat, enter, account_cents=1_000_000, margin_cents=500_000)
    assert target == nearest
    assert (flags == 0) == (target == wish)


def test_outcome_tables_agree_with_a_backtest_of_every_position_and_target(make_tape, es_terms):
    rng = generator(4, "test")
    tape = make_tape(rows=60, per_session=7, must_flat=rng.random(60) < 0.2, may_enter=rng.random(60) < 0.7)
    positions = (-1, 0, 1)
    cents, held = acc.outcome_tables(tape, es_terms, positions)
    assert cents.shape == held.shape == (60, 3, 3)
    limits = acc.rules(es_terms, unlimited(1))
    for t in range(59):
        for i, position in enumerate(positions):
            for j, wish in enumerate(positions):
                before = account(POSITION=position)
                target = 0 if tape.must_flat[t] else wish
                if not tape.may_enter[t] and target not in (0, position):
                    target = 0
                gap, bar = tape.open[t + 1] - tape.close[t], tape.close[t + 1] - tape.open[t + 1]
                expected = 1250 * (position * gap + target * bar) - 1475 * abs(target - position)
                assert held[t, i, j] == target
                assert cents[t, i, j] == expected
                acc.advance(before, target, tape.close[t], tape.open[t + 1], tape.close[t + 1], False, limits)
                assert before[acc.EQUITY] == expected
    assert not cents[-1].any()
    assert held[-1].tolist() == [[p] * 3 for p in positions]
