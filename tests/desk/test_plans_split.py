"""Lines are sorted into plans by what they read, and one that reads two kinds is refused."""

import pytest

from mia.desk.plans import compile_plans
from mia.domain.errors import ConfigurationError
from mia.domain.market import Market
from mia.domain.series import MODEL_SERIES, SELF_SERIES
from mia.features.catalogue import expand
from mia.features.plan import split

LINE = {"op": "take", "unit": "1", "range": [None, None], "warm": 1, "norm": "none", "src": "definition"}


@pytest.fixture(scope="module")
def es(root):
    import yaml

    from mia.task import schema

    return schema.build(Market, yaml.safe_load((root / "conf/market/ES.yaml").read_text(encoding="utf-8")), "market")


def specs(**inputs):
    """One line per name; several inputs are added."""
    lines = {
        name: LINE | {"in": read, "op": "take" if isinstance(read, str) else "add"} for name, read in inputs.items()
    }
    return expand({"group": {"family": "test", "specs": lines}})


def test_a_line_goes_with_the_series_it_reads_directly_or_through_others():
    made = split(
        specs(close="bar.close", late="@close", belief="mdl.regime_trend", twice="@belief", sure="slf.confidence")
    )
    names = {name: [spec.name for spec in found] for name, found in made.items()}
    assert names == {"market": ["close", "late"], "model": ["belief", "twice"], "self": ["sure"]}


def test_order_of_declaration_is_kept_and_a_line_may_come_before_what_it_reads():
    made = split(specs(late="@belief", vix="xa.vix", belief="mdl.regime_trend", close="bar.close"))
    assert [spec.name for spec in made["model"]] == ["late", "belief"]
    assert [spec.name for spec in made["market"]] == ["vix", "close"]


@pytest.mark.parametrize(
    ("inputs", "sets"),
    [
        ({"mixed": ["bar.close", "mdl.regime_trend"]}, "market and model"),
        ({"mixed": ["slf.confidence", "mdl.regime_trend"]}, "model and self"),
        ({"mixed": ["@close", "@sure"], "close": "bar.close", "sure": "slf.confidence"}, "market and self"),
        ({"mixed": ["@deep", "bar.open"], "deep": "@belief", "belief": "mdl.lstm_1"}, "market and model"),
    ],
)
def test_a_line_that_reads_two_sets_is_refused_in_one_line_that_names_it(inputs, sets):
    with pytest.raises(ConfigurationError, match=f"feature mixed: reads {sets} series together") as caught:
        split(specs(**inputs))
    assert "\n" not in str(caught.value)


def test_plans_walk_market_model_and_self_and_know_who_computes_what(es):
    lines = specs(sure="slf.confidence", belief="mdl.regime_trend", close="bar.close", vix="xa.vix")
    plans = compile_plans(lines, es, bar_minutes=1, session_minutes=1380)
    assert [plan.series.name for plan in plans.parts] == ["market", "model", "self"]
    assert plans.names == ("close", "vix", "belief", "sure")
    assert [spec.name for spec in plans.specs] == ["sure", "belief", "close", "vix"]
    assert [spec.name for spec in plans.view_specs] == list(plans.names)
    assert plans.owner("belief") is plans.part("model")
    assert [plans.sources(name) for name in plans.names] == [("bars",), ("cross",), ("regime",), ("self",)]
    assert plans.part("model").width == len(MODEL_SERIES.names)
    assert plans.part("self").width == len(SELF_SERIES.names)


def test_a_set_that_no_line_reads_has_no_plan(es):
    plans = compile_plans(specs(close="bar.close"), es, bar_minutes=1, session_minutes=1380)
    assert plans.parts == (plans.market,)
    assert plans.part("self") is None


def test_the_fingerprint_changes_with_any_of_the_plans(es):
    def fingerprint(**inputs):
        return compile_plans(specs(**inputs), es, bar_minutes=1, session_minutes=1380).fingerprint

    plain = {"close": "bar.close", "belief": "mdl.regime_trend", "sure": "slf.confidence"}
    changes = [{"close": "bar.open"}, {"belief": "mdl.regime_range"}, {"sure": "slf.success"}]
    assert fingerprint(**plain) == fingerprint(**plain)
    assert len({fingerprint(**plain), *(fingerprint(**plain | change) for change in changes)}) == 4
