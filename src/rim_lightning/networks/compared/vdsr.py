"""VDSR (Kim et al., arXiv 1511.04587)."""

from torch import Tensor, nn

from rim_lightning.networks.compared.super_resolver import SuperResolver
from rim_lightning.networks.hallucination.blocks import RGB_START, conv, scale_weight


class VDSR(SuperResolver):
    """A stack of 3x3 convolutions with ReLU between them, whose output is added to the enlarged probe.

    The weights start as He et al. (2015) derive, as in the paper. Those of the last layer start smaller, so that the
    network starts close to bicubic interpolation. The network reads RGB, the paper's reads luma.

    Args:
        depth: Number of convolutions.
        width: Channels between them.

    Raises:
        ValueError: If the depth is below 2.
    """

    def __init__(self, depth: int = 20, width: int = 64) -> None:
        super().__init__()
        if depth < 2:
            raise ValueError(f"VDSR has a first and a last convolution: its depth must be 2 or more, got {depth}.")
        layers: list[nn.Module] = [conv(3, width), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += [conv(width, width), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers)
        self.to_rgb = conv(width, 3)
        scale_weight(self.to_rgb, RGB_START)

    def levels(self, enlarged: Tensor, sizes: Tensor | None = None) -> list[Tensor]:
        """Make one face of each probe, see `SuperResolver.levels`."""
        features = self.body(enlarged)  # (B, width, S, S)
        return [enlarged + self.to_rgb(features)]
