"""Every option of every group composes, validates and becomes typed settings; the traps of Hydra stay closed."""

import pytest
import yaml

from mia.domain.errors import ConfigurationError
from mia.task import command_line, conf_tree

FILE = ("source.path=somewhere.csv", "source.label=open")


def rounds():
    """Compositions that together hold every option of every group: the k-th holds the k-th option of each.

    Composing takes two seconds of CPU time, so an option does not get a composition of its own.
    """
    menu = {group: options for group, options in conf_tree.groups().items() if group != "experiment"}
    for k in range(max(map(len, menu.values()))):
        chosen = {group: options[k % len(options)] for group, options in menu.items()}
        spelled = [f"{'+' if group == 'market' else ''}{group}={option}" for group, option in chosen.items()]
        yield [*spelled, *(FILE if chosen["source"] == "files" else ())]


def test_the_rounds_hold_every_option():
    held = {word.removeprefix("+") for words in rounds() for word in words}
    menu = conf_tree.groups()
    assert held >= {f"{group}={option}" for group in menu if group != "experiment" for option in menu[group]}


@pytest.mark.parametrize("overrides", rounds(), ids=range(len(list(rounds()))))
def test_every_option_composes_and_validates(overrides):
    settings = command_line.compose(overrides)
    for word in overrides:
        group, option = word.removeprefix("+").split("=")
        if group not in ("market", "mode") and "." not in group:
            assert getattr(settings, group).name == option
    assert settings.market.name == overrides_of(overrides, "+market")


def overrides_of(overrides, group):
    return next(word.split("=")[1] for word in overrides if word.startswith(f"{group}="))


@pytest.mark.parametrize("experiment", conf_tree.groups()["experiment"])
def test_every_experiment_composes_and_validates(experiment):
    assert command_line.compose(["+market=ES", f"experiment={experiment}"]).market.name == "ES"


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
        named = [key for entry in content.get("defaults", []) if isinstance(entry, dict) for key in entry]
        assert not any(key.split("/")[-1] == "market" for key in named), path


def test_market_is_absent_from_the_defaults_list_so_that_plus_market_works():
    defaults = yaml.safe_load((conf_tree.folder() / "config.yaml").read_text())["defaults"]
    assert not any(isinstance(entry, dict) and "market" in entry for entry in defaults)


def test_targets_in_configuration_are_refused():
    with pytest.raises(ConfigurationError, match="_target_"):
        command_line.compose(["+market=ES", "+source._target_=os.system"])
