"""The settings of every reward as conf/reward has them."""

import pytest
import yaml

from mia.reward.settings import AdaptiveSettings, CvarSettings


def read(root, name):
    return yaml.safe_load((root / "conf" / "reward" / f"{name}.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def adaptive_settings(root):
    return AdaptiveSettings(**read(root, "adaptive"))


@pytest.fixture(scope="session")
def cvar_settings(root):
    return CvarSettings(**read(root, "cvar"))
