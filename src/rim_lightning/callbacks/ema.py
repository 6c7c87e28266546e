"""Exponential moving average of the weights, for runs of any length."""

from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


class WarmedEMA(WeightAveraging):
    """EMA of every weight and buffer, updated after every batch, whose memory grows with the run.

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

        def average(averaged: Tensor, current: Tensor, updates: Tensor) -> Tensor:
            kept = ((1 + updates) / (10 + updates)).clamp(max=decay)  # on the device: no wait for a number
            return averaged + (1 - kept) * (current - averaged)

        super().__init__(avg_fn=average)
