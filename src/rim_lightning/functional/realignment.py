"""Faces that are moved to the five-point template by landmarks, with gradient and on any device."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.functional.misalignment import reading_grid
from rim_lightning.functional.precision import full_precision
from rim_lightning.schemes import FIVE_POINT_TEMPLATE_112, TEMPLATE_SIZE, LandmarkScheme

LARGEST_MOVE = (0.1, 0.1, 0.25, math.radians(20.0))
"""Largest shift along each axis (share of the side), logarithm of the scale and angle (radians) by which a face is
moved. A detector's errors are smaller (`functional.misalignment`): a larger one says that the landmarks are wrong."""


def realigned(faces: Tensor, points: Tensor, scheme: LandmarkScheme) -> Tensor:
    """Move faces so that eyes, nose and mouth corners lie on the template of aligned faces.

    The similarity is that of least squares (Umeyama, 1991). A face that would move further than `LARGEST_MOVE`, or
    whose points are not finite, stays where it is.

    Args:
        faces: (B, C, S, S), any range.
        points: Landmarks, (B, N, 2), x and y from the center of the picture in shares of its side.
        scheme: Numbering of the N points.

    Returns:
        (B, C, S, S), bicubic between pixels; beyond the picture its border is repeated. The gradient reaches the faces,
        not the points.
    """
    moves = moves_to_template(five_of(points.detach().float(), scheme))
    grid = reading_grid(moves, faces.shape[-1], faces.device)
    source = full_precision(faces)
    moved = F.grid_sample(source, grid.to(source), mode="bicubic", padding_mode="border", align_corners=False)
    return moved.to(faces.dtype)


def five_of(points: Tensor, scheme: LandmarkScheme) -> Tensor:
    """Return eye centers, nose tip and mouth corners, (B, 5, 2), of landmarks, (B, N, 2)."""
    left, right = points[:, list(scheme.left_eye)].mean(1), points[:, list(scheme.right_eye)].mean(1)
    nose = points[:, scheme.nose]
    nose = nose + scheme.nose_lift * ((left + right) / 2 - nose)
    mouth_left, mouth_right = (points[:, corner] for corner in scheme.mouth_corners)
    return torch.stack([left, right, nose, mouth_left, mouth_right], dim=1)


def moves_to_template(five: Tensor) -> Tensor:
    """Find the moves that bring five points onto the template, zero where they are larger than `LARGEST_MOVE`.

    With centered points as complex numbers p and those of the template as q, turn and scale are the number
    Σ conj(p) q / Σ |p|².

    Args:
        five: (B, 5, 2), x and y from the center of the picture in shares of its side.

    Returns:
        (B, 4) as `functional.misalignment.moved` takes them.
    """
    template = torch.from_numpy((FIVE_POINT_TEMPLATE_112 + 0.5) / TEMPLATE_SIZE - 0.5).to(
        five, non_blocking=True
    )  # (5, 2)
    to, start = template.mean(0), five.mean(1)  # (2,), (B, 2)
    q, p = template - to, five - start[:, None]
    size = p.square().sum((1, 2))
    real = (p * q).sum((1, 2)) / size
    imaginary = (p[..., 0] * q[:, 1] - p[..., 1] * q[:, 0]).sum(1) / size
    across = to[0] - (real * start[:, 0] - imaginary * start[:, 1])
    down = to[1] - (imaginary * start[:, 0] + real * start[:, 1])
    log_scale = (real.square() + imaginary.square()).log() / 2
    moves = torch.stack([across, down, log_scale, torch.atan2(imaginary, real)], dim=1)
    largest = torch.tensor(LARGEST_MOVE).to(moves, non_blocking=True)
    small = (moves.abs() <= largest).all(1, keepdim=True)  # False for NaN
    return torch.where(small, moves, torch.zeros_like(moves))
