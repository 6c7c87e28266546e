"""What compression leaves of small pictures: JPEG and the blocks of a video codec, batched, without files."""

import math
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

JPEG_BLOCK = 8
LUMA_TABLE = (
    *(16, 11, 10, 16, 24, 40, 51, 61),
    *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77),
    *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)
"""Steps of the luma coefficients at quality 50, row by row (ITU-T T.81, table K.1)."""
CHROMA_TABLE = (
    *(17, 18, 24, 47, 99, 99, 99, 99),
    *(18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99),
    *(47, 66, 99, 99, 99, 99, 99, 99),
    *([99] * 32),
)
"""Steps of the chroma coefficients at quality 50 (ITU-T T.81, table K.2)."""


@torch.no_grad()
def jpeg_like(image: Tensor, quality: Tensor, sizes: Tensor | None = None) -> Tensor:
    """Pass pictures through what a JPEG file keeps of them, as libjpeg does: YCbCr, chroma 4:2:0, 8x8 blocks.

    Args:
        image: (B, 3, M, M), RGB in [-1, 1].
        quality: Quality of each file, (B,) in 1..100; its tables are the standard ones, scaled.
        sizes: Side of each picture in pixels, (B,), on the CPU; the picture is the upper left part of its M x M pixels.
            None: all are M.

    Returns:
        (B, 3, M, M) float32 on the 8-bit grid, without gradient. Pixels beyond the side of a picture have no meaning.
    """
    quality = quality.double().cpu()
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None]  # (B, 1), as libjpeg
    tables = [
        ((torch.tensor(table, dtype=torch.float64) * percent + 50) / 100).floor().clamp(1, 255)
        for table in (LUMA_TABLE, CHROMA_TABLE)
    ]
    luma, chroma = (table.view(-1, 1, 1, JPEG_BLOCK, 1, JPEG_BLOCK).float().to(image.device) for table in tables)
    offset = torch.zeros(len(image), 2, dtype=torch.int64)

    def quantize(coefficients: Tensor, is_luma: bool) -> Tensor:
        step = luma if is_luma else chroma
        return (coefficients / step).round() * step

    return _compress(image, sizes, offset, JPEG_BLOCK, quantize, whole_levels=True)


@torch.no_grad()
def codec_like(image: Tensor, block: int, step: Tensor, offset: Tensor, sizes: Tensor | None = None) -> Tensor:
    """Leave of pictures what a frame of a compressed video keeps: blocks whose coefficients have one step, 4:2:0.

    The picture lies somewhere in a larger frame, so that the borders of the blocks cross it anywhere. Coefficients are
    rounded towards zero by a third of a step, as encoders of H.264 do for intra blocks (ITU-T H.264 reference model).

    Args:
        image: (B, 3, M, M), RGB in [-1, 1].
        block: Side of a block in pixels.
        step: Step of all coefficients of an orthonormal cosine transform in 8-bit levels, (B,).
        offset: Position of the picture in its frame, down and across, (B, 2) whole pixels, on the CPU.
        sizes: Side of each picture, see `jpeg_like`.

    Returns:
        (B, 3, M, M) float32 on the 8-bit grid, without gradient, see `jpeg_like`.
    """
    steps = step.float().view(-1, 1, 1, 1, 1, 1).to(image.device)

    def quantize(coefficients: Tensor, is_luma: bool) -> Tensor:
        return coefficients.sign() * (coefficients.abs() / steps + 1 / 3).floor() * steps

    return _compress(image, sizes, offset, block, quantize, whole_levels=False)


def _compress(
    image: Tensor,
    sizes: Tensor | None,
    offset: Tensor,
    block: int,
    quantize: Callable[[Tensor, bool], Tensor],
    whole_levels: bool,
) -> Tensor:
    """Quantize the blocks of the frames in which the pictures lie, and cut the pictures out again."""
    side = image.shape[-1]
    sizes = torch.full((len(image),), side) if sizes is None else sizes
    unit = 2 * block  # pixels that one block of chroma covers
    frame_side = math.ceil((side + int(offset.max())) / unit) * unit
    ends = offset + sizes[:, None]  # (B, 2)
    chroma_ends = (ends + 1).div(2, rounding_mode="floor")
    nowhere = torch.zeros_like(offset)
    with torch.autocast(image.device.type, enabled=False):
        rgb = ((image.float().clamp(-1, 1) + 1) * 127.5).round()
        luma, chroma = _to_luma_chroma(_window(rgb, -offset, sizes[:, None].expand(-1, 2), frame_side))
        # libjpeg repeats the last row of the picture's chroma, but its last column of pixels.
        below = torch.stack([chroma_ends[:, 0], torch.full_like(sizes, frame_side)], 1)
        chroma = _window(F.avg_pool2d(chroma, 2), nowhere, below, frame_side // 2)
        if whole_levels:
            luma, chroma = luma.round(), chroma.round()
        luma = _through_blocks(luma, block, quantize, True)
        chroma = _through_blocks(chroma, block, quantize, False)
        # A decoder repeats the border of the picture's chroma before it enlarges it.
        chroma = _window(chroma, nowhere, chroma_ends, frame_side // 2)
        chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
        if whole_levels:
            luma, chroma = luma.round().clamp(-128, 127), chroma.round().clamp(-128, 127)
        return _window(_to_rgb(luma, chroma), offset, ends, side) / 127.5 - 1


def _window(image: Tensor, start: Tensor, sizes: Tensor, side: int) -> Tensor:
    """Cut a square out of each picture; beyond its side the border of the picture is repeated.

    Args:
        image: (B, C, M, M).
        start: First row and column of each square, (B, 2) whole pixels, on the CPU.
        sizes: Rows and columns of each picture, (B, 2), on the CPU.
        side: Side of the squares.

    Returns:
        (B, C, side, side).
    """
    last = (sizes - 1).clamp(max=image.shape[-1] - 1)[:, :, None]
    place = (start[:, :, None] + torch.arange(side)).clamp(min=0).minimum(last)  # (B, 2, side)
    rows, columns = place.to(image.device, non_blocking=True).unbind(1)
    picture = torch.arange(len(image), device=image.device)[:, None, None]
    return image[picture, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def _through_blocks(planes: Tensor, block: int, quantize: Callable[[Tensor, bool], Tensor], is_luma: bool) -> Tensor:
    """Transform the blocks of planes (B, C, F, F), quantize their coefficients, and transform them back."""
    batch, channels, side, _ = planes.shape
    transform = _cosines(block).to(planes.device)
    blocks = planes.reshape(batch, channels, side // block, block, side // block, block)
    coefficients = torch.einsum("ui,bcyixj,vj->bcyuxv", transform, blocks, transform)
    restored = torch.einsum("ui,bcyuxv,vj->bcyixj", transform, quantize(coefficients, is_luma), transform)
    return restored.reshape(batch, channels, side, side)


@cache
def _cosines(block: int) -> Tensor:
    """Orthonormal matrix of the discrete cosine transform (DCT-II), (block, block): frequency, then position."""
    place = torch.arange(block, dtype=torch.float64)
    matrix = torch.cos(math.pi / block * (place + 0.5) * place[:, None]) * math.sqrt(2 / block)
    matrix[0] /= math.sqrt(2)
    return matrix.float()


def _to_luma_chroma(rgb: Tensor) -> tuple[Tensor, Tensor]:
    """Convert levels (B, 3, F, F) to Y - 128, (B, 1, F, F), and Cb - 128, Cr - 128, (B, 2, F, F) (JFIF)."""
    red, green, blue = rgb.split(1, 1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return luma - 128, torch.cat([0.564334 * (blue - luma), 0.713267 * (red - luma)], 1)


def _to_rgb(luma: Tensor, chroma: Tensor) -> Tensor:
    """Convert back to whole levels 0..255, see `_to_luma_chroma`."""
    blueness, redness = chroma.split(1, 1)
    red, blue = luma + 1.402 * redness, luma + 1.772 * blueness
    green = luma - 0.344136 * blueness - 0.714136 * redness
    return (torch.cat([red, green, blue], 1) + 128).round().clamp(0, 255)
