"""Walk a tape with given targets or a policy and keep the track: recorded market against sim broker."""

from dataclasses import dataclass, field

import numpy as np
from numba import njit

from mia.broker.terms import Terms
from mia.desk.accounting import (
    COST,
    EQUITY,
    GROSS,
    POSITION,
    contracts,
    contracts_of,
    new_accounts,
    rules,
    settle,
    step,
)
from mia.desk.policy import DeskPolicy, TablePolicy
from mia.desk.tape import Tape
from mia.domain.errors import DataError
from mia.risk.limits import Limits, unlimited

Array = np.ndarray

FILL = np.dtype(
    [
        ("row", "i8"),
        ("ts", "i8"),
        ("price_ticks", "i8"),
        ("side", "i8"),
        ("contracts", "i8"),
        ("cost_cents", "i8"),
    ]
)
"""One fill: the row of the bar at whose open it happened, that bar's close time [ns UTC], price [ticks],
side +1 bought or -1 sold, contracts > 0, cost [cents]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """What an account did along T rows of a tape. Row t is the state at the close of bar t.

    Parameters
    ----------
    market : market name
    ts : (T,) int64, close times [ns UTC]
    session : (T,) int64, ordinal of each row's session
    equity_cents : (T,) int64, gained since row 0 after costs; row 0 is 0
    gross_cents, cost_cents : (T,) int64, the same before costs, and the costs; equity = gross - cost
    position : (T,) int64, held from the open to the close of bar t [contracts]
    flags : (T,) int64, bits of the rules that changed the wish decided at row t (`mia.desk.accounting`)
    open_ticks, close_ticks : (T,) int64, prices of the tape [ticks]
    side_cost_cents : cost of one contract on one side [cents]
    closed_at_end : whether what was held at the last close was closed there, at that price and one side's
        cost (in `cost_cents` of the last row; `position` still shows it as held during the bar)
    account : (FIELDS,) int64, the account after the last row
    """

    market: str
    ts: Array
    session: Array
    equity_cents: Array
    gross_cents: Array
    cost_cents: Array
    position: Array
    flags: Array
    open_ticks: Array = field(repr=False)
    close_ticks: Array = field(repr=False)
    side_cost_cents: int
    closed_at_end: bool
    account: Array

    def __len__(self) -> int:
        return len(self.ts)

    def fills(self) -> Array:
        """Return the fills in order, as records of dtype `FILL`; a closing at the end is the last of them."""
        change = np.diff(self.position, prepend=0)
        rows = np.flatnonzero(change)
        open_at_end = self.closed_at_end and self.position[-1] != 0
        fills = np.zeros(len(rows) + int(open_at_end), dtype=FILL)
        opened = fills[: len(rows)]
        opened["row"], opened["ts"], opened["price_ticks"] = rows, self.ts[rows], self.open_ticks[rows]
        opened["side"], opened["contracts"] = np.sign(change[rows]), np.abs(change[rows])
        if open_at_end:
            last = len(self) - 1
            held = int(self.position[-1])
            fills[-1] = (last, self.ts[-1], self.close_ticks[-1], -np.sign(held), abs(held), 0)
        fills["cost_cents"] = fills["contracts"] * self.side_cost_cents
        return fills


@njit(cache=True)
def _record(account: Array, t: int, out: Array) -> None:
    out[0, t] = account[EQUITY]
    out[1, t] = account[GROSS]
    out[2, t] = account[COST]
    out[3, t] = account[POSITION]


@njit(cache=True)
def _walk(
    close: Array,
    open_: Array,
    session: Array,
    must_flat: Array,
    may_enter: Array,
    wishes: Array,
    rule: Array,
    account: Array,
    out: Array,
) -> None:
    """Fill `out` (5, T); `wishes` (T, P) holds the wish for each position held, -(P // 2) ... P // 2."""
    middle = wishes.shape[1] // 2
    for t in range(len(close) - 1):
        wish = wishes[t, middle + account[POSITION]] if middle > 0 else wishes[t, 0]
        _, out[4, t] = step(
            account,
            wish,
            close[t],
            open_[t + 1],
            close[t + 1],
            must_flat[t],
            may_enter[t],
            session[t + 1] != session[t],
            rule,
        )
        _record(account, t + 1, out)


def run_targets(
    tape: Tape, targets: Array, terms: Terms, limits: Limits | None = None, *, close_at_end: bool = True
) -> Track:
    """Return the track of wished positions known beforehand, e.g. a baseline's.

    Parameters
    ----------
    tape : T rows
    targets : (T,) int64, position wished at each row [contracts]; the last row's never fills
    terms : what a tick is worth and a side costs
    limits : limits to keep; only |target| <= its largest value by default
    close_at_end : charge one side for closing, at the last close, what is still held there

    Raises
    ------
    DataError : if `targets` does not have one whole number per row.
    """
    _check_whole(tape)
    wishes = np.ascontiguousarray(targets)
    if wishes.shape != (len(tape),) or not np.issubdtype(wishes.dtype, np.integer):
        raise DataError(
            f"backtest {tape.market.name}: targets must be ({len(tape)},) integers [contracts], "
            f"were {wishes.shape} {wishes.dtype}"
        )
    wishes = wishes.astype(np.int64)[:, None]
    kept = limits or unlimited(max(1, int(np.abs(wishes).max())))
    return _run_wishes(tape, wishes, terms, kept, close_at_end)


def run_policy(
    tape: Tape,
    policy: DeskPolicy,
    terms: Terms,
    limits: Limits,
    *,
    close_at_end: bool = True,
    account: Array | None = None,
) -> Track:
    """Return the track of a policy that sees the market part of each row and the position it then holds.

    A policy with a `table` is asked once for all rows and positions; another is asked row by row. Both take
    the same compiled step, and their tracks are equal.

    Parameters
    ----------
    tape : T rows
    policy : what decides
    terms : what a tick is worth and a side costs
    limits : limits to keep
    close_at_end : charge one side for closing, at the last close, what is still held there
    account : (FIELDS,) int64, the account at the first row, e.g. `Track.account` of the rows before; it is not
        changed. None: one that holds nothing and has gained nothing
    """
    _check_whole(tape)
    most = limits.max_contracts
    if isinstance(policy, TablePolicy):
        held = np.arange(-most, most + 1, dtype=np.int64)
        targets = np.ascontiguousarray(policy.table(tape.obs, held / most), dtype=np.float64)
        if targets.shape != (len(tape), len(held)):
            raise DataError(
                f"backtest {tape.market.name}: a policy's table must be ({len(tape)}, {len(held)}), was {targets.shape}"
            )
        return _run_wishes(tape, contracts_of(targets, most), terms, limits, close_at_end, account)
    rule = rules(terms, limits)
    account, out = _begun(account, len(tape))
    new_session = np.diff(tape.session) != 0
    decide, obs = policy.decide, tape.obs
    for t in range(len(tape) - 1):
        wish = contracts(float(decide(obs[t], account[POSITION] / most)), most)
        _, out[4, t] = step(
            account,
            wish,
            tape.close[t],
            tape.open[t + 1],
            tape.close[t + 1],
            tape.must_flat[t],
            tape.may_enter[t],
            new_session[t],
            rule,
        )
        _record(account, t + 1, out)
    return _track(tape, account, rule, out, terms, close_at_end)


def _check_whole(tape: Tape) -> None:
    if tape.seams:
        raise DataError(
            f"backtest {tape.market.name}: rows are missing before row {tape.seams[0]}; walk each piece on its own"
        )


def _begun(account: Array | None, rows: int) -> tuple[Array, Array]:
    """An account to walk with, and the (5, rows) track whose first row it is."""
    account = new_accounts(1)[0] if account is None else account.copy()
    out = np.zeros((5, rows), dtype=np.int64)
    _record(account, 0, out)
    return account, out


def _run_wishes(
    tape: Tape, wishes: Array, terms: Terms, limits: Limits, close_at_end: bool, account: Array | None = None
) -> Track:
    rule = rules(terms, limits)
    account, out = _begun(account, len(tape))
    _walk(tape.close, tape.open, tape.session, tape.must_flat, tape.may_enter, wishes, rule, account, out)
    return _track(tape, account, rule, out, terms, close_at_end)


def _track(tape: Tape, account: Array, rule: Array, out: Array, terms: Terms, close_at_end: bool) -> Track:
    if close_at_end:
        cost = settle(account, rule)
        out[0, -1] -= cost
        out[2, -1] += cost
    return Track(
        market=tape.market.name,
        ts=tape.ts,
        session=tape.session,
        equity_cents=out[0],
        gross_cents=out[1],
        cost_cents=out[2],
        position=out[3],
        flags=out[4],
        open_ticks=tape.open,
        close_ticks=tape.close,
        side_cost_cents=terms.side_cost_cents,
        closed_at_end=close_at_end,
        account=account.copy(),
    )
