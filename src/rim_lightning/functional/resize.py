"""rim_lightning.functional.resize."""

import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.functional.precision import full_precision


def round_to_8bit(image: Tensor) -> Tensor:
    """Any image around [-1, 1] to the nearest of the 256 levels of an 8-bit file, still in [-1, 1]. No gradient.

    Example:
        >>> round_to_8bit(torch.tensor([-1.0, 0.0, 1.3]))  # levels 0, 128 and 255: none of them is gray 0
        tensor([-1.0000,  0.0039,  1.0000])
    """
    # In place after the first step: five new tensors cost ten times as much as the arithmetic.
    return (image + 1).mul_(127.5).round_().clamp_(0, 255).div_(127.5).sub_(1)


def reduce(hr: Tensor, size: int, quantize: bool = True) -> Tensor:
    """Antialiased bicubic reduction, as Pillow's `resize((size, size), BICUBIC)`.

    Args:
        hr: (B, 3, H, W), RGB in [-1, 1].
        size: side of the result, in pixels.
        quantize: round to the 8-bit grid after each of the two passes (across, then down), as Pillow does: within one
            level of it, but without gradient. False keeps real values, overshoot beyond [-1, 1] and the gradient.

    Returns:
        (B, 3, size, size).
    """
    return _resize(hr, size, quantize)


def area_reduce(hr: Tensor, size: int) -> Tensor:
    """The mean of what each pixel of the probe covers, 8 bit: a sensor behind a perfect lens (OpenCV's INTER_AREA).

    Args:
        hr: (B, 3, S, S), RGB in [-1, 1]. size: side of the result, in pixels.

    Returns:
        (B, 3, size, size).
    """
    side = hr.shape[-1]
    edges = torch.arange(size + 1, dtype=torch.float64) * side / size
    pixel = torch.arange(side, dtype=torch.float64)
    covered = torch.minimum(edges[1:, None], pixel + 1) - torch.maximum(edges[:-1, None], pixel)
    share = (covered.clamp(min=0) * size / side).to(hr.device, torch.float32)
    return round_to_8bit(share @ hr.float() @ share.T)


def enlarge(lr: Tensor, hr_size: int, quantize: bool = True) -> Tensor:
    """Bicubic enlargement (a = −½), as Pillow's `resize((hr_size, hr_size), BICUBIC)`.

    Args:
        lr: (B, 3, h, w), RGB in [-1, 1].
        hr_size: side of the result, in pixels.
        quantize: as for `reduce`.

    Returns:
        (B, 3, hr_size, hr_size).
    """
    return _resize(lr, hr_size, quantize)


def _resize(image: Tensor, size: int, quantize: bool) -> Tensor:
    # Without antialias torch's bicubic has a = −¾, another kernel than Pillow's.
    options = {"mode": "bicubic", "antialias": True, "align_corners": False}
    image = image.float()
    if not quantize:
        return F.interpolate(image, (size, size), **options)
    across = round_to_8bit(F.interpolate(image, (image.shape[2], size), **options))
    return round_to_8bit(F.interpolate(across, (size, size), **options))


def resized(faces: Tensor, size: int) -> Tensor:
    """(B, 3, S, S) -> (B, 3, size, size); antialiased bicubic, with gradient."""
    if faces.shape[-1] == size:
        return faces
    return F.interpolate(full_precision(faces), (size, size), mode="bicubic", antialias=True, align_corners=False)
