"""Small worlds and quick settings for the learners' tests."""

from dataclasses import replace

import pytest
import yaml

from mia.algo.settings import PPOSettings, QRDQNSettings, ValidationSettings
from mia.evaluation import known_world
from mia.source import yardstick
from mia.source.yardstick_settings import YardstickSettings


def read(root, path):
    return yaml.safe_load((root / "conf" / path).read_text(encoding="utf-8"))


def build(cls, values):
    values = dict(values)
    values["network"] = tuple(values["network"])
    return cls(**values | {"validation": ValidationSettings(**values["validation"])})


@pytest.fixture(scope="session")
def qr_dqn(root):
    """The default settings of qr_dqn."""
    return build(QRDQNSettings, read(root, "algo/qr_dqn.yaml"))


@pytest.fixture(scope="session")
def ppo(root):
    """The default settings of ppo."""
    return build(PPOSettings, read(root, "algo/ppo.yaml"))


@pytest.fixture(scope="session")
def world_settings(root):
    """The yardstick with few rows."""
    settings = YardstickSettings(**read(root, "source/yardstick.yaml"))
    return replace(settings, train_rows=50_000, judge_rows=50_000)


@pytest.fixture(scope="session")
def world(world_settings):
    return yardstick.world(world_settings, 100, "train")


@pytest.fixture(scope="session")
def judge_world(world_settings):
    return yardstick.world(world_settings, 100, "judge")


@pytest.fixture(scope="session")
def tape(world):
    return known_world.tape(world)


@pytest.fixture(scope="session")
def terms(world_settings):
    return known_world.terms(world_settings)


@pytest.fixture(scope="session")
def trained(tape, terms, qr_dqn):
    """A quickly trained qr_dqn."""
    from mia.algo import learner

    return learner("qr_dqn")(tape, terms, replace(qr_dqn, updates=500, target_quantiles=0), 100)


@pytest.fixture(scope="session")
def trained_ppo(tape, terms, ppo):
    """A quickly trained ppo, far from good."""
    from mia.algo import learner

    return learner("ppo")(tape, terms, replace(ppo, frames=3 * ppo.accounts * ppo.rollout_rows), 100)


@pytest.fixture(scope="session")
def algo():
    """Settings of an option of algo as a run composes them."""
    from mia.task import command_line

    return lambda option: command_line.compose(["+market=ES", f"algo={option}"]).algo
