"""Removal of the samples that a distributed sampler repeats."""

import torch
from torch import Tensor


def keep_unique(index: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    """Keep the first row of each index, in ascending order of the index.

    The order in which the ranks delivered the rows does not matter.

    Args:
        index: Position of each sample in the data set, (B,) int64.
        *values: Tensors with one row per sample, (B, ...) each.

    Returns:
        Unique indices, (U,), then each of `values` as (U, ...).
    """
    ordered, order = index.sort(stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    keep = order[first]
    return (index[keep], *(value[keep] for value in values))
