"""Weights so small that a CPU calculates with them slowly."""

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def flush_denormals(network: Network) -> Network:
    """Set the denormal weights of a network to zero, in place.

    Numbers nearer to zero than the smallest normal one (1.2e-38 in fp32) are denormal. Weight decay leaves some in the
    channels that a network no longer uses. Many CPUs calculate with them in microcode: a published MobileFaceNet with
    1 % of such weights embeds twelve times as many faces a second without them, and its embeddings stay the same.

    Args:
        network: Network whose parameters and buffers are changed.

    Returns:
        The same network.
    """
    for values in [*network.parameters(), *network.buffers()]:
        if values.is_floating_point():
            values[values.abs() < torch.finfo(values.dtype).tiny] = 0
    return network
