"""Labeled faces: points that belong to a face, and the comparison that tests of views and augmentation share."""

import numpy as np

from rim_lightning.data.alignment import FIVE_POINT_TEMPLATE_112
from rim_lightning.schemes import LANDMARK_SCHEMES


def face_points(scheme, side=112.0, shift=(0.0, 0.0), seed=0):
    """(P, 2) points of a frontal face of `side` pixels; those that the five-point template lacks are random in it."""
    scheme = LANDMARK_SCHEMES[scheme]
    points = np.random.default_rng(seed).uniform(0.2, 0.8, (scheme.points, 2)) * side
    left_eye, right_eye, nose, *mouth = FIVE_POINT_TEMPLATE_112 * (side / 112)
    points[list(scheme.left_eye)] = left_eye
    points[list(scheme.right_eye)] = right_eye
    points[scheme.nose] = (nose - scheme.nose_lift * (left_eye + right_eye) / 2) / (1 - scheme.nose_lift)
    points[list(scheme.mouth_corners)] = mouth
    return points + shift


def assert_same_face(one, two):
    """Equal pixels and classes, landmarks within rounding."""
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    for scheme, xy in one[2].items():
        np.testing.assert_allclose(xy, two[2][scheme], atol=1e-4)
