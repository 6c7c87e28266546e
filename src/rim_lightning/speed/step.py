"""Measures training with one configuration: speed, counted work, memory and waiting."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, open_dict
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.hooks import RemovableHandle

from rim_lightning.functional.arithmetic import flop_counter
from rim_lightning.networks.recognition import ProbeViews
from rim_lightning.runs.provenance import processor
from rim_lightning.training.callbacks.ema import WarmedEMA
from rim_lightning.training.callbacks.throughput import Throughput
from rim_lightning.training.rim_module import RIMModule
from rim_lightning.training.run import build_module
from rim_lightning.types import FaceBatch


def measure_training(cfg: DictConfig, steps: int, epochs: int) -> dict[str, Any]:
    """Train RIM as `rim-train` would, without checkpoints and validation, and measure it.

    Args:
        cfg: Configuration of `rim-train`. The last of its stages is measured.
        steps: Number of batches of an epoch.
        epochs: Number of measured epochs. One more epoch before them warms up and compiles.

    Returns:
        The figures by name:

        - pairs_per_s (median over epochs), pairs_per_s_low, pairs_per_s_high: probe-and-face pairs per second.
        - steps_per_s: Optimization steps per second.
        - data_wait: Share of the time that is spent waiting for the loader.
        - memory_gb: Largest memory, of the GPU or of the process.
        - gflop_per_pair, gflop_per_s: Counted work of a pair, and that work per second.
        - peak_gflop_per_s, peak_share: Speed of the fastest matrix product, and the share of it that is reached.
        - mmd_share: Share of the time that the MK-MMD takes.
        - parameters: Number of trained parameters.
        - device: Name of the device.
        - gflop_forward: Forward work of every network, see `forward_work`.

    Raises:
        ValueError: If the system is not RIM.
    """
    with open_dict(cfg):
        cfg.schedule.stages = [{"name": cfg.schedule.stages[-1].name, "epochs": epochs + 1}]
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    data = instantiate(cfg.data)
    module = build_module(cfg, None)
    if not isinstance(module, RIMModule):
        raise ValueError(f"rim-speed measures RIM; this system is a {module.architecture}: set system=rim.")
    throughput = Throughput()
    record = _Record(throughput, module)
    trainer: pl.Trainer = instantiate(
        cfg.trainer,
        max_epochs=epochs + 1,
        limit_train_batches=steps + 1,  # Throughput measures from the end of the first
        limit_val_batches=0,
        callbacks=[WarmedEMA(0.999), throughput, record],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, data)
    module.to(trainer.strategy.root_device)  # Lightning has moved it to the CPU
    dtype = _matmul_dtype(str(cfg.trainer.precision))
    return _figures(record, module, trainer.world_size, cfg.data.batch_size, dtype)


class _Record(pl.Callback):
    """Keeps the figures of every epoch, and counts the work of the very first batch.

    Attributes:
        epochs: Figures of `Throughput` for every epoch.
        flop: Floating-point operations of the first batch.
        mmd_calls: Number of MK-MMDs in the first batch.
    """

    def __init__(self, throughput: Throughput, module: RIMModule) -> None:
        self.throughput = throughput
        self.module = module
        self.epochs: list[dict[str, float]] = []
        self.flop = 0
        self.mmd_calls = 0
        self._counting: tuple[FlopCounterMode, RemovableHandle] | None = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: FaceBatch, batch_idx: int
    ) -> None:
        """Start to count, in eager mode: a compiled network is opaque to the counter."""
        if trainer.current_epoch == batch_idx == 0:
            torch.compiler.set_stance("force_eager")
            hook = self.module.objective.domain.register_forward_hook(self._count_mmd)
            counter = flop_counter()
            counter.__enter__()
            self._counting = counter, hook

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: FaceBatch, batch_idx: int
    ) -> None:
        """Stop counting after the first batch."""
        if self._counting is not None:
            counter, hook = self._counting
            counter.__exit__(None, None, None)
            self.flop, self._counting = counter.get_total_flops(), None
            hook.remove()
            torch.compiler.set_stance("default")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the figures of the epoch."""
        self.epochs.append(self.throughput.figures)

    def _count_mmd(self, *_: Any) -> None:
        self.mmd_calls += 1


def _figures(record: _Record, module: RIMModule, ranks: int, batch_size: int, dtype: torch.dtype) -> dict[str, Any]:
    """Compute the figures of `measure_training` after the training."""
    measured = record.epochs[1:]  # the first epoch warms up
    rates = [epoch["speed/pairs_per_s"] for epoch in measured]
    speed = statistics.median(rates)
    pairs = batch_size * ranks
    work = record.flop / batch_size / 1e9
    peak = matmul_peak(module.device, dtype) / 1e9
    return {
        "pairs_per_s": speed,
        "pairs_per_s_low": min(rates),
        "pairs_per_s_high": max(rates),
        "steps_per_s": speed / pairs,
        "data_wait": statistics.median(epoch["speed/data_wait"] for epoch in measured),
        "memory_gb": record.epochs[-1]["speed/memory_gb"],
        "gflop_per_pair": work,
        "gflop_per_s": work * speed,
        "peak_gflop_per_s": peak,
        "peak_share": work * speed / ranks / peak,
        "mmd_share": record.mmd_calls * mmd_seconds(module, batch_size) * speed / pairs,
        "parameters": sum(weight.numel() for weight in module.parameters() if weight.requires_grad),
        "device": _device_name(module.device),
        "gflop_forward": forward_work(module),
    }


def forward_work(module: RIMModule) -> dict[str, float]:
    """Return the work of each network for one face, forward, in GFLOP. A multiply-add is two operations."""
    rim = module.rim
    size, device = rim.hr_size, module.device
    with torch.no_grad():
        face = torch.zeros(1, 3, size, size, device=device)
        face_of_fhn = rim.fhn.sized(face, torch.full((1,), rim.lr_size))
        priors = rim.fhn.generator(face_of_fhn)
        inputs = rim.fhn.integrator_inputs(rim.fhn.coarse(face_of_fhn).trunk, priors)
        views = ProbeViews(face, face, torch.full((1,), rim.lr_size), priors)
        networks: dict[str, Callable[[], Any]] = {
            "coarse": lambda: rim.fhn.coarse(face_of_fhn),
            "paths": lambda: rim.fhn.generator(face_of_fhn),
            "integrator": lambda: rim.fhn.integrator(*inputs),
            "discriminator": lambda: rim.discriminator(priors.features),
            "teacher": lambda: rim.hrn.teacher.stages(rim.hrn.resized(face)),
            "student": lambda: rim.hrn.student.stages(rim.hrn.student_input(views)),
            "assistant": lambda: rim.hrn.assistant.stages(rim.hrn.assistant_input(views)),
        }
        torch.compiler.set_stance("force_eager")
        work = {}
        for name, forward in networks.items():
            with flop_counter() as counter:
                forward()
            work[name] = counter.get_total_flops() / 1e9
        torch.compiler.set_stance("default")
    return work


def mmd_seconds(module: RIMModule, pairs: int, repeats: int = 20) -> float:
    """Return the median time of one MK-MMD with its backward pass, in seconds, on the device of the module.

    Args:
        module: The training module, whose embedding size and MK-MMD are used.
        pairs: Number of pairs that every rank brings.
        repeats: Number of measurements.
    """
    width = cast(nn.Linear, module.rim.discriminator.embed).out_features  # spectral_norm hides the type
    x, y = (torch.randn(pairs, width, device=module.device, requires_grad=True) for _ in range(2))
    return _median_seconds(lambda: module.objective.domain(x, y).backward(), module.device, repeats)


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Return the speed of the fastest square matrix product on the device in FLOP/s, to which `peak_share` refers."""
    sizes = (4096, 8192, 16384) if device.type == "cuda" else (1024, 2048)
    best = 0.0
    for size in sizes:
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        best = max(best, 2 * size**3 / _median_seconds(partial(torch.matmul, a, b), device, repeats=5))
    return best


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor()}, {torch.get_num_threads()} threads"


def _matmul_dtype(precision: str) -> torch.dtype:
    for prefix, dtype in (("bf16", torch.bfloat16), ("16", torch.float16), ("64", torch.float64)):
        if precision.startswith(prefix):
            return dtype
    return torch.float32


def _median_seconds(call: Callable[[], Any], device: torch.device, repeats: int) -> float:
    def seconds() -> float:
        started = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    seconds()
    return statistics.median(seconds() for _ in range(repeats))
