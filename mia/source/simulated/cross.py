"""What trades beside the simulated market: indices, a fund, the partner, other futures, yields, breadth."""

from dataclasses import dataclass, field

import numpy as np

from mia.domain.series import CROSS
from mia.source.simulated.hidden import autoregression
from mia.source.simulated_settings import COMPANIONS, SimulatedSettings

Array = np.ndarray
_MINUTE = 60_000_000_000
_VIX_HALF_LIFE_MINUTES = 300.0
_INDEX_HALF_LIFE_MINUTES = 600.0
_BREADTH_DECAY = 0.3  # what is left of the own part of the tick index after a minute
_BREADTH_SHARE = 0.75  # its correlation with the return of the same minute
_MOST = 5.0  # largest standardised return that counts: a gap between sessions is no flow

NAMES = CROSS
"""Columns `simulate` returns, in order."""
SUMMED = "xa.pair_ofi"
"""The one column that is a flow over the bar, not a state at its close."""


@dataclass(slots=True)
class Companions:
    """What one session hands to the next.

    Parameters
    ----------
    vix : log index above its resting level; pair, fund : log prices
    others : (5,) log prices in the order of `COMPANIONS`
    indices : (2,) own log parts of the three-month index and of the index's own volatility
    breadth : own part of the tick index, unit variance
    yields : (2,) ten-year and two-year now [per cent]; published : (2,) as last published
    waiting : (publication [ns UTC], yields) not yet published, in order
    """

    vix: float
    pair: float
    fund: float
    others: Array
    indices: Array
    breadth: float
    yields: Array
    published: Array
    waiting: list[tuple[int, Array]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The M minutes of a session.

    Parameters
    ----------
    returns : (M,) log returns of the market's mid, the first from the last session's end
    sd : (M,) deviation expected of each [1]
    expected : (M,) return expected from the hidden state over `sd`; zero without alpha
    log_variance : (M,) level of log variance above its mean
    ends : (M,) int64, end of each minute [ns UTC]
    regular : (M,) bool, minutes of regular hours
    regular_close : end of regular hours [ns UTC]
    """

    returns: Array
    sd: Array
    expected: Array
    log_variance: Array
    ends: Array
    regular: Array
    regular_close: int


def start(settings: SimulatedSettings) -> Companions:
    """All at their configured levels."""
    yields = np.array(settings.yields)
    return Companions(
        vix=0.0,
        pair=float(np.log(settings.pair_level_ticks)),
        fund=float(np.log(settings.spy_level)),
        others=np.log([companion.level for companion in settings.companions]),
        indices=np.zeros(2),
        breadth=0.0,
        yields=yields,
        published=yields.copy(),
    )


def simulate(
    settings: SimulatedSettings,
    state: Companions,
    rng: np.random.Generator,
    others: np.random.Generator,
    span: Span,
    *,
    fund_follows_partner: bool,
) -> Array:
    """Draw the companions of one session and move `state` on.

    Parameters
    ----------
    rng : for index, fund and partner; others : for everything else
    fund_follows_partner : the partner is the S&P 500, not the market itself

    Returns
    -------
    (M, len(NAMES)) float64, NaN outside a series' own hours. Each row uses only minutes up to itself.
    """
    rested = state.vix
    columns, pair_returns = _nearest(settings, state, rng, span, fund_follows_partner)
    noise = others.standard_normal((len(COMPANIONS) + 5, len(span.returns)))
    vix = np.log(columns["xa.vix"] / settings.vix_level)
    columns |= _indices(settings, state, vix, noise[:2])
    # how stressed a minute is was known before it
    stress = np.clip(np.concatenate([[rested], vix[:-1]]) / np.log(1.5), 0.0, 1.0)
    futures, note = _futures(settings, state, span, stress, noise[5:])
    columns |= futures | _yields(settings, state, span, note, noise[2])
    columns["xa.nyse_tick"] = _breadth(settings, state, span, noise[3])
    columns["xa.pair_ofi"] = _pair_flow(settings, span, pair_returns, noise[4])
    return np.column_stack([columns[name] for name in NAMES])


def _nearest(
    settings: SimulatedSettings, state: Companions, rng: np.random.Generator, span: Span, fund_follows_partner: bool
) -> tuple[dict[str, Array], Array]:
    """Volatility index [vol points], fund [USD] and partner [ticks]; also the partner's log returns."""
    returns, sd = span.returns, span.sd
    noise = rng.standard_normal((3, len(returns)))
    decay = float(np.exp(-np.log(2.0) / _VIX_HALF_LIFE_MINUTES))
    pull = (1 - decay) * 0.35 * span.log_variance
    shock = settings.vix_leverage * (settings.vix_noise * sd * noise[0] - returns)
    vix = autoregression(state.vix, decay, pull + shock)
    own = np.sqrt(1 / settings.pair_correlation**2 - 1) * sd * noise[1]
    pair_returns = settings.pair_beta * (returns + own)
    pair = state.pair + np.cumsum(pair_returns)
    fund = state.fund + np.cumsum(pair_returns / settings.pair_beta if fund_follows_partner else returns)
    state.vix, state.pair, state.fund = float(vix[-1]), float(pair[-1]), float(fund[-1])
    price = np.round(np.exp(fund + 0.2e-4 * noise[2]), 2)
    columns = {
        "xa.vix": np.round(settings.vix_level * np.exp(vix), 2),
        "xa.spy_close": np.where(span.regular, price, np.nan),
        "xa.pair_close": np.round(np.exp(pair)),
    }
    return columns, pair_returns


def _indices(settings: SimulatedSettings, state: Companions, vix: Array, noise: Array) -> dict[str, Array]:
    """Three-month index, which follows less than one for one, so the term inverts in stress; and the index's own."""
    decay = float(np.exp(-np.log(2.0) / _INDEX_HALF_LIFE_MINUTES))
    own = [autoregression(state.indices[k], decay, np.sqrt(1 - decay * decay) * noise[k]) for k in range(2)]
    state.indices = np.array([own[0][-1], own[1][-1]])
    three = np.log(settings.vix_level * settings.vix3m_premium) + settings.vix3m_response * vix
    of_index = np.log(settings.vvix_level) + settings.vvix_response * vix
    return {
        "xa.vix3m": np.round(np.exp(three + settings.index_noise * own[0]), 2),
        "xa.vvix": np.round(np.exp(of_index + 2 * settings.index_noise * own[1]), 2),
    }


def _futures(
    settings: SimulatedSettings, state: Companions, span: Span, stress: Array, noise: Array
) -> tuple[dict[str, Array], Array]:
    """Other futures [their points]; also the note's log returns."""
    columns, note = {}, np.zeros(len(stress))
    for k, companion in enumerate(settings.companions):
        together = np.clip(companion.correlation + companion.stress * stress, -0.99, 0.99)
        own = np.sqrt(1 - together**2) * span.sd * noise[k]
        returns = companion.volatility * (together * span.returns + own)
        price = state.others[k] + np.cumsum(returns)
        state.others[k] = price[-1]
        columns[f"xa.{companion.series}_close"] = np.round(np.round(np.exp(price) / companion.tick) * companion.tick, 9)
        if companion.series == "zn":
            note = returns
    return columns, note


def _yields(settings: SimulatedSettings, state: Companions, span: Span, note: Array, noise: Array) -> dict[str, Array]:
    """Yields as published: a day's value is that of the regular close and appears only after it."""
    change = -note / settings.note_duration * 100
    scale = 0.5 * 100 / settings.note_duration * settings.companions[COMPANIONS.index("zn")].volatility
    moves = np.column_stack([change, 0.8 * change + scale * span.sd * noise])
    now = state.yields + np.cumsum(moves, axis=0)
    state.yields = now[-1]
    if np.any(span.regular):
        published = span.regular_close + settings.yield_delay_minutes * _MINUTE
        state.waiting.append((published, np.round(now[np.flatnonzero(span.regular)[-1]], 2)))
    shown = np.tile(state.published, (len(note), 1))
    for at, values in state.waiting:
        shown[span.ends >= at] = values
    state.waiting = [(at, values) for at, values in state.waiting if at > span.ends[-1]]
    state.published = shown[-1].copy()
    return {"xa.us10y": shown[:, 0], "xa.us2y": shown[:, 1]}


def _breadth(settings: SimulatedSettings, state: Companions, span: Span, noise: Array) -> Array:
    """Tick index [issues]: follows the same minute's return; its own part dies away within minutes."""
    own = autoregression(state.breadth, _BREADTH_DECAY, np.sqrt(1 - _BREADTH_DECAY**2) * noise)
    state.breadth = float(own[-1])
    unit = _BREADTH_SHARE * np.clip(span.returns / span.sd, -_MOST, _MOST) + np.sqrt(1 - _BREADTH_SHARE**2) * own
    issues = np.clip(np.round(settings.nyse_tick_scale * unit), -2000.0, 2000.0)
    return np.where(span.regular, issues, np.nan)


def _pair_flow(settings: SimulatedSettings, span: Span, pair_returns: Array, noise: Array) -> Array:
    """Partner's order-flow imbalance: its own return, noise, and a lean on what the hidden state lets expect."""
    unit = np.clip(pair_returns * settings.pair_correlation / (settings.pair_beta * span.sd), -_MOST, _MOST)
    share = settings.pair_flow_share
    flow = share * unit + np.sqrt(1 - share**2) * noise + settings.pair_flow_lead * span.expected
    return settings.pair_flow_scale * flow
