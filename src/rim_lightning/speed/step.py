"""Measures the training loop of one configuration: speed, counted work, memory, waiting."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, open_dict
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.hooks import RemovableHandle

from rim_lightning.speed.authors_step import REFERENCES, FiveBackwards
from rim_lightning.training.callbacks.ema import WarmedEMA
from rim_lightning.training.callbacks.throughput import Throughput
from rim_lightning.training.rim_module import RIMModule
from rim_lightning.training.run import build_module
from rim_lightning.types import FaceBatch


def measure_training(cfg: DictConfig, steps: int, epochs: int) -> dict[str, Any]:
    """Train as `rim-train` would, without checkpoints and validation, and measure it.

    Args:
        cfg: as of `conf/train.yaml`; `alternation` may also be one of `REFERENCES`, see `FiveBackwards`.
        steps: batches of an epoch. epochs: measured ones, after a first that warms up (and compiles).

    Returns:
        figures by name: steps_per_s, pairs_per_s (median over epochs) with pairs_per_s_low and _high, data_wait,
        memory_gb, gflop_per_pair, gflop_per_s, peak_gflop_per_s, peak_share, mmd_share, parameters (trained ones), and
        the forward work of each network in gflop_forward.
    """
    reference = cfg.system.alternation if cfg.system.alternation in REFERENCES else None
    if reference and cfg.schedule.stages[-1].name != "fhn":
        raise ValueError(f"alternation={reference} is a step of the stage fhn; set schedule.stages.0.name=fhn.")
    with open_dict(cfg):
        cfg.schedule.stages = [{"name": cfg.schedule.stages[-1].name, "epochs": epochs + 1}]
        if reference:
            cfg.system.alternation = "sequential"
    if cfg.threads:
        torch.set_num_threads(cfg.threads)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    data = instantiate(cfg.data)
    module = build_module(cfg, None)
    if reference:
        module = FiveBackwards.of(module, restricted=reference == "five_restricted")
    throughput = Throughput()
    record = _Record(throughput)
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
    pairs = cfg.data.batch_size * trainer.world_size
    rates = [epoch["speed/pairs_per_s"] for epoch in record.epochs[1:]]
    speed = statistics.median(rates)
    work = record.flop / cfg.data.batch_size / 1e9
    peak = matmul_peak(trainer.strategy.root_device, _matmul_dtype(str(cfg.trainer.precision))) / 1e9
    return {
        "pairs_per_s": speed,
        "pairs_per_s_low": min(rates),
        "pairs_per_s_high": max(rates),
        "steps_per_s": speed / pairs,
        "data_wait": statistics.median(epoch["speed/data_wait"] for epoch in record.epochs[1:]),
        "memory_gb": record.epochs[-1]["speed/memory_gb"],
        "gflop_per_pair": work,
        "gflop_per_s": work * speed,
        "peak_gflop_per_s": peak,
        "peak_share": work * speed / trainer.world_size / peak,
        "mmd_share": record.mmd_calls * mmd_seconds(module, cfg.data.batch_size) * speed / pairs,
        "parameters": sum(weight.numel() for weight in module.parameters() if weight.requires_grad),
        "device": _device_name(trainer.strategy.root_device),
        "gflop_forward": forward_work(module),
    }


class _Record(pl.Callback):
    """Keeps what `Throughput` finds in every epoch, and counts the work of the very first batch."""

    def __init__(self, throughput: Throughput) -> None:
        self.throughput = throughput
        self.epochs: list[dict[str, float]] = []
        self.flop = 0
        self.mmd_calls = 0
        self._counter: FlopCounterMode | None = None
        self._hook: RemovableHandle | None = None

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: RIMModule, batch: FaceBatch, batch_idx: int) -> None:
        """Count in eager mode: a compiled network is opaque to the counter."""
        if trainer.current_epoch == batch_idx == 0:
            torch.compiler.set_stance("force_eager")
            self._hook = pl_module.objective.domain.register_forward_hook(self._count_mmd)
            self._counter = FlopCounterMode(display=False)
            self._counter.__enter__()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: RIMModule, outputs: Any, batch: FaceBatch, batch_idx: int
    ) -> None:
        """Take the count."""
        if self._counter is not None:
            self._counter.__exit__(None, None, None)
            self.flop, self._counter = self._counter.get_total_flops(), None
            self._hook.remove()
            torch.compiler.set_stance("default")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: RIMModule) -> None:
        """Keep the epoch's figures."""
        self.epochs.append(self.throughput.figures)

    def _count_mmd(self, *_: Any) -> None:
        self.mmd_calls += 1


def forward_work(module: RIMModule) -> dict[str, float]:
    """GFLOP of one face through each network, forward; a multiply-add is two."""
    rim = module.rim
    size, device = rim.hr_size, module.device
    with torch.no_grad():
        face = torch.zeros(1, 3, size, size, device=device)
        features = rim.fhn.generator(face).features
        small = rim.hrn.resized(face)
        parts: dict[str, Callable[[], Any]] = {
            "coarse": lambda: rim.fhn.coarse(face),
            "paths": lambda: rim.fhn.generator(face),
            "integrator": lambda: rim.fhn.integrator(features),
            "discriminator": lambda: rim.discriminator(features),
            "teacher": lambda: rim.hrn.teacher.stages(small),
            "student": lambda: rim.hrn.student.stages(small),
            "assistant": lambda: rim.hrn.assistant.stages(small),
        }
        torch.compiler.set_stance("force_eager")
        work = {}
        for name, run in parts.items():
            with FlopCounterMode(display=False) as counter:
                run()
            work[name] = counter.get_total_flops() / 1e9
        torch.compiler.set_stance("default")
    return work


def mmd_seconds(module: RIMModule, pairs: int, repeats: int = 20) -> float:
    """Seconds of one MK-MMD of `pairs` pairs of every rank with its backward, median, on the device of the module."""
    width = module.rim.discriminator.embed.out_features
    x, y = (torch.randn(pairs, width, device=module.device, requires_grad=True) for _ in range(2))
    return _median_seconds(lambda: module.objective.domain(x, y).backward(), module.device, repeats)


def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of the fastest square matrix product on the device: the roof that `peak_share` refers to."""
    sizes = (4096, 8192, 16384) if device.type == "cuda" else (1024, 2048)
    best = 0.0
    for size in sizes:
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        best = max(best, 2 * size**3 / _median_seconds(lambda a=a, b=b: a @ b, device, repeats=5))
    return best


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'CPU'}, {torch.get_num_threads()} threads"


def _matmul_dtype(precision: str) -> torch.dtype:
    for prefix, dtype in (("bf16", torch.bfloat16), ("16", torch.float16), ("64", torch.float64)):
        if precision.startswith(prefix):
            return dtype
    return torch.float32


def _median_seconds(run: Callable[[], Any], device: torch.device, repeats: int) -> float:
    def once() -> float:
        started = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    once()
    return statistics.median(once() for _ in range(repeats))
