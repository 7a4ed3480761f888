"""The base series: the columns of one closed bar row, in the order every compiled kernel relies on.

Prices are in ticks (integers held exactly in float64; mids may be half ticks), sizes in contracts,
missing values are NaN. A column's prefix names the source that can fill it.
"""

LEVELS = 10
SIZE_BINS = 6

BAR = ("bar.open", "bar.high", "bar.low", "bar.close", "bar.volume", "bar.open_interest")

TRADES = (
    "trd.n",  # trades [count]
    "trd.buy_volume",  # contracts lifted from the ask
    "trd.sell_volume",  # contracts hit on the bid
    "trd.max_size",  # largest trade [contracts]
    "trd.through_volume",  # volume executed beyond the best quote (sweeps) [contracts]
    "trd.n_sweeps",  # aggressive orders that took more than one price [count]
    "trd.refill_volume",  # volume executed beyond the displayed size at its price [contracts]
    "trd.large_buy_volume",  # buys of at least the 95 % trade size of the 5 prior sessions
    "trd.large_sell_volume",
    "trd.eff_spread_vw",  # volume-weighted effective spread [ticks]
    "trd.real_spread_vw",  # realised spread after 5 s, only trades whose 5 s are over [ticks]
    "trd.runs_100ms",  # same-side runs of >= 3 trades less than 100 ms apart [count]
    "trd.pv",  # sum of (price - trd.ref) x size [ticks x contracts]
    "trd.pv2",  # sum of (price - trd.ref)^2 x size
    "trd.ref",  # first trade price of the session [ticks]
    "trd.hawkes_all",  # sum of exp(-(close - t_i) / 30 s) over trades
    "trd.hawkes_buy",
    "trd.hawkes_sell",
    "trd.stack_buy",  # longest run of stacked buy imbalances in the bar's footprint [levels]
    "trd.stack_sell",
    *(f"trd.size_bin_{k}" for k in range(1, SIZE_BINS + 1)),  # trades of size 1, 2-4, 5-9, 10-24, 25-99, 100+
    "trd.poc",  # developing session profile: point of control, value area high and low [ticks]
    "trd.vah",
    "trd.val",
    "trd.profile_skew",  # volume-weighted skewness of the developing profile
    "trd.prior_poc",  # profile of the last completed regular session [ticks]
    "trd.prior_vah",
    "trd.prior_val",
    "trd.hvn",  # nearest high and low volume node of the 5 prior sessions' smoothed profile [ticks]
    "trd.lvn",
)

QUOTES = (
    "qot.mid",  # mid at the close [ticks]
    "qot.spread_ticks_tw",  # time-weighted spread [ticks]
    "qot.n_updates",  # book messages [count]
    "qot.msg_to_trade",  # messages per trade
    "qot.update_burst_p99",  # 99th percentile of messages per non-empty 10 ms slot [count]
)

DEPTH = (
    *(f"dom.bid_px_{k}" for k in range(1, LEVELS + 1)),  # price of the k-th occupied level at the close [ticks]
    *(f"dom.ask_px_{k}" for k in range(1, LEVELS + 1)),
    *(f"dom.bid_sz_{k}" for k in range(1, LEVELS + 1)),  # its size [contracts]
    *(f"dom.ask_sz_{k}" for k in range(1, LEVELS + 1)),
    *(f"dom.ofi_{k}" for k in range(1, LEVELS + 1)),  # order-flow imbalance of level k, summed over the bar
    *(f"dom.depth_tw_{k}" for k in range(1, LEVELS + 1)),  # time-weighted (bid + ask) / 2 size of level k
    "dom.bid_depth_tw_1",  # time-weighted size at the best bid, and summed over ten levels [contracts]
    "dom.ask_depth_tw_1",
    "dom.bid_depth_tw_10",
    "dom.ask_depth_tw_10",
    "dom.add_bid",  # size added and cancelled within ten levels [contracts]
    "dom.add_ask",
    "dom.cancel_bid",
    "dom.cancel_ask",
    "dom.fleeting_share",  # share of the added size that was cancelled within 500 ms
    "dom.large_cancel_bid",  # large adds (> 95 % of the prior session's) at levels 1-5 cancelled within 2 s untouched
    "dom.large_cancel_ask",
    "dom.depletion",  # best-level size taken by trades [contracts]
    "dom.replenish_5s",  # of which back within 5 s [contracts]
)

CROSS = ("xa.vix", "xa.spy_close", "xa.pair_close")  # vol points, index points x 1, partner ticks

CALENDAR = (
    "cal.session",  # ordinal of the session, counts up by one
    "cal.minute",  # minutes from the session's open to the bar's close
    "cal.slot",  # 0-based bar slot within a full session
    "cal.session_minutes",  # planned length of the session
    "cal.first",  # 1 on the first row of a session
    "cal.rth",  # 1 if the bar lies within regular hours
    "cal.rth_minute",  # minutes from the regular open to the bar's close, negative before it
    "cal.minutes_to_rth_close",  # planned minutes from the bar's close to the regular close, >= 0
    "cal.minutes_to_close",  # planned minutes from the bar's close to the session's end, >= 0
    "cal.dow",  # 0 Monday ... 4 Friday, of the trade date
    "cal.fomc",  # 1 on days of the event
    "cal.cpi",
    "cal.nfp",
    "cal.opex",
    "cal.month_end",
    "cal.roll_window",  # 1 from 8 days before expiry
    "cal.days_to_expiry",
    "cal.minutes_to_event",  # to the next event of importance 3; NaN if none is scheduled
    "cal.minutes_since_event",
    "cal.next_importance",  # highest importance within the next 24 h, 0 none
    "cal.event_count_24h",  # events of importance >= 2 in the last 24 h
    "cal.event_code",  # type of the event whose [-15, +60] minute window holds this bar, 0 none
    "cal.event_lag",  # minutes since that event (negative before it)
    "cal.bar_minutes",  # length of a bar
)

SERIES: tuple[str, ...] = (*BAR, *TRADES, *QUOTES, *DEPTH, *CROSS, *CALENDAR)
INDEX: dict[str, int] = {name: i for i, name in enumerate(SERIES)}
WIDTH = len(SERIES)

SOURCE_GROUPS: dict[str, tuple[str, ...]] = {
    "bars": BAR,
    "trades": TRADES,
    "depth": (*QUOTES, *DEPTH),
    "cross": CROSS,
    "calendar": CALENDAR,
}
