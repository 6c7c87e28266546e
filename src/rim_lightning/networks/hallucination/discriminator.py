"""Domain discriminator Dθd: embeds the features of coarse and sharp faces so that their MK-MMD grows."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from rim_lightning.functional.precision import full_precision
from rim_lightning.networks.hallucination.blocks import Norm, conv, normalization


class DomainDiscriminator(nn.Module):
    """Strided convolutions, a pooled head and an embedding of length 1.

    There is no batch norm, because it erases the shift of the mean that the MMD should see. The embedding has length 1
    and the weights may be spectrally normalized, because an unconstrained critic overfits its batch.

    Args:
        channels: Channels C of the features.
        width: Channels of the first convolution. The second has twice as many.
        embedding_size: Numbers D of the embedding.
        norm: Norm layer: "none", "instance" or "group".
        spectral: Normalize every weight spectrally.
    """

    def __init__(
        self, channels: int, width: int, embedding_size: int, norm: Norm = "none", spectral: bool = True
    ) -> None:
        super().__init__()
        constrain = spectral_norm if spectral else lambda module: module
        self.body = nn.Sequential(
            constrain(conv(channels, width, 3, 2, norm)),
            normalization(norm, width),
            nn.LeakyReLU(0.2),
            constrain(conv(width, 2 * width, 3, 2, norm)),
            normalization(norm, 2 * width),
            nn.LeakyReLU(0.2),
        )
        self.embed = constrain(nn.Linear(2 * width, embedding_size))

    def forward(self, features: Tensor) -> Tensor:
        """Embed features in full precision, because bf16 cannot resolve the differences between the two domains.

        Args:
            features: Concatenated features F of the paths, (M, C, g, g).

        Returns:
            Embeddings of length 1, (M, D), float32.
        """
        maps = self.body(features)  # (M, 2 * width, g / 4, g / 4)
        pooled = full_precision(maps).mean((2, 3))  # (M, 2 * width)
        with torch.autocast(features.device.type, enabled=False):
            return F.normalize(self.embed(pooled), dim=1)
