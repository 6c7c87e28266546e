"""Sums and gathers over ranks: the only file that uses torch.distributed.

On one process every function returns its input or the plain result.
"""

import os
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as dist_nn
from torch import Tensor


def is_distributed() -> bool:
    """Return True if more than one process takes part in the run."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def message_board(address: str, port: int, rank: int, world: int, minutes: float = 10.0) -> dist.Store:
    """Return a store of words that all processes of a run share before they join a process group.

    torchrun has one already; otherwise the first process makes it, at the port where the process group will meet.

    Args:
        address: Address of the machine of the first process.
        port: Its port.
        rank: Rank of this process.
        world: Number of processes.
        minutes: Longest time until the first process is there.

    Raises:
        RuntimeError: If the port is taken, or the first process cannot be reached.
    """
    own = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    options = {"wait_for_workers": False, "multi_tenant": own}  # the process group shares the port
    store = dist.TCPStore(address, port, world, own, timedelta(minutes=minutes), **options)
    return dist.PrefixStore(f"rim-train/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)


def leave_process_group() -> None:
    """Leave the process group. From then on this process computes alone."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def gather_batch(x: Tensor) -> Tensor:
    """Concatenate the batches of all ranks, with gradient.

    The backward pass sums the gradients of all ranks. A loss of the gathered batch that DDP averages over ranks
    therefore has exactly the gradient that one process would have on the whole batch.

    Args:
        x: Batch of this rank, (B, ...). Every rank must pass the same shape.

    Returns:
        Batch of all ranks in rank order, (world · B, ...).
    """
    if not is_distributed():
        return x
    return torch.cat(dist_nn.all_gather(x.contiguous()))


def mean_over_ranks(values: Tensor) -> Tensor:
    """Average values over the ranks, without gradient.

    Args:
        values: Any shape, the same on every rank.

    Returns:
        Same shape, equal on all ranks. NaN where a rank has NaN.
    """
    if not is_distributed():
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def any_rank(flags: list[bool], device: torch.device) -> Tensor:
    """Find the flags that at least one rank has raised.

    Args:
        flags: N flags of this rank.
        device: Device of the result.

    Returns:
        (N,) uint8, 1 where a rank has raised the flag; equal on all ranks.
    """
    raised = torch.tensor(flags, dtype=torch.uint8).to(device, non_blocking=True)
    if is_distributed():
        dist.all_reduce(raised, dist.ReduceOp.MAX)
    return raised


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Average the values whose mask is True over all ranks, scaled for DDP.

    DDP averages gradients over ranks, and the average of the results over the ranks is the global mean. This holds
    however unequally the labels are distributed over the ranks.

    Args:
        values: Any shape.
        mask: Same shape, bool. True where a value counts.

    Returns:
        Scalar: this rank's share of the global mean times the number of ranks; 0 if no value counts.
    """
    total = torch.where(mask, values, torch.zeros_like(values)).sum()
    count = mask.sum().to(values.dtype)
    if not is_distributed():
        return total / count.clamp(min=1)
    count = count.detach().clone()
    dist.all_reduce(count)
    return total * dist.get_world_size() / count.clamp(min=1)
