"""What a walk along the tape earned, in numbers: the same for policies and baselines."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from mia.domain.errors import DataError
from mia.evaluation.bootstrap import TRADING_DAYS, sharpe_interval, sharpe_ratio

Array = np.ndarray
_NORMAL_95 = 1.959963984540054


class TrackLike(Protocol):
    """Arrays of a walk; `mia.desk.backtest.Track` is one."""

    equity_cents: Array
    gross_cents: Array
    cost_cents: Array
    position: Array
    ts: Array
    session: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """Out-of-sample rows of one or several walks, one after the other; see `outcome` and `joined`.

    Parameters
    ----------
    equity_cents, gross_cents, cost_cents : (T,) int64 cumulative from 0
    position : (T,) int64 contracts held during the bar
    ts, session : (T,) int64
    sides : contracts traded, each way counted
    """

    equity_cents: Array
    gross_cents: Array
    cost_cents: Array
    position: Array
    ts: Array
    session: Array
    sides: int


def outcome(track: TrackLike, rows: slice | None = None) -> Outcome:
    """Take the rows of a walk that count, e.g. the test rows of a fold.

    The first row is the starting point: what its bar earned came of an earlier decision and does not count.
    """
    rows = slice(None) if rows is None else rows
    position = np.asarray(track.position[rows], np.int64)
    if len(position) == 0:
        raise DataError("performance needs at least one row; the test span is empty")

    def from_zero(values: Array) -> Array:
        values = np.asarray(values[rows], np.int64)
        return values - values[0]

    return Outcome(
        equity_cents=from_zero(track.equity_cents),
        gross_cents=from_zero(track.gross_cents),
        cost_cents=from_zero(track.cost_cents),
        position=position,
        ts=np.asarray(track.ts[rows], np.int64),
        session=np.asarray(track.session[rows], np.int64),
        sides=int(np.abs(np.diff(position)).sum()) + _closing_sides(track, rows),
    )


def _closing_sides(track: TrackLike, rows: slice) -> int:
    """Contracts closed at the track's very end, if the rows reach it; its cost is in the last row."""
    reaches_end = rows.indices(len(track.position))[1] == len(track.position)
    closed = bool(getattr(track, "closed_at_end", False)) and reaches_end
    return abs(int(track.position[-1])) if closed else 0


def joined(parts: Sequence[Outcome]) -> Outcome:
    """Put the outcomes of consecutive folds end to end; money runs on.

    Raises
    ------
    DataError : if the parts overlap in time.
    """
    for before, after in pairwise(parts):
        if after.ts[0] <= before.ts[-1]:
            raise DataError("test spans overlap in time; a row would be counted twice")

    def running(name: str) -> Array:
        pieces, carried = [], 0
        for part in parts:
            pieces.append(getattr(part, name) + carried)
            carried = int(pieces[-1][-1])
        return np.concatenate(pieces)

    return Outcome(
        **{name: running(name) for name in ("equity_cents", "gross_cents", "cost_cents")},
        **{name: np.concatenate([getattr(p, name) for p in parts]) for name in ("position", "ts", "session")},
        sides=sum(part.sides for part in parts),
    )


def daily_net_usd(result: Outcome) -> Array:
    """Net profit of each session (n,) [USD], sessions without trades included."""
    last = np.append(np.flatnonzero(np.diff(result.session)), len(result.session) - 1)
    return np.diff(result.equity_cents[last], prepend=0) / 100.0


def sharpe_error(sharpe: float, days: int) -> float:
    """Standard error of an annualised Sharpe ratio over `days` independent normal days. Source: Lo (2002)."""
    if days < 2:
        return float("inf")
    return float(np.sqrt((1.0 + 0.5 * sharpe**2 / TRADING_DAYS) * TRADING_DAYS / days))


def years_needed(sharpe: float) -> float | None:
    """Years of data until the 95 % interval around this Sharpe ratio would exclude zero; None if never."""
    if sharpe == 0.0:
        return None
    return float(_NORMAL_95**2 * (1.0 / sharpe**2 + 0.5 / TRADING_DAYS))


def max_drawdown_usd(daily: Array) -> float:
    """Deepest fall of equity at session closes below its highest so far [USD], zero or negative.

    Like every figure of risk here it is by session, which is also how the usual tables quote it; within a
    session the fall can be deeper.
    """
    equity = np.cumsum(daily)
    return float(np.min(equity - np.maximum.accumulate(np.maximum(equity, 0.0)), initial=0.0))


def cvar_usd(daily: Array, share: float = 0.05) -> float:
    """Mean of the worst `share` of days [USD]; the day on the edge counts in part.

    Source: Rockafellar & Uryasev (2000), discrete case.
    """
    if len(daily) == 0:
        return 0.0
    worst = np.sort(np.asarray(daily, np.float64))
    mass = share * len(worst)
    weights = np.clip(mass - np.arange(len(worst)), 0.0, 1.0)
    return float(weights @ worst / mass)


def performance(
    result: Outcome, rng: np.random.Generator, samples: int = 2000, confidence: float = 0.95
) -> dict[str, Any]:
    """Figures of an out-of-sample walk.

    Parameters
    ----------
    result : rows that count
    rng : source of the bootstrap
    samples, confidence : of the Sharpe ratio's interval

    Returns
    -------
    net_usd, gross_usd, cost_usd : profit after and before costs, and the costs [USD]
    sharpe, sharpe_ci, sharpe_se : of daily net profit, x sqrt(252); interval by stationary block bootstrap
    max_drawdown_usd : deepest fall of equity at session closes [USD], <= 0
    max_drawdown_intraday_usd : the same at bar closes, which no account can look away from [USD], <= 0
    cvar95_usd : mean of the worst 5 % of sessions [USD]
    trades : sides [contracts]; turnover : sides per session; exposure : share of bars in a position
    years_needed : data until the interval would exclude zero at this Sharpe [years], None if never
    """
    daily = daily_net_usd(result)
    sharpe = sharpe_ratio(daily)
    low, high = sharpe_interval(daily, rng, samples, confidence)
    error = sharpe_error(sharpe, len(daily))
    return {
        "net_usd": float(result.equity_cents[-1]) / 100.0,
        "gross_usd": float(result.gross_cents[-1]) / 100.0,
        "cost_usd": float(result.cost_cents[-1]) / 100.0,
        "sharpe": sharpe,
        "sharpe_ci": [low, high],
        "max_drawdown_usd": max_drawdown_usd(daily),
        "max_drawdown_intraday_usd": max_drawdown_usd(np.diff(result.equity_cents, prepend=0) / 100.0),
        "cvar95_usd": cvar_usd(daily),
        "trades": result.sides,
        "turnover": result.sides / len(daily),
        "exposure": float(np.mean(result.position != 0)),
        "sharpe_se": error if np.isfinite(error) else None,
        "years_needed": years_needed(sharpe),
    }
