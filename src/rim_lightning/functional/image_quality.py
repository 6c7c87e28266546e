"""PSNR and SSIM of single images, and the luma that super-resolution papers measure."""

import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.functional.precision import full_precision


def luma(rgb: Tensor) -> Tensor:
    """Compute the luma Y of BT.601 in studio swing, as MATLAB's `rgb2ycbcr` does.

    Args:
        rgb: (B, 3, H, W), RGB in [-1, 1].

    Returns:
        (B, 1, H, W), from 16 for black to 235 for white.

    Example:
        >>> luma(torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)).flatten()  # black, white
        tensor([ 16., 235.])
    """
    red, green, blue = ((full_precision(rgb) + 1) / 2).split(1, dim=1)
    return 16 + 65.481 * red + 128.553 * green + 24.966 * blue


def psnr(a: Tensor, b: Tensor, data_range: float, crop: int = 0) -> Tensor:
    """Compute the peak signal-to-noise ratio of each image over all its channels.

    Args:
        a: Images, (B, C, H, W).
        b: Images to compare with, same shape.
        data_range: Difference between the largest and the smallest possible value: 255 for 8-bit levels, 2 for [-1, 1].
        crop: Number of pixels left out along each border.

    Returns:
        (B,) in dB; infinite for equal images.

    Raises:
        ValueError: If shapes differ or the crop leaves nothing.

    Example:
        >>> psnr(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2), data_range=10.0)  # 10 log10(10² / 1)
        tensor([20.])
    """
    a, b = _cropped(a, b, crop, smallest=1)
    return 10 * torch.log10(data_range**2 / (a - b).square().mean((1, 2, 3)))


def ssim(a: Tensor, b: Tensor, data_range: float, crop: int = 0) -> Tensor:
    """Compute the structural similarity of each image (Wang et al. 2004), averaged over its channels.

    Gaussian window 11×11, σ 1.5, K1 = .01, K2 = .03. Only positions where the whole window lies in the image count.

    Args:
        a: Images, (B, C, H, W).
        b: Images to compare with, same shape.
        data_range: Difference between the largest and the smallest possible value, see `psnr`.
        crop: Number of pixels left out along each border.

    Returns:
        (B,) in [-1, 1].

    Raises:
        ValueError: If shapes differ or the crop leaves less than the window.
    """
    a, b = _cropped(a, b, crop, smallest=11)
    offsets = torch.arange(-5, 6, device=a.device, dtype=a.dtype)
    window = torch.exp(-offsets.square() / (2 * 1.5**2))
    window = window / window.sum()

    channels = a.shape[1]
    moments = torch.cat([a, b, a * a, b * b, a * b], dim=1)
    with torch.autocast(a.device.type, enabled=False):
        kernel = window.expand(5 * channels, 1, 1, 11)
        moments = F.conv2d(moments, kernel, groups=5 * channels)
        moments = F.conv2d(moments, kernel.transpose(2, 3), groups=5 * channels)
    mean_a, mean_b, square_a, square_b, product = moments.split(channels, dim=1)

    stable_mean, stable_variance = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    covariance = product - mean_a * mean_b
    variances = square_a - mean_a.square() + square_b - mean_b.square()
    luminance = (2 * mean_a * mean_b + stable_mean) / (mean_a.square() + mean_b.square() + stable_mean)
    structure = (2 * covariance + stable_variance) / (variances + stable_variance)
    return (luminance * structure).mean((1, 2, 3))


def _cropped(a: Tensor, b: Tensor, crop: int, smallest: int) -> tuple[Tensor, Tensor]:
    if a.ndim != 4 or a.shape != b.shape:
        raise ValueError(
            f"Images are compared as (B, C, H, W) of one shape, got {tuple(a.shape)} and {tuple(b.shape)}."
        )
    height, width = a.shape[2] - 2 * crop, a.shape[3] - 2 * crop
    if min(height, width) < smallest:
        raise ValueError(f"A crop of {crop} pixels leaves {height} x {width}; {smallest} x {smallest} are needed.")
    region = (..., slice(crop, crop + height), slice(crop, crop + width))
    return full_precision(a)[region], full_precision(b)[region]
