"""VDSR (Kim et al., arXiv 1511.04587)."""

from torch import Tensor, nn

from rim_lightning.networks.compared.super_resolver import SuperResolver
from rim_lightning.networks.hallucination.blocks import RGB_START, conv, scale_weight


class VDSR(SuperResolver):
    """A plain stack of 3x3 convolutions with ReLU between them, whose output is added to the enlarged probe.

    The weights start as He et al. (2015) derive, as in the paper, but for the last layer's: those start small, close to
    bicubic interpolation. It reads RGB, the paper's luma.

    Args:
        depth: number of convolutions.
        width: channels between them.

    Raises:
        ValueError: the depth is below 2.
    """

    def __init__(self, depth: int = 20, width: int = 64):
        super().__init__()
        if depth < 2:
            raise ValueError(f"VDSR has a first and a last convolution: its depth must be 2 or more, got {depth}.")
        parts: list[nn.Module] = [conv(3, width), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            parts += [conv(width, width), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*parts)
        self.to_rgb = conv(width, 3)
        scale_weight(self.to_rgb, RGB_START)

    def levels(self, enlarged: Tensor) -> list[Tensor]:
        """Probe enlarged to (B, 3, S, S), RGB in [-1, 1] -> one face, the same shape, not clipped."""
        return [enlarged + self.to_rgb(self.body(enlarged))]
