"""A trained policy: what the learners return, bundles keep, and env, backtest, desk and evaluation ask."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mia.algo.compiled_policy import CompiledNetwork, best_actions, pack, scores
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
    n_quantiles : quantiles of each action's value, quantile-major in the last layer; 0: one score per action
    value_cents : what one unit of value is worth [cents]
    abstains : whether it stays flat whatever it sees, because validation found no profit beyond luck
    card : how it came about: JSON-able

    Raises
    ------
    ArtefactMismatch : if the layers do not fit together, or to three actions.
    """

    algo: str
    layers: tuple[tuple[Array, Array], ...]
    activation: str
    n_quantiles: int
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
        if widths[-1] != len(POSITIONS) * max(self.n_quantiles, 1):
            raise ArtefactMismatch(
                f"policy {self.algo}: {widths[-1]} outputs are not {len(POSITIONS)} actions x "
                f"{max(self.n_quantiles, 1)}; train again"
            )
        object.__setattr__(self, "_network", pack(list(self.layers), self.activation))
        object.__setattr__(self, "_scores", scores(list(self.layers), self.activation, self.n_quantiles))

    @property
    def width(self) -> int:
        """Width Dm of the market part it reads."""
        return self._scores.inputs - 1  # type: ignore[attr-defined, no-any-return]

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return weights_digest(list(self.layers))

    def table(self, obs: Array, positions: Array) -> Array:
        """Return (T, P) float64 wished targets for every row of obs (T, Dm) at every position held (P,).

        Bit-equal to `decide` of each row and position.
        """
        self._check(obs)
        if self.abstains:
            return np.zeros((len(obs), len(positions)))
        return _TARGETS[best_actions(self._scores, obs, positions)]  # type: ignore[attr-defined]

    def decide(self, obs: Array, position: float) -> float:
        """Return the wished target in -1, 0, 1 for one row (Dm,) and the position held as a share of the limit."""
        return float(self.table(obs[None, :], np.array([position], dtype=np.float32))[0, 0])

    def predict(
        self,
        obs: Array,
        state: Any = None,
        episode_start: Any = None,  # noqa: ARG002 - part of the library's signature
        deterministic: bool = True,  # noqa: ARG002
    ) -> tuple[Array, Any]:
        """Return actions 0 short, 1 flat, 2 long, as Stable-Baselines3's `predict` does.

        Parameters
        ----------
        obs : (D,) or (n, D), [market part | position]
        state : returned as it came; the policy has no memory
        episode_start, deterministic : part of the signature; there is nothing to reset and nothing random
        """
        rows = np.atleast_2d(np.asarray(obs, dtype=np.float32))
        actions = np.array([self.decide(row[:-1], row[-1]) for row in rows], dtype=np.int64) + FLAT
        return (actions if np.ndim(obs) > 1 else actions.reshape(())), state

    def quantiles(self, obs: Array) -> Array:
        """Return (n, quantiles, 3) quantiles of what each action is worth [cents], for obs (n, D) or (D,).

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
        return values.reshape(len(rows), self.n_quantiles, len(POSITIONS)) * self.value_cents

    def _check(self, obs: Array) -> None:
        if obs.shape[-1] != self.width:
            raise ArtefactMismatch(
                f"policy {self.algo} reads {self.width} columns, was given {obs.shape[-1]}; "
                "use the observation it was trained on"
            )


def weights_digest(layers: list[tuple[Array, Array]]) -> str:
    """Return the SHA-256 of weights, layer by layer."""
    return digest.of_arrays(*(array for pair in layers for array in pair))
