"""Exponential moving average of the weights, for runs of any length."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from rim_lightning.training.phased_module import PhasedModule


class WarmedEMA(WeightAveraging):
    """EMA of every trained weight and every statistic, updated after every batch, whose memory grows with the stage.

    Every training stage starts it afresh; after n of the stage's batches the decay is the smaller of `decay` and
    (1 + n) / (10 + n): the average looks back over about a ninth of the stage, at most over 1 / (1 − decay) batches.
    With a fixed decay of 0.999 the average of 200 batches would still be four fifths its random start, and with a
    memory as long as the run, that of the assistant in a last stage of a tenth of it two fifths.

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

    def on_train_start(self, trainer: pl.Trainer, pl_module: PhasedModule) -> None:
        """The copy was made before Lightning converted the model's precision."""
        self._average_model.module.to(pl_module.dtype)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: PhasedModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the average, all tensors at once. Torch's own `update_parameters` goes through them one by one, the
        frozen too, and makes the host wait for the number of updates.
        """
        average = self._average_model
        seen = pl_module.stage_epoch * trainer.num_training_batches + batch_idx  # batches of the stage before this one
        kept = min(self.decay, (1 + seen) / (10 + seen)) if seen else 0.0
        get_ema_multi_avg_fn(kept)(_moving(average.module), _moving(pl_module), average.n_averaged)
        average.n_averaged += 1
        self._latest_update_step = trainer.global_step


def _moving(module: nn.Module) -> list[Tensor]:
    """Trained weights and floating-point statistics, in order; a frozen weight is its own average."""
    weights = [weight.detach() for weight in module.parameters() if weight.requires_grad]
    return weights + [buffer for buffer in module.buffers() if buffer.is_floating_point()]
