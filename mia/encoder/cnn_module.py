"""The convolutional network over the order book: bottleneck, and heads for return and barrier."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from mia.domain.series import CNN_WIDTH
from mia.encoder.kernels import CHANNELS, DILATIONS, KERNEL
from mia.encoder.modules import DIRECTION, SequenceModule, barrier_loss, gaussian_loss, shrunk


class CnnModule(SequenceModule):
    """Rows of 20 book channels to a bottleneck of 8 and what it foresees.

    Causal dilated convolutions: the output of a row reads that row and the 63 before it. The means of the channels
    over 4, 16 and 64 rows pass beside them to the bottleneck: what a linear model could find in the window need not
    be learned through rectifiers.

    Parameters
    ----------
    width : channels of each convolution
    horizons : return horizons, the published one first
    warm, total_steps, learning_rate, weight_decay : see `SequenceModule`
    """

    def __init__(
        self, *, width: int, horizons: int, warm: int, total_steps: int, learning_rate: float, weight_decay: float
    ) -> None:
        super().__init__(warm, total_steps, learning_rate, weight_decay)
        self.horizons = horizons
        sizes = (CHANNELS, width + CHANNELS, width + CHANNELS)
        self.layers = nn.ModuleList(
            nn.Conv1d(size, width, KERNEL, dilation=dilation) for size, dilation in zip(sizes, DILATIONS, strict=True)
        )
        self.narrow = nn.Linear(width + (1 + len(DILATIONS)) * CHANNELS, CNN_WIDTH)
        self.head = shrunk(nn.Linear(CNN_WIDTH, 2 * horizons + 3))

    def sequence(self, x: Tensor, since: int = 0) -> dict[str, Tensor]:
        """All outputs for the rows of x (B, W, 20) from row `since` on; the first 63 see zeros before the start."""
        flow = mean = x.transpose(1, 2)
        passed = [x]
        for layer in self.layers:
            gap = layer.dilation[0]
            before = functional.pad(mean, ((KERNEL - 1) * gap, 0))
            found = torch.relu(layer(functional.pad(flow, ((KERNEL - 1) * gap, 0))))
            mean = sum(before[:, :, k * gap : k * gap + x.shape[1]] for k in range(KERNEL)) / KERNEL
            flow = torch.cat([found, mean], dim=1)
            passed.insert(0, mean.transpose(1, 2))
        beside = [part[:, since:] for part in (found.transpose(1, 2), *passed)]
        raw = self.narrow(torch.cat(beside, dim=-1))
        told, n = self.head(torch.tanh(raw)), self.horizons
        return {
            "raw": raw,
            "z": told[..., :n],
            "log_deviation": told[..., n : 2 * n],
            "barrier": told[..., 2 * n :],
        }

    def head_rows(self, label: str, column: int) -> list[tuple[int, float]]:
        """Rows of the head that foresee a label, and how much of its forecast each takes."""
        up = 2 * self.horizons
        return [(column, 1.0)] if label == "returns" else [(up, DIRECTION), (up + 2, -DIRECTION)]

    def error(self, told: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
        """Likelihood of all returns and of the barrier."""
        loss = barrier_loss(told["barrier"], batch["barrier"], batch["has_barrier"])
        for k in range(self.horizons):
            loss = loss + gaussian_loss(
                told["z"][..., k], told["log_deviation"][..., k], batch["returns"][..., k], batch["has_returns"][..., k]
            )
        return loss
