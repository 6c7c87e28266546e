"""rim_lightning.functional.pixels."""

import numpy as np
from torch import Tensor


def to_pixels(image: Tensor) -> np.ndarray:
    """(3, H, W), RGB in [-1, 1] (beyond it clipped) -> (H, W, 3) uint8."""
    return ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
