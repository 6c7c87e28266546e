"""Search of whole images: points return from the size of the search."""

import numpy as np

from rim_lightning.data.detectors import Face
from rim_lightning.data.face_search import _rescaled, _resized_image, _turned_back


def test_points_return_to_the_large_image():
    large = np.zeros((512 * 4, 512 * 2, 3), np.uint8)
    large[400:408, 800:808] = 255  # center (803.5, 403.5)
    small = _resized_image(large, 512)
    assert small.shape == (512, 512 // 2, 3)
    center = np.argwhere(small[..., 0] == 255).mean(axis=0)[::-1]
    np.testing.assert_allclose(_rescaled(center, small.shape, large.shape), [803.5, 403.5])
    assert _resized_image(small, 512) is small


def test_points_return_to_the_small_image():
    small = np.zeros((20, 40, 3), np.uint8)
    small[4:8, 20:24] = 255  # center (21.5, 5.5)
    large = _resized_image(small, 160)
    assert large.shape == (80, 160, 3)
    bright = large[..., 0].astype(float)
    center = (np.indices(bright.shape) * bright).sum((1, 2))[::-1] / bright.sum()
    np.testing.assert_allclose(_rescaled(center, large.shape, small.shape), [21.5, 5.5], atol=0.05)


def test_faces_return_from_an_image_that_was_turned():
    image = np.zeros((20, 40, 3), np.uint8)
    image[5, 33] = 255  # x 33, y 5
    for quarters in (1, 2, 3):
        turned = np.rot90(image, -quarters)
        row, column = np.argwhere(turned[..., 0])[0]
        found = Face(np.array([column - 1, row - 2, column + 3, row + 4.0]), np.full((5, 2), (column, row)), 1.0)
        back = _turned_back(found, quarters, image.shape)
        np.testing.assert_array_equal(back.points, np.full((5, 2), (33, 5)))
        width, height = back.box[2:] - back.box[:2]
        assert (width, height) == ((4, 6) if quarters == 2 else (6, 4))
        assert (back.box[:2] < (33, 5)).all()
        assert (back.box[2:] > (33, 5)).all()
