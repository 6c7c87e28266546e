"""Epoch length with which a run takes its budget: minutes, training faces or arithmetic."""

import copy
import math
import time
from typing import Any, cast

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from rim_lightning.datamodules.faces import FaceDataModule
from rim_lightning.functional.arithmetic import flop_counter
from rim_lightning.losses.contrastive import ContrastiveLoss
from rim_lightning.training.phased_module import PhasedModule
from rim_lightning.training.settings import plain
from rim_lightning.types import NO_IDENTITY

TIMED = 8  # batches that are timed per stage
COUNTED_FACES = 4  # faces of the batch whose arithmetic is counted
LIMITS = ("budget", "faces", "work")
"""Settings of rim-train that decide the number of training faces; a run has at most one of them."""


def whole_batches(faces: float, epochs: int, batch_size: int) -> int:
    """Return the number of faces per epoch, in whole batches, with which all epochs together have about `faces`.

    Args:
        faces: Training faces of the run, all stages together.
        epochs: Epochs of all stages together.
        batch_size: Faces of a batch.

    Raises:
        ValueError: If there are fewer faces than one batch per epoch.
    """
    if faces < epochs * batch_size:
        raise ValueError(
            f"faces={faces:g} is too small: one batch of {batch_size} in each of the {epochs} epochs is "
            f"{epochs * batch_size} faces. Raise faces, or lower the epochs of the stages."
        )
    return round(faces / (epochs * batch_size)) * batch_size


def faces_of_work(cfg: DictConfig, gflop: dict[str, float]) -> int:
    """Return the number of faces per epoch, in whole batches, with which all stages do the work `cfg.work`.

    Args:
        cfg: The configuration of the run.
        gflop: Training stage -> GFLOP per face, see `count_work`.

    Raises:
        ValueError: If the work has no room for one batch per epoch.
    """
    shortest = cfg.data.batch_size * sum(stage.epochs * gflop[stage.name] for stage in cfg.schedule.stages) / 1000
    if cfg.work < shortest:
        raise ValueError(
            f"work={cfg.work} TFLOP is too small: with one batch per epoch the run takes {shortest:.3g} TFLOP. Raise "
            "work, or lower the epochs of the stages."
        )
    return int(round(cfg.work / shortest) * cfg.data.batch_size)


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
    _train_each_stage(timing_cfg, module, data, [*averages, clock], TIMED)
    # Seconds of a run with one batch per epoch.
    shortest = sum(stage.epochs * clock.seconds[stage.name] for stage in cfg.schedule.stages)
    batches = 60 * cfg.budget / shortest
    if batches < 1:
        raise ValueError(
            f"budget={cfg.budget} minutes is too short: with one batch per epoch the run takes {shortest / 60:.2f} "
            "minutes. Raise budget, or lower the epochs of the stages."
        )
    return round(batches)


def count_work(counting_cfg: DictConfig, module: PhasedModule, data: FaceDataModule) -> dict[str, float]:
    """Count the arithmetic of one training face in each stage, without a clock.

    One batch of each stage is trained. Convolutions and matrix products count, forward and backward, of every network
    that the step runs: a trained one has about three times the work of its forward pass, a frozen one once or, where
    gradient passes through it, twice. What happens once per run, such as the teacher's embeddings of all training
    faces, does not count, nor does the making of probes.

    Args:
        counting_cfg: The configuration with one short epoch per stage, `one_epoch_each(cfg, COUNTED_FACES)`.
        module: Training module built from it, used only for counting.
        data: Data module built from it, used only for counting.

    Returns:
        Training stage -> GFLOP per face; a multiply-add counts two.
    """
    data.setup()
    network = module.get_submodule(module.architecture)
    for loss in module.modules():
        if isinstance(loss, ContrastiveLoss):  # which embeddings the bank holds makes no difference to the work
            side = int(data.train[0].hr.shape[-1])
            with torch.no_grad():
                size = cast(Any, network).embed_gallery(torch.zeros(1, 3, side, side)).shape[1]
            loss.fill(torch.ones(len(data.train), size), torch.full((len(data.train),), NO_IDENTITY))
    counter = StageWork()
    _train_each_stage(counting_cfg, module, data, [counter], 1)
    return {stage: flop / 1e9 / counting_cfg.data.batch_size for stage, flop in counter.flop.items()}


def _train_each_stage(
    cfg: DictConfig,
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    callbacks: list[pl.Callback],
    batches: int,
) -> None:
    """Train a few batches of each stage."""
    trainer: pl.Trainer = instantiate(
        cfg.trainer,
        max_epochs=len(cfg.schedule.stages),
        limit_train_batches=batches,
        limit_val_batches=0,
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, data)


def one_epoch_each(cfg: DictConfig, batch_size: int | None = None) -> DictConfig:
    """Return the configuration with one short epoch per stage, for `batches_per_epoch` or `count_work`.

    Args:
        cfg: The configuration of the run.
        batch_size: Faces of a batch; None leaves it as it is.
    """
    timing_cfg = copy.deepcopy(cfg)
    if batch_size is not None:
        timing_cfg.data.batch_size = batch_size
    timing_cfg.data.samples_per_epoch = TIMED * timing_cfg.data.batch_size
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


class StageWork(pl.Callback):
    """Counts the arithmetic of the batches of a training.

    Attributes:
        flop: Training stage -> operations of its last batch, forward and backward.
    """

    def __init__(self) -> None:
        self.flop: dict[str, int] = {}
        self._counter = flop_counter()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin to count."""
        self._counter = flop_counter()
        self._counter.__enter__()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the count of a batch."""
        self._counter.__exit__(None, None, None)
        self.flop[cast(PhasedModule, pl_module).stage] = self._counter.get_total_flops()
