"""The catalogue expands to what it promises, and a plan refuses what it cannot compute, by name."""

import numpy as np
import pytest
import yaml
from feature_bench import CONF, FACTS, catalogue, option, plan_of
from synthetic_rows import MARKET

from mia.domain.errors import ConfigurationError
from mia.features.catalogue import expand
from mia.features.operators.table import operators
from mia.features.plan import compile_plan
from mia.features.settings import FeatureSettings, ScalerSettings


def group(specs, family="bench"):
    return {"bench": {"family": family, "specs": specs}}


# Columns and members of the static fallback: 117 (47) with bars and calendar, 200 (83) with trades and depth.
@pytest.mark.parametrize(("name", "columns", "fallback"), [("bars_only", 117, 47), ("bars_trades_depth", 200, 83)])
def test_option_expands_to_its_declared_count_and_fallback(name, columns, fallback):
    plan = catalogue(name)
    assert len(plan.names) == len(set(plan.names)) == columns == option(name)["expected_count"]
    assert sum(spec.fallback for spec in plan.specs) == fallback


def test_bars_only_needs_nothing_but_bars_and_the_calendar():
    plan = catalogue("bars_only")
    assert {source for name in plan.names for source in plan.sources(name)} == {"bars", "calendar"}


def test_thirty_four_columns_name_a_talib_function():
    assert sum(bool(spec.talib) for spec in catalogue("bars_trades_depth").specs) == 34


def test_every_group_file_has_one_line_per_spec_and_at_most_25_lines():
    for path in (CONF / "group").glob("*.yaml"):
        lines = path.read_text().splitlines()
        specs = yaml.safe_load(path.read_text())["specs"]
        assert len(lines) <= 25, path
        assert sum(line.startswith('  "') for line in lines) == len(specs), path


def test_sources_are_the_union_over_the_ancestry():
    plan = catalogue("bars_trades_depth")
    assert plan.sources("rsi_14") == ("bars",)
    assert plan.sources("atr_dynamic") == ("bars", "calendar")
    assert set(plan.sources("breakout_score")) >= {"bars", "trades", "calendar"}


def test_a_sweep_unrolls_values_words_flags_and_arithmetic():
    line = {"k": [7, 14], "op": "rsi", "in": "bar.close", "p": {"n": "{k}"}, "must": [14]}
    specs = expand(group({"rsi_{k}": FACTS | line | {"warm": "2*{k}+1"}}))
    assert [(s.name, dict(s.params)["n"], s.warm_bars, s.mandatory) for s in specs] == [
        ("rsi_7", 7, 15, False),
        ("rsi_14", 14, 29, True),
    ]
    words = expand(group({"{k}_x": FACTS | {"k": ["bid", "ask"], "op": "take", "in": "dom.{k}_px_1"}}))
    assert [s.inputs for s in words] == [("dom.bid_px_1",), ("dom.ask_px_1",)]


def test_input_spans_and_short_forms_expand_in_order():
    (spec,) = expand(group({"x": FACTS | {"op": "product", "in": ["dom.ofi_2..4", "bar.hlc"]}}))
    assert spec.inputs == ("dom.ofi_2", "dom.ofi_3", "dom.ofi_4", "bar.high", "bar.low", "bar.close")


def test_nodes_follow_their_inputs_whatever_the_order_of_lines():
    plan = plan_of(
        {
            "c": {"op": "sub", "in": ["@b", "@_a"]},
            "b": {"op": "ema", "in": "@_a", "p": {"n": 2}},
            "_a": {"op": "take", "in": "bar.close"},
        }
    )
    assert plan.node_names == ("_a", "b", "c")
    assert plan.names == ("c", "b")


def test_internal_nodes_are_computed_but_not_published():
    plan = plan_of({"_a": {"op": "take", "in": "bar.close"}, "b": {"op": "sign", "in": "@_a"}})
    assert plan.names == ("b",)
    assert plan.service == ()


def test_service_columns_ride_behind_the_published_ones():
    plan = catalogue("bars_only")
    assert plan.columns[: len(plan.names)] == plan.names
    assert plan.service == ("_atr_daily",)


def test_family_inputs_are_the_published_members_within_the_level():
    specs = expand(
        {
            "one": {
                "family": "one",
                "specs": {
                    "a": FACTS | {"op": "take", "in": "bar.close"},
                    "b": FACTS | {"op": "take", "in": "trd.n"},
                    "c": FACTS | {"op": "sub", "in": ["@a", "@b"]},
                    "_d": FACTS | {"op": "take", "in": "bar.high"},
                },
            },
            "two": {
                "family": "two",
                "specs": {"{k}_sum": FACTS | {"k": ["bars", "trades"], "op": "product", "in": "family:one/{k}"}},
            },
        }
    )
    plan = compile_plan(specs, MARKET, bar_minutes=1, session_minutes=1380)
    assert plan.node("bars_sum").inputs == ("a",)
    assert plan.node("trades_sum").inputs == ("a", "b", "c")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ({"a": {"op": "nope", "in": "bar.close"}}, "feature a: unknown operator 'nope'"),
        ({"a": {"op": "take", "in": "bar.clse"}}, "feature a: unknown input 'bar.clse'"),
        ({"a": {"op": "take", "in": "@b"}}, "feature a: input @b is not declared"),
        (
            {"a": {"op": "take", "in": "bar.close", "p": {"n": 3}}},
            "feature a: operator take has no parameter 'n'",
        ),
        ({"a": {"op": "ema", "in": "bar.close"}}, "feature a: operator ema needs parameter n"),
        ({"a": {"op": "ema", "in": "bar.close", "p": {"n": "ten"}}}, "feature a: n must be a number"),
        (
            {"a": {"op": "dmi", "in": "bar.hlc", "p": {"n": 3, "out": "x"}}},
            "feature a: out must be one of adx",
        ),
        (
            {"a": {"op": "atr", "in": "bar.close", "p": {"n": 3}}},
            "feature a: operator atr takes 3 inputs, got 1",
        ),
        ({"a": {"op": "take", "in": "bar.close", "norm": "zz"}}, "feature a: norm must be one of"),
        ({"a": {"op": "take", "in": "bar.close", "range": [1, 0]}}, "feature a: range must increase"),
        ({"a": {"op": "take", "in": "bar.close", "colour": 1}}, "feature a: unknown key 'colour'"),
        ({"a": {"op": "take", "in": "bar.close", "warm": 0}}, "feature a: warm must be a whole number"),
        ({"a_{k}": {"op": "take", "in": "bar.close"}}, "has {k} but no sweep"),
        ({"A": {"op": "take", "in": "bar.close"}}, "feature 'A': names are lower-case"),
        (
            {"a": {"op": "sign", "in": "@b"}, "b": {"op": "sign", "in": "@a"}},
            r"feature a: depends on itself \(a <- b <- a\)",
        ),
        ({"_a": {"op": "take", "in": "bar.close"}}, "every line is internal"),
        ({"a": {"op": "product", "in": "family:none/bars"}}, "no feature matches"),
    ],
)
def test_a_wrong_line_is_refused_naming_the_feature(lines, message):
    with pytest.raises(ConfigurationError, match=message.replace("{k}", r"\{k\}")):
        plan_of(lines)


def test_a_name_declared_in_two_groups_is_refused():
    line = {"family": "f", "specs": {"a": FACTS | {"op": "take", "in": "bar.close"}}}
    with pytest.raises(ConfigurationError, match="feature a: declared twice"):
        expand({"one": line, "two": line})


def test_a_published_line_without_unit_or_source_is_refused():
    with pytest.raises(ConfigurationError, match="feature a: key 'unit' is missing"):
        expand(group({"a": {"op": "take", "in": "bar.close"}}))


def test_a_wrong_count_is_refused():
    settings = FeatureSettings(
        name="x",
        expected_count=3,
        scaler=ScalerSettings(clip=5.0, level_clip=10.0, slot_rows=20),
        groups={"a": {}},
    )
    with pytest.raises(ConfigurationError, match="expand to 2 columns, expected_count says 3"):
        settings.check_count(2)


def test_every_opcode_is_unique_and_in_its_range():
    table = operators()
    codes = [operator.opcode for operator in table.values()]
    assert len(codes) == len(set(codes))
    assert all(0 <= code < 300 for code in codes)


def test_fitted_blocks_start_empty_and_are_set_on_a_copy():
    plan = plan_of({"f": {"op": "har", "in": ["bar.open", "bar.close", "cal.session"], "p": {"out": "forecast"}}})
    assert plan.fitted_nodes == ("f",)
    assert plan.fitted == {}
    block = np.array([0.1, 0.4, 0.3, 0.2, 0.5])
    fitted = plan.with_parameters({"f": block})
    assert np.array_equal(fitted.fitted["f"], block)
    assert plan.fitted == {}
    assert fitted.fingerprint != plan.fingerprint
    with pytest.raises(ConfigurationError, match="feature f: 5 fitted numbers expected"):
        plan.with_parameters({"f": block[:3]})


def test_the_same_lines_have_the_same_fingerprint_and_another_parameter_has_not():
    line = {"op": "ema", "in": "bar.close"}
    ten = plan_of({"a": line | {"p": {"n": 10}}})
    assert ten.fingerprint == plan_of({"a": line | {"p": {"n": 10}}}).fingerprint
    assert ten.fingerprint != plan_of({"a": line | {"p": {"n": 11}}}).fingerprint
