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
    """Output of the three paths for M faces, on a grid of g = S / stride pixels.

    Attributes:
        features: Concatenated features F, (M, C, g, g); the channels of the global path come first.
        heatmaps: Landmark scheme -> heatmaps, (M, N, g, g), one channel for each point.
        parsing_logits: Logits of the parsing classes, (M, 11, g, g).
    """

    features: Tensor
    heatmaps: dict[str, Tensor]
    parsing_logits: Tensor

    def split(self, sizes: list[int]) -> list["Priors"]:
        """Cut the M faces into consecutive groups.

        Args:
            sizes: Number of faces in each group. Their sum is M.

        Returns:
            Priors of each group.
        """
        features, logits = self.features.split(sizes), self.parsing_logits.split(sizes)
        heatmaps = {scheme: maps.split(sizes) for scheme, maps in self.heatmaps.items()}
        return [
            Priors(features[group], {scheme: maps[group] for scheme, maps in heatmaps.items()}, logits[group])
            for group in range(len(sizes))
        ]


class TriPathGenerator(nn.Module):
    """Three paths over a face, with a heatmap head for each landmark scheme and a parsing head.

    Args:
        schemes: Landmark scheme -> number of points.
        global_width: Channels of the global path.
        prior_width: Channels of each prior path.
        blocks: Residual blocks of the global path.
        prior_blocks: Residual blocks of each prior path.
        hourglass: Depth of the hourglass of the prior paths. The global path has none.
        stride: Side of the face over the side of the grid.
        repeats: How often the stack of the global path is applied with the same weights.
        norm: Norm layer: "none", "instance" or "group".
        shared_prior_trunk: Use one trunk for landmarks and parsing, as in the authors' code, instead of two paths.
        classes: Number of parsing classes.

    Attributes:
        channels: Channels C of the concatenated features.
    """

    def __init__(  # noqa: PLR0913  every argument stands in checkpoints, which could not be loaded without it
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
    ) -> None:
        super().__init__()
        self.global_path = FacePath(global_width, stride, blocks, repeats, 0, norm)
        self.landmark_path = FacePath(prior_width, stride, prior_blocks, 1, hourglass, norm)
        self.parsing_path = (
            None if shared_prior_trunk else FacePath(prior_width, stride, prior_blocks, 1, hourglass, norm)
        )
        self.heatmap_heads = nn.ModuleDict({scheme: prior_head(prior_width, n) for scheme, n in schemes.items()})
        self.parsing_head = prior_head(prior_width, classes)
        self.global_width = global_width
        self.channels = global_width + prior_width * (1 if shared_prior_trunk else 2)

    def forward(self, faces: Tensor) -> Priors:
        """Compute features, heatmaps and parsing of faces.

        Args:
            faces: Coarse or sharp faces, (M, 3, S, S), RGB around [-1, 1].

        Returns:
            Output of the paths on the grid of g = S / stride pixels.
        """
        faces = faces.contiguous(memory_format=torch.channels_last)
        landmark_features = self.landmark_path(faces)  # (M, prior_width, g, g)
        parsing_features = landmark_features if self.parsing_path is None else self.parsing_path(faces)
        features = [self.global_path(faces), landmark_features]
        if self.parsing_path is not None:
            features.append(parsing_features)
        return Priors(
            torch.cat(features, dim=1),  # (M, C, g, g)
            {scheme: head(landmark_features) for scheme, head in self.heatmap_heads.items()},
            self.parsing_head(parsing_features),
        )


class FacePath(nn.Module):
    """One path: strided 7x7 stem, residual stack, hourglass.

    Args:
        width: Channels.
        stride: Stride of the stem.
        blocks: Residual blocks of the stack.
        repeats: How often the stack is applied with the same weights.
        hourglass: Depth of the hourglass; 0 for none.
        norm: Norm layer.
    """

    def __init__(self, width: int, stride: int, blocks: int, repeats: int, hourglass: int, norm: Norm) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, width, 7, stride, norm), normalization(norm, width), PReLU(width))
        self.stack = ResidualStack(width, blocks, repeats, norm)
        self.hourglass = Hourglass(width, hourglass, norm) if hourglass else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (M, 3, S, S) to (M, width, S / stride, S / stride)."""
        return self.hourglass(self.stack(self.stem(x)))


def prior_head(width: int, outputs: int) -> nn.Conv2d:
    """Build a 1x1 convolution that starts near zero: empty heatmaps, undecided classes.

    Otherwise the first gradients of the priors drown those of the pixels, and Adam remembers their size for hundreds of
    steps.

    Args:
        width: Channels of the features.
        outputs: Number of points or classes.

    Returns:
        The layer.
    """
    layer = conv(width, outputs, 1)
    scale_weight(layer, HEAD_START)
    return layer
