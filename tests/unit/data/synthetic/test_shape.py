import dataclasses

import numpy as np
import pytest

from rim_lightning.data.alignment import template
from rim_lightning.data.synthetic.shape import (
    Projection,
    _smooth,
    depth,
    five_of,
    flat_curves,
    helen194_of,
    ibug68_of,
    sample_person,
    sample_view,
)


def test_a_person_and_a_view_are_functions_of_their_seeds():
    for sample in (sample_person, lambda seed: sample_view(seed, 4)):
        first, again, other = (dataclasses.astuple(sample(seed)) for seed in (3, 3, 5))
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
        assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert sample_view(3, 4).yaw != sample_view(3, 5).yaw


def test_a_smooth_curve_passes_through_its_knots_and_keeps_a_line_straight():
    knots = np.random.default_rng(0).normal(size=(5, 2))
    np.testing.assert_allclose(_smooth(knots, 8)[::8], knots, atol=1e-12)
    line = np.outer(np.arange(4.0), [1.0, -2.0])
    np.testing.assert_allclose(_smooth(line, 4), np.outer(np.arange(13) / 4, [1.0, -2.0]), atol=1e-12)


def test_the_left_of_a_frontal_face_mirrors_its_right():
    curves = flat_curves(sample_person(1), sample_view(2, 1))
    assert {name for name in curves if name.endswith("_l")} == {
        f"{name[:-1]}l" for name in curves if name.endswith("_r")
    }
    for name in (name for name in curves if name.endswith("_r")):
        np.testing.assert_array_equal(curves[f"{name[:-1]}l"], curves[name] * (-1, 1))
    np.testing.assert_allclose(curves["jaw"], curves["jaw"][::-1] * (-1, 1), atol=1e-12)
    np.testing.assert_allclose(curves["nose"], curves["nose"][::-1] * (-1, 1), atol=1e-12)


def test_the_schemes_have_their_numbers_of_points_on_the_curves():
    curves = flat_curves(sample_person(1), sample_view(2, 1))
    every = np.concatenate(list(curves.values()))
    assert five_of(curves).shape == (5, 2)
    assert ibug68_of(curves).shape == (68, 2)
    assert helen194_of(curves).shape == (194, 2)
    nearest = np.abs(helen194_of(curves)[:, None] - every[None]).sum(2).min(1)
    assert nearest.max() == 0  # every point of this scheme is a sample of a curve


@pytest.mark.parametrize("yaw", [0.0, 0.3])
def test_five_points_meet_the_template_as_closely_as_a_similarity_can(yaw):
    person = sample_person(7)
    view = dataclasses.replace(sample_view(0, 7), yaw=yaw, pitch=0.1, jitter=np.zeros(4))
    five = five_of(flat_curves(person, view))
    project = Projection(person, view, five, size=64, offset=8)
    # Least squares over a, b, c, d of x' = a x − b y + c, y' = b x + a y + d.
    x, y = (np.stack([*five.T, depth(person, *five.T)], 1) @ project.turn.T).T
    one, zero = np.ones(5), np.zeros(5)
    system = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
    goal = template(64, 8)
    solution = np.linalg.lstsq(system, goal.T.ravel(), rcond=None)[0]
    np.testing.assert_allclose(project(five), (system @ solution).reshape(2, 5).T, atol=1e-9)
    assert project.unit == pytest.approx(np.hypot(*solution[:2]))


def test_the_grid_of_a_frontal_face_inverts_the_projection():
    person = sample_person(7)
    view = dataclasses.replace(sample_view(0, 7), yaw=0.0, pitch=0.0)
    project = Projection(person, view, five_of(flat_curves(person, view)), size=64, offset=0)
    x, y = project.face_grid(64)
    pixels = project(np.stack([x.ravel(), y.ravel()], 1), 0.0).reshape(64, 64, 2)
    expected = np.stack(np.meshgrid(np.arange(64), np.arange(64)), -1)
    np.testing.assert_allclose(pixels, expected, atol=1e-3)
