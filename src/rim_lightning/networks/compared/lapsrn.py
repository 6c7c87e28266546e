"""LapSRN, the Laplacian pyramid (Lai et al., arXiv 1704.03915)."""

import torch
from torch import Tensor, nn

from rim_lightning.networks.compared.super_resolver import SuperResolver, doublings, on_probe_grid
from rim_lightning.networks.hallucination.blocks import RGB_START, conv, scale_weight

SLOPE = 0.2


class LapSRN(SuperResolver):
    """From the probe's own grid by steps of x2, each of which adds a residual to the image of the step before.

    It works on RGB, the paper on luma, with a filter of each channel's own in the image branch. The residual
    convolutions start small, close to bilinear interpolation.

    Args:
        factor: enlargement from the probe's grid to the face, a power of two.
        depth: 3x3 convolutions of a level, d.
        width: channels of the features.

    Raises:
        ValueError: `factor` is not a power of two.
    """

    def __init__(self, factor: int = 8, depth: int = 10, width: int = 64):
        super().__init__()
        self.factor = factor
        self.from_rgb = nn.Sequential(conv(3, width), nn.LeakyReLU(SLOPE, inplace=True))
        self.steps = nn.ModuleList([Doubling(depth, width) for _ in range(doublings(factor))])

    def levels(self, enlarged: Tensor) -> list[Tensor]:
        """Probe enlarged to (B, 3, S, S), RGB in [-1, 1] -> faces of sides 2 S / factor, ..., S / 2, S, not clipped.

        Raises:
            ValueError: S is not a multiple of the factor.
        """
        image = on_probe_grid(enlarged, self.factor)
        features = self.from_rgb(image)
        faces = []
        for step in self.steps:
            features, image = step(features, image)
            faces.append(image)
        return faces


class Doubling(nn.Module):
    """One level of the pyramid: features and image at twice the size."""

    def __init__(self, depth: int, width: int):
        super().__init__()
        parts: list[nn.Module] = []
        for _ in range(depth):
            parts += [conv(width, width), nn.LeakyReLU(SLOPE, inplace=True)]
        enlarge = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        nn.init.zeros_(enlarge.bias)
        self.features = nn.Sequential(*parts, start_bilinear(enlarge), nn.LeakyReLU(SLOPE, inplace=True))
        # Continued by its edge pixels: zeros around it would darken the border of the image at every level.
        enlarge = nn.ConvTranspose2d(3, 3, 4, stride=2, padding=3, groups=3, bias=False)
        self.image = nn.Sequential(nn.ReplicationPad2d(1), start_bilinear(enlarge))
        self.residual = conv(width, 3)
        scale_weight(self.residual, RGB_START)

    def forward(self, features: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, width, h, w) and RGB (B, 3, h, w) -> (B, width, 2h, 2w) and (B, 3, 2h, 2w)."""
        features = self.features(features)
        return features, self.image(image) + self.residual(features)


@torch.no_grad()
def start_bilinear(layer: nn.ConvTranspose2d) -> nn.ConvTranspose2d:
    """The 4x4 layer of stride 2 itself, which now enlarges every channel bilinearly."""
    taps = torch.tensor([0.25, 0.75, 0.75, 0.25])
    channel = torch.arange(layer.in_channels)
    layer.weight.zero_()
    layer.weight[channel, channel % layer.weight.shape[1]] = torch.outer(taps, taps)
    return layer
