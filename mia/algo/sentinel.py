"""The sentinel: a policy on a shadow account that trades along, so that features can say how the policy fares.

An ensemble has one of its own (`vote_sentinel`). desk.feature_pipeline advances either; what they say and live goes to
desk.awareness.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from mia.algo.opinion import Reader
from mia.algo.policy import TrainedPolicy
from mia.broker.terms import Terms
from mia.desk.accounting import EQUITY, FORCED, POSITION, advance, contracts, cut, new_accounts, permit, rules
from mia.desk.awareness import INPUTS
from mia.risk.limits import Limits

Array = np.ndarray
State = dict[str, Array]

AT = {name: place for place, name in enumerate(INPUTS)}
R, POSITION_AT, NET, CARRIED, EQUITY_AT, LIMIT, DRIFT = (
    AT[name] for name in ("r", "position", "net", "carried", "equity", "limit", "drift")
)
# What is kept from one row to the next: whether there was one, what it decided, its close and session.
SEEN, TARGET, CLOSE, SESSION = range(4)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sentinel:
    """A policy with the terms and limits of its shadow account; the account lies in a state of its own.

    Parameters
    ----------
    policy : what decides; a later one may go on with the state of an earlier
    terms : what a tick is worth and a side costs
    limits : limits to keep. With `max_drawdown_cents` the account is out for good once it is spent; leave that
        to `limit_cents` of `advance`, which only measures
    """

    policy: TrainedPolicy
    terms: Terms
    limits: Limits

    def __post_init__(self) -> None:
        object.__setattr__(self, "_reader", Reader.of(self.policy))

    def new_state(self) -> State:
        """Return the state before the first row."""
        return {"account": new_accounts(1)[0], "mark": np.zeros(4, dtype=np.int64)}

    def advance(
        self,
        state: State,
        obs: Array,
        open_: Array,
        close: Array,
        session: Array,
        must_flat: Array,
        may_enter: Array,
        *,
        r_cents: Array,
        drift: Array,
        limit_cents: float,
    ) -> Array:
        """Decide and account for n rows, exactly as a backtest of the policy would.

        Parameters
        ----------
        state : from `new_state`, a restart or the call before; changed in place
        obs : (n, Dm) float32, market part of the observation the policy reads
        open_, close : (n,) prices [ticks]
        session : (n,) ordinal of each row's session
        must_flat, may_enter : (n,) bool, as in `desk.tape.Tape`
        r_cents : (n,) one R of one contract [cents], NaN where unknown
        drift : (n,) drift of the features [PSI], handed through
        limit_cents : drawdown that counts as 1 [cents]

        Returns
        -------
        (n, 22) float64 in the order of `awareness.INPUTS`.
        """
        most = self.limits.max_contracts
        table = self._reader.table(obs, np.arange(-most, most + 1) / most)  # type: ignore[attr-defined]
        out = np.full((len(obs), len(INPUTS)), np.nan)
        out[:, R], out[:, LIMIT], out[:, DRIFT] = r_cents, limit_cents, drift
        _walk(
            table,
            np.ascontiguousarray(open_, dtype=np.int64),
            np.ascontiguousarray(close, dtype=np.int64),
            np.ascontiguousarray(session, dtype=np.int64),
            np.ascontiguousarray(must_flat, dtype=np.bool_),
            np.ascontiguousarray(may_enter, dtype=np.bool_),
            rules(self.terms, self.limits),
            np.array([self.terms.tick_value_cents, self.terms.side_cost_cents, most]),
            state["account"],
            state["mark"],
            out,
        )
        return out


@njit(cache=True)
def carried_over(held: int, target: int, gap: int, money: Array) -> int:
    """Return what `held` gains from the close to the open, less the cost of the part of it closed there."""
    closed = max(0, abs(held) - abs(target)) if held * target > 0 else abs(held)
    gain: int = money[0] * held * gap - money[1] * closed
    return gain


@njit(cache=True)
def _walk(
    table: Array,
    open_: Array,
    close: Array,
    session: Array,
    must_flat: Array,
    may_enter: Array,
    rule: Array,
    money: Array,
    account: Array,
    mark: Array,
    out: Array,
) -> None:
    most = money[2]
    for t in range(len(close)):
        net = carried = 0
        if mark[SEEN] == 1:
            carried = carried_over(account[POSITION], mark[TARGET], open_[t] - mark[CLOSE], money)
            turned = session[t] != mark[SESSION]
            net = advance(account, mark[TARGET], mark[CLOSE], open_[t], close[t], turned, rule)
        held = account[POSITION]
        said = table[t, most + held]
        wished = contracts(said[0], most)
        target, _ = permit(account, wished, must_flat[t], may_enter[t], rule)
        account[FORCED] += cut(held, wished, target)
        mark[SEEN], mark[TARGET], mark[CLOSE], mark[SESSION] = 1, target, close[t], session[t]
        out[t, : len(said)] = said
        out[t, POSITION_AT], out[t, NET], out[t, CARRIED] = held, net, carried
        out[t, EQUITY_AT] = account[EQUITY]
