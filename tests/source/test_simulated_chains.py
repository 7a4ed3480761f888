"""Simulated options: priced from their surface, open interest of the morning, nothing from later rows."""

import dataclasses
import datetime as dt
import itertools
import math

import numpy as np
import pytest
from simulated_world import load_market, load_settings

from mia.calendar.clock import annotate
from mia.calendar.exchange import sessions
from mia.calendar.expiry import third_friday
from mia.domain.errors import ArtefactMissing
from mia.domain.series import CROSS, INDEX
from mia.source.simulated import SimulatedChains, SimulatedMarket, expiries, surface

MINUTE = 60_000_000_000
START = dt.date(2025, 1, 6)
FIELDS = ("expiry", "strike", "right", "forward", "bid", "ask", "open_interest", "volume")


class World:
    """Rows of a market, its chains, and the surface behind each."""

    def __init__(self, root, name, days=11, **changes):
        self.market = load_market(root, name)
        self.settings = load_settings(root, alpha=0.0, events_per_minute=20.0, **changes)
        self.days = sessions(self.market, START, START + dt.timedelta(days=days))
        bars = SimulatedMarket(self.market, self.settings, 5).table(self.days)
        self.bars = annotate(bars, self.days, self.market)
        source = self.source()
        self.chains, self.surfaces = [], []
        for chain in source.snapshots(self.bars, self.days):
            self.chains.append(chain)
            self.surfaces.append(source.surface)
        self.session = self.days.index(np.array([chain.ts for chain in self.chains]))

    def source(self, seed=5):
        return SimulatedChains(self.market, self.settings, seed)


@pytest.fixture(scope="module")
def worlds(root):
    made = {}

    def world(name):
        if name not in made:
            made[name] = World(root, name)
        return made[name]

    return world


def keys(chain):
    """What names each option."""
    return list(zip(chain.expiry.tolist(), chain.strike.tolist(), chain.right.tolist(), strict=True))


def same(one, other):
    return (one.ts, one.reference, one.open_interest_at) == (other.ts, other.reference, other.open_interest_at) and all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in FIELDS
    )


def price(forward, strike, right, years, sigma, rate):
    """Black (1976), written with the error function of the standard library, one option."""
    d = (math.log(forward / strike) + sigma * sigma * years / 2) / (sigma * math.sqrt(years))

    def normal(x):
        return 0.5 * math.erfc(-x / math.sqrt(2))

    down = d - sigma * math.sqrt(years)
    if right > 0:
        return math.exp(-rate * years) * (forward * normal(d) - strike * normal(down))
    return math.exp(-rate * years) * (strike * normal(-down) - forward * normal(-d))


def implied(value, *terms_before, rate):
    """Volatility by bisection."""
    low, high = 1e-4, 5.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if price(*terms_before, middle, rate) < value else (low, middle)
    return (low + high) / 2


@pytest.mark.parametrize("name", ["ES", "MNQ"])
def test_volatility_backed_out_of_the_mids_is_that_of_the_surface(worlds, name):
    world, errors = worlds(name), []
    for at in range(30, len(world.chains), 97):
        chain, smile = world.chains[at], world.surfaces[at]
        for k in range(0, len(chain), 5):
            forward, strike, right = float(chain.forward[k]), float(chain.strike[k]), int(chain.right[k])
            if not chain.bid[k] > 0.5 or right * (strike - forward) < 0:
                continue  # only out of the money, where the price is all volatility
            years = (chain.expiry[k] - chain.ts) / 1e9 / 86400 / 365
            truth = float(smile.volatility(np.log(strike / forward), years))
            mid = (chain.bid[k] + chain.ask[k]) / 2
            found = implied(mid, forward, strike, right, years, rate=chain.rate)
            half = (chain.ask[k] - chain.bid[k]) / 2
            assert abs(price(forward, strike, right, years, truth, chain.rate) - mid) < half + 1e-9
            errors.append(found - truth)
    assert len(errors) > 200
    assert np.median(np.abs(errors)) < 0.002
    assert abs(np.mean(errors)) < 0.002


@pytest.mark.parametrize("name", ["ES", "MNQ"])
def test_volatility_at_the_forward_follows_the_index_of_the_same_row(worlds, name):
    world = worlds(name)
    rows = np.searchsorted(world.bars.ts, [chain.ts for chain in world.chains])
    vix = world.bars.column("xa.vix")[rows]
    month = np.array([float(np.sqrt(s.at_forward(30 / 365) * 365 / 30)) for s in world.surfaces])
    assert np.corrcoef(np.log(vix), np.log(month))[0, 1] > 0.9
    assert 0.08 < month.min() < month.max() < 0.6
    level = world.settings.implied_over_realised * {"ES": 4.5, "MNQ": 24.0}[name] * world.market.tick_size
    level *= math.sqrt(252 * 1380) / world.market.reference_price
    assert np.mean(month / vix) == pytest.approx(level / world.settings.vix_level, rel=0.05)


def test_the_term_of_volatility_falls_with_time_in_stress_and_rises_at_rest():
    years = np.array([1, 7, 30, 60, 91]) / 365
    rest, stress = (surface.fitted(*pair, -0.6, 0.8) for pair in ((0.14, 0.155), (0.35, 0.28)))
    calm, wild = (np.sqrt(s.at_forward(years) / years) for s in (rest, stress))
    assert np.all(np.diff(calm) > 0)
    assert np.all(np.diff(wild) < 0)
    assert calm[2] == pytest.approx(0.14)
    assert calm[4] == pytest.approx(0.155, abs=1e-3)
    assert wild[2] == pytest.approx(0.35)


@pytest.mark.parametrize("pair", [(0.14, 0.155), (0.1, 0.25), (0.6, 0.3)])
@pytest.mark.parametrize("shape", [(-0.85, 1.2), (-0.6, 0.8), (-0.05, 0.4)])
def test_the_surface_holds_no_arbitrage(pair, shape):
    smile = surface.fitted(*pair, *shape)
    log_strike = np.linspace(-1.0, 0.6, 1601)
    strike = 6000 * np.exp(log_strike)
    last = np.zeros(len(strike))
    for days in (0.1, 1, 3, 7, 30, 60, 91):
        years = np.full(len(strike), days / 365)
        sigma = smile.volatility(log_strike, years)
        total = sigma**2 * years
        assert np.all(total >= last - 1e-12)  # no calendar spread for less than nothing
        last = total
        calls = surface.black(np.full(len(strike), 6000.0), strike, np.ones(len(strike)), years, sigma, 0.0)
        slope = np.diff(calls) / np.diff(strike)
        assert np.all(slope <= 1e-9)
        assert np.all(slope >= -1 - 1e-9)
        assert np.all(np.diff(slope) >= -1e-7)  # no butterfly either


def test_prices_agree_with_the_formula_written_out(worlds):
    rng = np.random.default_rng(2)
    forward, strike = rng.uniform(5000, 7000, 200), rng.uniform(5000, 7000, 200)
    right, years = rng.choice([-1, 1], 200), rng.uniform(0.01, 0.4, 200)
    sigma = rng.uniform(0.1, 0.5, 200)
    ours = surface.black(forward, strike, right, years, sigma, 0.04)
    theirs = [price(*map(float, row), rate=0.04) for row in zip(forward, strike, right, years, sigma, strict=True)]
    assert np.allclose(ours, theirs, rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("name", ["ES", "MNQ"])
def test_a_chain_has_the_expiries_strikes_and_quotes_that_metrics_need(worlds, name):
    world = worlds(name)
    step = world.settings.option_tick
    sizes = [len(chain) for chain in world.chains]
    assert 350 < np.median(sizes) < 650
    assert max(sizes) < 900
    for at, chain in enumerate(world.chains):
        today = int(world.session[at])
        assert chain.available_at == chain.ts
        assert chain.multiplier == {"ES": 50.0, "MNQ": 20.0}[name]
        row = np.searchsorted(world.bars.ts, chain.ts)
        assert chain.reference == world.bars.column("bar.close")[row] * world.market.tick_size
        assert np.all(chain.expiry > chain.ts)
        days = np.unique((chain.expiry - chain.ts) / 86400e9)
        assert days[-1] > 60
        assert days[days < 30].size
        assert days[(days > 30) & (days < 60)].size
        if world.days.rth_open_ns[today] < chain.ts < world.days.rth_close_ns[today]:
            assert chain.expiry.min() == world.days.rth_close_ns[today]  # options that end today
        quoted = ~np.isnan(chain.bid)
        assert np.all(chain.bid[quoted] >= step)
        assert np.all(chain.ask > np.where(quoted, chain.bid, 0))
        for quote in (chain.bid[quoted], chain.ask):
            assert np.abs(quote / step - np.round(quote / step)).max() < 1e-6
        multiple = chain.strike / {"ES": 5.0, "MNQ": 25.0}[name]
        assert np.array_equal(multiple, np.round(multiple))
        listed = set(keys(chain))
        assert len(listed) == len(chain)
        assert all((expiry, strike, -right) in listed for expiry, strike, right in listed)


def test_every_expiry_a_month_out_reaches_beyond_25_delta_on_both_sides(worlds):
    for world in (worlds("ES"), worlds("MNQ")):
        for at in range(0, len(world.chains), 40):
            chain, smile = world.chains[at], world.surfaces[at]
            for expiry in np.unique(chain.expiry[chain.expiry > chain.ts + 86400 * 10**9]):
                rows = chain.expiry == expiry
                years = float(expiry - chain.ts) / 86400e9 / 365
                away = np.log(chain.strike[rows] / chain.forward[rows]) / np.sqrt(smile.at_forward(years))
                assert away.min() < -1 < 1 < away.max()
                assert np.sum(np.abs(away) < 1) >= 10  # calls and puts


def test_spreads_widen_in_the_wings_and_at_night(worlds):
    world = worlds("ES")
    regular, night, near, wings = [], [], [], []
    for at, chain in enumerate(world.chains):
        mid, width = (chain.bid + chain.ask) / 2, chain.ask - chain.bid
        rows = (mid > 10) & (mid < 40)
        today = world.session[at]
        by_day = world.days.rth_open_ns[today] < chain.ts <= world.days.rth_close_ns[today]
        (regular if by_day else night).append(np.mean(width[rows] / mid[rows]))
        out = chain.right * (chain.strike - chain.forward) > 0
        near.append(np.nanmean((width / mid)[out & (mid > 20)]))
        wings.append(np.nanmean((width / mid)[out & (mid < 2)]))
    assert np.mean(night) > 1.2 * np.mean(regular)
    assert np.mean(wings) > 3 * np.mean(near)


def test_open_interest_is_published_before_the_session_and_stays_while_volume_only_grows(worlds):
    world = worlds("ES")
    last, totals = {}, {}
    for at, chain in enumerate(world.chains):
        today = int(world.session[at])
        assert chain.open_interest_at == world.days.open_ns[today]
        now = dict(zip(keys(chain), zip(chain.open_interest, chain.volume, strict=True), strict=True))
        if today in totals:
            for key, (interest, volume) in now.items():
                assert interest == last[key][0]
                assert volume >= last[key][1]
        else:
            assert chain.volume.sum() < 0.02 * world.settings.option_volume  # counts from the open
        last, totals[today] = now, chain.volume.sum()
    full = world.days.rth_close_ns - world.days.rth_open_ns == 390 * MINUTE
    counted = [totals[k] for k in np.flatnonzero(full)]  # what ended today is no longer in the last chain
    assert 0.3 * world.settings.option_volume < np.mean(counted) < world.settings.option_volume


def test_open_interest_carries_over_and_gathers_at_round_strikes(worlds):
    world = worlds("ES")
    firsts = [world.chains[int(np.argmax(world.session == k))] for k in range(4)]
    for before, after in itertools.pairwise(firsts):
        held = [dict(zip(keys(chain), chain.open_interest, strict=True)) for chain in (before, after)]
        both = [key for key in held[1] if key in held[0]]
        old, new = (np.array([h[key] for key in both]) for h in held)
        assert len(both) > 200
        assert np.corrcoef(old, new)[0, 1] > 0.8
        assert np.mean(old != new) > 0.3
    chain = firsts[0]
    round_, odd = chain.strike % 100 == 0, chain.strike % 25 != 0
    near = np.abs(chain.strike / chain.forward - 1) < 0.01
    assert chain.open_interest[round_ & near].mean() > 2 * chain.open_interest[odd & near].mean()
    assert np.all(chain.open_interest >= 0)


def test_chains_come_every_quarter_of_an_hour_after_the_open(worlds):
    world = worlds("ES")
    since = np.array([c.ts for c in world.chains]) - world.days.open_ns[world.session]
    assert np.all(since % (15 * MINUTE) == 0)
    assert np.sum(world.session == 0) == 92


def test_pieces_cuts_and_more_sessions_change_nothing(worlds):
    world = worlds("ES")
    source, joined = world.source(), []
    edges = [0, 700, 701, 1379, 1380, 4000, len(world.bars)]  # inside sessions and between them
    for a, b in itertools.pairwise(edges):
        piece = dataclasses.replace(
            world.bars, ts=world.bars.ts[a:b], available_at=world.bars.available_at[a:b], values=world.bars.values[a:b]
        )
        joined += source.snapshots(piece, world.days)
    assert len(joined) == len(world.chains)
    assert all(same(a, b) for a, b in zip(joined, world.chains, strict=True))
    names = ("open_ns", "close_ns", "rth_open_ns", "rth_close_ns", "trade_date")
    short = dataclasses.replace(world.days, **{name: getattr(world.days, name)[:2] for name in names})
    cut = list(world.source().snapshots(world.bars.head(2500), short))
    assert 100 < len(cut) == sum(chain.ts <= world.bars.ts[2499] for chain in world.chains)
    assert all(same(a, b) for a, b in zip(cut, world.chains, strict=False))


def test_rows_after_a_chain_can_be_anything(worlds):
    world = worlds("ES")
    values = world.bars.values.copy()
    values[2500:] = np.random.default_rng(1).uniform(15000, 40000, values[2500:].shape)
    poisoned = dataclasses.replace(world.bars, values=values)
    edge = world.bars.ts[2499]
    source = world.source()
    kept = []
    for chain in source.snapshots(poisoned, world.days):
        if chain.ts > edge:
            break
        kept.append(chain)
    assert len(kept) > 100
    assert all(same(a, b) for a, b in zip(kept, world.chains, strict=False))


def test_the_seed_decides_and_only_the_seed(worlds):
    world = worlds("ES")
    day = world.bars.head(300)
    one, again, other = (list(world.source(seed).snapshots(day, world.days)) for seed in (5, 5, 6))
    assert all(same(a, b) for a, b in zip(one, again, strict=True))
    assert not any(same(a, b) for a, b in zip(one, other, strict=True))


def test_options_foretell_nothing_without_alpha(root):
    world = World(root, "ES", days=26, chain_minutes=5)
    ts = np.array([chain.ts for chain in world.chains])
    rows = np.searchsorted(world.bars.ts, ts)
    inside = rows + 5 < len(world.bars)
    inside[inside] = world.bars.ts[rows[inside] + 5] == ts[inside] + 5 * MINUTE
    price = world.bars.column("qot.mid")
    after = price[rows[inside] + 5] - price[rows[inside]]

    def measures(chain):
        mid = (chain.bid + chain.ask) / 2
        near = np.abs(chain.strike / chain.forward - 1) < 0.01
        calls, puts = near & (chain.right > 0), near & (chain.right < 0)
        return (
            chain.volume[calls].sum() / max(chain.volume[near].sum(), 1),
            np.nansum(mid[calls]) - np.nansum(mid[puts]),
            np.nanmean((chain.ask - chain.bid)[near]),
            chain.open_interest[calls].sum() / chain.open_interest[near].sum(),
        )

    found = np.array([measures(chain) for chain in world.chains])[inside]
    surfaces = np.array([(s.now, s.far, s.rho, s.eta) for s in world.surfaces])[inside]
    bound = 3 / np.sqrt(len(after))
    for x in (*found.T, *surfaces.T, *np.diff(found, axis=0, prepend=found[:1]).T):
        assert abs(np.corrcoef(x, after)[0, 1]) < bound


def test_expiries_are_days_then_fridays_then_third_fridays():
    days = expiries.listed(dt.date(2025, 1, 6), 97)
    assert days[:5] == [dt.date(2025, 1, d) for d in (6, 7, 8, 9, 10)]
    assert dt.date(2025, 1, 31) in days
    assert days[-2:] == [third_friday(2025, 2), third_friday(2025, 3)]
    assert dt.date(2025, 2, 28) not in days
    # Good Friday 2025 is a third Friday: its options end the day before; Martin Luther King day has none
    april = expiries.listed(dt.date(2025, 4, 14), 97)
    assert dt.date(2025, 4, 18) not in april
    assert dt.date(2025, 4, 17) in april
    assert dt.date(2025, 1, 20) not in expiries.listed(dt.date(2025, 1, 17), 97)
    for start in range(730):
        today = dt.date(2025, 1, 1) + dt.timedelta(days=start)
        ahead = [(day - today).days for day in expiries.listed(today, 97)]
        assert ahead[0] == 0
        assert ahead[-1] > 60
        assert any(20 < left <= 30 for left in ahead)
        assert any(30 <= left < 45 for left in ahead)


def test_options_settle_at_the_regular_close_whatever_the_season(root):
    market = load_market(root, "ES")
    assert expiries.settlement(market, dt.date(2025, 1, 7)) == 1736283600 * 10**9  # 21:00 UTC
    assert expiries.settlement(market, dt.date(2025, 7, 8)) == 1752004800 * 10**9  # 20:00 UTC


def test_any_market_has_options_and_a_switch_removes_them(root):
    world = World(root, "FDAX", days=1)
    assert len(world.chains) > 20
    assert np.all(world.chains[0].strike % 10 == 0)
    assert world.chains[0].multiplier == world.market.multiplier
    off = dataclasses.replace(world.settings, chain_minutes=0)
    assert list(SimulatedChains(world.market, off, 5).snapshots(world.bars, world.days)) == []
    with pytest.raises(ArtefactMissing, match="snapshots"):
        world.source().surface  # noqa: B018


def test_missing_indices_rest_at_their_levels(worlds):
    world = worlds("ES")
    values = world.bars.values.copy()
    values[:, [INDEX[name] for name in CROSS]] = np.nan
    source = world.source()
    blind = next(iter(source.snapshots(dataclasses.replace(world.bars, values=values), world.days)))
    assert len(blind) > 300
    assert np.isfinite(source.surface.now)
