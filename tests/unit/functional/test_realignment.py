"""Faces moved to the template by landmarks: the inverse of a known move, and the fit that preparation uses."""

import math

import numpy as np
import pytest
import torch

from rim_lightning.data.alignment import similarity_from_points, template
from rim_lightning.functional.misalignment import moved, moved_points
from rim_lightning.functional.realignment import LARGEST_MOVE, five_of, moves_to_template, realigned
from rim_lightning.schemes import FIVE, HELEN194, IBUG68, five_points

SIDE = 64
MOVES = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.05, -0.03, 0.1, 0.2], [-0.08, 0.02, -0.15, -0.1]], dtype=torch.float64)


def points_of(moves):
    """The template's points on a face of 64 px that was moved, from its center in shares of its side."""
    aligned = torch.from_numpy(template(SIDE)).expand(len(moves), 5, 2)
    return (moved_points(aligned, moves, SIDE) + 0.5) / SIDE - 0.5


def test_a_face_that_was_moved_is_moved_back():
    smooth = torch.nn.functional.interpolate(
        torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0)), (SIDE, SIDE), mode="bicubic"
    )
    away = moved(smooth, MOVES)
    back = realigned(away, points_of(MOVES), FIVE)
    inside = slice(14, -14)  # what had left the picture is lost
    assert (away - smooth)[1:, :, inside, inside].abs().mean() > 0.03
    torch.testing.assert_close(back[..., inside, inside], smooth[..., inside, inside], atol=5e-3, rtol=0)
    torch.testing.assert_close(back[0], smooth[0], atol=1e-5, rtol=0)


def test_the_moves_are_the_similarity_of_least_squares():
    """Noisy points, float64, against the fit in NumPy that preparation uses."""
    noise = 0.01 * torch.randn(3, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    five = points_of(MOVES) + noise
    goal = template(SIDE)
    for points, moves in zip(five, moves_to_template(five), strict=True):
        pixels = ((points + 0.5) * SIDE - 0.5).numpy()
        matrix = similarity_from_points(pixels, goal)
        fitted = pixels @ matrix[:, :2].T + matrix[:, 2]
        np.testing.assert_allclose(
            moved_points(torch.from_numpy(pixels)[None], moves[None], SIDE)[0], fitted, atol=1e-9
        )


@pytest.mark.parametrize("axis", range(4))
def test_a_move_beyond_the_errors_of_a_detector_is_none(axis):
    inside, beyond = torch.zeros(2, 1, 4, dtype=torch.float64)
    inside[0, axis], beyond[0, axis] = 0.95 * LARGEST_MOVE[axis], 1.05 * LARGEST_MOVE[axis]
    # Undone moves: a shift is turned and scaled on the way back, so the others stay zero here.
    assert moves_to_template(points_of(-inside))[0, axis].item() == pytest.approx(inside[0, axis].item(), rel=1e-6)
    assert not moves_to_template(points_of(-beyond)).any()


def test_points_that_say_nothing_move_nothing():
    faces = torch.rand(3, 3, 16, 16)
    points = torch.zeros(3, 68, 2)
    points[1] = math.nan
    points[2] = math.inf
    torch.testing.assert_close(realigned(faces, points, IBUG68), faces, atol=1e-6, rtol=0)


@pytest.mark.parametrize("scheme", [FIVE, IBUG68, HELEN194], ids=lambda scheme: scheme.name)
def test_five_points_are_those_of_preparation(scheme):
    points = torch.randn(2, scheme.points, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = np.stack([five_points({scheme.name: one.numpy()}) for one in points])
    np.testing.assert_allclose(five_of(points, scheme).numpy(), expected, atol=1e-12)


def test_the_gradient_reaches_the_faces_and_not_the_points():
    faces = torch.rand(1, 3, 16, 16, requires_grad=True)
    points = points_of(MOVES[1:2]).float().requires_grad_()
    realigned(faces, points, FIVE).sum().backward()
    assert points.grad is None
    assert faces.grad.abs().sum() > 0


def test_half_precision_stays_half_and_is_read_in_full():
    faces = torch.rand(1, 3, 16, 16)
    points = points_of(MOVES[1:2]).float()
    half = realigned(faces.bfloat16(), points, FIVE)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), realigned(faces.bfloat16().float(), points, FIVE), atol=8e-3, rtol=0)
