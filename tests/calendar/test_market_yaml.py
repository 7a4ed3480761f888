"""Every market of the menu must be a valid contract with a calendar that exists."""

import datetime as dt
from pathlib import Path

import pytest

from mia.broker.settings import FillModel
from mia.broker.terms import terms
from mia.calendar.exchange import sessions

MARKETS = sorted(p.stem for p in (Path(__file__).parents[2] / "conf" / "market").glob("*.yaml"))
TICK_CENTS = {"ES": 1250, "MES": 125, "NQ": 500, "MNQ": 50, "FDAX": 2500, "BTC": 2500}


def test_the_six_markets_are_on_the_menu():
    assert set(TICK_CENTS) <= set(MARKETS)


@pytest.mark.parametrize("name", MARKETS)
def test_market_file_is_a_valid_market_named_as_its_file(name, load_market, root):
    market = load_market(name)
    assert market.name == name
    assert market.tick_value_cents == TICK_CENTS.get(name, market.tick_value_cents)
    assert market.reference_price % market.tick_size == 0
    text = (root / "conf" / "market" / f"{name}.yaml").read_text().splitlines()
    assert text[0].startswith(f"name: {name}")
    assert all("#" in line for line in text), "every key carries a comment"


@pytest.mark.parametrize("name", MARKETS)
def test_market_calendar_has_sessions_with_regular_hours_inside(name, load_market):
    days = sessions(load_market(name), dt.date(2025, 3, 3), dt.date(2025, 3, 7))
    assert len(days) == 5
    assert (days.open_ns <= days.rth_open_ns).all()
    assert (days.rth_open_ns < days.rth_close_ns).all()
    assert (days.rth_close_ns <= days.close_ns).all()


def test_published_commissions_are_charged_in_cents(load_market):
    free = FillModel(name="optimistic", concession_half_ticks=0)
    assert terms(load_market("ES"), free).side_cost_cents == 225
    assert terms(load_market("MNQ"), free).side_cost_cents == 75
