from dataclasses import replace

import pytest

from mia.domain.errors import ConfigurationError
from mia.domain.market import Market
from mia.risk.limits import Limits, limits, unlimited
from mia.risk.settings import RiskProfile

ES = Market(
    name="ES",
    description="a future",
    tick_size=0.25,
    multiplier=50.0,
    commission_round_turn=4.5,
    margin_initial=20000.0,
    margin_intraday=5000.0,
    calendar="CME Globex Equity",
    timezone="America/New_York",
    rth_open="09:30",
    rth_close="16:00",
    roll_months=(3,),
    round_step=100.0,
    reference_price=6000.0,
    partner="NQ",
)
PROFILE = RiskProfile(
    name="test",
    account_usd=50000.0,
    max_contracts=2,
    margin="intraday",
    flat_at="session_end",
    flat_before_minutes=5,
    max_daily_loss_usd=1234.56,
    max_drawdown_usd=None,
    warm_up_bars=0,
    safety_features=(),
)


def test_a_profile_becomes_whole_cents_of_the_market():
    assert limits(PROFILE, ES) == Limits(
        max_contracts=2,
        account_cents=5_000_000,
        margin_cents=500_000,
        max_daily_loss_cents=123_456,
        max_drawdown_cents=0,
    )


def test_the_profile_chooses_which_margin_counts():
    assert limits(replace(PROFILE, margin="initial"), ES).margin_cents == 2_000_000
    assert limits(replace(PROFILE, margin="none"), ES).margin_cents == 0


def test_an_account_below_the_margin_of_one_contract_is_refused():
    with pytest.raises(ConfigurationError, match="account_usd 4999 is below the intraday margin 5000"):
        limits(replace(PROFILE, account_usd=4999.0), ES)


def test_unlimited_bounds_only_the_position():
    free = unlimited(4)
    assert free.max_contracts == 4
    assert not any((free.margin_cents, free.max_daily_loss_cents, free.max_drawdown_cents))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("account_usd", 0.0),
        ("account_usd", float("inf")),
        ("max_contracts", 0),
        ("margin", "portfolio"),
        ("flat_at", "lunch"),
        ("flat_before_minutes", -1),
        ("max_daily_loss_usd", -5.0),
        ("max_drawdown_usd", float("nan")),
    ],
)
def test_an_impossible_profile_is_refused_by_field_value_and_file(field, value):
    with pytest.raises(ConfigurationError, match=rf"risk test: {field} must .*conf/risk/test\.yaml"):
        replace(PROFILE, **{field: value})


def test_day_margin_does_not_carry_positions_overnight():
    with pytest.raises(ConfigurationError, match="margin must be initial"):
        replace(PROFILE, flat_at="never")


@pytest.mark.parametrize(("field", "value"), [("max_contracts", 0), ("margin_cents", -1), ("account_cents", -1)])
def test_impossible_limits_are_refused(field, value):
    with pytest.raises(ConfigurationError, match=field):
        replace(unlimited(1), **{field: value})
