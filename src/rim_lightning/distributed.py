"""The only user of torch.distributed: sums and gathers over ranks that are the identity on one process."""

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as dist_nn
from torch import Tensor


def is_distributed() -> bool:
    """True when more than one process takes part in the run."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def leave() -> None:
    """Leave the group of processes: what this one computes from here on is its own."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def gather_batch(x: Tensor) -> Tensor:
    """(B, ...) of this rank -> (world * B, ...) of all ranks, in rank order, with gradient.

    Every rank must bring the same shape. The backward sums the gradients of all ranks, so that a loss of the gathered
    batch, averaged over ranks by DDP, has exactly the gradient one process would have on the whole batch.
    """
    if not is_distributed():
        return x
    return torch.cat(dist_nn.all_gather(x.contiguous()))


def mean_over_ranks(values: Tensor) -> Tensor:
    """The mean of `values` (any shape) over the ranks, the same on all; NaN where it is NaN on any of them."""
    if not is_distributed():
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def any_rank(flags: list[bool], device: torch.device) -> Tensor:
    """(N,) uint8 on the device: which of the flags holds on at least one rank, the same on all."""
    raised = torch.tensor(flags, dtype=torch.uint8).to(device, non_blocking=True)
    if is_distributed():
        dist.all_reduce(raised, dist.ReduceOp.MAX)
    return raised


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` (any shape) where `mask` (same shape, bool) holds, over the samples of ALL ranks; 0 if none.

    Under DDP, whose backward averages gradients over ranks, the returned scalar is this rank's share scaled by the
    world size: its average over ranks is the global mean, however unequally the labels fall on the ranks.
    """
    total = torch.where(mask, values, torch.zeros_like(values)).sum()
    count = mask.sum().to(values.dtype)
    if not is_distributed():
        return total / count.clamp(min=1)
    count = count.detach().clone()
    dist.all_reduce(count)
    return total * dist.get_world_size() / count.clamp(min=1)
