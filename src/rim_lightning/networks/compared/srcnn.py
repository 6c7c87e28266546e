"""SRCNN (Dong et al., arXiv 1501.00092)."""

from collections.abc import Sequence

from torch import Tensor, nn

from rim_lightning.networks.compared.super_resolver import SuperResolver
from rim_lightning.networks.hallucination.blocks import conv


class SRCNN(SuperResolver):
    """Three convolutions on the enlarged probe, 9x9, 5x5 and 5x5, with ReLU between them (Section 3, "9-5-5").

    Two things differ from the paper. Zeros around the image keep its size in training too. The weights start as He et
    al. (2015) derive: the paper's start, with a standard deviation of 10⁻³, needs 10⁸ steps.

    Args:
        widths: Channels after the first and the second convolution, n_1 and n_2.
    """

    def __init__(self, widths: Sequence[int] = (64, 32)) -> None:
        super().__init__()
        first, second = widths
        self.body = nn.Sequential(
            conv(3, first, 9), nn.ReLU(inplace=True), conv(first, second, 5), nn.ReLU(inplace=True), conv(second, 3, 5)
        )

    def levels(self, enlarged: Tensor, sizes: Tensor | None = None) -> list[Tensor]:
        """Make one face of each probe, see `SuperResolver.levels`."""
        return [self.body(enlarged)]
