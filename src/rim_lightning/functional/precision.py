"""The one rule of precision of the pure functions: half precision is raised to fp32, fp64 stays fp64."""

import torch
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """Any tensor to at least float32: half, bfloat16 and integers become float32, float64 is left alone."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
