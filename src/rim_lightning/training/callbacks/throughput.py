"""How fast a run trains, what it waits for, and how much memory it takes."""

import resource
import time
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning import Callback

from rim_lightning.datamodules.base import TrainingLoader


class Throughput(Callback):
    """Logs once an epoch, from the end of its first batch to the end of its last one:

    - `speed/steps_per_s`; `speed/pairs_per_s`: probe-and-face pairs of all ranks;
    - `speed/data_wait`: share of the time in which this rank waited for its loader. A GPU may still be at work then.
      Only with loaders that measure it (`TrainingLoader`, which the data modules of this package use);
    - `speed/memory_gb`: peak so far, of the GPU, or of this process where there is none.

    Attributes:
        figures: those of the last epoch; empty where it had one batch only.
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
        first, last = self._start is None, batch_idx + 1 == trainer.num_training_batches
        if (first or last) and pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        self._now = time.perf_counter(), _seconds_waited(trainer)
        self._steps += 1
        if first:
            self._start, self._steps = self._now, 0
        if last and self._steps:
            seconds, waited = (now - start for now, start in zip(self._now, self._start, strict=True))
            rate = self._steps / seconds
            self.figures = {
                "speed/steps_per_s": rate,
                "speed/pairs_per_s": rate * len(batch.hr) * trainer.world_size,
                "speed/memory_gb": _peak_memory(pl_module.device) / 1e9,
            }
            if isinstance(trainer.train_dataloader, TrainingLoader):
                self.figures["speed/data_wait"] = waited / seconds

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A new epoch, a new measurement: the first batch waits for loader processes to start."""
        self._start, self.figures = None, {}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epoch."""
        self.log_dict(self.figures)


def _seconds_waited(trainer: pl.Trainer) -> float:
    loader = trainer.train_dataloader
    return loader.seconds_waited if isinstance(loader, TrainingLoader) else 0.0


def _peak_memory(device: torch.device) -> int:
    """Bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
