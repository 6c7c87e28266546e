"""Data consistency: faces that are their probe again when they are reduced."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.functional.precision import full_precision
from rim_lightning.functional.resize import resizing_weights, round_to_8bit

RECOVERIES = 5
"""Steps after least squares by which a probe is recovered: what rounding and clipping had hidden."""

DAMPING = 0.4
"""Share of such a step that is taken. Whole steps answer the rounding of one pixel by errors of its neighbors."""

CORRECTIONS = 12
"""Steps by which a face is corrected: two suffice where nothing was clipped."""


class Reduction(NamedTuple):
    """Matrices of the bicubic reduction D and enlargement U of one axis, for B probes.

    Smaller probes are padded with zeros to the largest size n of the batch.

    Attributes:
        down: D, (B, n, S).
        spread: Pseudo-inverse of D, (B, S, n): the smallest change of a face that changes its probe as wanted.
        up: U, (B, S, n).
        gather: Pseudo-inverse of U, (B, n, S).
    """

    down: Tensor
    spread: Tensor
    up: Tensor
    gather: Tensor


def consistent_faces(faces: Tensor, enlarged: Tensor, sizes: Tensor) -> Tensor:
    """Correct faces so that, reduced bicubically to the size of their probes, they are these probes.

    A face x becomes x + D⁺ (p − D x), D the reduction and p the probe, clipped and corrected again. The result agrees
    within one gray level, unless large parts are black or white, where clipping hides what the probe was. A probe that
    no face of [-1, 1] has, such as one with noise, is approached only.

    Args:
        faces: Hallucinated faces, (B, 3, S, S), RGB around [-1, 1].
        enlarged: Their probes, enlarged by `functional.resize.enlarge` to (B, 3, S, S), RGB in [-1, 1].
        sizes: Side of each probe in pixels before it was enlarged, (B,). Fractions are rounded; S at most.

    Returns:
        Faces, (B, 3, S, S), float32 or float64, in [-1, 1], with gradient.
    """
    if faces.is_meta:  # a rehearsal of shapes: the sizes have no values
        return full_precision(faces)
    with torch.autocast(faces.device.type, enabled=False):
        x, enlarged = full_precision(faces), full_precision(enlarged)
        matrices = _stacked(sizes, x)
        probe = _recovered(enlarged.detach(), matrices)  # (B, 3, n, n)
        before = x
        for step in range(CORRECTIONS):
            ahead = x + step / (step + 3) * (x - before)  # Nesterov's momentum: a third of the steps
            missing = probe - _both_axes(matrices.down, ahead, between=_clipped)
            before, x = x, (ahead + _both_axes(matrices.spread, missing)).clamp(-1, 1)
        return x


def consistency_residual(faces: Tensor, enlarged: Tensor, sizes: Tensor) -> Tensor:
    """Compute how far faces, reduced bicubically to the size of their probes, are from these probes: ‖D x − p‖.

    Args:
        faces: Hallucinated faces, (B, 3, S, S), RGB around [-1, 1].
        enlarged: Their probes, enlarged by `functional.resize.enlarge` to (B, 3, S, S), RGB in [-1, 1].
        sizes: Side of each probe in pixels before it was enlarged, (B,). Fractions are rounded; S at most.

    Returns:
        Root of the mean square over the pixels of each probe, (B,), at least float32, ≥ 0; 2 is from black to white.
    """
    with torch.autocast(faces.device.type, enabled=False):
        faces, enlarged = full_precision(faces), full_precision(enlarged)
        matrices = _stacked(sizes, faces)
        missing = _recovered(enlarged, matrices) - _both_axes(matrices.down, faces)  # 0 beyond the probe
        pixels = torch.tensor(_whole(sizes, faces.shape[-1])).to(missing) ** 2
        return (missing.square().sum((1, 2, 3)) / (3 * pixels)).sqrt()


def recovered_probes(enlarged: Tensor, sizes: Tensor) -> list[Tensor]:
    """Return the probes from which enlarged probes were made.

    Args:
        enlarged: Enlarged probes, (B, 3, S, S), RGB in [-1, 1], see `functional.resize.enlarge`.
        sizes: Side of each probe in pixels, (B,).

    Returns:
        B probes, (3, s, s), RGB in [-1, 1] on the 8-bit grid.
    """
    enlarged = full_precision(enlarged)
    probes = _recovered(enlarged, _stacked(sizes, enlarged))
    return [probe[:, :size, :size] for probe, size in zip(probes, _whole(sizes, enlarged.shape[-1]), strict=True)]


def _recovered(enlarged: Tensor, matrices: Reduction) -> Tensor:
    """Probes (B, 3, n, n) on the 8-bit grid: least squares, then what rounding and clipping had hidden."""
    inside = matrices.down.abs().sum(2) > 0  # (B, n): pixels of the probe, not of its padding
    mask = inside[:, None, :, None] & inside[:, None, None, :]
    estimate = _both_axes(matrices.gather, enlarged)
    for _ in range(RECOVERIES):
        probe = torch.where(mask, round_to_8bit(estimate), 0)
        seen = round_to_8bit(_both_axes(matrices.up, probe, between=round_to_8bit))
        estimate = estimate + DAMPING * _both_axes(matrices.gather, enlarged - seen)
    return torch.where(mask, round_to_8bit(estimate), 0)


def _both_axes(matrix: Tensor, images: Tensor, between: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Apply (B, m, k) to both axes of (B, 3, k, k): across, what happens in between, then down."""
    across = images @ matrix.mT[:, None]
    return matrix[:, None] @ (across if between is None else between(across))


def _clipped(images: Tensor) -> Tensor:
    return images.clamp(-1, 1)


def _whole(sizes: Tensor, hr_size: int) -> list[int]:
    return [min(max(round(size), 1), hr_size) for size in sizes.tolist()]


def _stacked(sizes: Tensor, like: Tensor) -> Reduction:
    """Matrices of each probe, of the dtype and on the device of `like`, (B, 3, S, S)."""
    hr_size = like.shape[-1]
    whole = _whole(sizes, hr_size)
    largest = max(whole)
    padded = {size: _padded(size, largest, hr_size) for size in set(whole)}
    return Reduction(
        *(torch.stack(parts).to(like, non_blocking=True) for parts in zip(*(padded[s] for s in whole), strict=True))
    )


def _padded(size: int, largest: int, hr_size: int) -> Reduction:
    rows, columns = (0, 0, 0, largest - size), (0, largest - size)
    parts = zip(_matrices(size, hr_size), (rows, columns, columns, rows), strict=True)
    return Reduction(*(F.pad(matrix, padding) for matrix, padding in parts))


@cache
def _matrices(size: int, hr_size: int) -> Reduction:
    """Matrices of one size, without padding."""
    down, up = resizing_weights(hr_size, size, "bicubic"), resizing_weights(size, hr_size, "bicubic")
    return Reduction(down, torch.linalg.pinv(down), up, torch.linalg.pinv(up))
