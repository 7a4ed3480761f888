"""A market's terms are checked where they are made."""

import pytest

from mia.domain.errors import ConfigurationError
from mia.domain.market import Market

ES = {
    "name": "ES",
    "description": "E-mini S&P 500",
    "tick_size": 0.25,
    "multiplier": 50.0,
    "commission_round_turn": 4.5,
    "margin_initial": 15000.0,
    "margin_intraday": 1000.0,
    "calendar": "CME Globex Equity",
    "timezone": "America/New_York",
    "rth_open": "09:30",
    "rth_close": "16:00",
    "roll_months": (3, 6, 9, 12),
    "round_step": 25.0,
    "reference_price": 6000.0,
    "partner": "NQ",
}


def test_one_tick_of_es_is_worth_twelve_dollars_fifty():
    assert Market(**ES).tick_value_cents == 1250


def test_one_tick_of_mnq_is_worth_fifty_cents():
    assert Market(**{**ES, "name": "MNQ", "multiplier": 2.0}).tick_value_cents == 50


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tick_size", 0.0),
        ("tick_size", -0.25),
        ("multiplier", 0.0),
        ("tick_size", 0.0003),
        ("name", "../ES"),
        ("commission_round_turn", -1.0),
    ],
)
def test_impossible_terms_are_refused_by_name(field, value):
    with pytest.raises(ConfigurationError, match=field.split("_")[0]):
        Market(**{**ES, field: value})
