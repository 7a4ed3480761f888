"""The sentinel of an ensemble: its members trade along as well, each alone, and their weights follow how they fare.

desk.feature_pipeline advances it; what it says and lives goes to desk.awareness. Each session is one block of evidence
(`mia.algo.evidence`): at its end the weights move, so a row's weights rest on the sessions before its own.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from mia.algo.evidence import BLOCK_FIELDS, CHANGES, FINITE, MIRRORED, PROFIT, VOICE, begin, learn, rule_of, weigh
from mia.algo.opinion import ACTIONS, LEANING, Reader, pool
from mia.algo.sentinel import (
    AT,
    CARRIED,
    CLOSE,
    DRIFT,
    EQUITY_AT,
    LIMIT,
    NET,
    POSITION_AT,
    SEEN,
    SESSION,
    TARGET,
    R,
    Sentinel,
    carried_over,
)
from mia.algo.vote import Policy, VotePolicy, vote
from mia.broker.terms import Terms
from mia.desk.accounting import EQUITY, FORCED, POSITION, advance, contracts, cut, new_accounts, permit, rules
from mia.desk.awareness import INPUTS
from mia.risk.limits import Limits

Array = np.ndarray
State = dict[str, Array]

TOLD = ("sac", "ppo", "ddpg")
"""Members whose weights and targets have columns (`awareness.INPUTS`)."""
# What is kept of the block that is not over, beside each member's: whether it has begun, whether the price moved.
_BEGUN, _MOVED = range(2)


def shadow_of(policy: Policy, terms: Terms, limits: Limits) -> "Sentinel | VoteSentinel":
    """Return the sentinel of a policy, whichever kind it is."""
    kind: Any = VoteSentinel if isinstance(policy, VotePolicy) else Sentinel
    return kind(policy=policy, terms=terms, limits=limits)


@dataclass(frozen=True, kw_only=True, eq=False)
class VoteSentinel:
    """An ensemble with the terms and limits of its shadow accounts; the accounts lie in a state of its own.

    There is one account of the vote, and one of each member and of its mirror image.

    Parameters
    ----------
    policy : what decides. A later one goes on with the account of an earlier; its weights begin with its own
    terms, limits : as in `Sentinel`
    """

    policy: VotePolicy
    terms: Terms
    limits: Limits

    def __post_init__(self) -> None:
        object.__setattr__(self, "_reader", Reader.of(self.policy))
        object.__setattr__(self, "_posterior", np.frombuffer(bytes.fromhex(self.policy.digest), dtype="<i8").copy())

    def new_state(self) -> State:
        """Return the state before the first row."""
        return {"account": new_accounts(1)[0], "mark": np.zeros(4, dtype=np.int64), **self._members()}

    def _members(self) -> State:
        """What is known of this policy's members before any row."""
        k = len(self.policy.members)
        block = np.zeros((k, BLOCK_FIELDS))
        block[:, FINITE] = 1.0
        return {
            "posterior": self._posterior.copy(),  # type: ignore[attr-defined]
            "accounts": new_accounts(2 * k),
            "targets": np.zeros(2 * k, dtype=np.int64),
            "wishes": np.zeros(k, dtype=np.int64),
            "block": block,
            "flags": np.zeros(2, dtype=np.int64),
            "known": begin(self.policy.weights),
        }

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
        """Decide and account for n rows; parameters and what is returned are those of `Sentinel.advance`."""
        if not np.array_equal(state["posterior"], self._posterior):  # type: ignore[attr-defined]
            state.update(self._members())
        most = self.limits.max_contracts
        said = self._reader.spoken(obs, np.arange(-most, most + 1) / most)  # type: ignore[attr-defined]
        out = np.full((len(obs), len(INPUTS)), np.nan)
        out[:, R], out[:, LIMIT], out[:, DRIFT] = r_cents, limit_cents, drift
        weights = np.zeros((len(obs), len(said)))
        wished = np.full((len(obs), len(said)), np.nan)
        _walk(
            said,
            np.ascontiguousarray(open_, dtype=np.int64),
            np.ascontiguousarray(close, dtype=np.int64),
            np.ascontiguousarray(session, dtype=np.int64),
            np.ascontiguousarray(must_flat, dtype=np.bool_),
            np.ascontiguousarray(may_enter, dtype=np.bool_),
            rules(self.terms, self.limits),
            np.array([self.terms.tick_value_cents, self.terms.side_cost_cents, most]),
            np.array([self.policy.abstains, self.policy.actions == "discrete"]),
            rule_of(self.policy.rule),
            np.log(np.array(self.policy.prior)),
            state["account"],
            state["mark"],
            state["accounts"],
            state["targets"],
            state["wishes"],
            state["block"],
            state["flags"],
            state["known"],
            weights,
            wished,
            out,
        )
        self._tell(weights, wished, out)
        return out

    def _tell(self, weights: Array, wished: Array, out: Array) -> None:
        """Write weights and targets where they have a column; a member that is told of but absent weighs nothing."""
        names = list(self.policy.members)
        if not set(TOLD) & set(names):
            return
        for name in TOLD:
            out[:, AT[f"w_{name}"]] = weights[:, names.index(name)] if name in names else 0.0
            if name in names:
                out[:, AT[f"t_{name}"]] = wished[:, names.index(name)]


@njit(cache=True)
def _finish_block(block: Array, flags: Array, known: Array, log_prior: Array, trust: Array) -> None:
    """Learn from the session that is over, and begin the next."""
    learn(known, log_prior, trust, block, flags[_MOVED] == 1)
    block[:, :] = 0.0
    block[:, FINITE] = 1.0
    flags[_MOVED] = 0


@njit(cache=True)
def _settle(
    accounts: Array, targets: Array, block: Array, before: int, open_: int, close: int, turned: bool, rule: Array
) -> None:
    """Carry the members' accounts, and after them their mirror images', from close to close."""
    members = len(block)
    for k in range(len(accounts)):
        gained = advance(accounts[k], targets[k], before, open_, close, turned, rule)
        block[k % members, PROFIT if k < members else MIRRORED] += gained


@njit(cache=True)
def _let_wish(
    said: Array,
    accounts: Array,
    targets: Array,
    wishes: Array,
    block: Array,
    begun: bool,
    must_flat: bool,
    may_enter: bool,
    rule: Array,
    most: int,
) -> None:
    """Let members and mirror images decide at the position each holds itself; `said` is (K, P), what members wish."""
    members = len(block)
    for k in range(members):
        wish = said[k, most + accounts[k, POSITION]]
        if np.isnan(wish):
            block[k, FINITE] = 0.0
        wished = contracts(wish, most)
        if begun and wished != wishes[k]:
            block[k, CHANGES] += 1.0
        wishes[k] = wished
        targets[k], _ = permit(accounts[k], wished, must_flat, may_enter, rule)
        m = members + k
        mirrored = -contracts(said[k, most - accounts[m, POSITION]], most)
        targets[m], _ = permit(accounts[m], mirrored, must_flat, may_enter, rule)


@njit(cache=True)
def _walk(
    said: Array,
    open_: Array,
    close: Array,
    session: Array,
    must_flat: Array,
    may_enter: Array,
    rule: Array,
    money: Array,
    manner: Array,
    trust: Array,
    log_prior: Array,
    account: Array,
    mark: Array,
    accounts: Array,
    targets: Array,
    wishes: Array,
    block: Array,
    flags: Array,
    known: Array,
    weights: Array,
    wished: Array,
    out: Array,
) -> None:
    most, abstains, whole = money[2], manner[0], manner[1]
    leanings = np.empty(len(said))
    chances = np.empty((len(said), ACTIONS))
    for t in range(len(close)):
        net = carried = 0
        if mark[SEEN] == 1:
            carried = carried_over(account[POSITION], mark[TARGET], open_[t] - mark[CLOSE], money)
            turned = session[t] != mark[SESSION]
            net = advance(account, mark[TARGET], mark[CLOSE], open_[t], close[t], turned, rule)
            if flags[_BEGUN] == 1:
                if turned:
                    _finish_block(block, flags, known, log_prior, trust)
                _settle(accounts, targets, block, mark[CLOSE], open_[t], close[t], turned, rule)
                if close[t] != mark[CLOSE] or open_[t] != close[t]:
                    flags[_MOVED] = 1
        weigh(known, trust, weights[t])
        held = account[POSITION]
        for k in range(len(said)):
            wished[t, k] = said[k, t, most + held, 0]
            chances[k] = said[k, t, most + held, 1:LEANING]
            leanings[k] = said[k, t, most + held, LEANING]
        wish = 0.0 if abstains else vote(leanings, weights[t], trust[VOICE], whole)
        want = contracts(wish, most)
        target, _ = permit(account, want, must_flat[t], may_enter[t], rule)
        account[FORCED] += cut(held, want, target)
        _let_wish(
            said[:, t, :, 0],
            accounts,
            targets,
            wishes,
            block,
            flags[_BEGUN] == 1,
            must_flat[t],
            may_enter[t],
            rule,
            most,
        )
        flags[_BEGUN] = 1
        mark[SEEN], mark[TARGET], mark[CLOSE], mark[SESSION] = 1, target, close[t], session[t]
        out[t, 0] = wish
        pool(chances, np.zeros(len(said)) if abstains else weights[t], out[t, 1 : 1 + ACTIONS])
        out[t, POSITION_AT], out[t, NET], out[t, CARRIED] = held, net, carried
        out[t, EQUITY_AT] = account[EQUITY]
