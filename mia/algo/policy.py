"""A trained policy: what the learners return, bundles keep, and env, backtest, desk and evaluation ask."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mia.algo.compiled_policy import CompiledNetwork, pack, scores, squash, tail_means
from mia.algo.experience import POSITIONS
from mia.domain import digest
from mia.domain.errors import ArtefactMismatch

Array = np.ndarray

FLAT = POSITIONS.index(0)
_TARGETS = np.array(POSITIONS, dtype=np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedPolicy:
    """Weights with the calls the house makes. It needs no torch.

    Parameters
    ----------
    algo : name of the learner
    layers : (matrix (outputs, inputs), bias (outputs,)) float32 of each layer, from [market | position] on
    activation : activation of the hidden layers, a key of `compiled_policy.ACTIVATIONS`
    actions : "discrete" (a score for each of short, flat, long) or "continuous" (one output, its tangent the target)
    n_quantiles : quantiles of each action's value, quantile-major in the last layer; 0: one score per action
    risk_level : share of the worst quantiles whose mean decides, in (0, 1]; 1: all, the expected value
    value_cents : what one unit of value is worth [cents]
    abstains : whether it stays flat whatever it sees, because validation found no profit beyond luck
    card : how it came about: JSON-able

    Raises
    ------
    ArtefactMismatch : if the layers do not fit together, or to the actions.
    """

    algo: str
    layers: tuple[tuple[Array, Array], ...]
    activation: str
    actions: str = "discrete"
    n_quantiles: int
    risk_level: float = 1.0
    value_cents: float
    abstains: bool
    card: Mapping[str, Any] = field(repr=False)

    def __post_init__(self) -> None:
        widths = [self.layers[0][0].shape[1], *(len(bias) for _, bias in self.layers)]
        for i, (matrix, bias) in enumerate(self.layers):
            if matrix.shape != (widths[i + 1], widths[i]) or matrix.dtype != np.float32 or bias.dtype != np.float32:
                raise ArtefactMismatch(
                    f"policy {self.algo}: layer {i} has shape {matrix.shape} {matrix.dtype} where "
                    f"{(widths[i + 1], widths[i])} float32 is needed; train again"
                )
        self._check_outputs(widths[-1])
        object.__setattr__(self, "_network", pack(list(self.layers), self.activation))
        object.__setattr__(self, "_scores", scores(list(self.layers), self.activation, self.n_quantiles))

    def _check_outputs(self, outputs: int) -> None:
        if self.actions not in ("discrete", "continuous") or (self.actions == "continuous" and self.n_quantiles):
            raise ArtefactMismatch(
                f"policy {self.algo}: {self.actions!r} actions with {self.n_quantiles} quantiles are none it knows; "
                "train again"
            )
        if not 0 < self.risk_level <= 1 or (self.risk_level < 1 and not self.n_quantiles):
            raise ArtefactMismatch(
                f"policy {self.algo}: risk_level {self.risk_level:g} needs quantiles and lies in (0, 1]; train again"
            )
        needed = 1 if self.actions == "continuous" else len(POSITIONS) * max(self.n_quantiles, 1)
        if outputs != needed:
            raise ArtefactMismatch(
                f"policy {self.algo}: {outputs} outputs are not the {needed} of {self.actions} actions with "
                f"{self.n_quantiles} quantiles; train again"
            )

    @property
    def width(self) -> int:
        """Width Dm of the market part it reads."""
        return self._scores.inputs - 1  # type: ignore[attr-defined, no-any-return]

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return weights_digest(list(self.layers))

    def to_state(self) -> dict[str, Any]:
        """Return all fields, arrays as they are."""
        state = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return state | {"layers": [list(pair) for pair in self.layers], "card": dict(self.card)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "TrainedPolicy":
        """Build what `to_state` gave; the errors of the constructor, KeyError and TypeError if it is something else."""
        return cls(**{**state, "layers": tuple((matrix, bias) for matrix, bias in state["layers"])})

    def table(self, obs: Array, positions: Array) -> Array:
        """Return (T, P) float64 wished targets in [-1, 1] for every row of obs (T, Dm) at every position held (P,).

        Bit-equal to `decide` of each row and position.
        """
        self._check(obs)
        if self.abstains:
            return np.zeros((len(obs), len(positions)))
        if self.actions == "continuous":
            return squash(self._network.forward(obs, positions))  # type: ignore[attr-defined, no-any-return]
        return _TARGETS[self.values(obs, positions).argmax(axis=2)]

    def values(self, obs: Array, positions: Array) -> Array:
        """Return (T, P, 3) float32, what discrete decisions are made by: of equal ones the first is taken."""
        if self.risk_level == 1.0:
            return self._scores.forward(obs, positions)  # type: ignore[attr-defined, no-any-return]
        worst = max(1, round(self.risk_level * self.n_quantiles))
        atoms = self._network.forward(obs, positions)  # type: ignore[attr-defined]
        return tail_means(atoms, self.n_quantiles, worst)

    def decide(self, obs: Array, position: float) -> float:
        """Return the wished target in [-1, 1] for one row (Dm,) and the position held as a share of the limit."""
        return float(self.table(obs[None, :], np.array([position], dtype=np.float32))[0, 0])

    def predict(
        self,
        obs: Array,
        state: Any = None,
        episode_start: Any = None,  # noqa: ARG002 - part of the library's signature
        deterministic: bool = True,  # noqa: ARG002
    ) -> tuple[Array, Any]:
        """Return actions as Stable-Baselines3's `predict` does: 0 short, 1 flat, 2 long, or a target (n, 1).

        Parameters
        ----------
        obs : (D,) or (n, D), [market part | position]
        state : returned as it came; the policy has no memory
        episode_start, deterministic : part of the signature; there is nothing to reset and nothing random
        """
        rows = np.atleast_2d(np.asarray(obs, dtype=np.float32))
        targets = np.array([self.decide(row[:-1], row[-1]) for row in rows])
        if self.actions == "continuous":
            actions = targets.astype(np.float32)[:, None]
            return (actions if np.ndim(obs) > 1 else actions[0]), state
        discrete = targets.astype(np.int64) + FLAT
        return (discrete if np.ndim(obs) > 1 else discrete.reshape(())), state

    def quantiles(self, obs: Array) -> Array:
        """Return (n, quantiles, 3) increasing quantiles of what each action is worth [cents], for obs (n, D) or (D,).

        A network's quantiles may cross; in order they are the better estimate.
        Source: Chernozhukov, Fernandez-Val and Galichon (2010), Quantile and probability curves without crossing.

        Raises
        ------
        ArtefactMismatch : if the policy's learner has no quantiles.
        """
        if self.n_quantiles == 0:
            raise ArtefactMismatch(f"policy {self.algo} knows no quantiles; use algo=qr_dqn")
        rows = np.atleast_2d(np.asarray(obs, dtype=np.float32))
        self._check(rows[:, :-1])
        network: CompiledNetwork = self._network  # type: ignore[attr-defined]
        values = np.stack([network.forward(row[None, :-1], row[-1:])[0, 0] for row in rows])
        return np.sort(values.reshape(len(rows), self.n_quantiles, len(POSITIONS)), axis=1) * self.value_cents

    def _check(self, obs: Array) -> None:
        if obs.shape[-1] != self.width:
            raise ArtefactMismatch(
                f"policy {self.algo} reads {self.width} columns, was given {obs.shape[-1]}; "
                "use the observation it was trained on"
            )


def weights_digest(layers: list[tuple[Array, Array]]) -> str:
    """Return the SHA-256 of weights, layer by layer."""
    return digest.of_arrays(*(array for pair in layers for array in pair))
