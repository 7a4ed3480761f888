"""Made-up but plausible base series with every column filled, for tests of features; no market data inside.

Sessions are short (120 minutes, the middle 70 of them regular hours) so that features that look back over
many sessions can be seen in a few thousand rows.
"""

import numpy as np

from mia.domain.market import Market
from mia.domain.rng import generator
from mia.domain.series import INDEX, LEVELS, SERIES, SIZE_BINS, SOURCE_GROUPS, WIDTH

SESSION_MINUTES = 120
RTH = (40, 110)

MARKET = Market(
    name="ES",
    description="test market",
    tick_size=0.25,
    multiplier=50.0,
    commission_round_turn=4.0,
    margin_initial=15000.0,
    margin_intraday=5000.0,
    calendar="CME Globex Equity",
    timezone="America/New_York",
    rth_open="09:30",
    rth_close="16:00",
    roll_months=(3, 6, 9, 12),
    round_step=25.0,
    reference_price=5000.0,
    partner="NQ",
)


def synthetic_rows(sessions: int = 40, seed: int = 11, name: str = "rows") -> np.ndarray:
    """(sessions * 120, WIDTH) float64 rows in which only what the feed could never say is missing."""
    rng = generator(seed, "synthetic", name)
    T = sessions * SESSION_MINUTES
    table: dict[str, np.ndarray] = {}
    _calendar(table, rng, sessions)
    _bars(table, rng, T)
    _trades(table, rng, T)
    _book(table, rng, T)
    _cross(table, rng, T)
    missing = set(SERIES) - set(table)
    assert not missing, f"synthetic rows lack {sorted(missing)}"
    values = np.empty((T, WIDTH))
    for column in SERIES:
        values[:, INDEX[column]] = table[column]
    return values


def without(values: np.ndarray, *groups: str) -> np.ndarray:
    """Copy of the rows in which the named source groups say nothing."""
    copy = values.copy()
    for group in groups:
        copy[:, [INDEX[name] for name in SOURCE_GROUPS[group]]] = np.nan
    return copy


def _calendar(table, rng, sessions):
    minute = np.tile(np.arange(1, SESSION_MINUTES + 1), sessions).astype(float)
    session = np.repeat(np.arange(sessions), SESSION_MINUTES).astype(float)
    rth = (minute > RTH[0]) & (minute <= RTH[1])
    event_session = session % 4 == 1
    lag = minute - 50.0
    near = event_session & (lag >= -15) & (lag <= 60)
    code = np.where(near, 1 + (session // 4) % 3, 0)
    flag = (session % 5 == 0).astype(float)
    table |= {
        "cal.session": session,
        "cal.minute": minute,
        "cal.slot": minute - 1,
        "cal.session_minutes": np.full(len(minute), float(SESSION_MINUTES)),
        "cal.first": (minute == 1).astype(float),
        "cal.rth": rth.astype(float),
        "cal.rth_minute": minute - RTH[0],
        "cal.minutes_to_rth_close": np.maximum(RTH[1] - minute, 0),
        "cal.minutes_to_close": SESSION_MINUTES - minute,
        "cal.dow": session % 5,
        "cal.fomc": flag,
        "cal.cpi": np.roll(flag, SESSION_MINUTES),
        "cal.nfp": np.roll(flag, 2 * SESSION_MINUTES),
        "cal.opex": np.roll(flag, 3 * SESSION_MINUTES),
        "cal.month_end": (session % 20 == 19).astype(float),
        "cal.roll_window": (session % 60 >= 52).astype(float),
        "cal.days_to_expiry": 90.0 - session % 60,
        "cal.minutes_to_event": np.where(event_session & (lag < 0), -lag, 400.0),
        "cal.minutes_since_event": np.where(event_session & (lag >= 0), lag, 900.0),
        "cal.next_importance": np.where(event_session & (lag < 0), 3.0, 1.0),
        "cal.event_count_24h": np.where(event_session, 2.0, 1.0),
        "cal.event_code": code.astype(float),
        "cal.event_lag": np.where(near, lag, np.nan),
        "cal.bar_minutes": np.ones(len(minute)),
    }


def _bars(table, rng, T):
    busy = 1.0 + 0.5 * table["cal.rth"] + 1.5 * (table["cal.event_code"] > 0)
    move = np.round(rng.normal(0, 4, T) * busy)
    close = 20000 + np.cumsum(move)
    start = close - move + np.where(table["cal.first"] == 1, rng.integers(-20, 21, T), 0)
    up, down = rng.integers(0, 6, T), rng.integers(0, 6, T)
    table |= {
        "bar.open": start,
        "bar.close": close,
        "bar.high": np.maximum(start, close) + up,
        "bar.low": np.minimum(start, close) - down,
        "bar.volume": np.round(400 * busy * rng.lognormal(0, 0.5, T)),
        "bar.open_interest": 2e6 + 1000 * table["cal.session"],
    }


def _trades(table, rng, T):
    volume, close = table["bar.volume"], table["bar.close"]
    move = close - table["bar.open"]
    bought = np.round(volume * np.clip(0.5 + 0.02 * move + rng.normal(0, 0.1, T), 0.05, 0.95))
    count = np.maximum(np.round(volume / rng.uniform(2, 4, T)), 1)
    session_start = np.repeat(table["bar.open"][::SESSION_MINUTES], SESSION_MINUTES)
    middle = np.round(0.5 * (table["bar.high"] + table["bar.low"])) - session_start
    wide = table["bar.high"] - table["bar.low"]
    poc = close - rng.integers(-20, 21, T)
    prior = np.repeat(close[::SESSION_MINUTES], SESSION_MINUTES)
    table |= {
        "trd.n": count,
        "trd.buy_volume": bought,
        "trd.sell_volume": volume - bought,
        "trd.max_size": rng.integers(5, 200, T).astype(float),
        "trd.through_volume": np.round(volume * rng.uniform(0, 0.3, T)),
        "trd.n_sweeps": rng.poisson(3, T).astype(float),
        "trd.refill_volume": np.round(volume * rng.uniform(0, 0.2, T)),
        "trd.large_buy_volume": np.round(bought * rng.uniform(0, 0.4, T)),
        "trd.large_sell_volume": np.round((volume - bought) * rng.uniform(0, 0.4, T)),
        "trd.eff_spread_vw": rng.uniform(0.8, 1.6, T),
        "trd.real_spread_vw": rng.normal(0.1, 0.8, T),
        "trd.runs_100ms": rng.poisson(4, T).astype(float),
        "trd.pv": middle * volume,
        "trd.pv2": middle**2 * volume + np.round(volume * wide**2 / 12),
        "trd.ref": session_start,
        "trd.hawkes_all": count / 3 * rng.uniform(0.5, 1.5, T),
        "trd.hawkes_buy": count / 6 * rng.uniform(0.3, 1.7, T),
        "trd.hawkes_sell": count / 6 * rng.uniform(0.3, 1.7, T),
        "trd.stack_buy": rng.integers(0, 8, T).astype(float),
        "trd.stack_sell": rng.integers(0, 8, T).astype(float),
        "trd.poc": poc,
        "trd.vah": poc + rng.integers(3, 30, T),
        "trd.val": poc - rng.integers(3, 30, T),
        "trd.profile_skew": rng.normal(0, 0.5, T),
        "trd.prior_poc": prior,
        "trd.prior_vah": prior + 25,
        "trd.prior_val": prior - 22,
        "trd.hvn": close + rng.integers(-40, 41, T),
        "trd.lvn": close + rng.integers(-40, 41, T),
    }
    for k in range(1, SIZE_BINS + 1):
        table[f"trd.size_bin_{k}"] = rng.poisson(60 / k**2, T) + (1.0 if k == 1 else 0.0)


def _book(table, rng, T):
    spread = np.where(rng.random(T) < 0.8, 1, rng.integers(2, 5, T))
    bid = table["bar.close"] - rng.integers(0, 2, T)
    delta = table["trd.buy_volume"] - table["trd.sell_volume"]
    table |= {
        "qot.mid": bid + spread / 2,
        "qot.spread_ticks_tw": spread + rng.uniform(0, 0.3, T),
        "qot.n_updates": rng.integers(500, 5000, T).astype(float),
        "qot.msg_to_trade": rng.lognormal(2.5, 0.5, T),
        "qot.update_burst_p99": rng.integers(3, 60, T).astype(float),
        "dom.bid_depth_tw_1": rng.uniform(20, 200, T),
        "dom.ask_depth_tw_1": rng.uniform(20, 200, T),
        "dom.bid_depth_tw_10": rng.uniform(800, 3000, T),
        "dom.ask_depth_tw_10": rng.uniform(800, 3000, T),
        "dom.add_bid": rng.integers(500, 5000, T).astype(float),
        "dom.add_ask": rng.integers(500, 5000, T).astype(float),
        "dom.cancel_bid": rng.integers(300, 5000, T).astype(float),
        "dom.cancel_ask": rng.integers(300, 5000, T).astype(float),
        "dom.fleeting_share": rng.uniform(0, 0.6, T),
        "dom.large_cancel_bid": rng.integers(0, 400, T) * (rng.random(T) < 0.15),
        "dom.large_cancel_ask": rng.integers(0, 400, T) * (rng.random(T) < 0.15),
        "dom.depletion": rng.integers(50, 900, T).astype(float),
        "dom.replenish_5s": rng.integers(10, 700, T).astype(float),
    }
    common = delta / 3 + rng.normal(0, 40, T)
    for k in range(1, LEVELS + 1):
        table[f"dom.bid_px_{k}"] = bid - (k - 1)
        table[f"dom.ask_px_{k}"] = bid + spread + (k - 1)
        table[f"dom.bid_sz_{k}"] = rng.integers(5, 300, T).astype(float)
        table[f"dom.ask_sz_{k}"] = rng.integers(5, 300, T).astype(float)
        table[f"dom.ofi_{k}"] = np.round(common / k**0.5 + rng.normal(0, 30, T))
        table[f"dom.depth_tw_{k}"] = rng.uniform(40, 250, T)


def _cross(table, rng, T):
    table |= {
        "xa.vix": 16 + np.cumsum(rng.normal(0, 0.02, T)),
        "xa.spy_close": table["bar.close"] / 40 + rng.normal(0, 0.05, T),
        "xa.pair_close": table["bar.close"] * 3 + rng.integers(-20, 21, T),
    }
