"""What learns. `learner(name)` imports an algorithm, and torch with it, only when it is asked for."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mia.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from mia.algo.policy import TrainedPolicy

LEARNERS = {
    "qr_dqn": "mia.algo.qr_dqn",
    "ppo": "mia.algo.ppo",
    "ppo_lagrangian": "mia.algo.ppo_lagrangian",
    "ensemble": "mia.algo.ensemble",
    "sac": "mia.algo.sac",
    "ddpg": "mia.algo.ddpg",
}


def learner(name: str) -> "Callable[..., TrainedPolicy]":
    """Return ``train(tape, terms, settings, seed, progress, *, reward, keeper, start, device)`` of a learner.

    Parameters
    ----------
    name : `settings.kind`

    The parameters of what is returned are those of `mia.algo.learning.teach`.

    Raises
    ------
    ConfigurationError : if there is no such algorithm.
    """
    if name not in LEARNERS:
        raise ConfigurationError(f"algo.kind must be one of {', '.join(sorted(LEARNERS))}, was {name!r}")
    module: Any = import_module(LEARNERS[name])
    return module.train  # type: ignore[no-any-return]
