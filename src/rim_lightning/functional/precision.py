"""Precision of the pure functions: half precision is raised to float32, float64 stays float64."""

import torch
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """Raise a tensor to at least float32.

    Args:
        x: Any shape and type.

    Returns:
        Same shape. Half, bfloat16 and integers become float32; float32 and float64 are returned as they are.
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))
