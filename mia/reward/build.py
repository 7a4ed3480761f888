"""Makes a reward from its settings and what it needs to know of the training rows. Called by the learners."""

import numpy as np

from mia.domain.errors import ConfigurationError
from mia.reward.adaptive import AdaptiveReward, atr_threshold
from mia.reward.cvar import CvarReward, value_at_risk
from mia.reward.pnl import PnlReward
from mia.reward.reward import Reward
from mia.reward.settings import AdaptiveSettings, CvarSettings, PnlSettings, RewardSettings

Array = np.ndarray


def build(
    settings: RewardSettings | None, *, scale_cents: float, change_cents: Array, context: Array | None = None
) -> Reward:
    """Return the reward; whatever it fits, it fits on the rows given here, so pass rows of training only.

    Parameters
    ----------
    settings : which reward; None: plain profit
    scale_cents : what one unit of reward is worth [cents], > 0
    change_cents : (n,) net changes of a bar, of one contract held long and of one held short [cents]
    context : (T, C) columns `CONTEXT` of the rows; None: all unknown

    Raises
    ------
    ConfigurationError : if these are no reward's settings.
    """
    if settings is None or isinstance(settings, PnlSettings):
        return PnlReward(scale_cents=scale_cents)
    if isinstance(settings, AdaptiveSettings):
        return AdaptiveReward(
            settings=settings, atr_threshold=atr_threshold(settings, context), scale_cents=scale_cents
        )
    if isinstance(settings, CvarSettings):
        threshold = value_at_risk(change_cents, settings.alpha)
        return CvarReward(settings=settings, threshold_cents=threshold, scale_cents=scale_cents)
    raise ConfigurationError(f"reward: {settings!r} is no reward; choose one of conf/reward")
