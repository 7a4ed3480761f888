"""Our implied volatility and gamma against vendors' own columns, on real chains beside the project."""

import numpy as np
import pytest
from option_chains import market, named, settings

from mia.domain.chain import Chain
from mia.features.options import OptionsMetrics, black76
from mia.features.options.quotes import DAY_NS, read
from mia.features.options.smile import fit

RATE = 0.0005  # one-month Treasury bill, January 2022 [1/year]


@pytest.fixture(scope="module")
def quoted(shared_data):
    """The SPXW chain of 7 January 2022 as the vendor's page shows it."""
    import pandas as pd

    return pd.read_parquet(shared_data / "options" / "SPX_chain_cboe_20220107.parquet")


@pytest.fixture(scope="module")
def chain(quoted):
    """The same as a chain: all of it settles at 16:00 New York, forwards come from put-call parity."""
    import pandas as pd

    expires = (quoted["expiry"] + pd.Timedelta(hours=16)).dt.tz_localize("America/New_York").dt.tz_convert("UTC")
    ts = int(quoted["ts"].dt.as_unit("ns").astype("int64").iloc[0])
    return Chain(
        ts=ts,
        available_at=ts,
        reference=float(quoted["spot"].iloc[0]),
        multiplier=100.0,
        rate=RATE,
        expiry=expires.dt.as_unit("ns").astype("int64").to_numpy(),
        strike=quoted["strike"].to_numpy(),
        right=np.where(quoted["right"] == "C", 1, -1),
        forward=np.full(len(quoted), np.nan),
        bid=quoted["bid"].to_numpy(),
        ask=quoted["ask"].to_numpy(),
        open_interest=quoted["open_interest"].to_numpy(dtype=float),
        open_interest_at=ts - DAY_NS // 2,
        volume=quoted["volume"].to_numpy(dtype=float),
    )


@pytest.fixture(scope="module")
def compared(quoted, chain):
    """Options with a usable quote: our columns beside the vendor's, within 2.5 deviations of the forward."""
    import pandas as pd

    book = read(chain, settings())
    ours = pd.DataFrame(
        {
            "expiry": book.expiry[book.of],
            "strike": book.strike,
            "right": book.right,
            "forward": book.forward[book.of],
            "years": book.years[book.of],
            "vol": fit(book, settings()).quoted,
        }
    )
    theirs = pd.DataFrame({"expiry": chain.expiry, "strike": chain.strike, "right": chain.right})
    theirs[["iv", "delta", "gamma"]] = quoted[["iv", "delta", "gamma"]]
    both = ours.merge(theirs, on=["expiry", "strike", "right"], validate="one_to_one")
    both = both[np.isfinite(both["vol"]) & (both["iv"] > 0)]
    away = np.abs(np.log(both["strike"] / both["forward"])) / both["vol"] / np.sqrt(both["years"])
    return both[away < 2.5].reset_index(drop=True)


def hours_the_vendor_counts_less(both):
    """The vendor's time to expiry is ours less one constant: total variance tells it, expiry by expiry."""
    hours = both["years"] * (1 - (both["vol"] / both["iv"]) ** 2) * 365 * 24
    return hours.groupby(both["expiry"]).median()


def test_the_vendor_s_volatilities_imply_one_clock_that_runs_less_than_a_day_ahead(compared):
    hours = hours_the_vendor_counts_less(compared)
    assert len(hours) == 10
    assert hours.median() == pytest.approx(23.5, abs=0.1)
    assert (hours - hours.median()).abs().max() < 0.2


def test_implied_volatility_on_the_vendor_s_clock_is_the_vendor_s_to_its_last_digit(compared):
    """Median and 95 % quantile of the difference; the vendor rounds to 0.0001."""
    assert len(compared) > 1500
    years = compared["years"] - hours_the_vendor_counts_less(compared).median() / 24 / 365
    difference = (compared["vol"] * np.sqrt(compared["years"] / years) - compared["iv"]).abs()
    assert difference.median() < 5e-5
    assert difference.quantile(0.95) < 1.2e-4


def test_gamma_and_delta_are_the_vendor_s_to_their_last_digit(compared):
    """They hang on total variance, which does not know whose clock was right; the vendor rounds to 0.0001."""
    columns = (compared[name].to_numpy() for name in ("forward", "strike", "years", "vol"))
    greeks = black76.greeks(*columns, RATE, compared["right"].to_numpy())
    gamma = np.abs(greeks[:, black76.GREEKS.index("gamma")] - compared["gamma"])
    delta = np.abs(greeks[:, black76.GREEKS.index("delta")] - compared["delta"])
    assert gamma.max() < 5.5e-5
    assert delta.median() < 5e-5
    assert delta.quantile(0.95) < 2e-4


def test_forward_from_parity_is_the_same_for_calls_and_puts_and_near_the_index(chain):
    book = read(chain, settings())
    np.testing.assert_allclose(book.forward, chain.reference, rtol=5e-4)
    sides = fit(book, settings()).sides
    assert np.abs(sides[:, 0] - sides[:, 1]).max() < 0.002


def test_metrics_of_the_real_chain_are_sensible(chain):
    found = named(OptionsMetrics(settings(), market()).row(chain))
    assert 0.08 < found["iv_7"] < found["iv_30"] < 0.25
    assert found["slope_30"] < 0
    assert found["put25_30"] > found["iv_30"] > found["call25_30"]
    for name in ("call_wall", "put_wall", "zero_gamma", "vol_trigger", "max_pain", "key_1", "key_5"):
        assert abs(found[name] * 0.25 / chain.reference - 1) < 0.05, name
    assert found["call_wall"] > found["put_wall"]
    assert found["put_oi"] > found["call_oi"]
    assert np.isnan(found["iv_60"])  # the farthest expiry of the chain ends in 24 days


def test_net_gamma_of_the_real_chain_is_that_of_the_vendor_s_own_gammas(quoted, chain):
    """The vendor's gamma is rounded to 0.0001, so single strikes differ, the sums hardly."""
    found = named(OptionsMetrics(settings(), market()).row(chain))
    usd = quoted["gamma"] * quoted["open_interest"] * 100 * chain.reference**2 * 0.01
    calls, puts = usd[quoted["right"] == "C"].sum(), usd[quoted["right"] == "P"].sum()
    assert found["call_gamma"] == pytest.approx(calls, rel=0.02)
    assert found["put_gamma"] == pytest.approx(puts, rel=0.02)


def test_greeks_of_another_vendor_on_spx_in_2015(shared_data):
    """Spot from its vega over gamma, forward per expiry from its deltas; then gamma must be the same function."""
    import pandas as pd
    from scipy.special import ndtri

    rows = pd.read_parquet(shared_data / "options" / "lean_chain_greeks_daily.parquet")
    rows = rows[(rows["underlying"] == "SPX") & (rows["date"] < "2016") & (rows["implied_volatility"] > 0.02)]
    rows = rows[rows["gamma"] > 1e-5].reset_index(drop=True)
    years = (rows["expiry"] - rows["date"]).dt.days / 365
    right = np.where(rows["right"] == "C", 1, -1)
    vol = rows["implied_volatility"]
    d1 = right * pd.Series(ndtri(right * rows["delta"]))
    near = np.abs(d1) < 1.5
    log_forward = d1 * vol * np.sqrt(years) - vol**2 * years / 2 + np.log(rows["strike"])
    forward = np.exp(log_forward[near].groupby([rows["date"], rows["expiry"]]).transform("median"))
    both = near & (years > 0.1)
    # Theirs is per unit of spot, ours of the forward.
    spot = np.sqrt(100 * rows["vega"] / (rows["gamma"] * vol * years)).groupby(rows["date"]).transform("median")
    ours = black76.greeks(forward[both], rows["strike"][both], years[both], vol[both], 0.0, right[both])
    gamma = ours[:, black76.GREEKS.index("gamma")] * (forward / spot)[both]
    error = np.abs(gamma / rows["gamma"][both] - 1)
    assert both.sum() > 100
    assert error.median() < 0.01
    assert error.quantile(0.95) < 0.03
