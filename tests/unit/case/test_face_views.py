"""Views of a face for a report: its own pixels, at the right place."""

import numpy as np
import pytest

from rim_lightning.case.face_views import BOX_COLOR, FACE_SIDE, WIDEST, face_view, picture_view
from rim_lightning.functional.marked_faces import part_color


def numbered(height, width):
    """A picture whose colors say where they are."""
    rows, columns = np.indices((height, width))
    return np.stack([rows % 256, columns % 256, rows // 256 + 16 * (columns // 256)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("box", [(40, 30, 55, 49), (0, 0, 5, 5), (190, 90, 199, 99), (-30, -30, 20, 10)])
def test_a_face_is_shown_in_its_own_pixels(box):
    image = numbered(100, 200)
    view, factor = face_view(image, box)
    pixels = np.asarray(view)
    small = pixels[::factor, ::factor]
    assert np.array_equal(small.repeat(factor, 0).repeat(factor, 1), pixels)  # each is a square of one color
    top, left = small[0, 0, :2]
    assert np.array_equal(small, image[top : top + small.shape[0], left : left + small.shape[1]])
    x0, y0, x1, y1 = np.clip(box, 0, (199, 99, 199, 99))
    assert left <= x0 <= x1 < left + small.shape[1]
    assert top <= y0 <= y1 < top + small.shape[0]
    assert FACE_SIDE <= max(view.size) <= WIDEST


def test_a_large_face_is_reduced_and_says_so():
    view, factor = face_view(numbered(2000, 1500), (100, 100, 1400, 1900))
    assert (max(view.size), factor) == (WIDEST, 0)


def test_points_are_drawn_around_their_places():
    points = [[10, 20], [30, 20], [20, 30], [10, 50], [30, 50]]
    view, factor = face_view(np.zeros((64, 64, 3), np.uint8), None, points)
    drawn = np.argwhere((np.asarray(view) == part_color("nose")).all(-1))
    assert drawn.mean(0) == pytest.approx([(30 + 0.5) * factor - 0.5, (20 + 0.5) * factor - 0.5])


def test_the_box_of_a_small_face_is_seen_and_leaves_the_face_free():
    image = np.zeros((1080, 1920, 3), np.uint8)
    view = np.asarray(picture_view(image, (600, 300, 620, 324)))
    assert view.shape == (405, 720, 3)
    drawn = np.argwhere((view == BOX_COLOR).all(-1))
    top, left, bottom, right = *drawn.min(0), *drawn.max(0)
    scale = 720 / 1920
    assert top < 300 * scale < 324 * scale < bottom
    assert left < 600 * scale < 620 * scale < right
    assert not view[int(302 * scale) : int(322 * scale), int(602 * scale) : int(618 * scale)].any()
