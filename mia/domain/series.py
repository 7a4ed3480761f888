"""The base series: the columns of one closed bar row, in the order every compiled kernel relies on.

Prices are in ticks (integers held exactly in float64; mids may be half ticks), sizes in contracts,
missing values are NaN. A column's prefix names the source that can fill it.
"""

from dataclasses import dataclass

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

CROSS = (
    "xa.vix",  # volatility indices [vol points]: 30 days, 3 months, and that of the index itself
    "xa.vix3m",
    "xa.vvix",
    "xa.spy_close",  # S&P 500 fund [USD]
    "xa.pair_close",  # partner future (NQ for ES, ES for NQ and MNQ) [its ticks]
    "xa.rty_close",  # Russell 2000, ten-year note, dollar index, oil and gold futures [their points]
    "xa.zn_close",
    "xa.dxy_close",
    "xa.cl_close",
    "xa.gc_close",
    "xa.us10y",  # daily Treasury yields as published [per cent]
    "xa.us2y",
    "xa.nyse_tick",  # issues ticking up less issues ticking down [count]
    "xa.pair_ofi",  # the partner's integrated order-flow imbalance over the bar [multiples of its mean depth]
)

OPTION_KEYS = 5
OPTION_GRID = 15  # five points of moneyness at each of three tenors

OPTIONS = (
    "opt.ref",  # the market's price when the chain was taken [ticks]
    "opt.iv_30",  # implied volatility at the forward, 30 days: smile, calls only, puts only [annual, decimal]
    "opt.call_iv_30",
    "opt.put_iv_30",
    "opt.iv_0dte",  # at the forward: expiring today, 1, 7 and 60 days [annual, decimal]
    "opt.iv_1",
    "opt.iv_7",
    "opt.iv_60",
    "opt.slope_30",  # slope of the smile at the forward per ln(K/F)/sqrt(T), 30 days
    "opt.call25_30",  # volatility at 25 delta, calls and puts, 30 days [annual, decimal]
    "opt.put25_30",
    "opt.straddle",  # price of the front straddle at the forward [ticks]
    "opt.net_gamma",  # dealers' gamma with the assumed signs, all expiries; expiring today [USD per 1 %]
    "opt.gamma_0dte",
    "opt.call_gamma",  # gamma x open interest without sign [USD per 1 %]: calls, puts, strikes above, below, within 1 %
    "opt.put_gamma",
    "opt.gamma_above",
    "opt.gamma_below",
    "opt.gamma_near",
    "opt.vanna",  # dealers' vanna [USD of delta per vol point] and charm [USD of delta per day]
    "opt.charm",
    "opt.call_oi",  # open interest as published before the bar [contracts]
    "opt.put_oi",
    "opt.call_volume",  # contracts traded since the session began, as of the chain
    "opt.put_volume",
    "opt.volume",
    "opt.volume_0dte",
    "opt.oi_herfindahl",  # concentration of open interest over strikes, expiries within 7 days [1]
    "opt.signed_delta",  # delta bought by customers since the chain before, on the bar that learns of it [USD]; else 0
    "opt.max_pain",  # levels of the chain in the market's own prices [ticks]
    "opt.call_wall",
    "opt.put_wall",
    "opt.zero_gamma",
    "opt.vol_trigger",
    *(f"opt.key_{k}" for k in range(1, OPTION_KEYS + 1)),
    "opt.zones",  # runs of one sign of strike gamma within 3 % [count]
    "opt.pin_share",  # share of front gamma at the nearest strike [1], its distance [ticks], hours to its expiry
    "opt.pin_distance",
    "opt.hours_to_expiry",
    *(f"opt.grid_{k}" for k in range(1, OPTION_GRID + 1)),  # volatility surface on a fixed grid [annual, decimal]
)

NEWS_TOPICS = ("macro", "policy", "earnings", "geopolitics", "company", "markets", "other")

NEWS = (
    "news.alive",  # 1 while the feed is known to be up
    "news.count",  # items received during the bar
    "news.sentiment",  # sum of sentiment x weight of those items, and of their weights
    "news.weight",
    *(f"news.{topic}" for topic in NEWS_TOPICS),  # sum of sentiment x relevance x novelty by topic
    "news.surprise",  # sum of (actual - consensus) / past deviation of releases during the bar
)

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

SERIES: tuple[str, ...] = (*BAR, *TRADES, *QUOTES, *DEPTH, *CROSS, *OPTIONS, *NEWS, *CALENDAR)
INDEX: dict[str, int] = {name: i for i, name in enumerate(SERIES)}
WIDTH = len(SERIES)

SOURCE_GROUPS: dict[str, tuple[str, ...]] = {
    "bars": BAR,
    "trades": TRADES,
    "depth": (*QUOTES, *DEPTH),
    "cross": CROSS,
    "options": OPTIONS,
    "news": NEWS,
    "calendar": CALENDAR,
}

REGIME = (
    "mdl.regime_trend",  # filtered probabilities
    "mdl.regime_range",
    "mdl.regime_defensive",
    "mdl.regime_row_entropy",  # expected entropy of the next transition [nats]
)

LSTM_WIDTH = 16
LSTM = (
    *(f"mdl.lstm_{k}" for k in range(1, LSTM_WIDTH + 1)),  # bottleneck, aligned between retrains [-1, 1]
    "mdl.lstm_vix",  # volatility index 60 minutes ahead [vol points]
    "mdl.lstm_volatility",  # realised volatility over 30 minutes ahead [annual, decimal]
    "mdl.lstm_return_mean",  # return over 15 bars ahead: mean and deviation [bp]
    "mdl.lstm_return_sd",
    "mdl.lstm_p_up",  # which barrier is met first within 15 bars
    "mdl.lstm_p_flat",
    "mdl.lstm_p_down",
    "mdl.lstm_reconstruction",  # mean square error of the inputs read back from the bottleneck
)

CNN_WIDTH = 8
CNN = (
    *(f"mdl.cnn_{k}" for k in range(CNN_WIDTH)),  # bottleneck over the book, aligned between retrains [-1, 1]
    "mdl.cnn_p_up",
    "mdl.cnn_p_flat",
    "mdl.cnn_p_down",
)

MEMORY = (
    "mdl.memory_score",  # of the nearest contexts: mean outcome over its standard error
    "mdl.memory_sd",  # deviation of outcomes [R]
    "mdl.memory_hit_rate",
    "mdl.memory_distance",  # median distance [deviations]
    "mdl.memory_novelty",  # its rank among past distances [0, 1]
    "mdl.memory_effective_n",
    "mdl.memory_mae",  # adverse and favourable excursion [R]
    "mdl.memory_mfe",
    "mdl.memory_same_regime",
    "mdl.memory_past_score",  # the score one horizon ago, and what then happened [R]
    "mdl.memory_realised",
)

SELF = (
    *(f"slf.q{level:02d}" for level in (5, 25, 50, 75, 95)),  # quantiles of the greedy action, one bar ago [R]
    "slf.p_short",  # probabilities of the actions, one bar ago
    "slf.p_flat",
    "slf.p_long",
    "slf.w_sac",  # weights of the ensemble's members
    "slf.w_ppo",
    "slf.w_ddpg",
    "slf.disagreement",  # deviation of the members' targets
    "slf.confidence",  # probability of the likeliest action
    "slf.success",  # calibrated probability that the trade succeeds
    "slf.calibration_error",
    "slf.cvar",  # mean of the worst 5 % of the last 500 steps [R]
    "slf.drift",  # mean population stability index of the features against the fold they were fitted on
    "slf.sharpe_20",  # of the last 20 closed trades
    "slf.drawdown",  # drawdown over the limit
)


@dataclass(frozen=True, slots=True)
class SeriesSet:
    """One list of base series that a plan reads.

    Parameters
    ----------
    name : of the set
    groups : group -> its series; together all of them, in order
    """

    name: str
    groups: dict[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """All series in the order of a row."""
        return tuple(name for names in self.groups.values() for name in names)


MARKET_SERIES = SeriesSet("market", SOURCE_GROUPS)
MODEL_SERIES = SeriesSet("model", {"regime": REGIME, "lstm": LSTM, "cnn": CNN, "memory": MEMORY})
SELF_SERIES = SeriesSet("self", {"self": SELF})
SERIES_SETS = (MARKET_SERIES, MODEL_SERIES, SELF_SERIES)
