"""Every option of every group composes, validates and becomes typed settings; the traps of Hydra stay closed."""

import pytest
import yaml

from mia.domain.errors import ConfigurationError
from mia.task import command_line, conf_tree

OPTIONS = [(group, option) for group, options in conf_tree.groups().items() for option in options]


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_option_composes_and_validates(group, option):
    overrides = {
        "market": [f"+market={option}"],
        "experiment": ["+market=ES", f"experiment={option}"],
    }.get(group, ["+market=ES", f"{group}={option}"])
    if (group, option) == ("source", "files"):
        overrides += ["source.path=somewhere.csv", "source.label=open"]
    settings = command_line.compose(overrides)
    assert settings.market is not None


def test_every_yaml_names_itself():
    for group, options in conf_tree.groups().items():
        if group == "experiment":
            continue
        for option in options:
            content = yaml.safe_load((conf_tree.folder() / group / f"{option}.yaml").read_text())
            name = content.get("mode", content)["name"] if group == "mode" else content["name"]
            assert name == option, f"conf/{group}/{option}.yaml does not say name: {option}"


def test_every_yaml_starts_with_a_comment_for_people():
    for path in conf_tree.folder().rglob("*.yaml"):
        assert conf_tree.first_comment(path), path


def test_mode_and_experiment_are_last_in_the_defaults_list():
    defaults = yaml.safe_load((conf_tree.folder() / "config.yaml").read_text())["defaults"]
    assert [next(iter(entry)) for entry in defaults[-2:]] == ["mode", "experiment"]


def test_no_experiment_names_a_market():
    for path in (conf_tree.folder() / "experiment").glob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        assert "market" not in content, path
        assert not any("market" in str(entry) for entry in content.get("defaults", [])), path


def test_market_is_absent_from_the_defaults_list_so_that_plus_market_works():
    defaults = yaml.safe_load((conf_tree.folder() / "config.yaml").read_text())["defaults"]
    assert not any(isinstance(entry, dict) and "market" in entry for entry in defaults)


def test_targets_in_configuration_are_refused():
    with pytest.raises(ConfigurationError, match="_target_"):
        command_line.compose(["+market=ES", "+source._target_=os.system"])
