"""Made-up but plausible base series with every column filled, for tests of features; no market data inside.

Other markets keep their own hours, chains come every quarter of an hour, the news feed is down now and then.

Sessions are short (120 minutes, the middle 70 of them regular hours) so that features that look back over
many sessions can be seen in a few thousand rows.
"""

import numpy as np

from mia.domain.market import Market
from mia.domain.rng import generator
from mia.domain.series import (
    CNN_WIDTH,
    INDEX,
    LEVELS,
    LSTM_WIDTH,
    MODEL_SERIES,
    NEWS_TOPICS,
    OPTION_GRID,
    OPTION_KEYS,
    OPTIONS,
    SELF_SERIES,
    SERIES,
    SIZE_BINS,
    SOURCE_GROUPS,
    WIDTH,
)

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
    _options(table, T)
    _news(table, T)
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
    """The partner trades all day but for a break; the fund and breadth in regular hours, the index a little longer."""
    own, minute = table["bar.close"], table["cal.minute"]
    rng = generator(int(rng.integers(2**31)), "synthetic", "cross")
    rth = table["cal.rth"] == 1
    common = np.diff(np.log(own), prepend=np.log(own[0]))

    def partner(start, beta, noise, *, gone=0.0):
        price = start * np.exp(np.cumsum(beta * common + rng.normal(0, noise, T)))
        return np.where(rng.random(T) < gone, np.nan, price)

    index = 16 * np.exp(np.cumsum(-4 * common + rng.normal(0, 5e-4, T)) * 0.2)
    index = np.where(rng.random(T) < 0.2, np.nan, index)
    held = np.maximum.accumulate(np.where(np.isnan(index), 0, np.arange(T)))
    index = np.where((minute > 10) & (minute <= 115), np.clip(index[held], 9, 80), np.nan)
    daily = 4 + np.cumsum(rng.normal(0, 0.05, T // SESSION_MINUTES + 1))
    published = np.repeat(np.arange(T // SESSION_MINUTES), SESSION_MINUTES) + (minute > 105)
    table |= {
        "xa.vix": index,
        "xa.vix3m": index * np.exp(rng.normal(0.08, 0.03, T)),
        "xa.vvix": np.clip(90 + 2 * (index - 16) + rng.normal(0, 2, T), 65, 200),
        "xa.spy_close": np.where(rth, own / 40 + rng.normal(0, 0.05, T), np.nan),
        "xa.pair_close": np.round(partner(60000, 1.2, 1e-4)),
        "xa.rty_close": partner(2000, 1.1, 2e-4, gone=0.0005),
        "xa.zn_close": partner(110, -0.1, 3e-5),
        "xa.dxy_close": partner(104, -0.1, 3e-5, gone=0.0005),
        "xa.cl_close": partner(75, 0.3, 3e-4),
        "xa.gc_close": partner(2300, 0.1, 1e-4),
        "xa.us10y": np.round(daily[published], 2),
        "xa.us2y": np.round(daily[published] + 0.2 + 0.05 * np.sin(published), 2),
        "xa.nyse_tick": np.where(rth, np.clip(np.round(rng.normal(0, 350, T)), -1800, 1800), np.nan),
        "xa.pair_ofi": rng.normal(0, 2, T),
    }


def _options(table, T):
    """A chain every fifteen minutes, carried in between; nothing in the first ten minutes of a session."""
    rng = generator(31, "synthetic", "options")
    taken = (np.arange(T) // 15) * 15
    own, minute, session = table["bar.close"], table["cal.minute"], table["cal.session"]
    spot = own[taken]
    level = 0.15 * np.exp(0.4 * np.sin(taken / 900) + rng.normal(0, 0.02, T)[taken])
    skew = -0.05 - 0.01 * np.cos(taken / 400)

    def noise(size):
        return rng.normal(0, size, T)[taken]

    def strike(away, spread):
        return np.round((spot + away + noise(spread)) / 20) * 20

    call, put = 2e9 * np.exp(noise(0.3)), 2.2e9 * np.exp(noise(0.3))
    volume = 40 * (taken % SESSION_MINUTES + 1) * np.exp(noise(0.2))
    table |= {
        "opt.ref": spot,
        "opt.iv_30": level,
        "opt.call_iv_30": level + noise(0.001),
        "opt.put_iv_30": level + noise(0.001),
        "opt.iv_0dte": level * np.exp(noise(0.2)),
        "opt.iv_1": level * np.exp(noise(0.15)),
        "opt.iv_7": level * np.exp(noise(0.08)),
        "opt.iv_60": level * np.exp(0.03 + noise(0.01)),
        "opt.slope_30": skew + noise(0.005),
        "opt.call25_30": level + 0.6 * skew * level + noise(0.001),
        "opt.put25_30": level - skew * level + noise(0.001),
        "opt.straddle": 0.8 * spot * level * np.sqrt(1 / 252),
        "opt.net_gamma": call - put,
        "opt.gamma_0dte": 0.3 * (call - put) + 1e8 * noise(1.0),
        "opt.call_gamma": call,
        "opt.put_gamma": put,
        "opt.gamma_above": call * np.exp(noise(0.1)),
        "opt.gamma_below": put * np.exp(noise(0.1)),
        "opt.gamma_near": 0.4 * (call + put) * np.exp(noise(0.1)),
        "opt.vanna": 1e9 * noise(1.0),
        "opt.charm": 1e8 * noise(1.0),
        "opt.call_oi": 3e5 + 1000 * session,
        "opt.put_oi": 4e5 - 800 * session,
        "opt.call_volume": 0.45 * volume,
        "opt.put_volume": 0.55 * volume * np.exp(noise(0.1)),
        "opt.volume": volume,
        "opt.volume_0dte": volume * np.clip(0.45 + noise(0.05), 0.1, 0.9),
        "opt.oi_herfindahl": np.clip(0.08 + noise(0.01), 0.01, 1),
        "opt.signed_delta": np.where(np.arange(T) == taken, rng.normal(0, 5e7, T), 0.0),
        "opt.max_pain": strike(0, 20),
        "opt.call_wall": strike(120, 20),
        "opt.put_wall": strike(-160, 20),
        "opt.zero_gamma": np.where(rng.random(T)[taken] < 0.1, np.nan, strike(-40, 30)),
        "opt.vol_trigger": np.where(rng.random(T)[taken] < 0.1, np.nan, strike(-60, 30)),
        "opt.zones": np.clip(np.round(3 + noise(1.5)), 0, 10),
        "opt.pin_share": np.clip(0.3 + noise(0.1), 0, 1),
        "opt.pin_distance": noise(15.0),
        "opt.hours_to_expiry": (SESSION_MINUTES - taken % SESSION_MINUTES) / 60,
    }
    for k in range(1, OPTION_KEYS + 1):
        table[f"opt.key_{k}"] = strike(40 * (k - 3), 5)
    factors = [noise(0.1), noise(0.05), noise(0.03)]
    for k in range(1, OPTION_GRID + 1):
        tenor, money = divmod(k - 1, 5)
        bend = factors[0] + factors[1] * (tenor - 1) + factors[2] * (money - 2)
        table[f"opt.grid_{k}"] = level * np.exp(bend + noise(0.01)) + skew * 0.3 * (money - 2)
    for name in OPTIONS:
        table[name] = np.where(minute <= 10, np.nan, table[name])


def _news(table, T):
    """Some items an hour, a release at every event, and a feed that is down for half an hour now and then."""
    rng = generator(32, "synthetic", "news")
    count = rng.poisson(0.15, T).astype(float)
    down = (table["cal.session"] % 7 == 3) & (table["cal.minute"] > 60) & (table["cal.minute"] <= 90)
    weight = np.where(count > 0, rng.uniform(0.2, 1.0, T) * count, 0.0)
    table |= {
        "news.alive": np.where(down, 0.0, 1.0),
        "news.count": count,
        "news.sentiment": weight * rng.uniform(-1, 1, T),
        "news.weight": weight,
        "news.surprise": np.where(table["cal.event_lag"] == 0, rng.normal(0, 1.2, T), 0.0),
    }
    topic = rng.integers(0, len(NEWS_TOPICS), T)
    for k, name in enumerate(NEWS_TOPICS):
        table[f"news.{name}"] = np.where(topic == k, table["news.sentiment"], 0.0)


def synthetic_model_rows(rows: int, seed: int = 12) -> np.ndarray:
    """(rows, width of MODEL_SERIES) float64: probabilities that sum to 1, embeddings, forecasts, memories."""
    rng = generator(seed, "synthetic", "model")
    table: dict[str, np.ndarray] = {}

    def shares(names, smooth):
        weights = np.exp(np.cumsum(rng.normal(0, smooth, (rows, len(names))), axis=0) % 3)
        table.update(zip(names, (weights / weights.sum(axis=1, keepdims=True)).T, strict=True))

    shares([f"mdl.regime_{name}" for name in ("trend", "range", "defensive")], 0.2)
    shares([f"mdl.lstm_p_{name}" for name in ("up", "flat", "down")], 0.3)
    shares([f"mdl.cnn_p_{name}" for name in ("up", "flat", "down")], 0.3)
    table["mdl.regime_row_entropy"] = rng.uniform(0.1, 0.9, rows)
    for k in range(1, LSTM_WIDTH + 1):
        table[f"mdl.lstm_{k}"] = np.tanh(rng.normal(0, 0.6, rows))
    for k in range(CNN_WIDTH):
        table[f"mdl.cnn_{k}"] = np.tanh(rng.normal(0, 0.6, rows))
    score = rng.normal(0, 1, rows)
    table |= {
        "mdl.lstm_vix": 16 * np.exp(rng.normal(0, 0.1, rows)),
        "mdl.lstm_volatility": 0.14 * np.exp(rng.normal(0, 0.3, rows)),
        "mdl.lstm_return_mean": rng.normal(0, 1, rows),
        "mdl.lstm_return_sd": np.exp(rng.normal(1, 0.3, rows)),
        "mdl.lstm_reconstruction": np.exp(rng.normal(-2, 0.5, rows)),
        "mdl.memory_score": np.clip(score * 2, -10, 10),
        "mdl.memory_sd": np.exp(rng.normal(0, 0.2, rows)),
        "mdl.memory_hit_rate": rng.uniform(0.2, 0.8, rows),
        "mdl.memory_distance": np.exp(rng.normal(1, 0.2, rows)),
        "mdl.memory_novelty": rng.uniform(0, 1, rows),
        "mdl.memory_effective_n": rng.uniform(5, 50, rows),
        "mdl.memory_mae": rng.exponential(0.8, rows),
        "mdl.memory_mfe": rng.exponential(0.8, rows),
        "mdl.memory_same_regime": rng.uniform(0, 1, rows),
        "mdl.memory_past_score": score,
        "mdl.memory_realised": np.where(rng.random(rows) < 0.1, np.nan, 0.2 * score + rng.normal(0, 1, rows)),
    }
    values = np.column_stack([table.pop(name) for name in MODEL_SERIES.names])
    assert not table, f"no model series: {sorted(table)}"
    values[:60] = np.nan
    return values


def synthetic_self_rows(rows: int, seed: int = 13) -> np.ndarray:
    """(rows, width of SELF_SERIES) float64: what a policy could have said; nothing in the first 100 rows."""
    rng = generator(seed, "synthetic", "self")
    actions, weights = rng.dirichlet(np.ones(3) * 2, rows), rng.dirichlet(np.ones(3) * 5, rows)
    quantiles = np.sort(rng.normal(0, 1, (rows, 5)), axis=1)
    rest = {
        "slf.disagreement": rng.uniform(0, 1, rows),
        "slf.confidence": actions.max(axis=1),
        "slf.success": rng.uniform(0.3, 0.7, rows),
        "slf.calibration_error": rng.uniform(0, 0.3, rows),
        "slf.cvar": rng.exponential(1, rows),
        "slf.drift": rng.exponential(0.1, rows),
        "slf.sharpe_20": rng.normal(0, 1, rows),
        "slf.drawdown": rng.uniform(0, 1, rows),
    }
    names = SELF_SERIES.names
    assert names[11:] == tuple(rest), "the order of the self series has changed"
    values = np.column_stack([quantiles, actions, weights, *rest.values()])
    values[:100] = np.nan
    return values
