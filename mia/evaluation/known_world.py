"""The yardstick and the null market as tapes to learn from, and the judge who knows the best policy.

What all known worlds share (their contract, their terms, how changes become a tape) is here too.
"""

from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Protocol

import numpy as np

from mia.broker.terms import Terms
from mia.desk.tape import Tape
from mia.domain.market import Market
from mia.source import yardstick
from mia.source.yardstick import World
from mia.source.yardstick_settings import YardstickSettings

Array = np.ndarray

MARKET = Market(
    name="WORLD",
    description="synthetic contract of the known worlds",
    tick_size=0.01,
    multiplier=1.0,
    commission_round_turn=0.0,
    margin_initial=1.0,
    margin_intraday=1.0,
    calendar="none",
    timezone="UTC",
    rth_open="00:00",
    rth_close="23:59",
    roll_months=(12,),
    round_step=1000.0,
    reference_price=10_000_000.0,
    partner="WORLD",
)
"""One tick is one cent, so that thousands of them make a unit and rounding is negligible."""

SESSION_BARS = 500
"""Rows numbered as one session, so that episodes can start in many places; nothing else happens between two."""

BLOCK_ROWS = 500
"""Rows whose profits are added up before their spread is taken: far longer than any position is held."""

POSITIONS = np.array([-1.0, 0.0, 1.0])

_MINUTE = 60_000_000_000
_NORMAL_95 = 1.96


class Judged(Protocol):
    """A policy that can decide for all rows and positions at once."""

    def table(self, obs: Array, positions: Array) -> Array:
        """Return (T, P) targets in [-1, 1]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """How a policy did on fresh rows.

    Parameters
    ----------
    optimum : profit per bar of the best policy [units]
    achieved : expected profit per bar of the judged one [units]
    fraction : achieved / optimum; NaN where nothing can be earned
    cost : paid per bar [units]
    cost_fraction : cost / optimum of the same market with the yardstick's signal, as the null market is judged
    trades : contracts traded
    rows : rows judged on
    """

    optimum: float
    achieved: float
    fraction: float
    cost: float
    cost_fraction: float
    trades: int
    rows: int


def tape(world: World) -> Tape:
    """Return the world as a tape: a bar opens where the last one closed, and its change is the return."""
    return lay_out(world.returns, world.obs, world.settings.ticks_per_unit)


def lay_out(returns: Array, obs: Array, ticks_per_unit: int, belief: Array | None = None) -> Tape:
    """Return the tape of (T,) returns of the bar after each row [units] and (T, Dm) float32 observations."""
    rows = len(returns)
    change = np.rint(returns[:-1] * ticks_per_unit).astype(np.int64)
    return of_changes(
        np.concatenate(([0], change)),
        obs,
        session=np.arange(rows, dtype=np.int64) // SESSION_BARS,
        must_flat=np.zeros(rows, dtype=np.bool_),
        belief=np.full((rows, 1), 1.0) if belief is None else belief,
    )


def of_changes(change: Array, obs: Array, *, session: Array, must_flat: Array, belief: Array) -> Tape:
    """Return the tape of bars that open where the last one closed and change by (T,) int64 [ticks]."""
    rows = len(change)
    close = round(MARKET.reference_price / MARKET.tick_size) + np.cumsum(change)
    open_ = np.concatenate((close[:1], close[:-1]))
    return Tape(
        market=MARKET,
        ts=np.arange(1, rows + 1, dtype=np.int64) * _MINUTE,
        open=open_,
        high=np.maximum(open_, close),
        low=np.minimum(open_, close),
        close=close,
        session=session,
        must_flat=must_flat,
        may_enter=np.ones(rows, dtype=np.bool_),
        obs=obs,
        belief=belief,
    )


def terms(settings: object) -> Terms:
    """Return a world's terms: one cent a tick, and exactly its `cost` on each side."""
    return Terms(
        tick_value_cents=MARKET.tick_value_cents,
        side_cost_cents=round(settings.cost * settings.ticks_per_unit) * MARKET.tick_value_cents,
    )


@cache
def _optimum(settings: YardstickSettings) -> float:
    return yardstick.optimum(settings).per_bar


def targets_of(policy: Judged, obs: Array) -> Array:
    """(T, 3) int64 targets of a policy at every row, by position held."""
    return np.rint(policy.table(obs, POSITIONS)).astype(np.int64)


def judge(policy: Judged, world: World, reference: YardstickSettings | None = None) -> dict[str, float]:
    """Return a `Judgement` of `policy` on a world's rows, as a dict.

    Parameters
    ----------
    policy : starts flat and decides at every row
    world : fresh rows, not those it was trained on
    reference : market whose optimum costs are measured by; the world's own by default. For a null market
        name the market whose signal was taken away
    """
    held = yardstick.hold(targets_of(policy, world.obs))
    return asdict(_judgement(world, held, reference))


def _judgement(world: World, held: Array, reference: YardstickSettings | None) -> Judgement:
    profit, cost, trades = yardstick.expected_profit(world, held)
    rows, best = len(world), _optimum(world.settings)
    yard = _optimum(reference or world.settings)
    return Judgement(
        optimum=best,
        achieved=profit / rows,
        fraction=profit / rows / best if best > 0 else float("nan"),
        cost=cost / rows,
        cost_fraction=cost / rows / yard if yard > 0 else float("nan"),
        trades=trades,
        rows=rows,
    )


def interval(per_row: Array) -> tuple[float, float]:
    """95 % interval of the mean of (T,) profits, from the spread of the means of blocks of rows."""
    blocks = len(per_row) // BLOCK_ROWS
    if blocks < 2:
        return float("-inf"), float("inf")
    means = per_row[: blocks * BLOCK_ROWS].reshape(blocks, BLOCK_ROWS).mean(axis=1)
    error = _NORMAL_95 * float(means.std(ddof=1)) / blocks**0.5
    return float(per_row.mean()) - error, float(per_row.mean()) + error


class Yardstick:
    """The yardstick.

    Parameters
    ----------
    settings : the market
    seed : of its rows
    """

    def __init__(self, settings: YardstickSettings, seed: int) -> None:
        self._judged_on = yardstick.world(settings, seed, "judge")
        self.tape = tape(yardstick.world(settings, seed, "train"))
        self.terms = terms(settings)

    def judge(self, policy: Judged) -> dict[str, float]:
        """Return a `Judgement` on fresh rows, as a dict."""
        return judge(policy, self._judged_on)

    def fresh(self) -> Tape:
        """Return the rows to be judged on."""
        return tape(self._judged_on)


class NullMarket:
    """The yardstick without its signal: whoever trades there only pays.

    Parameters
    ----------
    settings : the market with its signal
    seed : of its rows
    """

    def __init__(self, settings: YardstickSettings, seed: int) -> None:
        self._with_signal = replace(settings, kind="yardstick")
        nothing = yardstick.null(self._with_signal)
        self._judged_on = yardstick.world(nothing, seed, "judge")
        self.tape = tape(yardstick.world(nothing, seed, "train"))
        self.terms = terms(settings)

    def judge(self, policy: Judged) -> dict[str, float]:
        """Return a `Judgement` on fresh rows, and what was really earned there per bar, with its 95 % interval."""
        world = self._judged_on
        held = yardstick.hold(targets_of(policy, world.obs))
        net = held * world.returns - world.settings.cost * np.abs(np.diff(held, prepend=0))
        low, high = interval(net)
        earned = {"profit": float(net.mean()), "profit_low": low, "profit_high": high}
        return asdict(_judgement(world, held, self._with_signal)) | earned

    def fresh(self) -> Tape:
        """Return the rows to be judged on."""
        return tape(self._judged_on)
