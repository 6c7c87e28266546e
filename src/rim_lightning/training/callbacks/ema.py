"""Exponential moving average of the weights, for runs of any length."""

from typing import Any, cast

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rim_lightning.training.phased_module import PhasedModule


class WarmedEMA(WeightAveraging):
    """Average of every trained weight and every statistic, updated after every batch.

    Every training stage starts a new average. After n batches of the stage the decay is
    min(`decay`, (1 + n) / (10 + n)): the average covers about the last ninth of the stage so far, at most
    1 / (1 − decay) batches. A fixed decay of 0.999 would keep 82 % of the random start after 200 batches. If n counted
    the batches of the whole run, the average would keep 39 % of the assistant's random start when the assistant learns
    only in the last tenth of the run.

    Validation and the "state_dict" of checkpoints use the average; the weights that are trained are
    "current_model_state".

    Args:
        decay: Largest value of the decay, in (0, 1).

    Raises:
        ValueError: If `decay` lies outside (0, 1).
    """

    def __init__(self, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"The decay of the moving average is {decay}; it must lie between 0 and 1.")
        super().__init__()
        self.decay = decay

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Convert the average to the precision to which Lightning has converted the model."""
        cast(AveragedModel, self._average_model).module.to(pl_module.dtype)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average, all tensors at once.

        Torch's own `update_parameters` updates them one by one, the frozen ones too, and makes the host wait for the
        number of updates.
        """
        average = cast(AveragedModel, self._average_model)
        epochs = cast(PhasedModule, pl_module).stage_epoch
        seen = int(epochs * trainer.num_training_batches + batch_idx)  # batches of the stage before this one
        decay = min(self.decay, (1 + seen) / (10 + seen)) if seen else 0.0
        get_ema_multi_avg_fn(decay)(_averaged(average.module), _averaged(pl_module), average.n_averaged)
        average.n_averaged += 1
        self._latest_update_step = trainer.global_step

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the average in the module. A resumed run with no batch left does not call `on_train_end`."""
        self._copy_average_to_current(pl_module)


def _averaged(module: nn.Module) -> list[Tensor]:
    """List trained weights and floating-point statistics in order; a frozen weight is its own average."""
    weights = [weight.detach() for weight in module.parameters() if weight.requires_grad]
    return weights + [buffer for buffer in module.buffers() if buffer.is_floating_point()]
