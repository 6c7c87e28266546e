"""Samples that a distributed sampler repeated, counted once."""

import torch
from torch import Tensor


def keep_unique(index: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    """The first row of every index, in ascending order of the index, whatever order the ranks delivered.

    Args:
        index: (B,) int64, position in the data set. values: (B, ...) each, one row per index.

    Returns:
        (U,) unique indices, then each of `values` as (U, ...).
    """
    ordered, order = index.sort(stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    keep = order[first]
    return (index[keep], *(value[keep] for value in values))
