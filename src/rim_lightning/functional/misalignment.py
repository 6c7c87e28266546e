"""Faces that are moved a little, as a detector's points or a random error of the alignment move them."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.types import UNLABELED

BY_DETECTOR = "detector"
DETECTOR_SIZES = (10, 12, 16, 20, 28, 40, 112)
"""Sides of the aligned face in pixels at which `DETECTOR_ERRORS` was measured."""
DETECTOR_ERRORS = (
    (0.033, 0.072, 4.5),
    (0.028, 0.069, 4.9),
    (0.025, 0.074, 4.5),
    (0.023, 0.064, 4.5),
    (0.018, 0.054, 4.2),
    (0.017, 0.055, 4.1),
    (0.016, 0.052, 3.8),
)
"""Standard deviations of the shift along each axis (share of the side), of the logarithm of the scale and of the
rotation (degrees) of a face that YuNet's points align, against its annotated points: 167 validation faces of Helen and
CelebAMask-HQ, those that are found and right (`benchmarks/detectors.py --tables alignment`). Below 10 px too few faces
are found to say."""
LARGEST = 2.5
"""Standard deviations beyond which no error of a detector is drawn: such a face is nonsense."""
AMOUNTS = ("shift", "scale", "rotation")
MOVES = 4
STREAM = 1
"""Mixed with the seed of a face, so that its move does not follow from the numbers that degrade it by the same seed."""

Misalignment = str | Mapping[str, float] | None
"""How probes are misaligned: not at all; "detector", by errors of the size of a detector's; or by the largest "shift"
along each axis (share of the side), "scale" (.1 means a factor of .9 to 1.1) and "rotation" (degrees), either way."""


def check_misalignment(misalignment: Misalignment) -> None:
    """Refuse a misalignment of which nothing is known.

    Raises:
        ValueError: If it is another word, another amount, or an amount that is out of range.
    """
    if misalignment is None or misalignment == BY_DETECTOR:
        return
    if not isinstance(misalignment, Mapping):
        raise ValueError(
            f'There is no misalignment "{misalignment}"; choose null, detector or {{shift: …, scale: …, rotation: …}}.'
        )
    for name, amount in misalignment.items():
        if name not in AMOUNTS:
            raise ValueError(f"A misalignment has no {name}; choose from {', '.join(AMOUNTS)}.")
        if not 0 <= amount < (180 if name == "rotation" else 1):
            raise ValueError(f"The {name} of a misalignment is {amount}: shares lie in [0, 1), angles in [0, 180).")


def detector_errors(sizes: Tensor) -> Tensor:
    """Return the errors of a detector's alignment by the size of the face.

    Between the sizes of the table they are interpolated over the logarithm; beyond its ends the last ones hold.

    Args:
        sizes: Sides of the aligned faces in pixels, (B,).

    Returns:
        (B, 3) float64: standard deviation of the shift along each axis (share of the side), of the logarithm of the
        scale and of the rotation (radians).

    Example:
        >>> detector_errors(torch.tensor([8, 16]))[:, 0]  # shares of the side
        tensor([0.0330, 0.0250], dtype=torch.float64)
    """
    table = torch.tensor(DETECTOR_ERRORS, dtype=torch.float64)
    places = torch.tensor(DETECTOR_SIZES, dtype=torch.float64).log()
    place = sizes.double().log().clamp(places[0], places[-1])
    above = torch.searchsorted(places, place).clamp(min=1)
    weight = ((place - places[above - 1]) / (places[above] - places[above - 1]))[:, None]
    errors = table[above - 1] * (1 - weight) + table[above] * weight
    errors[:, 2] *= math.pi / 180
    return errors


def draw_moves(sizes: Tensor, misalignment: Misalignment, aligned_share: float, generator: torch.Generator) -> Tensor:
    """Draw how each face is moved.

    Args:
        sizes: Side of each probe in pixels, (B,), on the CPU.
        misalignment: Kind of the errors. The errors of a detector are Gaussian, the others uniform.
        aligned_share: Probability that a face stays where it is, in [0, 1].
        generator: Source of the random numbers, on the CPU. It yields as many for every kind.

    Returns:
        (B, 4) float64 on the CPU: shift to the right and down (shares of the side), logarithm of the scale, and
        rotation in radians, from the axis to the right towards the one down.
    """
    batch = len(sizes)
    stays = torch.rand(batch, generator=generator, dtype=torch.float64) < aligned_share
    uniform = torch.rand(batch, MOVES, generator=generator, dtype=torch.float64)
    if misalignment is None:
        return torch.zeros(batch, MOVES, dtype=torch.float64)
    if isinstance(misalignment, Mapping):
        shift, scale, rotation = (float(misalignment.get(name, 0.0)) for name in AMOUNTS)
        moves = (2 * uniform - 1) * torch.tensor([shift, shift, scale, math.radians(rotation)], dtype=torch.float64)
        moves[:, 2] = (1 + moves[:, 2]).log()
    else:
        errors = detector_errors(sizes)[:, [0, 0, 1, 2]]
        inside = math.erf(LARGEST / math.sqrt(2))  # share of a Gaussian within `LARGEST`
        moves = math.sqrt(2) * torch.erfinv((2 * uniform - 1) * inside) * errors
    return torch.where(stays[:, None], 0.0, moves)


def seeded_moves(sizes: Tensor, misalignment: Misalignment, seeds: Sequence[int]) -> Tensor:
    """Draw the move of each face from its own seed, see `draw_moves`; no face stays where it is.

    It is independent of what `torch.Generator().manual_seed(seed)` yields.

    Args:
        sizes: Side of each probe in pixels, (B,), on the CPU.
        misalignment: Kind of the errors.
        seeds: One seed ≥ 0 per face.

    Returns:
        (B, 4) float64, on the CPU.
    """
    rows = []
    for size, seed in zip(sizes.split(1), seeds, strict=True):
        mixed = int(np.random.SeedSequence((seed, STREAM)).generate_state(1)[0])
        rows.append(draw_moves(size, misalignment, 0.0, torch.Generator().manual_seed(mixed)))
    return torch.cat(rows)


@torch.no_grad()
def moved(faces: Tensor, moves: Tensor) -> Tensor:
    """Turn and scale each face about its center, then shift it. Beyond the picture its border is repeated.

    Faces whose move is zero are returned bit for bit.

    Args:
        faces: (B, C, S, S), any range, on any device.
        moves: (B, 4), on the CPU, see `draw_moves`.

    Returns:
        (B, C, S, S), bicubic between pixels, without gradient. The faces themselves if nobody moves.
    """
    rows = moves.any(1).nonzero().squeeze(1)
    if not len(rows):
        return faces
    grid = reading_grid(moves[rows], faces.shape[-1], faces.device)
    chosen = rows.to(faces.device, non_blocking=True)
    with torch.autocast(faces.device.type, enabled=False):
        source = faces[chosen]
        warped = F.grid_sample(
            source, grid.to(source.dtype), mode="bicubic", padding_mode="border", align_corners=False
        )
    return faces.index_copy(0, chosen, warped)


def moved_points(points: Tensor, moves: Tensor, side: int) -> Tensor:
    """Move the points of faces as `moved` moves their pixels.

    Args:
        points: (B, N, 2), x and y in pixels of the face, where the center of the first pixel is 0; NaN stays NaN.
        moves: (B, 4), on the CPU, see `draw_moves`.
        side: Side S of the faces in pixels.

    Returns:
        (B, N, 2).
    """
    across, down, log_scale, angle = moves.to(points.device, points.dtype, non_blocking=True).unbind(1)
    cos, sin = angle.cos() * log_scale.exp(), angle.sin() * log_scale.exp()
    turn = torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)  # (B, 2, 2), for rows of points
    center = (side - 1) / 2
    shift = torch.stack([across, down], 1)[:, None] * side  # (B, 1, 2)
    return (points - center) @ turn + center + shift


def moved_parsing(parsing: Tensor, moves: Tensor) -> Tensor:
    """Move the class maps of faces as `moved` moves their pixels, by the nearest pixel.

    Args:
        parsing: (B, S, S) uint8.
        moves: (B, 4), on the CPU, see `draw_moves`.

    Returns:
        (B, S, S) uint8, `UNLABELED` where the picture does not reach.
    """
    shifted = parsing[:, None].float() - UNLABELED  # grid_sample writes 0 beyond the picture
    grid = reading_grid(moves, parsing.shape[-1], parsing.device)
    with torch.autocast(parsing.device.type, enabled=False):
        warped = F.grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return (warped[:, 0] + UNLABELED).to(torch.uint8)


def reading_grid(moves: Tensor, side: int, device: torch.device) -> Tensor:
    """Return where each pixel of a moved face is read.

    Args:
        moves: (n, 4), see `draw_moves`.
        side: Side S of the faces in pixels.
        device: Device of the faces.

    Returns:
        (n, S, S, 2) float32 in the coordinates of `grid_sample` without aligned corners, −1 to 1.
    """
    across, down, log_scale, angle = moves.unbind(1)
    cos, sin = angle.cos() / log_scale.exp(), angle.sin() / log_scale.exp()
    # A pixel q of the result is read at R⁻¹(q − shift) of the face.
    matrix = torch.stack([cos, sin, -2 * (cos * across + sin * down), -sin, cos, 2 * (sin * across - cos * down)], 1)
    matrix = matrix.float().to(device, non_blocking=True)[:, :, None, None]  # (n, 6, 1, 1)
    axis = (2 * torch.arange(side, device=device) + 1) / side - 1
    x, y = axis[None, None, :], axis[None, :, None]
    return torch.stack([matrix[:, i] * x + matrix[:, i + 1] * y + matrix[:, i + 2] for i in (0, 3)], -1)
