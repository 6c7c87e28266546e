"""The size of the probe as an input of a network: a constant channel beside RGB."""

import torch
from torch import Tensor


def required_sizes(sizes: Tensor | None) -> Tensor:
    """Return the sizes of probes for a network that reads them.

    Args:
        sizes: Side of each probe in pixels before it was enlarged, (B,), or None.

    Returns:
        The sizes.

    Raises:
        ValueError: If there are none.
    """
    if sizes is None:
        raise ValueError(
            "The network takes the size of each probe as an input: give sizes, the sides of the probes in pixels "
            "before they were enlarged."
        )
    return sizes


def with_size(images: Tensor, sizes: Tensor | None, nominal: int) -> Tensor:
    """Append the channel log(size / nominal) to images. It is 0 for probes of the nominal size.

    An image of S pixels has no more detail than S pixels: larger sizes count as S.

    Args:
        images: Enlarged probes or sharp faces, (B, 3, S, S), RGB in [-1, 1].
        sizes: Side of each probe in pixels before it was enlarged, (B,), on any device. Sharp faces have the size S.
        nominal: Nominal side of a probe in pixels.

    Returns:
        (B, 4, S, S), the dtype and device of the images.

    Raises:
        ValueError: If the sizes are missing, or are not one for each image.

    Example:
        >>> with_size(torch.zeros(1, 3, 32, 32), torch.tensor([8]), 8)[0, :, 0, 0]
        tensor([0., 0., 0., 0.])
    """
    sizes = required_sizes(sizes)
    if sizes.shape != images.shape[:1]:
        raise ValueError(f"One size per probe: {tuple(sizes.shape)} sizes for {len(images)} probes.")
    pixels = sizes.to(images, non_blocking=True).clamp(max=images.shape[-1])  # (B,)
    channel = (pixels / nominal).log()[:, None, None, None].expand(-1, 1, *images.shape[-2:])  # (B, 1, S, S)
    return torch.cat([images, channel], dim=1)
