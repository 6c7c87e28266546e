"""Probes that are aligned by the landmarks that RIM finds on them."""

import torch
from torch import Tensor

from rim_lightning.data.alignment import align, similarity_from_points, template
from rim_lightning.functional.pixels import to_pixels
from rim_lightning.networks.rim import RIM
from rim_lightning.schemes import five_points
from rim_lightning.types import to_unit

SCHEME = "ibug68"


def realigned(rim: RIM, enlarged: Tensor, sizes: Tensor | None = None) -> Tensor:
    """Move faces so that eyes, nose and mouth corners lie on the five-point template.

    Args:
        rim: Network whose landmark heatmaps show where these points are.
        enlarged: Enlarged probes, (B, 3, S, S), RGB in [-1, 1].
        sizes: Side of each probe in pixels before it was enlarged, (B,), for networks that read it.

    Returns:
        The same faces, moved, (B, 3, S, S).

    Raises:
        ValueError: If the network has no heatmaps of 68 points, or these are not finite.
    """
    heads = rim.fhn.generator.heatmap_heads
    if SCHEME not in heads:
        raise ValueError(f"Probes are realigned by {SCHEME}; this network has landmarks of {', '.join(heads)}.")
    side = enlarged.shape[-1]
    landmarks_of = rim.fhn(enlarged, sizes).priors.points(side)[SCHEME].double().cpu().numpy()  # (B, 68, 2)
    aligned_faces = []
    for face, landmarks in zip(enlarged.cpu(), landmarks_of, strict=True):
        points = five_points({SCHEME: landmarks})  # (5, 2)
        if points is None:
            raise ValueError("The network's landmarks are not finite numbers: train it again, or leave this row out.")
        matrix = similarity_from_points(points, template(side))
        image, _, _ = align(to_pixels(face), matrix, side, {}, None)
        aligned_faces.append(torch.from_numpy(image).permute(2, 0, 1))  # (3, S, S)
    return to_unit(torch.stack(aligned_faces)).to(enlarged.device)
