"""Low-resolution probes made from sharp faces: by Pillow's bicubic reduction, or by blur, noise and JPEG."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.functional.pixels import to_levels
from rim_lightning.functional.resize import enlarge, reduce

DEGRADATIONS = ("bicubic", "realistic", "camera")
"""Names of the ways to make a training probe: `reduce`, `realistic_reduce` and `functional.camera.camera_probe`."""


def synthesize_probe(hr: Tensor, sizes: Tensor, reducer: Callable[[Tensor, int], Tensor] = reduce) -> Tensor:
    """Reduce each face to its own size and enlarge it back: the input of the model for a low-resolution probe.

    Args:
        hr: Sharp faces, (B, 3, S, S), RGB in [-1, 1].
        sizes: Side of each probe in pixels, (B,) integers ≥ 1. Keep it on the CPU: each unique size is one resize.
        reducer: Function (faces, size) -> (n, 3, size, size): `reduce`, or `realistic_reduce` with its generator bound.

    Returns:
        (B, 3, S, S) float32 (float64 for float64 faces), RGB in [-1, 1], on the 8-bit grid.

    Raises:
        ValueError: If the faces are not square, the sizes do not match the batch or a size is below 1.
    """
    if hr.shape[-1] != hr.shape[-2]:
        raise ValueError(f"Probes are made of square faces, got {tuple(hr.shape)}.")
    if sizes.shape != hr.shape[:1]:
        raise ValueError(f"One probe size per face: {tuple(sizes.shape)} sizes for {len(hr)} faces.")
    if sizes.min() < 1:
        raise ValueError(f"A probe size is {sizes.min()} pixels; it must be 1 or more.")
    order = sizes.argsort(stable=True)
    unique, counts = sizes[order].unique_consecutive(return_counts=True)
    order = order.to(hr.device, non_blocking=True)  # the only transfer; the host does not wait for it
    groups = zip(hr[order].split(counts.tolist()), unique.tolist(), strict=True)
    probe = torch.empty_like(hr, dtype=torch.float32)
    probe[order] = torch.cat([enlarge(reducer(faces, size), hr.shape[-1]) for faces, size in groups])
    return probe.to(torch.promote_types(hr.dtype, torch.float32))


def sample_probe_sizes(
    batch: int, low: int, high: int, nominal: int, nominal_share: float, generator: torch.Generator
) -> Tensor:
    """Sample the sides of probes: `nominal` with probability `nominal_share`, else log-uniform over low..high.

    Log-uniform means that a doubled distance to the camera is equally likely anywhere in the range. Side s has the
    probability log(1 + 1 / s) / log((high + 1) / low).

    Args:
        batch: Number of sizes.
        low: Smallest side in pixels, ≥ 1.
        high: Largest side in pixels, ≥ low.
        nominal: Nominal side in pixels.
        nominal_share: Probability of the nominal side, in [0, 1]. 1 reproduces the single size of the paper.
        generator: Source of the random numbers, on the CPU.

    Returns:
        (batch,) int64, on the CPU.

    Raises:
        ValueError: If the range is empty or the share is not in [0, 1].

    Example:
        >>> sample_probe_sizes(3, low=7, high=32, nominal=16, nominal_share=1.0, generator=torch.Generator())
        tensor([16, 16, 16])
    """
    if not 1 <= low <= high:
        raise ValueError(f"Probe sizes are drawn from {low}..{high}; need 1 <= low <= high.")
    if not 0 <= nominal_share <= 1:
        raise ValueError(f"The share of the nominal probe size is {nominal_share}; it must lie in [0, 1].")
    exponent = torch.rand(batch, generator=generator, dtype=torch.float64)
    sizes = (low * ((high + 1) / low) ** exponent).long().clamp(max=high)
    return torch.where(torch.rand(batch, generator=generator) < nominal_share, nominal, sizes)


def realistic_reduce(
    hr: Tensor,
    size: int,
    generator: torch.Generator,
    blur: tuple[float, float] = (0.1, 0.6),
    noise: tuple[float, float] = (0.0, 8.0),
    quality: tuple[int, int] = (60, 95),
) -> Tensor:
    """Reduce faces like a camera: anisotropic Gaussian blur, reduction, Gaussian noise, JPEG.

    Each face has its own blur, noise and quality, uniform over the ranges. They are sampled on the CPU, so that a seed
    gives the same probes on every device.

    Args:
        hr: (B, 3, H, W), RGB in [-1, 1].
        size: Side of the probe in pixels.
        generator: Source of the random numbers, on the CPU.
        blur: Range of the standard deviation along each of two axes at a random angle, in pixels of the PROBE.
        noise: Range of the standard deviation in 8-bit levels. The noise is independent per pixel and channel.
        quality: Range of the JPEG quality, 1..100, both ends included. Chroma is halved (4:2:0).

    Returns:
        (B, 3, size, size) float32 in [-1, 1], on the 8-bit grid, without gradient.
    """
    batch = len(hr)
    sigma = torch.empty(batch, 2).uniform_(*blur, generator=generator) * (hr.shape[-1] / size)
    angle = torch.empty(batch).uniform_(0, math.pi, generator=generator)
    level = torch.empty(batch, 1, 1, 1).uniform_(*noise, generator=generator) / 127.5
    grain = torch.randn(batch, 3, size, size, generator=generator)
    qualities = torch.randint(quality[0], quality[1] + 1, (batch,), generator=generator)
    lr = reduce(gaussian_blur(hr.detach(), sigma, angle), size, quantize=False)
    return _jpeg(lr + (level * grain).to(lr.device), qualities)


def gaussian_blur(image: Tensor, sigma: Tensor, angle: Tensor, margin: int | None = None) -> Tensor:
    """Blur each image by its own anisotropic Gaussian kernel.

    The kernel is a product in the frequency domain, so that the cost does not depend on `sigma`.

    Args:
        image: (B, C, H, W), any range. Beyond the border its edge pixels are repeated.
        sigma: Standard deviations along the two axes of the kernel in pixels, (B, 2).
        angle: Angle from x to the first axis in radians, (B,). Positive angles turn towards +y (downwards).
        margin: Pixels by which the border is repeated on each side; beyond them the image starts again. None: four
            times the largest standard deviation.

    Returns:
        (B, C, H, W) float32.
    """
    image = image.float()
    if margin is None:
        margin = math.ceil(4 * sigma.max().item())
    padded = F.pad(image, [margin] * 4, mode="replicate")
    height, width = padded.shape[-2:]
    down = torch.fft.fftfreq(height)[:, None]  # cycles per pixel
    across = torch.fft.rfftfreq(width)[None, :]
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    first, second = sigma[:, 0, None, None], sigma[:, 1, None, None]
    exponent = (first * (across * cos + down * sin)).square() + (second * (down * cos - across * sin)).square()
    response = torch.exp(-2 * math.pi**2 * exponent)[:, None].to(image.device)  # (B, 1, height, width // 2 + 1)
    blurred = torch.fft.irfft2(torch.fft.rfft2(padded) * response, s=(height, width))
    return blurred[..., margin : height - margin, margin : width - margin]


def _jpeg(image: Tensor, qualities: Tensor) -> Tensor:
    """Pass each image (B, 3, h, w) in [-1, 1] through a JPEG file of its own quality (B,)."""
    from torchvision.io import decode_jpeg, encode_jpeg

    levels = to_levels(image).cpu()
    decoded = [
        decode_jpeg(encode_jpeg(face, quality=quality))
        for face, quality in zip(levels, qualities.tolist(), strict=True)
    ]
    return torch.stack(decoded).to(image.device).float() / 127.5 - 1
