"""Probes, and a count of parameters, for the tests of super-resolution networks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def probe(size: int, batch: int = 2, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Random enlarged probes, (batch, 3, size, size), in [-1, 1]; the same at every call."""
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=dtype) * 2 - 1


def count_parameters(build: Callable[..., nn.Module], *arguments: Any, **named: Any) -> int:
    """Number of parameters of the network that `build` builds. No memory is allocated for them."""
    with torch.device("meta"):
        return sum(p.numel() for p in build(*arguments, **named).parameters())
