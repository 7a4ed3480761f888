"""What the policy said one bar ago, and how that went: the base series `series.SELF`.

desk.feature_pipeline advances it with what a sentinel (the deployed snapshot's policy on a shadow account) said
and lived. Row t reads decisions up to row t - 1 and money realised up to t: nothing runs in a circle.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from mia.domain.errors import ArtefactMismatch
from mia.domain.series import SELF

Array = np.ndarray
State = dict[str, Array]

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
INPUTS = (
    "target",  # wished position, decided at the close of this row [-1, 1]
    "p_short",  # probabilities of the actions
    "p_flat",
    "p_long",
    *(f"q{round(100 * level):02d}" for level in LEVELS),  # quantiles of what the chosen action is worth [cents]
    "w_sac",  # weights and targets of an ensemble's members; NaN: there is no ensemble
    "w_ppo",
    "w_ddpg",
    "t_sac",
    "t_ppo",
    "t_ddpg",
    "r",  # one R: what one contract loses over one true range [cents], > 0
    "position",  # held from this row's open to its close [contracts]
    "net",  # gained over it since the close before, after costs [cents]
    "carried",  # of which by what was held until the open, less the cost of closing that [cents]
    "equity",  # gained so far [cents]
    "limit",  # largest drawdown allowed [cents]; 0 or NaN: none
    "drift",  # of the features against the fold they were scaled by [PSI]
)
"""Columns of what a sentinel says and lives at one row; NaN where it is silent."""

PRIOR_WEIGHTS = (0.4, 0.3, 0.3)
"""Weights of sac, ppo and ddpg where no ensemble votes: without evidence a posterior is its prior."""
STEPS = 500
"""Steps of the CVaR and closed trades of the calibration (catalogue: cvar_loss, calibration_error)."""
TAIL = 25
"""Worst 5 % of the steps."""
BINS = 10
PRIOR_TRADES = 20.0
"""A bin's raw probability counts as so many trades beside those that were seen."""
LEAST_TRADES = 10
"""Closed trades before a Sharpe ratio or a calibration error is told."""
SHARPE_TRADES = 20
SHARPE_CLIP = 10.0

_TARGET, _P, _Q, _W, _T = 0, 1, 4, 9, 12
_R, _POSITION, _NET, _CARRIED, _EQUITY, _LIMIT, _DRIFT = range(15, 22)
# The trade that is open: side, net so far, R, raw and told probability when it was entered.
_SIDE, _SO_FAR, _UNIT, _RAW, _TOLD = range(5)
# A closed one: told probability, 1 if it earned, result in R, bin of the raw probability.
_SAID, _WON, _RESULT, _BIN = range(4)
_LOSSES, _LOSS_AT, _TRADES, _TRADE_AT = range(4)
_ECE, _SHARPE, _PEAK = range(3)


def silent(drift: Array) -> Array:
    """Return the inputs (n, 22) of rows without a sentinel: only the drift (n,) is known."""
    inputs = np.full((len(drift), len(INPUTS)), np.nan)
    inputs[:, _DRIFT] = drift
    return inputs


inner = njit(  # type: ignore[call-overload]
    cache=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
)
"""For functions called by compiled code only: numpy's division, and no wrappers for Python to compile."""


@dataclass(frozen=True, slots=True)
class Awareness:
    """The policy's record of itself; all it knows lies in a state of its own."""

    def new_state(self) -> State:
        """Return the state before the first row: arrays of fixed size, whatever follows."""
        return {
            "last": np.full(len(INPUTS), np.nan),
            "open": np.array([0.0, 0.0, np.nan, np.nan, np.nan]),
            "losses": np.full(STEPS, np.nan),
            "trades": np.full((STEPS, 4), np.nan),
            "table": np.zeros((BINS, 2)),
            "counts": np.zeros(4, dtype=np.int64),
            "known": np.full(3, np.nan),
        }

    def advance(self, state: State, inputs: Array) -> Array:
        """Return the base series of n rows.

        Parameters
        ----------
        state : from `new_state`, a restart or the call before; changed in place
        inputs : (n, 22) float64 in the order of `INPUTS`

        Returns
        -------
        (n, 19) float64 in the order of `series.SELF`. NaN where nothing is known; the scaled view then has 0,
        the feature's neutral point. In detail:

        * q05..q95: quantiles of the row before over its R; NaN if the policy knows none.
        * p, confidence: of the row before. Confidence is the largest of the three.
        * w: the ensemble's of the row before, `PRIOR_WEIGHTS` if a decision was made without one.
        * disagreement: population deviation of the members' targets; 0 if one mind decided.
        * success: share of the chosen action's distribution above 0 (without quantiles: confidence), moved
          towards the share of past trades that earned when as much was promised; NaN only without a decision.
        * calibration error: over the last 500 closed trades, ten equal bins of the success told at entry,
          mean |told - happened| weighted by trades; NaN before `LEAST_TRADES`.
        * cvar: mean of the worst 25 of the last 500 steps' losses in R, a gain counting as 0 at best; a flat
          step lost 0; NaN before 500 steps.
        * drift: passed on.
        * sharpe: mean over deviation (n - 1) of the last 20 closed trades in R, within +-10; NaN before
          `LEAST_TRADES`.
        * drawdown: fall from the highest equity over the limit, at most 1; NaN without a limit.

        Raises
        ------
        ArtefactMismatch : if the inputs or the state have other fields.

        Sources: calibration error: Guo et al. (2017); histogram binning: Zadrozny, Elkan (2001); CVaR:
        Rockafellar, Uryasev (2000).
        """
        if inputs.ndim != 2 or inputs.shape[1] != len(INPUTS):
            raise ArtefactMismatch(f"awareness reads {len(INPUTS)} inputs, was given {inputs.shape}")
        for name, array in self.new_state().items():
            if name not in state or state[name].shape != array.shape or state[name].dtype != array.dtype:
                raise ArtefactMismatch(f"awareness state: {name} is missing or has another shape; start anew")
        out = np.full((len(inputs), len(SELF)), np.nan)
        _advance(
            np.ascontiguousarray(inputs, dtype=np.float64),
            state["last"],
            state["open"],
            state["losses"],
            state["trades"],
            state["table"],
            state["counts"],
            state["known"],
            out,
        )
        return out


@inner
def _lacks(value: float) -> bool:
    """Whether a number is missing: NaN is no number's equal."""
    return value != value


@njit(cache=True, error_model="numpy")
def share_above_zero(quantiles: Array) -> float:
    """Return the share of a distribution above 0, given its quantiles (5,) at `LEVELS`, rising.

    Between two quantiles the distribution is taken as uniform, beyond the outermost as half of what lies there;
    mass at 0 itself counts half. NaN if a quantile is missing.
    """
    below = 0  # quantiles below 0, and at or below it
    through = 0
    for k in range(len(LEVELS)):
        if _lacks(quantiles[k]):
            return np.nan
        below += quantiles[k] < 0.0
        through += quantiles[k] <= 0.0
    if through > below:
        # Quantiles at 0: the mass there reaches from the first to the last of them.
        low = LEVELS[below] if below > 0 else 0.0
        high = LEVELS[through - 1] if through < len(LEVELS) else 1.0
        return 1.0 - 0.5 * (low + high)
    if below == 0:
        return 1.0 - 0.5 * LEVELS[0]
    if below == len(LEVELS):
        return 0.5 * (1.0 - LEVELS[-1])
    low, high = quantiles[below - 1], quantiles[below]
    crossing: float = LEVELS[below - 1] + (LEVELS[below] - LEVELS[below - 1]) * (-low / (high - low))
    return 1.0 - crossing


@inner
def _raw_success(said: Array) -> float:
    """Probability that the trade earns, as the policy's own distribution has it."""
    raw: float = share_above_zero(said[_Q : _Q + 5])
    return raw if not _lacks(raw) else _confidence(said)


@inner
def _confidence(said: Array) -> float:
    most = said[_P]
    for k in range(1, 3):
        most = max(most, said[_P + k])
    # max() may pass over a NaN; a sum does not.
    return most if not _lacks(said[_P] + said[_P + 1] + said[_P + 2]) else np.nan


@inner
def _bin(probability: float) -> int:
    return min(BINS - 1, max(0, int(probability * BINS)))


@inner
def _calibrated(raw: float, table: Array) -> float:
    """Histogram binning, shrunk to the raw probability as if `PRIOR_TRADES` trades had shown it."""
    if _lacks(raw):
        return np.nan
    bin_ = _bin(raw)
    share: float = (table[bin_, 0] + PRIOR_TRADES * raw) / (table[bin_, 1] + PRIOR_TRADES)
    return share


@inner
def _calibration_error(trades: Array, n: int, gaps: Array) -> float:
    """Sum over bins of |told - won|, which are sums over the bin's trades, per trade; `gaps` (10,) is scratch."""
    for b in range(BINS):
        gaps[b] = 0.0
    for i in range(n):
        gaps[_bin(trades[i, _SAID])] += trades[i, _SAID] - trades[i, _WON]
    total = 0.0
    for b in range(BINS):
        total += abs(gaps[b])
    return total / n


@inner
def _sharpe(trades: Array, n: int, newest: int) -> float:
    """Of the newest trades; `newest` is the place of the last one."""
    m = min(n, SHARPE_TRADES)
    mean = squares = 0.0
    for i in range(m):
        mean += trades[(newest - i) % STEPS, _RESULT]
    mean /= m
    for i in range(m):
        squares += (trades[(newest - i) % STEPS, _RESULT] - mean) ** 2
    if squares == 0.0:
        return math.copysign(SHARPE_CLIP, mean) if mean != 0.0 else 0.0
    return min(SHARPE_CLIP, max(-SHARPE_CLIP, mean / math.sqrt(squares / (m - 1))))


@inner
def _close(net: float, trade: Array, trades: Array, table: Array, counts: Array, known: Array, gaps: Array) -> None:
    """Write the open trade down as closed, unless what it promised or its unit is unknown."""
    trade[_SIDE] = 0.0
    if _lacks(trade[_RAW]) or not trade[_UNIT] > 0.0:
        return
    at = counts[_TRADE_AT]
    if counts[_TRADES] == STEPS:
        gone = int(trades[at, _BIN])
        table[gone, 0] -= trades[at, _WON]
        table[gone, 1] -= 1.0
    bin_ = _bin(trade[_RAW])
    trades[at, _SAID], trades[at, _BIN] = trade[_TOLD], bin_
    trades[at, _WON], trades[at, _RESULT] = 1.0 if net > 0.0 else 0.0, net / trade[_UNIT]
    table[bin_, 0] += trades[at, _WON]
    table[bin_, 1] += 1.0
    counts[_TRADE_AT] = (at + 1) % STEPS
    counts[_TRADES] = min(counts[_TRADES] + 1, STEPS)
    if counts[_TRADES] >= LEAST_TRADES:
        known[_ECE] = _calibration_error(trades, counts[_TRADES], gaps)
        known[_SHARPE] = _sharpe(trades, counts[_TRADES], at)


@inner
def _side(position: float) -> float:
    if position > 0.0:
        return 1.0
    return -1.0 if position < 0.0 else 0.0


@inner
def _live(
    x: Array, said: Array, trade: Array, trades: Array, table: Array, counts: Array, known: Array, gaps: Array
) -> None:
    """Carry the open trade over one bar: from the close before, through the open, to this close."""
    if _lacks(x[_POSITION] + x[_NET]):
        trade[_SIDE] = 0.0
        return
    side = _side(x[_POSITION])
    rest = x[_NET]
    if trade[_SIDE] != 0.0 and side == trade[_SIDE]:
        trade[_SO_FAR] += rest
        return
    if trade[_SIDE] != 0.0:
        # All of a closing bar is the old trade's; of a turn, only what came until the open.
        old = rest if side == 0.0 or _lacks(x[_CARRIED]) else x[_CARRIED]
        _close(trade[_SO_FAR] + old, trade, trades, table, counts, known, gaps)
        rest -= old
    if side != 0.0:
        trade[_SIDE], trade[_SO_FAR], trade[_UNIT] = side, rest, said[_R]
        trade[_RAW] = _raw_success(said)
        trade[_TOLD] = _calibrated(trade[_RAW], table)


@inner
def _cvar(losses: Array, worst: Array) -> float:
    """Mean of the `TAIL` largest of all losses, at least 0; `worst` (25,) is scratch, kept falling."""
    for k in range(TAIL):
        worst[k] = -np.inf
    for i in range(STEPS):
        loss = losses[i]
        if loss > worst[TAIL - 1]:
            k = TAIL - 1
            while k > 0 and worst[k - 1] < loss:
                worst[k] = worst[k - 1]
                k -= 1
            worst[k] = loss
    total = 0.0
    for k in range(TAIL):
        total += worst[k]
    return max(0.0, total / TAIL)


@inner
def _deviation(targets: Array) -> float:
    """Population deviation of the members' targets; 0 if a member is missing: one mind decided."""
    mean = (targets[0] + targets[1] + targets[2]) / 3.0
    if _lacks(mean):
        return 0.0
    squares = 0.0
    for k in range(3):
        squares += (targets[k] - mean) ** 2
    return math.sqrt(squares / 3.0)


@inner
def _opinion(said: Array, table: Array, out: Array) -> None:
    """Write the columns that tell what was said one bar ago; they stay NaN if nothing was."""
    if _lacks(said[_TARGET]):
        return
    for k in range(5):
        out[k] = said[_Q + k] / said[_R] if said[_R] > 0.0 else np.nan
    voted = not _lacks(said[_W] + said[_W + 1] + said[_W + 2])
    for k in range(3):
        out[5 + k] = said[_P + k]
        out[8 + k] = said[_W + k] if voted else PRIOR_WEIGHTS[k]
    out[11] = _deviation(said[_T : _T + 3])
    out[12] = _confidence(said)
    out[13] = _calibrated(_raw_success(said), table)


@njit(cache=True, error_model="numpy")
def _advance(
    inputs: Array,
    last: Array,
    trade: Array,
    losses: Array,
    trades: Array,
    table: Array,
    counts: Array,
    known: Array,
    out: Array,
) -> None:
    worst, gaps = np.empty(TAIL), np.empty(BINS)
    for t in range(len(inputs)):
        x = inputs[t]
        if not _lacks(x[_NET]) and not _lacks(last[_TARGET]) and last[_R] > 0.0:
            losses[counts[_LOSS_AT]] = -x[_NET] / last[_R]
            counts[_LOSS_AT] = (counts[_LOSS_AT] + 1) % STEPS
            counts[_LOSSES] = min(counts[_LOSSES] + 1, STEPS)
        _live(x, last, trade, trades, table, counts, known, gaps)
        _opinion(last, table, out[t])
        out[t, 14] = known[_ECE]
        if counts[_LOSSES] == STEPS:
            out[t, 15] = _cvar(losses, worst)
        out[t, 16] = x[_DRIFT]
        out[t, 17] = known[_SHARPE]
        if not _lacks(x[_EQUITY]):
            known[_PEAK] = x[_EQUITY] if _lacks(known[_PEAK]) else max(known[_PEAK], x[_EQUITY])
            if x[_LIMIT] > 0.0:
                out[t, 18] = min(1.0, (known[_PEAK] - x[_EQUITY]) / x[_LIMIT])
        for k in range(len(x)):
            last[k] = x[k]
