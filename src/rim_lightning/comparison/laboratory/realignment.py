"""Probes that are aligned by the landmarks that RIM finds on them."""

import torch
from torch import Tensor

from rim_lightning.data.alignment import align, similarity_from_points, template
from rim_lightning.functional.heatmaps import decode_heatmaps
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.networks.rim import RIM
from rim_lightning.schemes import five_points
from rim_lightning.types import to_unit

SCHEME = "ibug68"


def realigned(rim: RIM, enlarged: Tensor) -> Tensor:
    """(B, 3, S, S) enlarged probes, RGB in [-1, 1] -> the same faces moved so that eyes, nose and mouth corners, as the
    landmark heatmaps show them, lie on the five-point template.

    Raises:
        ValueError: the network has no heatmaps of 68 points.
    """
    heads = rim.fhn.generator.heatmap_heads
    if SCHEME not in heads:
        raise ValueError(f"Probes are realigned by {SCHEME}; this network has landmarks of {', '.join(heads)}.")
    side = enlarged.shape[-1]
    points = decode_heatmaps(rim.fhn(enlarged).priors.heatmaps[SCHEME], side).double().cpu().numpy()
    moved = []
    for face, landmarks in zip(enlarged.cpu(), points, strict=True):
        matrix = similarity_from_points(five_points({SCHEME: landmarks}), template(side))
        image, _, _ = align(to_pixels(face), matrix, side, {}, None)
        moved.append(torch.from_numpy(image).permute(2, 0, 1))
    return to_unit(torch.stack(moved)).to(enlarged.device)
