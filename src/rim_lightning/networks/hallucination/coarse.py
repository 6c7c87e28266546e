"""Coarse super-resolution Gθc: a first guess of the sharp face, which the three paths then read."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rim_lightning.networks.hallucination.blocks import RGB_START, Norm, Pyramid, Upsampling, scale_weight


class CoarseSR(nn.Module):
    """Enlarged probe -> coarse face I_c: average, space to depth, stacks on small grids, pixel shuffle, plus the probe.

    With a `reduction` of hr/lr (8) the stacks start on the probe's own grid, so that hardly any work is spent on pixels
    that bicubic interpolation made up; a reduction of 1 keeps the stacks at full size as the authors' code did.

    Args:
        reduction: side of the face over that of the first stack's grid; the product of `factors`.
        pool: part of the reduction done by averaging, which an enlarged probe of up to S / pool pixels survives; the
            rest folds pixels into channels. Folding alone would give channels that are nearly copies of each other.
        widths, blocks, factors, repeats, norm, upsampling: see `Pyramid`.
        residual: add the enlarged probe to the output, so that the network starts close to bicubic interpolation.

    Raises:
        ValueError: `reduction` is not the product of the factors, or not a multiple of `pool`.
    """

    def __init__(
        self,
        reduction: int,
        pool: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        factors: Sequence[int],
        repeats: int = 1,
        norm: Norm = "none",
        upsampling: Upsampling = "pixel_shuffle",
        residual: bool = True,
    ):
        super().__init__()
        product = 1
        for factor in factors:
            product *= factor
        if product != reduction:
            raise ValueError(f"The coarse net reduces by {reduction} but enlarges by {product}; make them equal.")
        if reduction % pool:
            raise ValueError(f"The coarse net reduces by {reduction}, which is not a multiple of its pool {pool}.")
        self.residual = residual
        self.fold = nn.Sequential(nn.AvgPool2d(pool), nn.PixelUnshuffle(reduction // pool))
        self.pyramid = Pyramid(3 * (reduction // pool) ** 2, widths, blocks, factors, repeats, norm, upsampling)
        if residual:
            scale_weight(self.pyramid.to_rgb, RGB_START)

    def forward(self, enlarged: Tensor) -> Tensor:
        """Probe enlarged to (B, 3, S, S), RGB in [-1, 1] -> coarse face I_c, the same shape, not clipped."""
        enlarged = enlarged.contiguous(memory_format=torch.channels_last)  # on a CPU up to a quarter faster
        coarse = self.pyramid(self.fold(enlarged))
        return enlarged + coarse if self.residual else coarse
