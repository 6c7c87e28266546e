"""Search of whole images: points return from the size of the search."""

import numpy as np

from rim_lightning.data.face_search import _rescaled, _resized_image


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
