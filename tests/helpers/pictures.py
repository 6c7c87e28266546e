"""Pictures and their 8-bit levels."""

import numpy as np
import torch

from rim_lightning.types import to_unit


def levels(image):
    """8-bit levels of an image in [-1, 1], as integers."""
    return ((image + 1) * 127.5).round().long()


def noise_image(size, seed=0):
    """Saturated noise: the hardest case, because every resize overshoots."""
    return np.random.default_rng(seed).choice([0, 255, 40, 200], (size, size, 3)).astype(np.uint8)


def to_tensor(array):
    """(H, W, 3) uint8 to (1, 3, H, W) in [-1, 1]."""
    return to_unit(torch.from_numpy(array.copy()).permute(2, 0, 1)[None])
