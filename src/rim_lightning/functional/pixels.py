"""Conversion of image tensors to 8-bit levels and pictures: the only file that does so."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def to_levels(image: Tensor) -> Tensor:
    """Convert an image tensor to 8-bit levels.

    Args:
        image: Any shape, values in [-1, 1]. Values beyond the range are clipped.

    Returns:
        Same shape, uint8.
    """
    return ((image.clamp(-1, 1) + 1) * 127.5).round().byte()


def to_pixels(image: Tensor) -> NDArray[np.uint8]:
    """Convert an image tensor to a picture.

    Args:
        image: (..., 3, H, W), RGB in [-1, 1], on the CPU. Values beyond the range are clipped.

    Returns:
        (..., H, W, 3) uint8.
    """
    return to_levels(image).movedim(-3, -1).numpy()
