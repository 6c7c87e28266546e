"""Comparison of labeled faces, which the tests of views and of the augmentation share."""

import numpy as np


def assert_same_face(one, two):
    """Equal pixels and classes, landmarks within rounding."""
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    for scheme, xy in one[2].items():
        np.testing.assert_allclose(xy, two[2][scheme], atol=1e-4)
