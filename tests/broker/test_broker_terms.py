from dataclasses import replace

import pytest

from mia.broker.settings import BrokerSettings, FillModel
from mia.broker.terms import Terms, terms
from mia.domain.errors import ConfigurationError
from mia.domain.market import Market


def market(multiplier, commission, tick_size=0.25):
    return Market(
        name="X",
        description="a future",
        tick_size=tick_size,
        multiplier=multiplier,
        commission_round_turn=commission,
        margin_initial=20000.0,
        margin_intraday=5000.0,
        calendar="CME Globex Equity",
        timezone="America/New_York",
        rth_open="09:30",
        rth_close="16:00",
        roll_months=(3,),
        round_step=100.0,
        reference_price=6000.0,
        partner="Y",
    )


CENTRAL = FillModel(name="central", concession_half_ticks=2)


@pytest.mark.parametrize(
    ("multiplier", "commission", "round_turn_cents"),
    [(50.0, 4.5, 2950), (20.0, 4.5, 1450), (5.0, 1.5, 400), (2.0, 1.5, 250)],
    ids=["ES", "NQ", "MES", "MNQ"],
)
def test_the_central_model_costs_what_the_reference_results_charge(multiplier, commission, round_turn_cents):
    assert 2 * terms(market(multiplier, commission), CENTRAL).side_cost_cents == round_turn_cents


@pytest.mark.parametrize(("half_ticks", "cents"), [(0, 225), (1, 225 + 625), (2, 225 + 1250), (3, 225 + 1875)])
def test_each_half_tick_given_away_costs_half_a_ticks_value(half_ticks, cents):
    made = terms(market(50.0, 4.5), FillModel(name="m", concession_half_ticks=half_ticks))
    assert (made.tick_value_cents, made.side_cost_cents) == (1250, cents)


def test_fractions_of_a_cent_round_up_never_in_our_favour():
    # Tick of 5 cents: half is 2.5; half of a 0.01 USD round turn is 0.5.
    odd = market(0.2, 0.01)
    assert odd.tick_value_cents == 5
    assert terms(odd, FillModel(name="m", concession_half_ticks=1)).side_cost_cents == 3 + 1


def test_the_commission_factor_scales_the_commission_only():
    double = FillModel(name="m", concession_half_ticks=2, commission_factor=2.0)
    assert terms(market(50.0, 4.5), double).side_cost_cents == 1250 + 450


def test_float_dust_does_not_add_a_cent():
    for cents in range(2, 2000, 2):
        made = terms(market(50.0, cents / 100), FillModel(name="m", concession_half_ticks=0))
        assert made.side_cost_cents == cents // 2


@pytest.mark.parametrize(("field", "value"), [("concession_half_ticks", -1), ("commission_factor", -0.1)])
def test_a_fill_model_that_pays_us_is_refused(field, value):
    with pytest.raises(ConfigurationError, match=field):
        replace(CENTRAL, **{field: value})


@pytest.mark.parametrize("terms_", [(0, 10), (-5, 10), (5, -1), (2.5, 1)])
def test_impossible_terms_are_refused(terms_):
    with pytest.raises(ConfigurationError, match="terms"):
        Terms(tick_value_cents=terms_[0], side_cost_cents=terms_[1])


def broker(**changes):
    models = {
        name: FillModel(name=name, concession_half_ticks=n)
        for n, name in enumerate(("optimistic", "central", "pessimistic"), start=1)
    }
    return BrokerSettings(**({"name": "sim", "headline": "pessimistic", "train": "central"} | models | changes))


def test_a_fill_model_is_found_by_its_name():
    made = broker()
    assert [m.name for m in made.models] == ["optimistic", "central", "pessimistic"]
    assert made.model(made.train).concession_half_ticks == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"headline": "kind"}, "unknown fill model 'kind'"),
        ({"train": ""}, "unknown fill model"),
        ({"central": FillModel(name="middle", concession_half_ticks=2)}, "is named 'middle'"),
        ({"central": FillModel(name="central", concession_half_ticks=9)}, "must not get cheaper"),
    ],
)
def test_an_inconsistent_broker_is_refused(change, message):
    with pytest.raises(ConfigurationError, match=message):
        broker(**change)
