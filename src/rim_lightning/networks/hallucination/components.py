"""Maps of the components of the face, made of heatmaps and parsing: what an integrator attends to (DIC, CVPR 2020)."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.functional.heatmaps import position_probabilities
from rim_lightning.functional.precision import full_precision
from rim_lightning.networks.hallucination.blocks import conv
from rim_lightning.networks.hallucination.paths import Priors
from rim_lightning.schemes import LANDMARK_SCHEMES

LEAST_PEAK = 1e-6  # a map of zeros stays one


def count_maps(schemes: Iterable[str], classes: int = 11) -> int:
    """Return the number K of maps that `attention_maps` makes.

    Args:
        schemes: Landmark schemes.
        classes: Number of parsing classes.

    Returns:
        The number.

    Raises:
        ValueError: If a scheme has no table of components.
    """
    unknown = [scheme for scheme in schemes if scheme not in LANDMARK_SCHEMES]
    if unknown:
        raise ValueError(
            f"The points of the landmark scheme {unknown[0]} are assigned to no components of the face: choose from "
            f"{', '.join(LANDMARK_SCHEMES)}, or leave attention out."
        )
    return sum(len(LANDMARK_SCHEMES[scheme].components) for scheme in schemes) + classes


def attention_maps(priors: Priors) -> Tensor:
    """Make maps of jaw, brows, nose, eyes and mouth, and of the parsing classes.

    The map of a component is the sum of the heatmaps (of the probabilities of position) of its points, divided by its
    peak. The map of a class is its probability.

    Args:
        priors: Output of the paths for M faces.

    Returns:
        (M, K, g, g), at least float32, from 0 to 1: the components of each scheme, then the classes.
    """
    maps = []
    for scheme, heatmaps in priors.heatmaps.items():
        of_points = position_probabilities(heatmaps) if priors.kind == "logits" else full_precision(heatmaps).clamp(0)
        sums = [of_points[:, list(points)].sum(1) for points in LANDMARK_SCHEMES[scheme].components.values()]
        of_components = torch.stack(sums, dim=1)  # (M, K, g, g)
        maps.append(of_components / of_components.amax((2, 3), keepdim=True).clamp(min=LEAST_PEAK))
    return torch.cat([*maps, full_precision(priors.parsing_logits).softmax(1)], dim=1)


def on_grid(maps: Tensor, size: int) -> Tensor:
    """Bring maps to another grid: means over whole cells if it is coarser, else bilinear.

    Args:
        maps: (M, K, g, g).
        size: Side of the other grid.

    Returns:
        (M, K, size, size).
    """
    side = maps.shape[-1]
    if side == size:
        return maps
    if side % size == 0:
        return F.avg_pool2d(maps, side // size)
    return F.interpolate(maps, (size, size), mode="bilinear", align_corners=False)


class ComponentAttention(nn.Module):
    """Scale and shift features by maps: x (1 + a) + b, where a and b are 1x1 convolutions that start at zero.

    Args:
        maps: Number K of maps.
        width: Channels of the features.
    """

    def __init__(self, maps: int, width: int) -> None:
        super().__init__()
        self.scale_and_shift = conv(maps, 2 * width, 1)
        nn.init.zeros_(self.scale_and_shift.weight)

    def forward(self, x: Tensor, maps: Tensor) -> Tensor:
        """Scale and shift.

        Args:
            x: Features, (M, width, h, h).
            maps: Maps of any grid, (M, K, g, g).

        Returns:
            (M, width, h, h).
        """
        scale, shift = self.scale_and_shift(on_grid(maps, x.shape[-1])).chunk(2, dim=1)  # (M, width, h, h) each
        return x * (1 + scale) + shift
