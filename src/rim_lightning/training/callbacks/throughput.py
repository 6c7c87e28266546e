"""Speed of a training: steps per second, waiting for data, and memory."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning import Callback

from rim_lightning.datamodules.base import TrainingLoader


class Throughput(Callback):
    """Logs the speed of an epoch, from the end of its first batch to the end of its last one.

    - `speed/steps_per_s`: Steps per second.
    - `speed/pairs_per_s`: Pairs of probe and sharp face per second, of all ranks.
    - `speed/data_wait`: Share of the time in which this rank waited for its loader. A GPU may still be at work then.
      It is logged for loaders that measure it (`TrainingLoader`, which the data modules of this package use).
    - `speed/memory_gb`: Peak so far, of the GPU or, without a GPU, of this process.

    Attributes:
        figures: Figures of the last epoch; empty if it had one batch only.
    """

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self._start: tuple[float, float] | None = None
        self._now = (0.0, 0.0)
        self._steps = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the time. Only the first and the last batch of an epoch wait for the device."""
        start = self._start
        first, last = start is None, batch_idx + 1 == trainer.num_training_batches
        if (first or last) and pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        self._now = time.perf_counter(), _seconds_waited(trainer)
        self._steps += 1
        if start is None:
            self._start, self._steps = self._now, 0
        elif last:
            seconds, waited = self._now[0] - start[0], self._now[1] - start[1]
            rate = self._steps / seconds
            self.figures = {
                "speed/steps_per_s": rate,
                "speed/pairs_per_s": rate * len(batch.hr) * trainer.world_size,
            }
            if (memory := _peak_memory(pl_module.device)) is not None:
                self.figures["speed/memory_gb"] = memory / 1e9
            if isinstance(trainer.train_dataloader, TrainingLoader):
                self.figures["speed/data_wait"] = waited / seconds

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start a new measurement: the first batch waits for loader processes to start."""
        self._start, self.figures = None, {}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the figures of the epoch."""
        pl_module.log_dict(self.figures)


def _seconds_waited(trainer: pl.Trainer) -> float:
    loader = trainer.train_dataloader
    return loader.seconds_waited if isinstance(loader, TrainingLoader) else 0.0


def _peak_memory(device: torch.device) -> int | None:
    """Peak memory in bytes; None where the system does not tell it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
