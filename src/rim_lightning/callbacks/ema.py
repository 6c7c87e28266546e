"""Exponential moving average of the weights, for runs of any length."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WarmedEMA(WeightAveraging):
    """EMA of every trained weight and every statistic, updated after every batch, whose memory grows with the run.

    After n updates the decay is the smaller of `decay` and (1 + n) / (10 + n): the average looks back over about a
    ninth of the run, at most over 1 / (1 − decay) batches. With a fixed decay of 0.999 the average of a run of 200
    batches would still be four fifths its random start.

    Validation and the "state_dict" of checkpoints use the average; the weights being trained are "current_model_state".

    Args:
        decay: its largest value, in (0, 1).

    Raises:
        ValueError: decay outside (0, 1).
    """

    def __init__(self, decay: float):
        if not 0 < decay < 1:
            raise ValueError(f"The decay of the moving average is {decay}; it must lie between 0 and 1.")
        super().__init__()
        self.decay = decay
        self._updates = 0  # as many as the average has seen

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask once how many updates there were. The copy was made before Lightning converted the model's precision."""
        self._average_model.module.to(pl_module.dtype)
        self._updates = int(self._average_model.n_averaged)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the average, all tensors at once. Torch's own `update_parameters` goes through them one by one, the
        frozen too, and makes the host wait for the number of updates."""
        average = self._average_model
        kept = min(self.decay, (1 + self._updates) / (10 + self._updates)) if self._updates else 0.0
        get_ema_multi_avg_fn(kept)(_moving(average.module), _moving(pl_module), average.n_averaged)
        average.n_averaged += 1
        self._updates += 1
        self._latest_update_step = trainer.global_step


def _moving(module: nn.Module) -> list[Tensor]:
    """Trained weights and floating-point statistics, in order; a frozen weight is its own average."""
    weights = [weight.detach() for weight in module.parameters() if weight.requires_grad]
    return weights + [buffer for buffer in module.buffers() if buffer.is_floating_point()]
