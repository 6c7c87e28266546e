"""LapSRN, the Laplacian pyramid network (Lai et al., arXiv 1704.03915)."""

import torch
from torch import Tensor, nn

from rim_lightning.networks.compared.super_resolver import SuperResolver, doublings, on_probe_grid
from rim_lightning.networks.hallucination.blocks import RGB_START, conv, scale_weight

SLOPE = 0.2  # of the leaky ReLUs


class LapSRN(SuperResolver):
    """Steps of x2 from the probe's own grid, each of which adds a residual to the image of the step before.

    The network works on RGB, with a filter for each channel in the image branch; the paper's works on luma. The
    residual convolutions start small, so that the network starts close to bilinear interpolation.

    Args:
        factor: Enlargement from the probe's grid to the face, a power of two.
        depth: Number of 3x3 convolutions of a level, d.
        width: Channels of the features.

    Raises:
        ValueError: If `factor` is not a power of two.
    """

    def __init__(self, factor: int = 8, depth: int = 10, width: int = 64) -> None:
        super().__init__()
        self.factor = factor
        self.from_rgb = nn.Sequential(conv(3, width), nn.LeakyReLU(SLOPE, inplace=True))
        self.steps = nn.ModuleList([Doubling(depth, width) for _ in range(doublings(factor))])

    def levels(self, enlarged: Tensor, sizes: Tensor | None = None) -> list[Tensor]:
        """Make the faces of each step of x2, see `SuperResolver.levels`.

        Args:
            enlarged: Probes enlarged to (B, 3, S, S), RGB in [-1, 1].
            sizes: Ignored.

        Returns:
            Faces of sides 2 S / factor, ..., S / 2, S, RGB around [-1, 1], not clipped.

        Raises:
            ValueError: If S is not a multiple of the factor.
        """
        image = on_probe_grid(enlarged, self.factor)  # (B, 3, S / factor, S / factor)
        features = self.from_rgb(image)  # (B, width, S / factor, S / factor)
        faces = []
        for step in self.steps:
            features, image = step(features, image)  # twice the size
            faces.append(image)
        return faces


class Doubling(nn.Module):
    """One level of the pyramid: features and image at twice the size.

    Args:
        depth: Number of 3x3 convolutions.
        width: Channels of the features.
    """

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [conv(width, width), nn.LeakyReLU(SLOPE, inplace=True)]
        enlarge = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        nn.init.zeros_(enlarge.get_parameter("bias"))
        self.features = nn.Sequential(*layers, start_bilinear(enlarge), nn.LeakyReLU(SLOPE, inplace=True))
        # The image is continued by its edge pixels: zeros around it would darken its border at every level.
        enlarge = nn.ConvTranspose2d(3, 3, 4, stride=2, padding=3, groups=3, bias=False)
        self.image = nn.Sequential(nn.ReplicationPad2d(1), start_bilinear(enlarge))
        self.residual = conv(width, 3)
        scale_weight(self.residual, RGB_START)

    def forward(self, features: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Double the size of features and image.

        Args:
            features: Feature maps, (B, width, h, w).
            image: RGB, (B, 3, h, w).

        Returns:
            Feature maps, (B, width, 2h, 2w), and RGB, (B, 3, 2h, 2w).
        """
        features = self.features(features)  # (B, width, 2h, 2w)
        return features, self.image(image) + self.residual(features)


@torch.no_grad()
def start_bilinear(layer: nn.ConvTranspose2d) -> nn.ConvTranspose2d:
    """Set the weights of a 4x4 layer of stride 2 so that it enlarges every channel bilinearly.

    Args:
        layer: Layer to change, in place.

    Returns:
        The same layer.
    """
    taps = torch.tensor([0.25, 0.75, 0.75, 0.25])
    channel = torch.arange(layer.in_channels)
    layer.weight.zero_()
    layer.weight[channel, channel % layer.weight.shape[1]] = torch.outer(taps, taps)
    return layer
