"""Reduction and enlargement of images: the only file that calls torch's bicubic interpolation."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.functional.precision import full_precision

Interpolation = Literal["bicubic", "area", "bilinear", "nearest"]
"""Ways of resizing; all but the last one average over the pixels that a reduction leaves out."""


def round_to_8bit(image: Tensor) -> Tensor:
    """Round an image to the levels of an 8-bit file, without gradient.

    Args:
        image: Any shape, values around [-1, 1].

    Returns:
        Same shape, each value the nearest of 256 levels in [-1, 1].

    Example:
        >>> round_to_8bit(torch.tensor([-1.0, 0.0, 1.3]))  # levels 0, 128 and 255: none of them is gray 0
        tensor([-1.0000,  0.0039,  1.0000])
    """
    # In place after the first step: five new tensors cost ten times as much as the arithmetic.
    return (image + 1).mul_(127.5).round_().clamp_(0, 255).div_(127.5).sub_(1)


def bicubic(image: Tensor, height: int, width: int) -> Tensor:
    """Resize images by antialiased bicubic interpolation (a = −½), with gradient.

    Args:
        image: (B, C, H, W), any range.
        height: Height of the result in pixels.
        width: Width of the result in pixels.

    Returns:
        (B, C, height, width). Values can lie slightly beyond the range of the input.
    """
    # Without antialias torch's bicubic has a = −¾, a different kernel from Pillow's.
    return F.interpolate(image, (height, width), mode="bicubic", antialias=True, align_corners=False)


def resizing_weights(before: int, after: int, way: Interpolation) -> Tensor:
    """Return the weights by which a line of pixels is resized.

    Args:
        before: Number of pixels of the line.
        after: Number of pixels of the result.
        way: How the result is made. "bicubic" has a = −½, as `bicubic`.

    Returns:
        (after, before) float64, on the CPU. Every row sums to 1.

    Example:
        >>> resizing_weights(4, 2, "area")
        tensor([[0.5000, 0.5000, 0.0000, 0.0000],
                [0.0000, 0.0000, 0.5000, 0.5000]], dtype=torch.float64)
    """
    if way == "area":
        edges = torch.arange(after + 1, dtype=torch.float64) * before / after
        pixel = torch.arange(before, dtype=torch.float64)
        overlap = torch.minimum(edges[1:, None], pixel + 1) - torch.maximum(edges[:-1, None], pixel)
        return overlap.clamp(min=0) * after / before
    lines = torch.eye(before, dtype=torch.float64)[None, None]
    if way == "bicubic":
        return bicubic(lines, after, before)[0, 0]
    if way == "bilinear":
        return F.interpolate(lines, (after, before), mode="bilinear", antialias=True, align_corners=False)[0, 0]
    return F.interpolate(lines, (after, before), mode="nearest-exact")[0, 0]


def reduce(hr: Tensor, size: int, quantize: bool = True) -> Tensor:
    """Reduce images by antialiased bicubic interpolation, like Pillow's `resize((size, size), BICUBIC)`.

    Args:
        hr: (B, 3, H, W), RGB in [-1, 1].
        size: Side of the result in pixels.
        quantize: True rounds to the 8-bit grid after each of the two passes (across, then down). This matches Pillow
            within one level, but has no gradient. False keeps real values, values beyond [-1, 1] and the gradient.

    Returns:
        (B, 3, size, size).
    """
    return _like_pillow(hr, size, quantize)


def area_reduce(hr: Tensor, size: int) -> Tensor:
    """Reduce images to the mean over the area of each new pixel, as a sensor behind a perfect lens would.

    Like OpenCV's INTER_AREA, rounded to 8 bit.

    Args:
        hr: (B, 3, S, S), RGB in [-1, 1].
        size: Side of the result in pixels.

    Returns:
        (B, 3, size, size).
    """
    share = resizing_weights(hr.shape[-1], size, "area").to(hr.device, torch.float32)  # (size, S)
    return round_to_8bit(share @ hr.float() @ share.T)


def enlarge(lr: Tensor, hr_size: int, quantize: bool = True) -> Tensor:
    """Enlarge images by bicubic interpolation (a = −½), like Pillow's `resize((hr_size, hr_size), BICUBIC)`.

    Args:
        lr: (B, 3, h, w), RGB in [-1, 1].
        hr_size: Side of the result in pixels.
        quantize: True rounds to the 8-bit grid after each of the two passes, see `reduce`.

    Returns:
        (B, 3, hr_size, hr_size).
    """
    return _like_pillow(lr, hr_size, quantize)


def on_own_grid(faces: Tensor, sizes: Tensor) -> Tensor:
    """Bring each face of a batch to a grid of its own size and back: `enlarge(reduce(face, size), S)`.

    Both steps are products with matrices that are computed from the sizes, so that one graph holds all sizes.

    Args:
        faces: (B, 3, S, S), RGB in [-1, 1].
        sizes: (B,) sides in pixels; they are rounded and kept from 1 to S. A face of side S stays as it is.

    Returns:
        (B, 3, S, S) on the 8-bit grid.
    """
    side = faces.shape[-1]
    grid = sizes.round().clamp(1, side)[:, None, None, None]  # (B, 1, 1, 1)
    line = torch.arange(side, device=faces.device, dtype=torch.float32)
    before, after = line[None, None, None, :], line[None, None, :, None]
    scale = side / grid
    reducing = _weights(((before + 0.5) - (after + 0.5) * scale) / scale, after < grid)
    enlarging = _weights((before + 0.5) - (after + 0.5) / scale, before < grid)
    for weights in (reducing, enlarging):  # across, then down
        faces = round_to_8bit(faces @ weights.transpose(-1, -2))
        faces = round_to_8bit(weights @ faces)
    return faces


def _weights(distances: Tensor, inside: Tensor) -> Tensor:
    """Return rows of bicubic weights (a = −½), each with the sum 1, or 0 where nothing is inside."""
    x = distances.abs()
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = torch.where(x < 1, near, torch.where(x < 2, far, 0.0)) * inside
    return weights / weights.sum(-1, keepdim=True).clamp(min=0.5)


def before_enlargement(enlarged: Tensor, size: int) -> Tensor:
    """Return the pixels that `enlarge` was given, for people to look at; to reduce them again would blur them.

    Args:
        enlarged: (B, 3, S, S), RGB in [-1, 1], as `enlarge` returns it.
        size: Side in pixels before, at most S.

    Returns:
        (B, 3, size, size), the least-squares solution on the 8-bit grid: the pixels within a level or two.
    """
    back = torch.linalg.pinv(resizing_weights(size, enlarged.shape[-1], "bicubic")).to(enlarged.device)  # (size, S)
    return round_to_8bit((back @ enlarged.double() @ back.T).float())


def resized(faces: Tensor, size: int) -> Tensor:
    """Resize faces to the input of a network, by antialiased bicubic interpolation with gradient.

    Args:
        faces: (B, 3, S, S), RGB in [-1, 1].
        size: Side of the result in pixels.

    Returns:
        (B, 3, size, size), at least float32. The faces themselves if S is `size`.
    """
    return faces if faces.shape[-1] == size else bicubic(full_precision(faces), size, size)


def _like_pillow(image: Tensor, size: int, quantize: bool) -> Tensor:
    image = image.float()
    if not quantize:
        return bicubic(image, size, size)
    across = round_to_8bit(bicubic(image, image.shape[2], size))
    return round_to_8bit(bicubic(across, size, size))
