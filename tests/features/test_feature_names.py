import csv
from pathlib import Path

import pytest
import yaml
from feature_bench import option
from synthetic_rows import MARKET

from mia.domain.series import SERIES_SETS
from mia.features.catalogue import expand
from mia.features.plan import compile_plan, split

NAMES = Path(__file__).with_name("feature_names.txt")
# A row's own requirement says what it reads first; what it needs in all follows from the wiring: six rows
# that read trades (absorption, Kyle, Hasbrouck) also need the mid, so they only exist once depth is there.
CUMULATIVE = {"bars": 117, "trades": 151, "depth": 200, "cross": 224, "options": 275, "news": 281}
HAVE: dict[str, set[str]] = {}
for _level in CUMULATIVE:
    HAVE[_level] = {"calendar", *HAVE, _level}


@pytest.fixture(scope="module")
def expected():
    names: dict[str, list[str]] = {}
    for line in NAMES.read_text().splitlines():
        if not line.startswith("#"):
            level, _, words = line.partition(":")
            names.setdefault(level, []).extend(words.split())
    return names


@pytest.fixture(scope="module")
def specs(root):
    files = sorted((root / "conf" / "features" / "group").glob("*.yaml"))
    return expand({path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in files})


@pytest.fixture(scope="module")
def plans(specs):
    parts = split(specs)
    return {
        series.name: compile_plan(parts[series.name], MARKET, bar_minutes=1, session_minutes=1380, series=series)
        for series in SERIES_SETS
    }


def test_exactly_the_350_features_of_the_catalogue_are_published(plans, expected):
    wanted = [name for names in expected.values() for name in names]
    assert len(wanted) == len(set(wanted)) == 350
    assert sorted(name for plan in plans.values() for name in plan.names) == sorted(wanted)
    assert {name: len(plan.names) for name, plan in plans.items()} == {"market": 281, "model": 50, "self": 19}


@pytest.mark.parametrize(("level", "count"), CUMULATIVE.items())
def test_each_source_makes_the_expected_number_computable(plans, expected, level, count):
    plan = plans["market"]
    found = {name for name in plan.names if set(plan.sources(name)) <= HAVE[level]}
    # Its column counts as trades, but the aggregator can only fill it beside a book.
    found -= {"hidden_liquidity_ratio"} if level == "trades" else set()
    assert len(found) == count
    if level == "bars":
        assert found == set(expected["bars"])


@pytest.mark.parametrize(("lost", "left"), {"options": 299, "cross": 326, "news": 344}.items())
def test_losing_one_source_leaves_the_rest(plans, lost, left):
    assert sum(lost not in plan.sources(name) for plan in plans.values() for name in plan.names) == left


def test_the_whole_set_is_what_its_option_names(specs):
    content = option("full350")
    found = expand(content["groups"])
    assert {spec.name for spec in found} == {spec.name for spec in specs}
    assert content["expected_count"] == sum(spec.published for spec in found) == 350
    assert sum(spec.published and spec.mandatory for spec in found) == 41
    assert sum(spec.published and spec.fallback for spec in found) == 150


# Where a line departs from the catalogue, and why.
DEPARTURES = {
    ("predicted_vix", "normalisation"): "logz",  # its plan does not see the index it would be compared with
    ("pair_beta_120", "warmup_bars"): "121",  # 120 simple returns
    ("pair_spread_z_120", "warmup_bars"): "122",  # one prior beta for the whole window needs no second window
    ("pair_lead_lag_60", "warmup_bars"): "64",  # 63 returns
    ("pair_return_lag_1", "warmup_bars"): "3",  # a return, a bar ago
    ("pair_ofi_lag_1", "warmup_bars"): "2",
}


def test_every_line_states_what_the_catalogue_states(root, specs):
    path = root.parent / "shared" / "spec" / "feature_catalogue.csv"
    if not path.is_file():
        pytest.skip("the catalogue (../shared/spec) is not on this machine")
    with path.open(encoding="utf-8") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    published = {spec.name: spec for spec in specs if spec.published}
    assert set(published) == set(rows)
    unlike = {}
    for name, spec in published.items():
        row = rows[name]
        stated = {
            "family": spec.family,
            "warmup_bars": str(spec.warm_bars),
            "normalisation": spec.norm,
            "talib": spec.talib,
            "mandatory": str(int(spec.mandatory)),
            "fallback150": str(int(spec.fallback)),
        }
        for key, value in stated.items():
            if value != DEPARTURES.get((name, key), row[key]):
                unlike[name, key] = (value, row[key])
    assert unlike == {}


def test_bars_only_option_names_groups_that_stand_alone(root, expected):
    folder = root / "conf" / "features"
    content = yaml.safe_load((folder / "bars_only.yaml").read_text(encoding="utf-8"))
    chosen = [next(iter(line.values())) for line in content["defaults"] if isinstance(line, dict)]
    groups = {name: yaml.safe_load((folder / "group" / f"{name}.yaml").read_text(encoding="utf-8")) for name in chosen}
    plan = compile_plan(expand(groups), MARKET, bar_minutes=1, session_minutes=1380)
    assert sorted(plan.names) == sorted(expected["bars"])
    assert content["expected_count"] == len(plan.names) == 117


def test_every_group_file_fits_on_a_page(root):
    for path in (root / "conf" / "features" / "group").glob("*.yaml"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 25, path.name
