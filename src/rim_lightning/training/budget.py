"""Epoch length with which a run takes its budget of minutes."""

import copy
import math
import time
from typing import Any, cast

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from rim_lightning.training.phased_module import PhasedModule
from rim_lightning.training.settings import plain

TIMED = 8  # batches that are timed per stage


def batches_per_epoch(
    timing_cfg: DictConfig, cfg: DictConfig, module: pl.LightningModule, data: pl.LightningDataModule
) -> int:
    """Return the number of batches per epoch with which all stages together take `cfg.budget` minutes.

    A few batches of each stage are timed. On a GPU, minutes are wall-clock time. On a CPU, they are the processor time
    of this process divided by its number of threads. Other work on the machine therefore hardly counts.

    Args:
        timing_cfg: The configuration with one epoch per stage, `one_epoch_each(cfg)`.
        cfg: The configuration of the run.
        module: Training module built from `timing_cfg`, used only for timing.
        data: Data module built from `timing_cfg`, used only for timing.

    Raises:
        ValueError: If the budget has no room for one batch per epoch.
    """
    clock = StageClock()
    averages = [instantiate(cfg.callbacks.ema)] if "ema" in cfg.callbacks else []
    trainer: pl.Trainer = instantiate(
        timing_cfg.trainer,
        max_epochs=len(timing_cfg.schedule.stages),
        limit_train_batches=TIMED,
        limit_val_batches=0,
        callbacks=[*averages, clock],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, data)
    # Seconds of a run with one batch per epoch.
    shortest = sum(stage.epochs * clock.seconds[stage.name] for stage in cfg.schedule.stages)
    batches = 60 * cfg.budget / shortest
    if batches < 1:
        raise ValueError(
            f"budget={cfg.budget} minutes is too short: with one batch per epoch the run takes {shortest / 60:.2f} "
            "minutes. Raise budget, or lower the epochs of the stages."
        )
    return round(batches)


def one_epoch_each(cfg: DictConfig) -> DictConfig:
    """Return the configuration with one short epoch per stage, for `batches_per_epoch`."""
    timing_cfg = copy.deepcopy(cfg)
    timing_cfg.data.samples_per_epoch = TIMED * cfg.data.batch_size
    timing_cfg.schedule.stages = [{**stage, "epochs": 1} for stage in plain(cfg.schedule)["stages"]]
    return timing_cfg


class StageClock(pl.Callback):
    """Times the batches of a training.

    Attributes:
        seconds: Training stage -> seconds of its fastest batch, the one that other work on the machine slowed least.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of a stage."""
        self._last = self._now(pl_module.device)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the time of a batch."""
        module = cast(PhasedModule, pl_module)
        now = self._now(module.device)
        self.seconds[module.stage] = min(now - self._last, self.seconds.get(module.stage, math.inf))
        self._last = now

    @staticmethod
    def _now(device: torch.device) -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time() / torch.get_num_threads()
