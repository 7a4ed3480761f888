"""Companions of the simulated market: they move with the same minute, are published when they say, foretell nothing."""

import datetime as dt

import numpy as np
import pytest
from scipy.stats import rankdata
from simulated_world import load_market, load_settings

from mia.calendar.exchange import sessions
from mia.domain.series import CROSS
from mia.source.simulated import SimulatedMarket, cross

MINUTE = 60_000_000_000
START = dt.date(2025, 1, 6)


class World:
    """Rows of a market and what may be asked of them."""

    def __init__(self, root, name, alpha, weeks=5, **changes):
        self.market = load_market(root, name)
        self.settings = load_settings(root, alpha=alpha, **changes)
        self.days = sessions(self.market, START, START + dt.timedelta(days=7 * weeks - 3))
        source = SimulatedMarket(self.market, self.settings, 21)
        self.bars = source.table(self.days)
        self.truth = source.truth
        self.inside = np.diff(self.bars.ts) == MINUTE
        self.returns = np.diff(np.log(self.truth.price))[self.inside]

    def level(self, name):
        return self.bars.column(f"xa.{name}")

    def change(self, name):
        """Log change over each minute inside a session."""
        return np.diff(np.log(self.level(name)))[self.inside]


@pytest.fixture(scope="module")
def worlds(root):
    made = {}

    def world(name, alpha):
        if (name, alpha) not in made:
            made[name, alpha] = World(root, name, alpha)
        return made[name, alpha]

    return world


def corr(x, y):
    both = np.isfinite(x) & np.isfinite(y)
    return float(np.corrcoef(x[both], y[both])[0, 1])


@pytest.mark.parametrize("name", ["ES", "MNQ"])
def test_every_series_is_there_and_only_the_exchange_s_own_hours_are_empty(worlds, name):
    world = worlds(name, 0.0)
    at = world.days.index(world.bars.ts)
    regular = (world.bars.ts > world.days.rth_open_ns[at]) & (world.bars.ts <= world.days.rth_close_ns[at])
    for series in CROSS:
        known = np.isfinite(world.bars.column(series))
        expected = regular if series in ("xa.spy_close", "xa.nyse_tick") else np.ones(len(regular), bool)
        assert np.array_equal(known, expected), series


@pytest.mark.parametrize("name", ["ES", "MNQ"])
def test_companions_have_the_signs_and_sizes_of_their_settings(worlds, name):
    world = worlds(name, 0.0)
    returns, calm = world.returns, world.level("vix")[:-1][world.inside] < world.settings.vix_level
    for companion in world.settings.companions:
        change = world.change(f"{companion.series}_close")
        low, high = sorted((companion.correlation, companion.correlation + companion.stress))
        assert low - 0.08 < corr(change, returns) < high + 0.08, companion.series
        assert corr(change[calm], returns[calm]) == pytest.approx(companion.correlation, abs=0.12), companion.series
        # ticks add about a sixth of their square to the variance of a change
        size = np.sqrt(companion.volatility**2 * returns.var() + (companion.tick / companion.level) ** 2 / 6)
        assert change.std() == pytest.approx(size, rel=0.15), companion.series
        ticks = world.level(f"{companion.series}_close") / companion.tick
        assert np.abs(ticks - np.round(ticks)).max() < 1e-4
    assert corr(world.change("vvix"), world.change("vix")) > 0.3  # two roundings and much of its own
    assert corr(world.change("vix3m"), world.change("vix")) > 0.5
    tick = world.level("nyse_tick")[1:][world.inside]
    assert 0.6 < corr(tick, returns) < 0.9
    assert np.nanmax(np.abs(tick)) <= 2000
    flow = world.level("pair_ofi")[1:][world.inside]
    same_minute = corr(rankdata(flow), rankdata(world.change("pair_close")))
    assert same_minute == pytest.approx(world.settings.pair_flow_share, abs=0.12)


def test_bonds_hedge_in_stress_and_the_term_of_volatility_inverts(worlds):
    world = worlds("MNQ", 0.0)
    vix = world.level("vix")
    term = np.log(world.level("vix3m") / vix)
    rest = world.settings.vix_level
    assert term[vix > 1.25 * rest].size > 100
    assert term[vix > 1.25 * rest].mean() < 0 < term[vix < rest].mean()
    assert corr(term, vix) < -0.8
    stressed, calm = vix[:-1][world.inside] > 1.25 * rest, vix[:-1][world.inside] < rest
    notes = world.change("zn_close")
    assert corr(notes[stressed], world.returns[stressed]) < corr(notes[calm], world.returns[calm]) - 0.2


def test_a_yield_is_yesterday_s_until_it_is_published(worlds):
    world = worlds("ES", 0.0)
    ts, days = world.bars.ts, world.days
    published = days.rth_close_ns + world.settings.yield_delay_minutes * MINUTE
    for name in ("us10y", "us2y"):
        level = world.level(name)
        changed = ts[1:][np.diff(level) != 0]
        assert len(changed) > 0.7 * len(days)
        for moment in changed:  # only in the first minute that ends at or after a publication
            behind = published[published <= moment]
            assert len(behind)
            first = ts[np.searchsorted(ts, behind[-1])]
            assert moment == first
    # prices of the note and its yield go opposite ways, day by day, the yield a publication later
    note, shown = world.level("zn_close"), world.level("us10y")
    rows = np.searchsorted(ts, days.rth_close_ns)
    full = days.rth_close_ns > days.rth_open_ns
    later = np.searchsorted(ts, published + MINUTE)
    keep = full & (later < len(ts))
    closes, yields = np.log(note[rows[keep]]), shown[later[keep]]
    assert corr(np.diff(closes), np.diff(yields)) < -0.9
    slope = np.polyfit(np.diff(closes), np.diff(yields), 1)[0]
    assert slope == pytest.approx(-100 / world.settings.note_duration, rel=0.15)


@pytest.mark.parametrize("name", ["ES", "MNQ"])
def test_without_alpha_no_companion_foretells_the_next_minute(worlds, name):
    world = worlds(name, 0.0)
    rows = world.inside[1:] & world.inside[:-1]
    following = np.diff(np.log(world.truth.price))[1:][rows]
    for series in CROSS:
        column = world.bars.column(series)
        for label, x in (("level", column[1:-1]), ("change", np.diff(column)[:-1])):
            x = x[rows]
            seen = np.isfinite(x)
            bound = 3 / np.sqrt(seen.sum())
            # ranks: a few wild minutes shall not decide
            assert abs(corr(rankdata(x[seen]), rankdata(following[seen]))) < bound, f"{series} {label}"


def test_with_alpha_the_partner_s_flow_leads_a_little(worlds):
    null, informed = worlds("ES", 0.0), worlds("ES", 0.3)

    def lead(world):
        rows = world.inside[1:] & world.inside[:-1]
        following = np.diff(np.log(world.truth.price))[1:][rows]
        return corr(world.level("pair_ofi")[1:-1][rows], following) * np.sqrt(rows.sum())

    assert abs(lead(null)) < 3.5
    assert lead(informed) > 4


def test_the_return_of_a_minute_changes_no_companion_before_it(root):
    settings, rng = load_settings(root), np.random.default_rng(3)
    minutes = 600
    returns, sd = rng.standard_normal(minutes) * 2e-4, np.full(minutes, 2e-4)

    def drawn(moved):
        span = cross.Span(
            returns=moved,
            sd=sd,
            expected=np.zeros(minutes),
            log_variance=np.zeros(minutes),
            ends=np.arange(1, minutes + 1) * MINUTE,
            regular=np.arange(minutes) > 200,
            regular_close=590 * MINUTE,
        )
        draws = (np.random.default_rng(1), np.random.default_rng(2))
        return cross.simulate(settings, cross.start(settings), *draws, span, fund_follows_partner=False)

    before = drawn(returns)
    moved = returns.copy()
    moved[400] += 5e-3
    after = drawn(moved)
    assert before[:400].tobytes() == after[:400].tobytes()
    changed = {name for k, name in enumerate(cross.NAMES) if before[400, k] != after[400, k]}
    assert changed >= set(CROSS) - {"xa.us10y", "xa.us2y"}


def test_flow_adds_up_over_longer_bars_and_a_switch_empties_all(root):
    one, five = World(root, "ES", 0.2, weeks=1), World(root, "ES", 0.2, weeks=1, bar_minutes=5)
    sums = {int(t): 0.0 for t in five.bars.ts}
    edges = five.bars.ts
    for t, x in zip(one.bars.ts, one.level("pair_ofi"), strict=True):
        sums[int(edges[np.searchsorted(edges, t)])] += x
    assert np.allclose(list(sums.values()), five.level("pair_ofi"), atol=1e-9)
    off = World(root, "ES", 0.2, weeks=1, cross_assets=False)
    assert all(np.isnan(off.bars.column(name)).all() for name in CROSS)
    rest = [k for k in range(off.bars.values.shape[1]) if not np.isnan(off.bars.values[:, k]).all()]
    assert off.bars.values[:, rest].tobytes() == one.bars.values[:, rest].tobytes()
