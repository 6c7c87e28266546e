"""The tri-path generator: global Gθf, landmarks Gθl and parsing Gθp, read from the coarse and from the sharp face."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rim_lightning.networks.hallucination.blocks import (
    Hourglass,
    Norm,
    ResidualStack,
    conv,
    normalization,
    scale_weight,
)
from rim_lightning.networks.prelu import PReLU

HEAD_START = 0.01  # factor of the weights of a prior's head at the start


class Priors(NamedTuple):
    """What the three paths make of M faces on their grid of g = S / stride pixels.

    Attributes:
        features: (M, C, g, g), concatenated features F; the global path's channels first.
        heatmaps: landmark scheme -> (M, N, g, g), one channel per point.
        parsing: (M, 11, g, g), class logits.
    """

    features: Tensor
    heatmaps: dict[str, Tensor]
    parsing: Tensor

    def split(self, sizes: list[int]) -> list["Priors"]:
        """Cut the M faces into consecutive groups of these sizes."""
        features, parsing = self.features.split(sizes), self.parsing.split(sizes)
        heatmaps = {scheme: maps.split(sizes) for scheme, maps in self.heatmaps.items()}
        return [
            Priors(features[part], {scheme: maps[part] for scheme, maps in heatmaps.items()}, parsing[part])
            for part in range(len(sizes))
        ]


class FacePath(nn.Module):
    """One path: strided 7x7 stem, residual stack, hourglass (depth 0: none)."""

    def __init__(self, width: int, stride: int, blocks: int, repeats: int, hourglass: int, norm: Norm):
        super().__init__()
        self.stem = nn.Sequential(conv(3, width, 7, stride, norm), normalization(norm, width), PReLU(width))
        self.stack = ResidualStack(width, blocks, repeats, norm)
        self.hourglass = Hourglass(width, hourglass, norm) if hourglass else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(M, 3, S, S) -> (M, width, S / stride, S / stride)."""
        return self.hourglass(self.stack(self.stem(x)))


def head(width: int, outputs: int) -> nn.Conv2d:
    """1x1 convolution that starts near zero: empty heatmaps and undecided classes. Otherwise the first gradients of the
    priors drown those of the pixels, and Adam remembers their size for hundreds of steps.
    """
    layer = conv(width, outputs, 1)
    scale_weight(layer, HEAD_START)
    return layer


class TriPathGenerator(nn.Module):
    """Three paths over a face, with a heatmap head per landmark scheme and a parsing head.

    Args:
        schemes: landmark scheme -> number of points.
        global_width, prior_width: channels of the global path, and of each prior path.
        blocks, prior_blocks: residual blocks of the global path, and of each prior path.
        hourglass: depth of the prior paths' hourglass; the global path has none.
        stride: side of the face over the side of the grid.
        repeats: how often the global path's stack is applied with the same weights.
        norm: norm layer.
        shared_prior_trunk: one trunk for landmarks and parsing, as in the authors' code, instead of two paths.
        classes: parsing classes.
    """

    def __init__(
        self,
        schemes: Mapping[str, int],
        global_width: int,
        prior_width: int,
        blocks: int,
        prior_blocks: int,
        hourglass: int,
        stride: int = 4,
        repeats: int = 1,
        norm: Norm = "none",
        shared_prior_trunk: bool = False,
        classes: int = 11,
    ):
        super().__init__()
        self.global_path = FacePath(global_width, stride, blocks, repeats, 0, norm)
        self.landmark_path = FacePath(prior_width, stride, prior_blocks, 1, hourglass, norm)
        self.parsing_path = (
            None if shared_prior_trunk else FacePath(prior_width, stride, prior_blocks, 1, hourglass, norm)
        )
        self.heatmap_heads = nn.ModuleDict({scheme: head(prior_width, n) for scheme, n in schemes.items()})
        self.parsing_head = head(prior_width, classes)
        self.global_width = global_width
        self.channels = global_width + prior_width * (1 if shared_prior_trunk else 2)

    def forward(self, faces: Tensor) -> Priors:
        """(M, 3, S, S), RGB in [-1, 1] -> `Priors`."""
        faces = faces.contiguous(memory_format=torch.channels_last)
        landmark_features = self.landmark_path(faces)
        parsing_features = landmark_features if self.parsing_path is None else self.parsing_path(faces)
        features = [self.global_path(faces), landmark_features]
        if self.parsing_path is not None:
            features.append(parsing_features)
        return Priors(
            torch.cat(features, dim=1),
            {scheme: head(landmark_features) for scheme, head in self.heatmap_heads.items()},
            self.parsing_head(parsing_features),
        )
