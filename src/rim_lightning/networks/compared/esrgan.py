"""ESRGAN (Wang et al., arXiv 1809.00219): generator of residual-in-residual dense blocks, and its discriminator."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.networks.compared.super_resolver import SuperResolver, doublings, on_probe_grid
from rim_lightning.networks.hallucination.blocks import conv, scale_weight

SLOPE = 0.2  # of the leaky ReLUs
RESIDUAL = 0.2  # β, factor of every residual branch
BLOCK_START = 0.1  # factor of the weights of the dense blocks at the start


class ESRGAN(SuperResolver):
    """Dense blocks on the probe's own grid, then steps of x2 by nearest neighbor and a convolution (Section 3.1).

    The dense blocks start at a tenth of what He et al. (2015) derive. The other convolutions start smaller than He et
    al., by torch's default, as in the authors' code: the skip connections of 23 blocks alone multiply the features by
    1.2²³ = 66.

    Args:
        factor: Enlargement from the probe's grid to the face, a power of two; 4 in the paper.
        blocks: Number of `RRDB`.
        width: Channels between them.
        growth: Channels that each convolution in a dense block adds.

    Raises:
        ValueError: If `factor` is not a power of two.
    """

    def __init__(self, factor: int = 8, blocks: int = 23, width: int = 64, growth: int = 32) -> None:
        super().__init__()
        self.factor = factor
        self.from_rgb = nn.Conv2d(3, width, 3, padding=1)
        self.trunk = nn.Sequential(*(RRDB(width, growth) for _ in range(blocks)), nn.Conv2d(width, width, 3, padding=1))
        layers: list[nn.Module] = []
        for _ in range(doublings(factor)):
            layers += [nn.Upsample(scale_factor=2, mode="nearest")]
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(SLOPE, inplace=True)]
        self.to_rgb = nn.Sequential(*layers, nn.Conv2d(width, 3, 3, padding=1))

    def levels(self, enlarged: Tensor, sizes: Tensor | None = None) -> list[Tensor]:
        """Make one face of each probe, see `SuperResolver.levels`.

        Args:
            enlarged: Probes enlarged to (B, 3, S, S), RGB in [-1, 1].
            sizes: Ignored.

        Returns:
            One level of faces, (B, 3, S, S), RGB around [-1, 1], not clipped.

        Raises:
            ValueError: If S is not a multiple of the factor.
        """
        features = self.from_rgb(on_probe_grid(enlarged, self.factor))  # (B, width, S / factor, S / factor)
        return [self.to_rgb(features + self.trunk(features))]


class RRDB(nn.Module):
    """Residual in residual dense block: three dense blocks, whose output is scaled and added to the input.

    Args:
        width: Channels of input and output.
        growth: Channels that each convolution in a dense block adds.
    """

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*(DenseBlock(width, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape."""
        return x + RESIDUAL * self.body(x)


class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each of which reads the input and the outputs of all before it.

    The output of the last one is scaled and added to the input.

    Args:
        width: Channels of input and output.
        growth: Channels of the output of the first four convolutions.
    """

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.grow = nn.ModuleList([conv(width + number * growth, growth) for number in range(4)])
        self.last = conv(width + 4 * growth, width)
        for layer in (*self.grow, self.last):
            scale_weight(layer, BLOCK_START)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape."""
        features = x
        for layer in self.grow:
            features = torch.cat([features, F.leaky_relu(layer(features), SLOPE)], dim=1)  # `growth` more channels
        return x + RESIDUAL * self.last(features)


class Discriminator(nn.Module):
    """VGG-style discriminator: pairs of convolutions down to 4x4 pixels, then two linear layers.

    A pair is a 3x3 convolution and a 4x4 convolution of stride 2. For 128 pixels the pairs have 1, 2, 4, 8 and 8 times
    `width` channels, as in the authors' code; other sizes have more or fewer pairs. Batch norm follows every
    convolution but the first, with the statistics of one call on one rank. Convolutions before a norm have no bias,
    which would have no gradient.

    Args:
        width: Channels of the first pair.
        input_size: Side S of the faces in pixels, 4 times a power of two.

    Raises:
        ValueError: If `input_size` is not 8, 16, 32, ...
    """

    def __init__(self, width: int = 64, input_size: int = 128) -> None:
        super().__init__()
        if input_size < 8 or input_size & (input_size - 1):
            raise ValueError(f"The discriminator halves faces down to 4x4: S must be 8, 16, 32, ..., got {input_size}.")
        self.input_size = input_size
        pairs = doublings(input_size // 4)
        widths = [width * min(2**number, 8) for number in range(pairs)]
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(zip([3, *widths], widths, strict=False)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=number == 0)]
            layers += [nn.BatchNorm2d(outputs)] if number else []
            layers += [nn.LeakyReLU(SLOPE, inplace=True), nn.Conv2d(outputs, outputs, 4, 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE, inplace=True)]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(widths[-1] * 16, 100), nn.LeakyReLU(SLOPE, inplace=True), nn.Linear(100, 1)
        )

    def forward(self, faces: Tensor) -> Tensor:
        """Judge faces.

        Args:
            faces: Faces, (B, 3, S, S), RGB around [-1, 1].

        Returns:
            Logits C(x), (B,), larger for a face that looks real.

        Raises:
            ValueError: If the faces are not (B, 3, S, S).
        """
        if faces.ndim != 4 or tuple(faces.shape[1:]) != (3, self.input_size, self.input_size):
            raise ValueError(
                f"This discriminator takes faces of (B, 3, {self.input_size}, {self.input_size}), got "
                f"{tuple(faces.shape)}: build it with their input_size."
            )
        maps = self.features(faces)  # (B, channels of the last pair, 4, 4)
        return self.head(maps).squeeze(1)  # (B, 1) -> (B,)
