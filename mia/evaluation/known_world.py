"""The yardstick as a tape to learn from, and the judge who knows its best policy. Called by task=known_world."""

from dataclasses import asdict, dataclass
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
    description="synthetic contract of the yardstick",
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

_MINUTE = 60_000_000_000


class Judged(Protocol):
    """A policy that can decide for all rows and positions at once."""

    def table(self, obs: Array, positions: Array) -> Array:
        """Return (T, P) targets in -1, 0, 1."""
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
    rows = len(world)
    change = np.rint(world.returns[:-1] * world.settings.ticks_per_unit).astype(np.int64)
    start = round(MARKET.reference_price / MARKET.tick_size)
    close = start + np.concatenate(([0], np.cumsum(change)))
    open_ = np.concatenate((close[:1], close[:-1]))
    return Tape(
        market=MARKET,
        ts=np.arange(1, rows + 1, dtype=np.int64) * _MINUTE,
        open=open_,
        high=np.maximum(open_, close),
        low=np.minimum(open_, close),
        close=close,
        session=np.arange(rows, dtype=np.int64) // SESSION_BARS,
        must_flat=np.zeros(rows, dtype=np.bool_),
        may_enter=np.ones(rows, dtype=np.bool_),
        obs=world.obs,
        belief=np.full((rows, 1), 1.0),
    )


def terms(settings: YardstickSettings) -> Terms:
    """Return the world's terms: one cent a tick, and exactly its cost on each side."""
    return Terms(
        tick_value_cents=MARKET.tick_value_cents,
        side_cost_cents=round(settings.cost * settings.ticks_per_unit) * MARKET.tick_value_cents,
    )


@cache
def _optimum(settings: YardstickSettings) -> float:
    return yardstick.optimum(settings).per_bar


def judge(policy: Judged, world: World, reference: YardstickSettings | None = None) -> dict[str, float]:
    """Return a `Judgement` of `policy` on a world's rows, as a dict.

    Parameters
    ----------
    policy : starts flat and decides at every row
    world : fresh rows, not those it was trained on
    reference : market whose optimum costs are measured by; the world's own by default. For a null market
        name the market whose signal was taken away
    """
    targets = policy.table(world.obs, np.array([-1.0, 0.0, 1.0]))
    held = yardstick.hold(np.rint(targets).astype(np.int64))
    profit, cost, trades = yardstick.expected_profit(world, held)
    rows, best = len(world), _optimum(world.settings)
    yard = _optimum(reference or world.settings)
    verdict = Judgement(
        optimum=best,
        achieved=profit / rows,
        fraction=profit / rows / best if best > 0 else float("nan"),
        cost=cost / rows,
        cost_fraction=cost / rows / yard if yard > 0 else float("nan"),
        trades=trades,
        rows=rows,
    )
    return asdict(verdict)
