"""Runs a function on several gloo ranks on the CPU and brings their results home."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_ranks(function: Callable[[int, int], Any], folder: Path, world: int = 2) -> list[Any]:
    """`function(rank, world)`, importable from its module, on every rank; its results in rank order.

    The results are saved by torch and loaded with `weights_only`: tensors, numbers, strings and containers of them.
    """
    mp.spawn(_rank, args=(function, world, str(folder)), nprocs=world)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(world)]


def _rank(rank: int, function: Callable[[int, int], Any], world: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    try:
        torch.save(function(rank, world), Path(folder) / f"rank{rank}.pt")
    finally:
        dist.destroy_process_group()
