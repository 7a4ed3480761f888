"""The money: one compiled step of one account, in whole cents. Env, vector env, backtest and live call it.

A step takes an account from the close of bar t to the close of bar t + 1: `permit` turns what is wished into
what the rules allow, `advance` fills it at the open of bar t + 1 and marks it at that bar's close.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from mia.broker.terms import Terms
from mia.desk.tape import Tape
from mia.risk.limits import Limits, unlimited

Array = np.ndarray

# Fields of an account: an int64 vector, so that thousands of them are one matrix and a snapshot is a copy.
POSITION = 0  # held now [contracts], negative is short
EQUITY = 1  # gained so far after costs [cents], starts at 0
GROSS = 2  # gained so far before costs [cents]
COST = 3  # paid so far [cents]
SESSION_EQUITY = 4  # equity at the last close of the session before [cents]
PEAK = 5  # highest equity so far [cents]
HALT = 6  # why trading stopped: 0, or OUT_FOR_SESSION, OUT_FOR_GOOD
TRADED = 7  # contracts traded, all sides
FORCED = 8  # times a rule closed or cut a position its owner wished to keep
OVERNIGHT = 9  # times a position was carried from one session into the next
FIELDS = 10

OUT_FOR_SESSION = 1
OUT_FOR_GOOD = 2

# Bits that say which rules changed a wish at a row.
LIMITED = 1  # position limit
MARGIN = 2  # equity does not carry as many contracts
NO_ENTRY = 4  # new exposure was not allowed
FLAT_RULE = 8  # the session's end was near
DAILY_LOSS = 16
DRAWDOWN = 32

# Fields of the rules: terms and limits as one int64 vector.
_TICK_VALUE, _SIDE_COST, _MAX_CONTRACTS, _ACCOUNT, _MARGIN_CENTS, _MAX_DAILY_LOSS, _MAX_DRAWDOWN = range(7)


def rules(terms: Terms, limits: Limits) -> Array:
    """Return (7,) int64, the terms and limits as the compiled functions read them."""
    return np.array(
        [
            terms.tick_value_cents,
            terms.side_cost_cents,
            limits.max_contracts,
            limits.account_cents,
            limits.margin_cents,
            limits.max_daily_loss_cents,
            limits.max_drawdown_cents,
        ],
        dtype=np.int64,
    )


def cheaper(rule: Array, share: float) -> Array:
    """Return (7,) int64, rules with only `share` of the cost of a side [0, 1], to the nearest cent."""
    found = rule.copy()
    found[_SIDE_COST] = np.rint(share * rule[_SIDE_COST])
    return found


def new_accounts(n: int) -> Array:
    """Return (n, FIELDS) int64 accounts that hold nothing and have gained nothing."""
    return np.zeros((n, FIELDS), dtype=np.int64)


@njit(cache=True)
def contracts(target: float, max_contracts: int) -> int:
    """Return the contracts a target in [-1, 1] means: nearest whole number, ties towards zero.

    Rounding to nearest instead of down lets a continuous policy reach one contract when one is the limit.
    A target outside the range means the limit; one that is not a number means flat.
    """
    if np.isnan(target):
        return 0
    size = np.ceil(min(abs(target), 1.0) * max_contracts - 0.5)
    return int(size) if target > 0 else -int(size)


@njit(cache=True)
def contracts_of(targets: Array, max_contracts: int) -> Array:
    """Return (T, P) int64, `contracts` of each of (T, P) targets."""
    out = np.empty(targets.shape, dtype=np.int64)
    for t in range(targets.shape[0]):
        for i in range(targets.shape[1]):
            out[t, i] = contracts(targets[t, i], max_contracts)
    return out


@njit(cache=True)
def permit(account: Array, wish: int, must_flat: bool, may_enter: bool, rule: Array) -> tuple[int, int]:
    """Return what the rules leave of a wished position [contracts], and the bits of those that changed it."""
    held = account[POSITION]
    target, flags = wish, 0
    most = rule[_MAX_CONTRACTS]
    if abs(target) > most:
        target, flags = (most if target > 0 else -most), flags | LIMITED
    if rule[_MARGIN_CENTS] > 0:
        carried = max(0, rule[_ACCOUNT] + account[EQUITY]) // rule[_MARGIN_CENTS]
        if abs(target) > carried:
            target, flags = (carried if target > 0 else -carried), flags | MARGIN
    if not may_enter:
        # Between flat and what is held: reduce or hold. A turn to the other side would be new exposure.
        kept = min(max(target, min(held, 0)), max(held, 0))
        if kept != target:
            target, flags = kept, flags | NO_ENTRY
    if target != 0 and account[HALT] != 0:
        target, flags = 0, flags | (DRAWDOWN if account[HALT] == OUT_FOR_GOOD else DAILY_LOSS)
    if target != 0 and must_flat:
        target, flags = 0, flags | FLAT_RULE
    return target, flags


@njit(cache=True)
def cut(held: int, wish: int, target: int) -> int:
    """Return 1 if the rules closed or cut a position that was wished to stay, else 0."""
    return 1 if wish * held > 0 and abs(target) < min(abs(wish), abs(held)) else 0


@njit(cache=True)
def advance(
    account: Array, target: int, close: int, open_next: int, close_next: int, new_session: bool, rule: Array
) -> int:
    """Carry an account from one close to the next [ticks] and return its net change [cents].

    What was held earns the gap from close to open, what is wanted earns from open to close; the difference
    is traded at the open. `new_session` says that the next bar belongs to another session: the overnight gap
    then counts towards the new session's loss, as brokers measure it from the last settlement.
    """
    held = account[POSITION]
    gross = rule[_TICK_VALUE] * (held * (open_next - close) + target * (close_next - open_next))
    traded = abs(target - held)
    cost = rule[_SIDE_COST] * traded
    if new_session:
        account[SESSION_EQUITY] = account[EQUITY]
        if account[HALT] == OUT_FOR_SESSION:
            account[HALT] = 0
        if held != 0:
            account[OVERNIGHT] += 1
    account[POSITION] = target
    account[GROSS] += gross
    account[COST] += cost
    account[TRADED] += traded
    account[EQUITY] += gross - cost
    equity = account[EQUITY]
    account[PEAK] = max(account[PEAK], equity)
    lost = account[SESSION_EQUITY] - equity
    if rule[_MAX_DAILY_LOSS] > 0 and lost >= rule[_MAX_DAILY_LOSS] and account[HALT] == 0:
        account[HALT] = OUT_FOR_SESSION
    if rule[_MAX_DRAWDOWN] > 0 and account[PEAK] - equity >= rule[_MAX_DRAWDOWN]:
        account[HALT] = OUT_FOR_GOOD
    net: int = gross - cost
    return net


@njit(cache=True)
def step(
    account: Array,
    wish: int,
    close: int,
    open_next: int,
    close_next: int,
    must_flat: bool,
    may_enter: bool,
    new_session: bool,
    rule: Array,
) -> tuple[int, int]:
    """Apply the rules to `wish`, then advance; return the net change [cents] and the bits of the rules."""
    target, flags = permit(account, wish, must_flat, may_enter, rule)
    account[FORCED] += cut(account[POSITION], wish, target)
    return advance(account, target, close, open_next, close_next, new_session, rule), flags


@njit(cache=True)
def settle(account: Array, rule: Array) -> int:
    """Close what is held at the last mark, paying one more side, and return the cost [cents]."""
    traded = abs(account[POSITION])
    cost: int = rule[_SIDE_COST] * traded
    account[POSITION] = 0
    account[COST] += cost
    account[EQUITY] -= cost
    account[TRADED] += traded
    return cost


@njit(cache=True)
def is_ruined(account: Array, rule: Array) -> bool:
    """Whether the account can never trade again: out for good, or its equity carries no contract."""
    if account[HALT] == OUT_FOR_GOOD:
        return True
    short: bool = rule[_MARGIN_CENTS] > 0 and rule[_ACCOUNT] + account[EQUITY] < rule[_MARGIN_CENTS]
    return short


@njit(cache=True)
def _table(
    close: Array,
    open_: Array,
    session: Array,
    must_flat: Array,
    may_enter: Array,
    followed: Array,
    positions: Array,
    targets: Array,
    rule: Array,
    cents: Array,
    held: Array,
) -> None:
    account = np.zeros(FIELDS, dtype=np.int64)
    last = len(close) - 1
    for t in range(last + 1):
        for i in range(len(positions)):
            for j in range(len(targets)):
                account[:] = 0
                account[POSITION] = positions[i]
                if t == last:
                    held[t, i, j] = positions[i]
                    continue
                if not followed[t]:
                    cents[t, i, j] = -settle(account, rule)
                    continue
                cents[t, i, j], _ = step(
                    account,
                    targets[j],
                    close[t],
                    open_[t + 1],
                    close[t + 1],
                    must_flat[t],
                    may_enter[t],
                    session[t + 1] != session[t],
                    rule,
                )
                held[t, i, j] = account[POSITION]


def outcome_tables(
    tape: Tape, terms: Terms, positions: Sequence[int], targets: Sequence[int] | None = None
) -> tuple[Array, Array]:
    """Return what every target would have brought from every position, by calling the step for each.

    A few contracts of ours do not move the market, so one recorded bar tells the outcome of all of them:
    the learner needs no exploration. This stops being true when fills depend on our own orders.

    Parameters
    ----------
    tape : T rows
    terms : what a tick is worth and a side costs
    positions : P positions held before the decision [contracts]
    targets : A wished positions [contracts]; as `positions` by default

    Returns
    -------
    cents : (T, P, A) int64, net change from the close of t to the close of t + 1 [cents]
    held : (T, P, A) int64, position afterwards [contracts]: the wish where the rows' flat and entry rules
        allow it. Rules that depend on the account's past (margin, losses) are not in the tables.

    The last row has no next bar: nothing fills, 0 cents, the position stays. Neither has a row before a seam: what
    is held there is closed at its close for one side's cost, whatever is wished, so that no gap is earned that
    nobody lived through and the rows after the seam begin flat.
    """
    before = np.asarray(positions, dtype=np.int64)
    after = before if targets is None else np.asarray(targets, dtype=np.int64)
    most = int(max(np.abs(before).max(), np.abs(after).max(), 1))
    rule = rules(terms, unlimited(most))
    cents = np.zeros((len(tape), len(before), len(after)), dtype=np.int64)
    held = np.zeros_like(cents)
    rows = (tape.close, tape.open, tape.session, tape.must_flat, tape.may_enter, tape.followed)
    _table(*rows, before, after, rule, cents, held)
    return cents, held
