"""The tri-path generator: global Gθf, landmarks Gθl and parsing Gθp, read from the coarse and from the sharp face."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from rim_lightning.functional.heatmaps import (
    decode_heatmaps,
    expected_points,
    mean_positions,
    position_probabilities,
)
from rim_lightning.networks.hallucination.blocks import (
    Fold,
    Hourglass,
    Interpolation,
    Norm,
    ResidualStack,
    conv,
    normalization,
    scale_weight,
    silence_inputs,
)
from rim_lightning.networks.prelu import PReLU

HEAD_START = 0.01  # factor of the weights of a prior's head at the start

HeatmapKind = Literal["gaussian", "logits"]
"""What a heatmap holds: "gaussian", a Gaussian of peak 1 at the point (Eq 3); or "logits" of its position."""

PathStem = Literal["conv7", "fold"]
"""First layer of a path: a strided 7x7 convolution; or pixels folded into channels and a 3x3 convolution.

The 7x7 convolution of stride 4 is centered 1.5 pixels off its cell of the grid.
"""


class Priors(NamedTuple):
    """Output of the three paths for M faces, on a grid of g = S / stride pixels.

    Attributes:
        features: Concatenated features F, (M, C, g, g); the channels of the global path come first.
        heatmaps: Landmark scheme -> heatmaps, (M, N, g, g), one channel for each point.
        parsing_logits: Logits of the parsing classes, (M, 11, g, g).
        kind: What the heatmaps hold.
    """

    features: Tensor
    heatmaps: dict[str, Tensor]
    parsing_logits: Tensor
    kind: HeatmapKind = "gaussian"

    def points(self, image_size: int) -> dict[str, Tensor]:
        """Return the landmarks: the peaks of Gaussian heatmaps, or the expected positions of logits.

        Args:
            image_size: Side of the image that the grid covers, in pixels.

        Returns:
            Landmark scheme -> (M, N, 2), x and y in pixels of the image.
        """
        decode = decode_heatmaps if self.kind == "gaussian" else expected_points
        return {scheme: decode(maps, image_size) for scheme, maps in self.heatmaps.items()}

    def evidence(self) -> dict[str, Tensor]:
        """Return the heatmaps for people to look at: landmark scheme -> (M, N, g, g), peaks near 1, not clipped."""
        if self.kind == "gaussian":
            return self.heatmaps
        return _of_peak_one({scheme: position_probabilities(maps) for scheme, maps in self.heatmaps.items()})

    def points_and_evidence(self, image_size: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return what `points` and `evidence` return. The probabilities of logits are computed once.

        Args:
            image_size: Side of the image that the grid covers, in pixels.

        Returns:
            Landmark scheme -> (M, N, 2), and landmark scheme -> (M, N, g, g).
        """
        if self.kind == "gaussian":
            return self.points(image_size), self.evidence()
        probabilities = {scheme: position_probabilities(maps) for scheme, maps in self.heatmaps.items()}
        points = {scheme: mean_positions(maps, image_size) for scheme, maps in probabilities.items()}
        return points, _of_peak_one(probabilities)

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
            Priors(
                features[group], {scheme: maps[group] for scheme, maps in heatmaps.items()}, logits[group], self.kind
            )
            for group in range(len(sizes))
        ]


def _of_peak_one(probabilities: dict[str, Tensor]) -> dict[str, Tensor]:
    return {scheme: maps / maps.amax((2, 3), keepdim=True) for scheme, maps in probabilities.items()}


class TriPathGenerator(nn.Module):
    """Three paths over a face, with a heatmap head for each landmark scheme and a parsing head.

    Args:
        schemes: Landmark scheme -> number of points.
        global_width: Channels of the global path; 0 leaves it out.
        prior_width: Channels of each prior path.
        blocks: Residual blocks of the global path.
        prior_blocks: Residual blocks of each prior path.
        hourglass: Depth of the hourglass of the prior paths. The global path has none.
        stride: Side of the face over the side of the grid.
        repeats: How often the stack of the global path is applied with the same weights.
        norm: Norm layer: "none", "instance" or "group".
        shared_prior_trunk: Use one trunk for landmarks and parsing, as in the authors' code, instead of two paths.
        classes: Number of parsing classes.
        heatmaps: What the heatmaps hold: "gaussian" or "logits".
        head_width: Channels of a hidden layer before each head of heatmaps, at least the number of its points; None for
            a linear head, whose maps are combinations of no more than `prior_width` maps.
        stem: First layer of each path: "conv7" or "fold".
        interpolation: Enlargement of the hourglass: "nearest" or "bilinear".
        size_input: Read the size of the probe from a fourth channel (`with_size`), with weights that start at zero.
        parsing_width: Channels of the parsing path; None for `prior_width`.

    Attributes:
        channels: Channels C of the concatenated features.
        heatmap_kind: What the heatmaps hold.

    Raises:
        ValueError: If `heatmaps` or `stem` is unknown, `head_width` is smaller than the number of points, or a shared
            trunk has a `parsing_width`.
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
        heatmaps: HeatmapKind = "gaussian",
        head_width: int | None = None,
        stem: PathStem = "conv7",
        interpolation: Interpolation = "nearest",
        size_input: bool = False,
        parsing_width: int | None = None,
    ) -> None:
        super().__init__()
        if heatmaps not in get_args(HeatmapKind):
            raise ValueError(f'The heatmaps hold "gaussian" or "logits", got "{heatmaps}".')
        if head_width is not None and head_width < max(schemes.values()):
            raise ValueError(
                f"A hidden layer of {head_width} channels cannot make {max(schemes.values())} heatmaps that differ: "
                "set head_width to the number of points or more."
            )

        def path(width: int, blocks: int, repeats: int, hourglass: int) -> FacePath:
            return FacePath(width, stride, blocks, repeats, hourglass, norm, stem, interpolation, size_input)

        if shared_prior_trunk and parsing_width is not None:
            raise ValueError("Landmarks and parsing share a trunk: leave parsing_width out, or shared_prior_trunk.")
        parsing_width = prior_width if parsing_width is None else parsing_width
        self.heatmap_kind = heatmaps
        self.global_path = path(global_width, blocks, repeats, 0) if global_width else None
        self.landmark_path = path(prior_width, prior_blocks, 1, hourglass)
        self.parsing_path = None if shared_prior_trunk else path(parsing_width, prior_blocks, 1, hourglass)
        self.heatmap_heads = nn.ModuleDict(
            {scheme: prior_head(prior_width, n, head_width) for scheme, n in schemes.items()}
        )
        self.parsing_head = prior_head(parsing_width, classes)
        self.global_width = global_width
        self.channels = global_width + prior_width + (0 if shared_prior_trunk else parsing_width)

    def forward(self, faces: Tensor) -> Priors:
        """Compute features, heatmaps and parsing of faces.

        Args:
            faces: Coarse or sharp faces, (M, 3, S, S), RGB around [-1, 1]; (M, 4, S, S) with `size_input`.

        Returns:
            Output of the paths on the grid of g = S / stride pixels.
        """
        faces = faces.contiguous(memory_format=torch.channels_last)
        landmark_features = self.landmark_path(faces)  # (M, prior_width, g, g)
        parsing_features = landmark_features if self.parsing_path is None else self.parsing_path(faces)
        features = [landmark_features] if self.global_path is None else [self.global_path(faces), landmark_features]
        if self.parsing_path is not None:
            features.append(parsing_features)
        return Priors(
            torch.cat(features, dim=1),  # (M, C, g, g)
            {scheme: head(landmark_features) for scheme, head in self.heatmap_heads.items()},
            self.parsing_head(parsing_features),
            self.heatmap_kind,
        )


class FacePath(nn.Module):
    """One path: stem, residual stack, hourglass.

    Args:
        width: Channels.
        stride: Stride of the stem.
        blocks: Residual blocks of the stack.
        repeats: How often the stack is applied with the same weights.
        hourglass: Depth of the hourglass; 0 for none.
        norm: Norm layer.
        stem: "conv7" or "fold".
        interpolation: Enlargement of the hourglass.
        size_input: Read a fourth channel, with weights that start at zero.

    Raises:
        ValueError: If `stem` is unknown.
    """

    def __init__(
        self,
        width: int,
        stride: int,
        blocks: int,
        repeats: int,
        hourglass: int,
        norm: Norm,
        stem: PathStem = "conv7",
        interpolation: Interpolation = "nearest",
        size_input: bool = False,
    ) -> None:
        super().__init__()
        if stem not in get_args(PathStem):
            raise ValueError(f'The stem of a path is "conv7" or "fold", got "{stem}".')
        if stem == "fold":
            first = conv(3 * stride**2 + size_input, width, norm=norm)
        else:
            first = conv(3 + size_input, width, 7, stride, norm)
        if size_input:
            silence_inputs(first, 1)
        fold = [Fold(stride)] if stem == "fold" else []
        self.stem = nn.Sequential(*fold, first, normalization(norm, width), PReLU(width))
        self.stack = ResidualStack(width, blocks, repeats, norm)
        self.hourglass = Hourglass(width, hourglass, norm, interpolation) if hourglass else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (M, 3, S, S), (M, 4, S, S) with `size_input`, to (M, width, S / stride, S / stride)."""
        return self.hourglass(self.stack(self.stem(x)))


def prior_head(width: int, outputs: int, hidden: int | None = None) -> nn.Module:
    """Build 1x1 convolutions that start near zero: empty heatmaps, undecided classes.

    Otherwise the first gradients of the priors drown those of the pixels, and Adam remembers their size for hundreds of
    steps.

    Args:
        width: Channels of the features.
        outputs: Number of points or classes.
        hidden: Channels of a hidden layer; None for none.

    Returns:
        The layers.
    """
    layer = conv(width if hidden is None else hidden, outputs, 1)
    scale_weight(layer, HEAD_START)
    return layer if hidden is None else nn.Sequential(conv(width, hidden, 1), PReLU(hidden), layer)
