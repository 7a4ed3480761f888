"""Rows of option series: what they say, in which units, and that nothing a chain may lack or shuffle breaks them."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from option_chains import DAY, NOON, WIDE, black, chain, market, named, normal_cdf, settings, surface, taken

from mia.domain.chain import CALL, PUT
from mia.domain.errors import ConfigurationError, DataError
from mia.domain.rng import generator
from mia.domain.series import OPTIONS
from mia.features.options import OptionsMetrics, black76

TICK = 0.25
MINUTE = 60 * 10**9


def metrics(**changes):
    return OptionsMetrics(settings(**changes), market())


def row(made, **changes):
    return named(metrics(**changes).row(made))


def vol_at_forward(days):
    return surface(0.0, days / 365)


def test_every_series_of_a_full_chain_is_there():
    values = metrics().row(chain())
    assert values.shape == (len(OPTIONS),)
    assert values.dtype == np.float64
    missing = {name for name, value in zip(OPTIONS, values, strict=True) if not math.isfinite(value)}
    assert not missing


def test_volatilities_by_tenor_are_the_surface_interpolated_in_total_variance():
    found = row(chain(spread=0.0))

    def between(days, before, after):
        share = (days - before) / (after - before)
        total = (1 - share) * before * vol_at_forward(before) ** 2 + share * after * vol_at_forward(after) ** 2
        return math.sqrt(total / days)

    assert found["iv_0dte"] == pytest.approx(vol_at_forward(0.2), rel=2e-4)
    assert found["iv_1"] == pytest.approx(between(1, 0.2, 2.0), rel=2e-4)
    assert found["iv_7"] == pytest.approx(between(7, 2.0, 9.0), rel=2e-4)
    assert found["iv_30"] == pytest.approx(between(30, 9.0, 37.0), rel=1e-6)
    assert found["iv_60"] == pytest.approx(between(60, 37.0, 71.0), rel=1e-6)
    assert found["grid_8"] == found["iv_30"]
    assert found["call_iv_30"] == pytest.approx(found["iv_30"], rel=2e-4)
    assert found["put_iv_30"] == pytest.approx(found["call_iv_30"], rel=1e-9)


def test_skew_of_an_equity_index_has_the_signs_the_catalogue_states():
    found = row(chain())
    assert found["slope_30"] < 0
    assert found["put25_30"] > found["iv_30"] > found["call25_30"]
    assert found["grid_6"] > found["grid_7"] > found["grid_8"] > found["grid_9"]


def test_slope_is_that_of_volatility_per_log_moneyness_over_root_time():
    found = row(chain(spread=0.0, days=(30.0,)))
    step = 1e-5
    slope = (surface(step, 30 / 365) - surface(-step, 30 / 365)) / (2 * step)
    assert found["slope_30"] == pytest.approx(slope, rel=1e-5)


def test_straddle_is_the_price_of_call_and_put_at_the_forward_in_ticks():
    found = row(chain(days=(2.0,), spread=0.0))
    value = sum(black(6000.0, 6000.0, 2 / 365, vol_at_forward(2.0), 0.04, right) for right in (1, -1))
    assert found["straddle"] == pytest.approx(value / TICK, rel=2e-4)


def test_exposures_are_greeks_times_open_interest_in_usd():
    made = chain(days=(9.0, 37.0), spread=0.0, interest=lambda d, k, c: (k + 13 * d * c) % 900)
    found = row(made)
    years = (made.expiry - made.ts) / DAY / 365
    vols = np.array([surface(math.log(k / 6000) / math.sqrt(t), t) for k, t in zip(made.strike, years, strict=True)])
    greeks = black76.greeks(6000.0, made.strike, years, vols, 0.04, made.right)
    per = dict(zip(black76.GREEKS, greeks.T, strict=True))
    size = made.open_interest * 50
    gamma = per["gamma"] * size * 6000**2 * 0.01
    expected = {
        "net_gamma": np.sum(made.right * gamma),
        "call_gamma": gamma[made.right == CALL].sum(),
        "put_gamma": gamma[made.right == PUT].sum(),
        "gamma_above": gamma[made.strike > 6000].sum(),
        "gamma_below": gamma[made.strike < 6000].sum(),
        "gamma_near": gamma[np.abs(made.strike / 6000 - 1) < 0.01].sum(),
        "vanna": np.sum(made.right * per["vanna"] * size * 0.01 * 6000),
        "charm": np.sum(made.right * per["charm"] * size / 365 * 6000),
    }
    for name, value in expected.items():
        # Wings whose quotes are worth less than a tick take the smile's volatility, not the surface's own.
        assert found[name] == pytest.approx(value, rel=2e-3), name
    assert found["gamma_0dte"] == 0.0


def test_what_expires_within_a_session_makes_the_gamma_of_today():
    made = chain(days=(0.9, 2.0))
    alone = row(taken(made, made.expiry == made.expiry.min()))
    found = row(made)
    assert found["gamma_0dte"] == pytest.approx(alone["net_gamma"], rel=1e-9)
    assert found["hours_to_expiry"] == pytest.approx(0.9 * 24)


def test_dealers_short_of_everything_have_the_whole_gamma_against_them():
    found = row(chain(), dealer_sign="short_all")
    assert found["net_gamma"] == pytest.approx(-(found["call_gamma"] + found["put_gamma"]))
    assert math.isnan(found["zero_gamma"])


def test_totals_of_open_interest_and_volume():
    found = row(chain(days=(0.2, 9.0), strikes=WIDE[:10], volume=lambda d, k, c: 3.0 if d < 1 else 5.0 + c))
    assert found["call_oi"] == 2 * 10 * 50
    assert found["put_oi"] == 2 * 10 * 150
    assert found["call_volume"] == 10 * 3 + 10 * 6
    assert found["put_volume"] == 10 * 3 + 10 * 4
    assert found["volume"] == 160
    assert found["volume_0dte"] == 60


def test_levels_are_told_in_the_traded_market_s_prices():
    plain = row(chain(reference=6000.0))
    shifted = row(chain(reference=6042.0))
    for name in ("call_wall", "put_wall", "zero_gamma", "vol_trigger", "max_pain", "key_1"):
        assert shifted[name] == pytest.approx(plain[name] + 42 / TICK), name
    assert shifted["ref"] == 6042 / TICK
    assert shifted["straddle"] == plain["straddle"]


def test_levels_of_a_fund_are_multiplied():
    plain, fund = row(chain(reference=6000.0)), row(chain(reference=240_000.0), level_map="ratio")
    for name in ("call_wall", "put_wall", "zero_gamma", "key_1", "straddle", "pin_distance"):
        assert fund[name] == pytest.approx(40 * plain[name]), name


def test_walls_stand_on_their_sides_of_the_forward():
    found = row(chain(interest=lambda d, k, c: 500.0 if k in (5900.0, 6100.0) else 10.0))
    assert found["call_wall"] == 6100 / TICK
    assert found["put_wall"] == 5900 / TICK
    assert {found["key_1"], found["key_2"]} == {5900 / TICK, 6100 / TICK}


def test_a_wall_stays_until_another_is_five_percent_higher():
    def interest(extra):
        return lambda d, k, c: {6100.0: 1000.0, 6150.0: extra}.get(k, 1.0)

    def gammas(extra):
        found = row(chain(days=(9.0,), interest=interest(extra)))
        return found["call_wall"] * TICK

    level = next(extra for extra in np.arange(1000.0, 3000.0, 5.0) if gammas(extra) == 6150.0)
    kept = metrics()
    kept.row(chain(days=(9.0,), interest=interest(0.0)))
    assert named(kept.row(chain(days=(9.0,), interest=interest(1.02 * level))))["call_wall"] == 6100 / TICK
    assert named(kept.row(chain(days=(9.0,), interest=interest(1.07 * level))))["call_wall"] == 6150 / TICK
    assert named(kept.row(chain(days=(9.0,), interest=interest(0.98 * level))))["call_wall"] == 6150 / TICK


def test_rows_are_the_same_in_whatever_order_options_come():
    made = chain(given=False, volume=lambda d, k, c: k % 7)
    one, other = metrics(), metrics()
    for minute in (0, 15):
        now = dataclasses.replace(made, ts=NOON + minute * MINUTE, available_at=NOON + minute * MINUTE)
        mixed = taken(now, generator(minute, "shuffle").permutation(len(now)))
        assert one.row(now).tobytes() == other.row(mixed).tobytes()


def test_rows_are_the_same_in_whatever_order_equal_options_come():
    made = chain(days=(2.0, 37.0), given=False, volume=lambda d, k, c: k % 7)
    twice = np.concatenate([np.arange(len(made)), np.arange(40, 90)])
    doubled = taken(made, twice)
    doubled.bid[len(made) :] -= 0.01
    doubled.open_interest[len(made) :] += 3
    rng = generator(1, "shuffle")
    first = metrics().row(doubled)
    for _ in range(5):
        assert metrics().row(taken(doubled, rng.permutation(len(doubled)))).tobytes() == first.tobytes()


BROKEN = ("forward", "bid", "ask", "open_interest", "volume")


@effort(max_examples=60, deadline=None)
@given(
    share=st.sampled_from([0.05, 0.5, 0.95, 1.0]),
    field=st.sampled_from(BROKEN),
    value=st.sampled_from([np.nan, 0.0, -1.0, np.inf, 1e9]),
    days=st.sampled_from([(0.0001,), (2.0, 37.0), (0.2, 9.0, 71.0)]),
    seed=st.integers(0, 1000),
)
def test_no_quote_that_can_be_written_breaks_a_row(share, field, value, days, seed):
    made = chain(days=days, strikes=WIDE[::4])
    column = getattr(made, field)
    column[generator(seed, "holes").random(len(made)) < share] = value
    values = metrics().row(made)
    assert values.shape == (len(OPTIONS),)
    found = named(values)
    for name in ("iv_30", "iv_0dte", "call25_30", "put25_30"):
        assert math.isnan(found[name]) or found[name] > 0
    assert not any(math.isinf(found[name]) for name in found)


def test_a_chain_without_options_says_nothing_and_changes_nothing():
    one = metrics()
    one.row(chain())
    before = one.state
    assert np.isnan(one.row(taken(chain(), np.arange(0)))).all()
    for name, value in one.state.items():
        np.testing.assert_array_equal(value, before[name])


def test_a_chain_of_expired_options_says_nothing():
    made = chain(days=(0.2,))
    late = dataclasses.replace(made, ts=int(made.expiry[0]), available_at=int(made.expiry[0]))
    assert np.isnan(metrics().row(late)).all()


def test_a_chain_without_open_interest_still_has_volatilities():
    made = chain()
    made.open_interest[:] = np.nan
    found = row(made)
    assert math.isfinite(found["iv_30"])
    for name in ("net_gamma", "call_oi", "max_pain", "call_wall", "zero_gamma", "zones", "oi_herfindahl"):
        assert math.isnan(found[name]), name


def test_a_single_expiry_gives_its_tenor_and_levels_and_nothing_far_from_it():
    found = row(chain(days=(28.0,), spread=0.0))
    assert found["iv_30"] == pytest.approx(vol_at_forward(28.0), rel=1e-6)
    assert math.isfinite(found["zero_gamma"])
    assert math.isfinite(found["call_wall"])
    assert math.isnan(found["iv_1"])
    assert math.isnan(found["iv_60"])


def test_continuing_from_a_saved_state_gives_the_same_bits():
    chains = flowing()
    whole = metrics(dealer_sign="flow")
    wanted = [whole.row(made) for made in chains]
    first = metrics(dealer_sign="flow")
    for made in chains[:2]:
        first.row(made)
    second = metrics(dealer_sign="flow")
    second.state = first.state
    for made, expected in zip(chains[2:], wanted[2:], strict=True):
        assert second.row(made).tobytes() == expected.tobytes()


def test_a_state_that_does_not_fit_together_is_refused():
    one = metrics()
    one.row(chain())
    state = one.state
    state["strike"] = state["strike"][:-1]
    with pytest.raises(DataError, match="start without it"):
        metrics().state = state


def flowing():
    """Four chains a quarter of an hour apart: forward moves, volume grows, one call is bid up."""
    out = []
    for step in range(4):
        made = chain(
            days=(2.0 - step / 96, 37.0 - step / 96),
            strikes=WIDE[::4],
            forward=6000.0 + 4 * step,
            ts=NOON + 15 * step * MINUTE,
            volume=lambda d, k, c, step=step: 10.0 * step if (d > 30 and k == 6000.0 and c == CALL) else 0.0,
            vol=lambda x, years: 0.15,
            spread=0.4,
        )
        i = int(np.flatnonzero((made.expiry > NOON + 30 * DAY) & (made.strike == 6000.0) & (made.right == CALL))[0])
        made.bid[i] += 0.1 * step
        made.ask[i] += 0.1 * step
        out.append(made)
    return out


def test_volume_in_an_option_bid_up_by_half_its_half_spread_counts_half_as_bought():
    """The mid rises by 0.1 beyond what forward and time explain, the half spread was 0.2: half of 10 contracts."""
    one = metrics()
    found = [named(one.row(made))["signed_delta"] for made in flowing()]
    assert found[0] == 0.0
    years = (37 - 1 / 96) / 365
    spread = 0.15 * math.sqrt(years)
    delta = math.exp(-0.04 * years) * normal_cdf(math.log(6004 / 6000) / spread + spread / 2)
    assert found[1] == pytest.approx(5 * delta * 50 * 6004, rel=0.02)


@pytest.mark.parametrize(("move", "share"), [(0.5, 1.0), (-0.5, -1.0), (0.0, 0.0)])
def test_volume_is_signed_by_where_the_mid_went(move, share):
    one = metrics()
    before = chain(days=(37.0,), spread=0.4)
    after = chain(days=(37.0,), spread=0.4, volume=lambda d, k, c: 8.0 * (k == 5900.0 and c == PUT))
    i = int(np.flatnonzero((after.strike == 5900.0) & (after.right == PUT))[0])
    after.bid[i] += move
    after.ask[i] += move
    one.row(before)
    found = named(one.row(after))["signed_delta"]
    years = 37 / 365
    x = math.log(5900 / 6000) / math.sqrt(years)
    d1 = -x / surface(x, years) + surface(x, years) * math.sqrt(years) / 2
    delta = -math.exp(-0.04 * years) * normal_cdf(-d1)
    assert found == pytest.approx(share * 8 * delta * 50 * 6000, rel=0.02, abs=1e3)


def test_volume_across_a_gap_or_without_a_quote_before_is_neither_bought_nor_sold():
    traded = chain(days=(37.0,), volume=lambda d, k, c: 8.0, vol=lambda x, t: surface(x, t) + 0.05)
    one = metrics()
    one.row(chain(days=(37.0,)))
    later = NOON + 46 * MINUTE
    late = dataclasses.replace(traded, ts=later, available_at=later)
    assert named(one.row(late))["signed_delta"] == 0.0
    blind = chain(days=(37.0,))
    blind.bid[:] = np.nan
    one = metrics()
    one.row(blind)
    assert named(one.row(traded))["signed_delta"] == 0.0


def test_volume_that_shrank_began_anew_with_the_session():
    one = metrics()
    one.row(chain(days=(37.0,), volume=lambda d, k, c: 100.0 * (k == 6000.0 and c == CALL)))
    up = chain(
        days=(37.0,), volume=lambda d, k, c: 8.0 * (k == 6000.0 and c == CALL), vol=lambda x, t: surface(x, t) + 0.05
    )
    found = named(one.row(up))["signed_delta"]
    assert found == pytest.approx(8 * 0.5 * 50 * 6000, rel=0.05)


def test_dealers_take_the_other_side_of_what_customers_were_seen_to_buy():
    """Calls bought far beyond the prior turn the naive long call into a short one."""
    before = chain(days=(37.0,))
    after = chain(
        days=(37.0,),
        volume=lambda d, k, c: 1e6 * (k == 6000.0 and c == CALL),
        vol=lambda x, t: surface(x, t) + 0.02,
    )
    only = np.flatnonzero(np.ones(len(after), bool))
    after.open_interest[only] = np.where((after.strike == 6000.0) & (after.right == CALL), 100.0, 0.0)
    naive, flow = metrics(), metrics(dealer_sign="flow")
    for one in (naive, flow):
        one.row(before)
    long, short = (named(one.row(after))["net_gamma"] for one in (naive, flow))
    assert long > 0
    assert short == pytest.approx(-long, rel=1e-3)


def test_the_report_says_what_was_assumed_about_dealers():
    assert "long every call and short every put (naive)" in metrics().describe()
    assert "short every option (short_all)" in metrics(dealer_sign="short_all").describe()
    assert "sticky_moneyness" in metrics(vol_dynamics="sticky_moneyness").describe()


def test_open_interest_published_later_is_refused():
    made = chain()
    with pytest.raises(DataError, match="published later"):
        dataclasses.replace(made, open_interest_at=made.available_at + 1)


def test_a_right_that_is_neither_call_nor_put_is_refused():
    made = chain(days=(2.0,))
    made.right[3] = 0
    with pytest.raises(DataError, match="neither"):
        metrics().row(made)


def test_open_interest_that_changes_later_changes_no_earlier_row():
    """Two worlds that differ only after the second chain give the same two rows."""
    same = [chain(volume=lambda d, k, c: k % 5), chain(ts=NOON, volume=lambda d, k, c: k % 11)]
    one, other = metrics(), metrics()
    for made in same:
        assert one.row(made).tobytes() == other.row(made).tobytes()
    one.row(chain(interest=lambda d, k, c: 1e6))
    other.row(chain(interest=lambda d, k, c: 1.0))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("dealer_sign", "long_all", "naive, short_all, flow"),
        ("vol_dynamics", "sticky", "sticky_strike"),
        ("level_map", "x", "basis, ratio"),
        ("grid_points", 299, "at least 300"),
        ("grid_tenors_days", (7.0, 30.0), "three"),
        ("grid_tenors_days", (7.0, 60.0, 30.0), "rising"),
        ("grid_deltas", (0.25, 0.5), "two deltas"),
        ("quote_tick", 0.0, "positive"),
        ("max_age_minutes", math.nan, "positive"),
        ("key_separation", 0, "at least 1"),
        ("wall_hysteresis", -0.1, "negative"),
        ("extrapolation_ratio", 0.9, "at least 1"),
        ("zones_least_share", 1.0, r"\[0, 1\)"),
        ("smile_min_strikes", 3, "at least 4"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(field, value, said):
    with pytest.raises(ConfigurationError, match=f"options.{field}.*{said}"):
        settings(**{field: value})
