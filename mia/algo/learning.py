"""What the learners share: seeding without side effects, falling step sizes, and looking in while learning."""

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

from mia.algo.compiled_policy import scores
from mia.algo.policy import TrainedPolicy, weights_digest
from mia.algo.progress import Progress
from mia.algo.selection import Layers, Validation
from mia.algo.settings import ValidationSettings


@contextmanager
def seeded() -> Iterator[None]:
    """Run on one thread, and give the global random states back as they were.

    Stable-Baselines3 seeds Python, numpy and torch globally; nobody else's numbers may depend on that. One
    thread, because two were measured five times slower on a busy machine, and sums would differ.
    """
    threads, python = torch.get_num_threads(), random.getstate()
    legacy = np.random.get_state()  # noqa: NPY002 - what Stable-Baselines3 seeds
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002


def cosine(start: float, end: float) -> Callable[[float], float]:
    """Return a step size that falls from `start` to `end` as half a cosine, of the share that remains."""
    return lambda remaining: end + (start - end) * 0.5 * (1.0 - math.cos(math.pi * min(max(remaining, 0.0), 1.0)))


def sparsify(optimizer: torch.optim.Optimizer, networks: list[torch.nn.Sequential], strength: float) -> None:
    """Let every step of `optimizer` end with a group lasso on the market columns the networks read.

    Each such column of a first layer is shortened by `strength` times the step size, down to nothing. Many of
    150 columns say nothing, and a few hundred sessions cannot tell a network so: without this it learned
    30,000 rows of 160 columns by heart; with it, columns have to earn their place at every step.

    Source: Yuan and Lin (2006), Model selection and estimation in regression with grouped variables.
    """
    matrices = [network[0].weight for network in networks]

    def shrink(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        by = strength * optimizer.param_groups[0]["lr"]
        with torch.no_grad():
            for matrix in matrices:
                columns = matrix[:, :-1]
                columns.mul_((1.0 - by / columns.norm(dim=0).clamp_(min=1e-12)).clamp_(min=0.0))

    if strength > 0:
        optimizer.register_step_post_hook(shrink)


def layers_of(*networks: torch.nn.Sequential) -> Layers:
    """Return (matrix, bias) of the linear layers of networks applied one after the other."""
    linear = [part for network in networks for part in network if isinstance(part, torch.nn.Linear)]
    return [(p.weight.detach().numpy().copy(), p.bias.detach().numpy().copy()) for p in linear]


def _looks(settings: ValidationSettings, total: int) -> list[float]:
    """Return the steps of all looks but the last, which `finish` takes."""
    n = settings.checkpoints
    share = [settings.first_look + (1.0 - settings.first_look) * i / max(n - 1, 1) for i in range(n)]
    return [max(1.0, part * total) for part in share[:-1]]


class Look(BaseCallback):
    """Looks at the learner at checkpoints, tells the progress, and ends training that has gone stale.

    Parameters
    ----------
    validation : keeps the checkpoints
    layers : returns the learner's present weights
    activation, n_quantiles : what the weights mean, as in `TrainedPolicy`
    total : steps in all
    progress : hears of each look
    """

    def __init__(
        self,
        validation: Validation,
        layers: Callable[[], Layers],
        activation: str,
        n_quantiles: int,
        total: int,
        progress: Progress,
    ) -> None:
        super().__init__()
        self.validation, self.layers, self.progress = validation, layers, progress
        self.activation, self.n_quantiles = activation, n_quantiles
        self.total, self.looks, self.stopped = total, 0, False
        self.due = _looks(validation.settings, total)
        self.curve: list[dict[str, float]] = []

    def _on_training_start(self) -> None:
        self.progress(0, self.total, {})

    def _on_step(self) -> bool:
        if self.looks < len(self.due) and self.num_timesteps >= self.due[self.looks]:
            self._look(self.num_timesteps)
            self.stopped = self.validation.is_stale()
        return not self.stopped

    def finish(self) -> None:
        """Take the last look, unless training ended at one."""
        if not self.stopped:
            self._look(self.total)

    def _look(self, step: int) -> None:
        self.looks += 1
        layers = self.layers()
        seen = self.validation.see(step, layers, scores(layers, self.activation, self.n_quantiles))
        rows = len(self.validation.experience)
        figures = {
            "step": float(step),
            "profit_cents_per_bar": seen.profit / rows,
            "trades_per_1000_bars": 1000.0 * seen.trades / rows,
        }
        self.curve.append(figures)
        self.progress(step, self.total, figures)


def finished(algo: str, settings: Any, seed: int, look: Look, value_cents: float, seconds: float) -> TrainedPolicy:
    """Choose among the checkpoints and return the policy with its card."""
    choice = look.validation.choose()
    layers = choice.candidate.layers
    rows = len(look.validation.experience)
    card = {
        "algo": algo,
        "settings": asdict(settings),
        "seed": seed,
        "curve": look.curve,
        "cpu_s": round(seconds, 3),
        "stopped_early": look.stopped,
        "selected_step": choice.candidate.step,
        "validation_rows": rows,
        "validation_profit_cents_per_bar": choice.candidate.profit / rows,
        "validation_trades": choice.candidate.trades,
        "chance": choice.chance,
        "abstains": choice.abstains,
        "weights_sha256": weights_digest(layers),
    }
    return TrainedPolicy(
        algo=algo,
        layers=tuple(layers),
        activation=look.activation,
        n_quantiles=look.n_quantiles,
        value_cents=value_cents,
        abstains=choice.abstains,
        card=card,
    )
