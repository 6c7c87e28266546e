"""A wider network that computes what a narrower one computes (Net2WiderNet, Chen et al. 2016, arXiv 1511.05641)."""

from collections.abc import Mapping

import torch
from torch import Tensor


def widened(
    narrow: Mapping[str, Tensor], wide: Mapping[str, Tensor], unevenness: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """Spread the weights of a narrow network over a wide one of the same layers.

    Channel j of a layer of n channels that gets more of them is channel j mod n of the narrow network. What reads the
    copies shares its weight among them, so that the wide network computes the same function. Equal shares would keep
    copies equal for ever, because their gradients are equal; uneven shares, drawn for every output, let them part.

    Args:
        narrow: State of the narrow network.
        wide: State of the wide network, of the same names; only the shapes count.
        unevenness: How far a share is from an equal one, as a fraction of it, in [0, 1). 0 shares equally.
        generator: Source of the shares.

    Returns:
        New state of the wide network.

    Raises:
        ValueError: If names differ, or a layer of the wide network is narrower.

    Example:
        >>> narrow = {"0.weight": torch.tensor([[2.0]]), "1.weight": torch.tensor([[3.0]])}
        >>> wide = {"0.weight": torch.zeros(2, 1), "1.weight": torch.zeros(1, 2)}
        >>> widened(narrow, wide, 0.0, torch.Generator())["1.weight"]
        tensor([[1.5000, 1.5000]])
    """
    if narrow.keys() != wide.keys():
        raise ValueError(f"The networks differ in {', '.join(sorted(narrow.keys() ^ wide.keys())[:3])}.")
    return {name: _spread(name, value, wide[name].shape, unevenness, generator) for name, value in narrow.items()}


def _spread(name: str, value: Tensor, shape: torch.Size, unevenness: float, generator: torch.Generator) -> Tensor:
    if len(shape) != value.ndim or shape[2:] != value.shape[2:] or any(map(int.__lt__, shape, value.shape)):
        raise ValueError(f"{name} has the shape {tuple(shape)}, which is not wider than {tuple(value.shape)}.")
    if value.ndim == 0:
        return value.clone()
    outputs = torch.arange(shape[0]) % value.shape[0]
    spread = value[outputs]
    if value.ndim == 1 or shape[1] == value.shape[1]:
        return spread
    inputs = torch.arange(shape[1]) % value.shape[1]  # flattened maps too: their channels come first
    shares = _shares(inputs, shape[0], value.shape[1], unevenness, generator).to(value.dtype)
    return spread[:, inputs] * shares.reshape(*shares.shape, *(1 for _ in shape[2:]))


def _shares(inputs: Tensor, rows: int, channels: int, unevenness: float, generator: torch.Generator) -> Tensor:
    """Positive shares (rows, wide channels) in float64; those of the copies of a channel add up to 1 in every row."""
    copies = torch.zeros(channels, dtype=torch.float64).index_add_(0, inputs, torch.ones(len(inputs)).double())
    drawn = 1 + unevenness * (2 * torch.rand(rows, len(inputs), generator=generator, dtype=torch.float64) - 1)
    totals = torch.zeros(rows, channels, dtype=torch.float64).index_add_(1, inputs, drawn)
    shares = drawn / totals[:, inputs]
    return shares if unevenness else (1 / copies)[inputs].expand(rows, -1)
