"""Domain discriminator Dθd: embeds the features of coarse and sharp faces so that their MK-MMD grows."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from rim_lightning.functional.precision import full_precision
from rim_lightning.networks.hallucination.blocks import Norm, conv, normalization


class DomainDiscriminator(nn.Module):
    """Strided convolutions, a pooled head and a unit-length embedding.

    There is no batch norm, which erases the mean shift that the MMD should see; the embedding has unit length, and the
    convolutions may be spectrally normalized, because an unconstrained critic over-fits its batch.

    Args:
        channels: channels C of the features.
        width: channels of the first convolution, doubled by the second.
        embedding_size: length of the embedding.
        norm: "none" or "group".
        spectral: spectrally normalize every weight.
    """

    def __init__(self, channels: int, width: int, embedding_size: int, norm: Norm = "none", spectral: bool = True):
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
        """(M, C, g, g) features F -> (M, D) embeddings of unit length, in full precision.

        Embeddings of the two domains may differ by less than bf16 tells apart.
        """
        pooled = full_precision(self.body(features)).mean((2, 3))
        with torch.autocast(features.device.type, enabled=False):
            return F.normalize(self.embed(pooled), dim=1)
