"""Conversion of image tensors to 8-bit levels and pictures: the only file that does so."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def to_levels(image: Tensor, black: float = -1.0) -> Tensor:
    """Convert an image tensor to 8-bit levels.

    Args:
        image: Any shape, values in [black, 1]. Values beyond the range are clipped.
        black: Value of a black pixel: -1 inside the networks, 0 in the images that users get.

    Returns:
        Same shape, uint8.
    """
    return ((image.clamp(black, 1) - black) * (255 / (1 - black))).round().byte()


def to_pixels(image: Tensor, black: float = -1.0) -> NDArray[np.uint8]:
    """Convert an image tensor to a picture.

    Args:
        image: (..., 3, H, W), RGB in [black, 1], on the CPU. Values beyond the range are clipped.
        black: Value of a black pixel: -1 inside the networks, 0 in the images that users get.

    Returns:
        (..., H, W, 3) uint8.
    """
    return to_levels(image, black).movedim(-3, -1).numpy()
