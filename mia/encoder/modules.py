"""Parts that both networks share: heads, losses, steps. Imported only while training, because it needs torch."""

from abc import ABC, abstractmethod
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

LOG_DEVIATION = 4.0  # bound of the log deviation, so that no exploding one ends training


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` over the rows where `mask` is 1; 0 if there are none."""
    return (values * mask).sum() / mask.sum().clamp(min=1.0)


def gaussian_loss(z: Tensor, log_deviation: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Negative log likelihood of `value` under mean z x deviation.

    The mean is told in deviations because predictable moves grow with volatility, as all moves do.
    """
    bounded = log_deviation.clamp(-LOG_DEVIATION, LOG_DEVIATION)
    return masked_mean(bounded + 0.5 * (value * torch.exp(-bounded) - z) ** 2, mask)


def barrier_loss(scores: Tensor, barrier: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of the barrier met first."""
    loss = functional.cross_entropy(scores.flatten(0, -2), barrier.flatten(), reduction="none")
    return masked_mean(loss, mask.flatten())


class SequenceModule(pl.LightningModule, ABC):
    """A network over sequences of rows; subclasses say what it computes and how wrong it was.

    Parameters
    ----------
    warm : rows at the start of every sequence learned from whose outputs do not count
    total_steps : gradient steps in all
    learning_rate, weight_decay : see `EncoderSettings`
    """

    def __init__(self, warm: int, total_steps: int, learning_rate: float, weight_decay: float) -> None:
        super().__init__()
        self.warm = warm
        self._losses: list[Tensor] = []
        self.total_steps, self.learning_rate, self.weight_decay = total_steps, learning_rate, weight_decay

    @abstractmethod
    def sequence(self, x: Tensor, since: int = 0) -> dict[str, Tensor]:
        """All outputs for the rows of x (B, W, F) from row `since` on."""

    @abstractmethod
    def error(self, told: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
        """Loss of outputs over the rows that have labels."""

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Loss over the rows of a batch that count."""
        told = self.sequence(batch["x"], self.warm)
        return self.error(told, {name: value[:, self.warm :] for name, value in batch.items()})

    def forward(self, x: Tensor) -> Tensor:
        """Bottleneck (B, E) after the last row of x (B, W, F)."""
        return torch.tanh(self.sequence(x)["raw"][:, -1])

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        loss = self.loss(batch)
        self._losses.append(loss.detach())
        return loss

    def on_train_epoch_end(self) -> None:
        # once per look: saying it at every step took a tenth of the time of training
        self.log("encoder/train_loss", torch.stack(self._losses).mean())
        self._losses.clear()

    def validation_step(self, batch: dict[str, Tensor], _: int) -> None:
        self.log("encoder/validation_loss", self.loss(batch), batch_size=len(batch["x"]))

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.learning_rate, total_steps=self.total_steps + 1, pct_start=0.2
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def shrunk(layer: nn.Linear) -> nn.Linear:
    """Start a head near "nothing is foreseen": the noise in returns would punish anything bolder."""
    with torch.no_grad():
        layer.weight.mul_(0.1)
        layer.bias.zero_()
    return layer


DIRECTION = 1.5  # scores (s, 0, -s) of three equal classes give p_up - p_down of s / 1.5
_GENTLE = 0.5  # spread of a sum whose tanh is still nearly linear


def start_linear(module: Any, forecasts: list[tuple[str, int, Any, float]]) -> None:
    """Let the first axes of the bottleneck begin as linear forecasts, and the heads as their readers.

    What a linear model knows need not be found by gradient steps; they add what it cannot say.

    Parameters
    ----------
    module : with `narrow`, whose last inputs are those the forecasts read, `head` and `head_rows`
    forecasts : label, its column, weights, spread of the forecast
    """
    narrow, head = module.narrow, module.head
    with torch.no_grad():
        for axis, (label, column, weights, spread) in enumerate(forecasts):
            narrow.weight[axis] *= 0.1
            narrow.weight[axis, -len(weights) :] = torch.from_numpy(weights * (_GENTLE / spread))
            narrow.bias[axis] = 0.0
            for row, factor in module.head_rows(label, column):
                head.weight[row] = 0.0
                head.weight[row, axis] = factor * spread / _GENTLE
