"""Coarse super-resolution Gθc: a first guess of the sharp face, which the three paths then read."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rim_lightning.networks.hallucination.blocks import (
    RGB_START,
    Fold,
    Norm,
    Pyramid,
    Upsampling,
    scale_weight,
    silence_inputs,
)


class CoarseFaces(NamedTuple):
    """Output of the coarse net.

    Attributes:
        faces: Coarse faces I_c, (B, 3, S, S), RGB around [-1, 1], not clipped.
        trunk: Features of the first level after its stack, (B, widths[0], S / reduction, S / reduction).
    """

    faces: Tensor
    trunk: Tensor


class CoarseSR(nn.Module):
    """Coarse net Gθc: average, space to depth, stacks on small grids, pixel shuffle, plus the enlarged probe.

    With a `reduction` of hr/lr (8) the stacks start on the probe's own grid, so that hardly any work is spent on pixels
    that bicubic interpolation made up. A `reduction` of 1 keeps the stacks at full size, as in the authors' code.

    Args:
        reduction: Side of the face over the side of the first stack's grid. It equals the product of `factors`.
        pool: Part of the reduction that is an average; the rest folds pixels into channels. The average loses nothing
            of an enlarged probe of up to S / pool pixels. Folding alone would give channels that are nearly copies of
            each other.
        widths: Channels of each level of the `Pyramid`, from coarse to fine.
        blocks: Residual blocks of each level.
        factors: Enlargement between neighboring levels, and perhaps one more by the RGB layer.
        repeats: How often each stack is applied with the same weights.
        norm: Norm layer of the stacks: "none", "instance" or "group".
        upsampling: "pixel_shuffle" or "transposed".
        residual: Add the enlarged probe to the output, so that the network starts close to bicubic interpolation.
        size_input: Read the size of the probe from a fourth channel (`with_size`), with weights that start at zero.

    Raises:
        ValueError: If `reduction` is not the product of the factors, or not a multiple of `pool`.
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
        size_input: bool = False,
    ) -> None:
        super().__init__()
        if prod(factors) != reduction:
            raise ValueError(f"The coarse net reduces by {reduction} but enlarges by {prod(factors)}; make them equal.")
        if reduction % pool:
            raise ValueError(f"The coarse net reduces by {reduction}, which is not a multiple of its pool {pool}.")
        self.residual = residual
        self.trunk_width = widths[0]
        self.fold = nn.Sequential(nn.AvgPool2d(pool), Fold(reduction // pool))
        inputs = 3 * (reduction // pool) ** 2 + size_input
        self.pyramid = Pyramid(inputs, widths, blocks, factors, repeats, norm, upsampling)
        if size_input:
            silence_inputs(self.pyramid.first, 1)
        if residual:
            scale_weight(self.pyramid.to_rgb, RGB_START)

    def forward(self, enlarged: Tensor) -> CoarseFaces:
        """Make a coarse face of a probe.

        Args:
            enlarged: Probes enlarged to (B, 3, S, S), RGB in [-1, 1]; (B, 4, S, S) with `size_input`.

        Returns:
            Coarse faces, and the features of the first level.
        """
        enlarged = enlarged.contiguous(memory_format=torch.channels_last)  # on a CPU up to a quarter faster
        folded = self.fold(enlarged)  # (B, 3 * (reduction / pool)^2 [+ 1], S / reduction, S / reduction)
        features = self.pyramid.level_features(folded)
        coarse = self.pyramid.image(features[-1])  # (B, 3, S, S)
        return CoarseFaces(enlarged[:, :3] + coarse if self.residual else coarse, features[0])
