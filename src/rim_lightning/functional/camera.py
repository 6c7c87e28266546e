"""Probes as cameras make them: blur, any interpolation, noise, JPEG or the blocks of a video codec."""

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.functional.compression import codec_like, jpeg_like
from rim_lightning.functional.degradation import gaussian_blur
from rim_lightning.functional.resize import Interpolation, resizing_weights, round_to_8bit

BICUBIC, AREA, BILINEAR, NEAREST = range(4)
"""Ways of reducing a face."""
WAYS: tuple[Interpolation, ...] = ("bicubic", "area", "bilinear", "nearest")
"""Their names, in the same order."""
WHOLE, JPEG, CODEC = range(3)
"""What happens to a reduced face: nothing, JPEG, or a frame of a video."""

DEGRADED_SHARE = 0.5
"""Share of the probes that are degraded; the others are reduced by `BICUBIC` or `AREA` alone, half each."""
BLUR = (0.1, 1.5)
"""Standard deviation of the blur in pixels of the PROBE, log-uniform, along each of two axes at a random angle."""
NEAREST_BLUR = 0.4
"""Least standard deviation of the blur before a reduction by `NEAREST`: a lens is never sharper than that."""
NOISE_LEVELS = (0.0, 20.0)
"""Standard deviation of the Gaussian noise in 8-bit levels, uniform. Half of the time it is gray."""
COMPRESSIONS = (0.25, 0.5, 0.25)
"""Shares of `WHOLE`, `JPEG` and `CODEC`."""
QUALITY = (30, 90)
"""Quality of the JPEG file, uniform, both ends included."""
CODEC_BLOCKS = (8, 16)
"""Sides of the codec's blocks in pixels."""
CODEC_STEP = (6.0, 40.0)
"""Step of the codec's coefficients in levels, log-uniform: those of H.264 for its parameters QP 20 to 36."""

_NUMBERS = 14


class CameraDraws(NamedTuple):
    """How each of B probes is degraded. All tensors are on the CPU.

    Attributes:
        interpolation: Way of reducing, (B,) int64: `BICUBIC`, `AREA`, `BILINEAR` or `NEAREST`.
        degraded: Which probes are degraded, (B,) bool. What follows has no meaning for the others.
        blur: Standard deviations along two axes in pixels of the probe, (B, 2).
        angle: Angle from x to the first axis in radians, (B,).
        noise: Standard deviation of the noise in levels, (B,).
        gray: Which noise is the same in all channels, (B,) bool.
        compression: `WHOLE`, `JPEG` or `CODEC`, (B,) int64.
        quality: Quality of the JPEG file, (B,) int64.
        block: Side of the codec's blocks in pixels, (B,) int64.
        step: Step of the codec's coefficients in levels, (B,).
        offset: Position of the probe among the codec's blocks, down and across, (B, 2) whole pixels.
        seed: Seed of the noise, (B,) int64.
    """

    interpolation: Tensor
    degraded: Tensor
    blur: Tensor
    angle: Tensor
    noise: Tensor
    gray: Tensor
    compression: Tensor
    quality: Tensor
    block: Tensor
    step: Tensor
    offset: Tensor
    seed: Tensor


def draw_numbers(batch: int, generator: torch.Generator) -> Tensor:
    """Draw the random numbers of `camera_draws` for a batch, (batch, K) float64 in [0, 1), on the CPU."""
    return torch.rand(batch, _NUMBERS, generator=generator, dtype=torch.float64)


def camera_draws(numbers: Tensor) -> CameraDraws:
    """Turn uniform random numbers into the degradations of probes.

    Half of the probes are reduced by bicubic or area interpolation, a quarter each. The others have blur, any of four
    interpolations, noise, and one of no compression, JPEG and codec, see the constants of this file.

    Args:
        numbers: (B, K) float64 in [0, 1), one row a probe, see `draw_numbers`.

    Returns:
        The degradations.
    """
    degraded, interpolation, first, second, angle, noise, gray, compression, quality, block = numbers.unbind(1)[:10]
    step, down, across, seed = numbers.unbind(1)[10:]
    is_degraded = degraded < DEGRADED_SHARE
    ways = torch.where(is_degraded, 4, 2)  # BICUBIC and AREA come first
    way = (interpolation * ways).long()
    blur = torch.stack([_log_uniform(first, BLUR), _log_uniform(second, BLUR)], 1)
    bounds = torch.tensor(COMPRESSIONS, dtype=torch.float64).cumsum(0)[:-1]
    blocks = torch.tensor(CODEC_BLOCKS)[(block * len(CODEC_BLOCKS)).long()]
    return CameraDraws(
        interpolation=way,
        degraded=is_degraded,
        blur=torch.where((way == NEAREST)[:, None], blur.clamp(min=NEAREST_BLUR), blur),
        angle=angle * math.pi,
        noise=NOISE_LEVELS[0] + noise * (NOISE_LEVELS[1] - NOISE_LEVELS[0]),
        gray=gray < 0.5,
        compression=torch.bucketize(compression.contiguous(), bounds, right=True),
        quality=(QUALITY[0] + quality * (QUALITY[1] + 1 - QUALITY[0])).long(),
        block=blocks,
        step=_log_uniform(step, CODEC_STEP),
        offset=(torch.stack([down, across], 1) * blocks[:, None]).long(),
        seed=(seed * 2**53).long(),
    )


def seeded_draws(seeds: Sequence[int]) -> CameraDraws:
    """Draw each degradation from its own seed, for an evaluation: it does not depend on the batch that a face is in.

    Args:
        seeds: One seed per probe.

    Returns:
        The degradations; all probes are degraded.
    """
    numbers = torch.cat([draw_numbers(1, torch.Generator().manual_seed(seed)) for seed in seeds])
    numbers[:, 0] = 0
    return camera_draws(numbers)


@torch.no_grad()
def camera_probe(hr: Tensor, sizes: Tensor, draws: CameraDraws) -> Tensor:
    """Make probes of faces as cameras do, and enlarge them back. All faces go through the same few operations.

    Args:
        hr: Sharp faces, (B, 3, S, S), RGB in [-1, 1], on any device.
        sizes: Side of each probe in pixels, (B,) integers from 1 to S, on the CPU.
        draws: How each probe is degraded.

    Returns:
        (B, 3, S, S) float32, RGB in [-1, 1], on the 8-bit grid, without gradient.

    Raises:
        ValueError: If the faces are not square, or the sizes do not match them.
    """
    side = hr.shape[-1]
    with torch.autocast(hr.device.type, enabled=False):
        probe = camera_reduced(hr, sizes, draws)
        enlargement = _matrices("enlargement", torch.zeros_like(sizes), sizes, side, hr.device)  # (B, M, S)
        return round_to_8bit(enlargement.mT[:, None] @ round_to_8bit(probe @ enlargement[:, None]))


@torch.no_grad()
def camera_reduced(hr: Tensor, sizes: Tensor, draws: CameraDraws) -> Tensor:
    """Make probes of faces as cameras do, without enlarging them.

    Args:
        hr: Sharp faces, as of `camera_probe`.
        sizes: Side of each probe in pixels, as of `camera_probe`.
        draws: How each probe is degraded.

    Returns:
        (B, 3, M, M) float32, RGB in [-1, 1], on the 8-bit grid, where M is the largest size. A smaller probe lies in
        the upper left corner.

    Raises:
        ValueError: If the faces are not square, or the sizes do not match them.
    """
    side = hr.shape[-1]
    if hr.shape[-2] != side or sizes.shape != hr.shape[:1]:
        raise ValueError(f"One probe size per square face: {tuple(sizes.shape)} sizes for faces {tuple(hr.shape)}.")
    if not 1 <= sizes.min() <= sizes.max() <= side:
        raise ValueError(f"Probe sizes are {sizes.min()} to {sizes.max()} px; they must lie in 1 to {side} px.")
    with torch.autocast(hr.device.type, enabled=False):
        faces = _blurred(hr.float(), sizes, draws)
        reduction = _matrices("reduction", draws.interpolation, sizes, side, hr.device)  # (B, M, S)
        across = _rounded(faces @ reduction.mT[:, None], draws, BICUBIC)  # as Pillow, which rounds after each pass
        probe = round_to_8bit(_noisy(reduction[:, None] @ across, sizes, draws))
        return _compressed(probe, sizes, draws)


def _log_uniform(number: Tensor, bounds: tuple[float, float]) -> Tensor:
    return bounds[0] * (bounds[1] / bounds[0]) ** number


def _blurred(faces: Tensor, sizes: Tensor, draws: CameraDraws) -> Tensor:
    """Blur the degraded faces."""
    rows = draws.degraded.nonzero().squeeze(1)
    if not len(rows):
        return faces
    side = faces.shape[-1]
    sigma = (draws.blur[rows] * (side / sizes[rows])[:, None]).float()
    chosen = rows.to(faces.device, non_blocking=True)
    blurred = gaussian_blur(faces[chosen], sigma, draws.angle[rows].float(), margin=side // 2)
    return faces.index_copy(0, chosen, blurred)


def _rounded(images: Tensor, draws: CameraDraws, way: int) -> Tensor:
    """Round those images to 8 bit that are reduced in one way and not degraded."""
    rounds = (draws.interpolation == way) & ~draws.degraded
    return torch.where(rounds.to(images.device, non_blocking=True)[:, None, None, None], round_to_8bit(images), images)


def _noisy(probes: Tensor, sizes: Tensor, draws: CameraDraws) -> Tensor:
    """Add the noise of each degraded probe. It depends on its seed and its size alone."""
    grain = torch.zeros(probes.shape)
    for row in draws.degraded.nonzero().squeeze(1).tolist():
        size, channels = int(sizes[row]), 1 if draws.gray[row] else 3
        generator = torch.Generator().manual_seed(int(draws.seed[row]))
        grain[row, :, :size, :size] = torch.randn(channels, size, size, generator=generator) * draws.noise[row].float()
    return probes + grain.to(probes.device, non_blocking=True) / 127.5


def _compressed(probes: Tensor, sizes: Tensor, draws: CameraDraws) -> Tensor:
    """Compress each degraded probe by its JPEG or codec."""
    for kind, block in ((JPEG, None), *((CODEC, block) for block in CODEC_BLOCKS)):
        is_kind = draws.degraded & (draws.compression == kind)
        rows = (is_kind if block is None else is_kind & (draws.block == block)).nonzero().squeeze(1)
        if not len(rows):
            continue
        chosen = rows.to(probes.device, non_blocking=True)
        if block is None:
            compressed = jpeg_like(probes[chosen], draws.quality[rows], sizes[rows])
        else:
            compressed = codec_like(probes[chosen], block, draws.step[rows], draws.offset[rows], sizes[rows])
        probes = probes.index_copy(0, chosen, compressed)
    return probes


def _matrices(kind: str, ways: Tensor, sizes: Tensor, side: int, device: torch.device) -> Tensor:
    """Stack the matrices of resizing, (B, M, S) on the device, M the largest size. Rows beyond a size are 0."""
    largest = int(sizes.max())
    pairs = list(zip(ways.tolist(), sizes.tolist(), strict=True))
    number_of = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
    matrix = _reduction if kind == "reduction" else _enlargement
    unique = torch.stack([F.pad(matrix(way, size, side), (0, 0, 0, largest - size)) for way, size in number_of])
    numbers = torch.tensor([number_of[pair] for pair in pairs])
    return unique.to(device, non_blocking=True)[numbers.to(device, non_blocking=True)]


@cache
def _reduction(way: int, size: int, side: int) -> Tensor:
    """Weights of the pixels of a line of the face in each pixel of the probe, (size, side)."""
    return resizing_weights(side, size, WAYS[way]).float()


@cache
def _enlargement(way: int, size: int, side: int) -> Tensor:
    """Weights of the pixels of a line of the probe in each pixel of the enlarged one, (size, side)."""
    return resizing_weights(size, side, WAYS[way]).T.float()
