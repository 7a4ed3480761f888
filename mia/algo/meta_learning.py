"""An initialisation from which a few gradient steps reach far on tasks of a kind: Reptile. Called by mia.task.meta.

Source: Nichol, Achiam and Schulman (2018), On first-order meta-learning algorithms; Finn, Abbeel and Levine (2017) for
the aim.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mia.algo.adaptation import Rows, adapt
from mia.algo.policy import TrainedPolicy
from mia.algo.settings.adaptation import MetaSettings
from mia.domain.errors import ArtefactMismatch, DataError
from mia.domain.rng import generator

Array = np.ndarray


class Reptile:
    """Moves weights towards what a few gradient steps make of them on tasks drawn at random.

    Where tasks agree the steps carry it along, as ordinary training would; where they disagree it comes to lie where
    each is near. No second derivative is needed.

    Parameters
    ----------
    tasks : by name; each in the unit of its own rows
    settings : of the learner
    meta : how many steps of which size
    seed : of the tasks drawn and of the order of rows
    start : weights to begin from
    device : as in `Course`

    Raises
    ------
    DataError : if there is no task.
    ArtefactMismatch : if tasks are seen through different observations.
    """

    def __init__(
        self,
        tasks: Mapping[str, Rows],
        settings: Any,
        meta: MetaSettings,
        seed: int,
        start: TrainedPolicy,
        device: str = "cpu",
    ) -> None:
        if not tasks:
            raise DataError("meta-learning needs a task; lower meta.min_rows or take more sessions")
        widths = {name: rows.tape.width for name, rows in tasks.items()}
        if set(widths.values()) != {start.width}:
            raise ArtefactMismatch(f"meta-learning: tasks read {widths} columns, the network {start.width}")
        self.tasks, self.settings, self.meta, self.seed, self.device = dict(tasks), settings, meta, seed, device
        self.policy = replace(start, abstains=False)
        self.outer, self.inner, self.loss = 0, 0, float("nan")

    def step(self) -> None:
        """Draw tasks, adapt to each, and move."""
        rng = generator(self.seed, "meta", "tasks", str(self.outer))
        names, reached, losses = list(self.tasks), [], []
        for at in rng.permutation(len(names))[: self.meta.tasks_per_step]:
            rows = self.tasks[names[at]]
            adapted = adapt(
                of_unit(self.policy, rows),
                rows,
                self.settings,
                self.meta.step(self.meta.inner_updates),
                int(rng.integers(2**31)),
                device=self.device,
            )
            reached.append(adapted.policy)
            losses.append(adapted.losses[-1])
            self.inner += adapted.updates
        self.policy = moved(self.policy, reached, self.rate)
        self.loss = float(np.mean(losses))
        self.outer += 1

    @property
    def rate(self) -> float:
        """Share of the way of the next move."""
        done = self.outer / max(self.meta.outer_steps - 1, 1)
        return self.meta.outer_rate + (self.meta.final_outer_rate - self.meta.outer_rate) * min(done, 1.0)

    def state(self) -> dict[str, Any]:
        """Return everything that decides the steps to come."""
        return {"policy": self.policy.to_state(), "outer": self.outer, "inner": self.inner, "loss": self.loss}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Be where `state` was taken."""
        self.policy = TrainedPolicy.from_state(state["policy"])
        self.outer, self.inner, self.loss = int(state["outer"]), int(state["inner"]), float(state["loss"])


def of_unit(policy: TrainedPolicy, rows: Rows) -> TrainedPolicy:
    """Return the policy with the rows' own unit of value."""
    return replace(policy, value_cents=rows.experience.bar_cents)


def moved(policy: TrainedPolicy, reached: Sequence[TrainedPolicy], share: float) -> TrainedPolicy:
    """Return the policy whose weights lie at `share` of the way to the mean of those reached."""
    layers = []
    for i, pair in enumerate(policy.layers):
        layers.append(tuple(_toward(pair[j], [other.layers[i][j] for other in reached], share) for j in range(2)))
    return replace(policy, layers=tuple(layers))


def _toward(weights: Array, others: Sequence[Array], share: float) -> Array:
    goal = np.mean(np.array(others, dtype=np.float64), axis=0)
    return (weights + share * (goal - weights)).astype(np.float32)
