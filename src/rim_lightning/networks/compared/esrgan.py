"""ESRGAN (Wang et al., arXiv 1809.00219): generator of residual-in-residual dense blocks, and its discriminator."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.networks.compared.super_resolver import SuperResolver, doublings, on_probe_grid
from rim_lightning.networks.hallucination.blocks import conv, scale_weight

SLOPE = 0.2
RESIDUAL = 0.2  # β, factor of every residual branch
BLOCK_START = 0.1  # factor of the weights of the dense blocks at the start


class ESRGAN(SuperResolver):
    """Dense blocks on the probe's own grid, then steps of x2, each nearest neighbor and a convolution (Section 3.1).

    The dense blocks start at a tenth of He et al. (2015), the other convolutions smaller than that, by torch's default
    as in the authors' code: the skips of 23 blocks alone multiply the features by 1.2²³ = 66.

    Args:
        factor: enlargement from the probe's grid to the face, a power of two; the paper: 4.
        blocks: number of RRDB.
        width: channels between them.
        growth: channels that each convolution in a dense block adds.

    Raises:
        ValueError: `factor` is not a power of two.
    """

    def __init__(self, factor: int = 8, blocks: int = 23, width: int = 64, growth: int = 32):
        super().__init__()
        self.factor = factor
        self.from_rgb = nn.Conv2d(3, width, 3, padding=1)
        self.trunk = nn.Sequential(*(RRDB(width, growth) for _ in range(blocks)), nn.Conv2d(width, width, 3, padding=1))
        parts: list[nn.Module] = []
        for _ in range(doublings(factor)):
            parts += [nn.Upsample(scale_factor=2, mode="nearest")]
            parts += [nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
        parts += [nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
        self.to_rgb = nn.Sequential(*parts, nn.Conv2d(width, 3, 3, padding=1))

    def levels(self, enlarged: Tensor) -> list[Tensor]:
        """Probe enlarged to (B, 3, S, S), RGB in [-1, 1] -> one face, the same shape, not clipped.

        Raises:
            ValueError: S is not a multiple of the factor.
        """
        features = self.from_rgb(on_probe_grid(enlarged, self.factor))
        return [self.to_rgb(features + self.trunk(features))]


class RRDB(nn.Module):
    """Residual in residual: three dense blocks, whose output is scaled and added to the input."""

    def __init__(self, width: int, growth: int):
        super().__init__()
        self.body = nn.Sequential(*(DenseBlock(width, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        return x + RESIDUAL * self.body(x)


class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each of which reads the input and all that the ones before it made; the last one's output
    is scaled and added to the input.
    """

    def __init__(self, width: int, growth: int):
        super().__init__()
        self.grow = nn.ModuleList([conv(width + number * growth, growth) for number in range(4)])
        self.last = conv(width + 4 * growth, width)
        for layer in (*self.grow, self.last):
            scale_weight(layer, BLOCK_START)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        seen = x
        for layer in self.grow:
            seen = torch.cat([seen, F.leaky_relu(layer(seen), SLOPE)], dim=1)
        return x + RESIDUAL * self.last(seen)


class Discriminator(nn.Module):
    """VGG-style: pairs of a 3x3 convolution and a 4x4 one of stride 2 down to 4x4 pixels, then two linear layers.

    As in the authors' code for 128 pixels, `width`, 2, 4, 8 and 8 times it, with batch norm after every convolution but
    the first; convolutions before a norm have no bias, which would have no gradient. Other sizes have more or fewer
    pairs. The batch norms' statistics are of one call and one rank.

    Args:
        width: channels of the first pair.
        input_size: side S of the faces in pixels, 4 times a power of two.

    Raises:
        ValueError: `input_size` is not 8, 16, 32, ...
    """

    def __init__(self, width: int = 64, input_size: int = 128):
        super().__init__()
        if input_size < 8 or input_size & (input_size - 1):
            raise ValueError(f"The discriminator halves faces down to 4x4: S must be 8, 16, 32, ..., got {input_size}.")
        self.input_size = input_size
        pairs = doublings(input_size // 4)
        widths = [width * min(2**number, 8) for number in range(pairs)]
        parts: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(zip([3, *widths], widths, strict=False)):
            parts += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=number == 0)]
            parts += [nn.BatchNorm2d(outputs)] if number else []
            parts += [nn.LeakyReLU(SLOPE, inplace=True), nn.Conv2d(outputs, outputs, 4, 2, 1, bias=False)]
            parts += [nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE, inplace=True)]
        self.features = nn.Sequential(*parts)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(widths[-1] * 16, 100), nn.LeakyReLU(SLOPE, inplace=True), nn.Linear(100, 1)
        )

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, S, S), RGB around [-1, 1] -> logits C(x), (B,), larger where a face looks real.

        Raises:
            ValueError: the faces are not (B, 3, S, S).
        """
        if faces.ndim != 4 or tuple(faces.shape[1:]) != (3, self.input_size, self.input_size):
            raise ValueError(
                f"This discriminator takes faces of (B, 3, {self.input_size}, {self.input_size}), got "
                f"{tuple(faces.shape)}: build it with their input_size."
            )
        return self.head(self.features(faces)).squeeze(1)
