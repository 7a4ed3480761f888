from pathlib import Path

import pytest
import yaml
from synthetic_rows import MARKET

from mia.features.catalogue import expand
from mia.features.plan import compile_plan

NAMES = Path(__file__).with_name("feature_names.txt")
# A row's own requirement says what it reads first; what it needs in all follows from the wiring: six rows
# that read trades (absorption, Kyle, Hasbrouck) also need the mid, so they only exist once depth is there.
CUMULATIVE = {"bars": 117, "trades": 151, "depth": 200}
HAVE = {
    "bars": {"bars", "calendar"},
    "trades": {"bars", "calendar", "trades"},
    "depth": {"bars", "calendar", "trades", "depth"},
}


@pytest.fixture(scope="module")
def expected():
    names: dict[str, list[str]] = {}
    for line in NAMES.read_text().splitlines():
        if not line.startswith("#"):
            level, _, words = line.partition(":")
            names.setdefault(level, []).extend(words.split())
    return names


@pytest.fixture(scope="module")
def plan(root):
    files = sorted((root / "conf" / "features" / "group").glob("*.yaml"))
    groups = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in files}
    return compile_plan(expand(groups), MARKET, bar_minutes=1, session_minutes=1380)


def test_exactly_the_two_hundred_features_of_the_catalogue_are_published(plan, expected):
    wanted = [name for names in expected.values() for name in names]
    assert len(wanted) == len(set(wanted)) == 200
    assert sorted(plan.names) == sorted(wanted)


@pytest.mark.parametrize(("level", "count"), CUMULATIVE.items())
def test_each_source_makes_the_expected_number_computable(plan, expected, level, count):
    found = {name for name in plan.names if set(plan.sources(name)) <= HAVE[level]}
    # Its column counts as trades, but the aggregator can only fill it beside a book.
    found -= {"hidden_liquidity_ratio"} if level == "trades" else set()
    assert len(found) == count
    if level == "bars":
        assert found == set(expected["bars"])


def test_bars_only_option_names_groups_that_stand_alone(root, expected):
    folder = root / "conf" / "features"
    option = yaml.safe_load((folder / "bars_only.yaml").read_text(encoding="utf-8"))
    chosen = [next(iter(line.values())) for line in option["defaults"] if isinstance(line, dict)]
    groups = {name: yaml.safe_load((folder / "group" / f"{name}.yaml").read_text(encoding="utf-8")) for name in chosen}
    plan = compile_plan(expand(groups), MARKET, bar_minutes=1, session_minutes=1380)
    assert sorted(plan.names) == sorted(expected["bars"])
    assert option["expected_count"] == len(plan.names) == 117


def test_every_group_file_fits_on_a_page(root):
    for path in (root / "conf" / "features" / "group").glob("*.yaml"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 25, path.name
