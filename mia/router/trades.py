"""Trades that could be taken, what came of each, and what three sources said of it before.

Read by trade_probability's task and, row by row, by whoever asks for a probability.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit

from mia.algo.experience import Experience, experience
from mia.algo.opinion import ACTIONS, Reader
from mia.algo.policy import FLAT, TrainedPolicy
from mia.algo.vote import VotePolicy
from mia.broker.terms import Terms
from mia.desk.accounting import contracts_of
from mia.desk.backtest import run_policy
from mia.desk.tape import Tape
from mia.domain.errors import ArtefactMismatch
from mia.risk.limits import unlimited

Array = np.ndarray
State = dict[str, Array]

EVIDENCE = (
    "lagrangian_support",  # PPO-Lagrangian's probability of the trade's side, from flat
    "cvar_loss",  # mean of the worst of its latest losses [deviations of a bar]
    "quantile_success",  # share of QR-DQN's quantiles of that side above what staying flat is worth
    "quantile_edge",  # mean of them less what staying flat is worth [deviations of a bar]
    "quantile_spread",  # their interquartile range [deviations of a bar]
    "vote_support",  # the ensemble's probability of that side: its members' by ensemble_weights
    "agreement",  # ensemble_weights of the members that wish that side
)
"""What is known of a trade before it begins, in order."""

_SUPPORT, _CVAR, _SUCCESS, _EDGE, _SPREAD, _VOTE, _AGREEMENT = range(7)
_HELD = np.array([-1.0, 0.0, 1.0])
_FROM_FLAT = np.array([0.0])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sources:
    """The three policies asked; that one abstains does not silence it here.

    Parameters
    ----------
    lagrangian : of ppo_lagrangian
    quantile : of qr_dqn
    vote : of ensemble; if all its members have failed they are heard by their prior
    """

    lagrangian: TrainedPolicy
    quantile: TrainedPolicy
    vote: VotePolicy

    def __post_init__(self) -> None:
        if self.quantile.n_quantiles == 0 or len({p.width for p in (self.lagrangian, self.quantile, self.vote)}) != 1:
            raise ArtefactMismatch(
                "trade probability: its sources must read one observation, the second with quantiles; train them anew"
            )
        weights = self.vote.weights if any(self.vote.weights) else self.vote.prior
        object.__setattr__(self, "lagrangian", replace(self.lagrangian, abstains=False))
        object.__setattr__(self, "quantile", replace(self.quantile, abstains=False))
        object.__setattr__(self, "vote", replace(self.vote, abstains=False, weights=weights))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trades:
    """N trades in time order, none of which overlaps another.

    Parameters
    ----------
    row : (N,) rows at which they were decided
    exit : (N,) rows at which their end was decided
    side : (N,) 1 long, -1 short
    net : (N,) int64, gained after all costs [cents]
    evidence : (N, 7) in the order of `EVIDENCE`
    """

    row: Array
    exit: Array
    side: Array
    net: Array
    evidence: Array

    def __len__(self) -> int:
        return len(self.row)

    @property
    def success(self) -> Array:
        """(N,) bool, whether it earned anything after costs."""
        return self.net > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CvarLoss:
    """Mean of the worst of the latest losses; all it remembers lies in a state of its own.

    Parameters
    ----------
    rows : how many losses it looks back on
    tail : share of them that counts as worst
    """

    rows: int
    tail: float

    def new_state(self) -> State:
        """Return the state before the first loss."""
        return {"losses": np.zeros(self.rows), "count": np.zeros(1, dtype=np.int64)}

    def advance(self, state: State, losses: Array) -> Array:
        """Return (n,) the mean of the worst share of the losses up to each of (n,) more; NaN until `rows` are seen.

        A gain counts as a loss below 0.
        """
        worst = max(1, round(self.tail * self.rows))
        out = np.full(len(losses), np.nan)
        _advance_cvar(state["losses"], state["count"], np.ascontiguousarray(losses, np.float64), worst, out)
        return out


def tell(sources: Sources, obs: Array, side: Array, cvar_loss: Array) -> Array:
    """Return (n, 7) float64, what the sources know of a trade to each side at each row.

    One row gives the same bits as many.

    Parameters
    ----------
    sources : the policies
    obs : (n, Dm) float32, market part of the observation
    side : (n,) int64, 1 long or -1 short
    cvar_loss : (n,) of PPO-Lagrangian's account at each row; NaN where unknown
    """
    lagrangian, quantile, vote = (Reader.of(p) for p in (sources.lagrangian, sources.quantile, sources.vote))
    out = np.empty((len(obs), len(EVIDENCE)))
    assert quantile.atoms is not None  # noqa: S101 - checked where the sources were put together
    _tell(
        np.ascontiguousarray(lagrangian.table(obs, _FROM_FLAT)[:, 0, 1 : 1 + ACTIONS]),
        quantile.atoms.forward(obs, _FROM_FLAT)[:, 0],
        np.ascontiguousarray(vote.table(obs, _FROM_FLAT)[:, 0, 1 : 1 + ACTIONS]),
        np.ascontiguousarray(vote.spoken(obs, _FROM_FLAT)[:, :, 0, 0]),
        np.array(sources.vote.weights),
        np.ascontiguousarray(side, dtype=np.int64),
        np.ascontiguousarray(cvar_loss, dtype=np.float64),
        out,
    )
    return out


def side_of(sources: Sources, obs: Array) -> Array:
    """Return (n,) int64, the side the vote leans to from flat: 1, -1, or 0 where it leans to none.

    It need not wish to enter: how a trade it would leave out would fare is what the probability is asked for.
    """
    said = Reader.of(sources.vote).table(obs, _FROM_FLAT)[:, 0]
    side: Array = np.sign(said[:, 3] - said[:, 1]).astype(np.int64)
    return side


def collect(sources: Sources, tape: Tape, terms: Terms, cvar: CvarLoss, most_bars: int, wait_bars: int) -> Trades:
    """Take one trade after the other along a tape and return them.

    Each begins on the side the vote leans to, is held while the vote, holding it, wishes to stay on that side, and
    for `most_bars` at most; where a rule of the desk ends it, it ends there. The next begins `wait_bars` later.

    Raises
    ------
    DataError : if the tape's prices never move.
    """
    seen = experience(tape, terms)
    wished = contracts_of(np.ascontiguousarray(sources.vote.table(tape.obs, _HELD)), 1) + FLAT
    row, exit_, side, net = _trades(side_of(sources, tape.obs), wished, seen.cents, seen.held, most_bars, wait_bars)
    losses = cvar_of(sources, tape, terms, seen, cvar)
    evidence = tell(sources, tape.obs[row], side, losses[row])
    return Trades(row=row, exit=exit_, side=side, net=net, evidence=evidence)


def cvar_of(sources: Sources, tape: Tape, terms: Terms, seen: Experience, cvar: CvarLoss) -> Array:
    """(T,) tail loss of PPO-Lagrangian's own account at each row's close [deviations of a bar]."""
    track = run_policy(tape, sources.lagrangian, terms, unlimited(), close_at_end=False)
    lost = -np.diff(track.equity_cents, prepend=0) / seen.bar_cents
    return cvar.advance(cvar.new_state(), lost)


def joined(parts: Mapping[str, Trades]) -> dict[str, Any]:
    """Return a few facts of each part, for the summary."""
    return {
        name: {
            "trades": len(part),
            "success": float(part.success.mean()) if len(part) else None,
            "net_cents": int(part.net.sum()),
            "mean_bars": float((part.exit - part.row).mean()) if len(part) else None,
        }
        for name, part in parts.items()
    }


@njit(cache=True)
def _advance_cvar(kept: Array, count: Array, losses: Array, worst: int, out: Array) -> None:
    tail = np.empty(worst)
    for t in range(len(losses)):
        kept[count[0] % len(kept)] = losses[t]
        count[0] += 1
        if count[0] < len(kept):
            continue
        tail[:] = -np.inf
        for i in range(len(kept)):
            if kept[i] > tail[worst - 1]:
                k = worst - 1
                while k > 0 and tail[k - 1] < kept[i]:
                    tail[k] = tail[k - 1]
                    k -= 1
                tail[k] = kept[i]
        total = 0.0
        for k in range(worst):
            total += tail[k]
        out[t] = total / worst


@njit(cache=True)
def _told_by_quantiles(atoms: Array, action: int, out: Array) -> None:
    """Write share above flat's mean, mean less flat's mean, and interquartile range of an action's quantiles."""
    n = len(atoms) // ACTIONS
    ordered = np.empty(n)
    flat = total = 0.0
    for i in range(n):
        flat += atoms[i * ACTIONS + FLAT]
        ordered[i] = atoms[i * ACTIONS + action]
    ordered.sort()
    flat /= n
    above = 0.0
    for i in range(n):
        total += ordered[i]
        if ordered[i] > flat:
            above += 1.0
        elif ordered[i] == flat:
            above += 0.5
    out[_SUCCESS] = above / n
    out[_EDGE] = total / n - flat
    out[_SPREAD] = ordered[(3 * n) // 4] - ordered[n // 4]


@njit(cache=True)
def _tell(
    lagrangian: Array,
    atoms: Array,
    voted: Array,
    wished: Array,
    weights: Array,
    side: Array,
    cvar_loss: Array,
    out: Array,
) -> None:
    for t in range(len(out)):
        action = FLAT + side[t]
        out[t, _SUPPORT] = lagrangian[t, action]
        out[t, _CVAR] = cvar_loss[t]
        _told_by_quantiles(atoms[t], action, out[t])
        out[t, _VOTE] = voted[t, action]
        agreed = 0.0
        for k in range(len(weights)):
            if wished[k, t] * side[t] > 0.5:  # NaN is not
                agreed += weights[k]
        out[t, _AGREEMENT] = agreed


@njit(cache=True)
def _trades(
    side: Array, wished: Array, cents: Array, held: Array, most_bars: int, wait_bars: int
) -> tuple[Array, Array, Array, Array]:
    rows = len(side)
    found = np.empty((4, rows), dtype=np.int64)
    n = t = 0
    while t < rows - 1:
        at = FLAT + side[t]
        if at == FLAT or held[t, FLAT, at] != at:
            t += 1
            continue
        net, i, over = cents[t, FLAT, at], t + 1, False
        while i < rows - 1 and not over:
            over = wished[i, at] != at or i - t >= most_bars
            target = FLAT if over else at
            net += cents[i, at, target]
            over = over or held[i, at, target] != at
            i += 1
        if not over:
            break  # the tape ends before the trade does
        found[0, n], found[1, n], found[2, n], found[3, n] = t, i - 1, side[t], net
        n += 1
        t = i + wait_bars
    return found[0, :n].copy(), found[1, :n].copy(), found[2, :n].copy(), found[3, :n].copy()
