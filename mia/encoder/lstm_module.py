"""The LSTM over scaled features: bottleneck, and heads for return, barrier, volatility and volatility index."""

import torch
from torch import Tensor, nn

from mia.domain.series import LSTM_WIDTH
from mia.encoder.kernels import MEANS
from mia.encoder.modules import DIRECTION, SequenceModule, barrier_loss, gaussian_loss, masked_mean, shrunk


def decaying_mean(x: Tensor, half_life: float, since: int) -> Tensor:
    """Exponentially weighted mean of x (B, W, L), begun at 0, of the rows from `since` on."""
    keep = 0.5 ** (1.0 / half_life)
    age = torch.arange(x.shape[1])
    age = (age[since:, None] - age[None, :]).to(x.dtype)
    weights = torch.where(age >= 0, (1.0 - keep) * keep ** age.clamp(min=0.0), 0.0)
    return weights @ x


class LstmModule(SequenceModule):
    """Rows of L features to a bottleneck of 16 and what it foresees.

    Parameters
    ----------
    inputs : L
    hidden : cells
    horizons : return horizons, the published one first
    side_weight : weight of volatility, index and reconstruction beside the returns
    warm, total_steps, learning_rate, weight_decay : see `SequenceModule`
    """

    def __init__(
        self,
        *,
        inputs: int,
        hidden: int,
        horizons: int,
        side_weight: float,
        warm: int,
        total_steps: int,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        super().__init__(warm, total_steps, learning_rate, weight_decay)
        self.horizons, self.side_weight = horizons, side_weight
        self.cell = nn.LSTM(inputs, hidden, batch_first=True)
        # Inputs and their means pass beside the cell: what a linear model could find in the window need not be
        # learned through gates.
        self.narrow = nn.Linear(hidden + (1 + len(MEANS)) * inputs, LSTM_WIDTH)
        self.head = shrunk(nn.Linear(LSTM_WIDTH, 2 * horizons + 5))
        self.back = nn.Linear(LSTM_WIDTH, inputs)

    def sequence(self, x: Tensor, since: int = 0) -> dict[str, Tensor]:
        """All outputs for the rows of x (B, W, L) from row `since` on, in units of the training rows."""
        means = (decaying_mean(x, life, since) for life in MEANS)
        raw = self.narrow(torch.cat([self.cell(x)[0][:, since:], x[:, since:], *means], dim=-1))
        code = torch.tanh(raw)
        told, n = self.head(code), self.horizons
        return {
            "raw": raw,
            "z": told[..., :n],
            "log_deviation": told[..., n : 2 * n],
            "barrier": told[..., 2 * n : 2 * n + 3],
            "volatility": told[..., 2 * n + 3],
            "vix": told[..., 2 * n + 4],
            "inputs": self.back(code),
        }

    def head_rows(self, label: str, column: int) -> list[tuple[int, float]]:
        """Rows of the head that foresee a label, and how much of its forecast each takes."""
        up, volatility = 2 * self.horizons, 2 * self.horizons + 3
        rows = {"returns": [(column, 1.0)], "volatility": [(volatility, 1.0)]}
        return rows.get(label, [(up, DIRECTION), (up + 2, -DIRECTION)])

    def error(self, told: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
        """Likelihood of all returns and of the barrier, and the weighted errors of everything beside them."""
        side = masked_mean((told["volatility"] - batch["volatility"]) ** 2, batch["has_volatility"])
        side = side + masked_mean((told["vix"] - batch["vix"]) ** 2, batch["has_vix"])
        side = side + masked_mean(((told["inputs"] - batch["clean"]) ** 2).mean(-1), batch["counts"])
        loss = self.side_weight * side + barrier_loss(told["barrier"], batch["barrier"], batch["has_barrier"])
        for k in range(self.horizons):
            loss = loss + gaussian_loss(
                told["z"][..., k], told["log_deviation"][..., k], batch["returns"][..., k], batch["has_returns"][..., k]
            )
        return loss
