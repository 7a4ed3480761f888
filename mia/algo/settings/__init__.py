"""Settings of the learners; conf/algo/<option>.yaml makes one. Importing this costs nothing."""

from mia.algo.settings.checks import ValidationSettings
from mia.algo.settings.ddpg import DDPGSettings
from mia.algo.settings.ensemble import EnsembleSettings, EvidenceSettings, VoteSettings
from mia.algo.settings.ppo import PPOSettings
from mia.algo.settings.ppo_lagrangian import ConstraintSettings, MultiplierSettings, PPOLagrangianSettings
from mia.algo.settings.qr_dqn import QRDQNSettings
from mia.algo.settings.sac import SACSettings

__all__ = [
    "ConstraintSettings",
    "DDPGSettings",
    "EnsembleSettings",
    "EvidenceSettings",
    "MultiplierSettings",
    "PPOLagrangianSettings",
    "PPOSettings",
    "QRDQNSettings",
    "SACSettings",
    "ValidationSettings",
    "VoteSettings",
]
