"""Landmarks lie where they are, between the pixels, and everybody tells their colors apart."""

from itertools import combinations

import numpy as np
import pytest

from rim_lightning.functional.marked_faces import PART_CLASSES, mark_landmarks, part_color, part_legend
from rim_lightning.schemes import FIVE, HELEN11, LANDMARK_SCHEMES

# Machado, Oliveira and Fernandes (2009), severity 1: linear RGB -> linear RGB as it is seen.
SEEN = {
    "all colors": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(color, seen):
    """CIE L*a*b* of an sRGB color as somebody sees it."""
    value = np.array(color) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ np.clip(np.array(seen) @ linear, 0, 1) / XYZ.sum(1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eyes", SEEN)
def test_no_two_parts_look_alike(eyes):
    """A difference of 2.3 is just noticed; 15 is plain. The colors before had 7.7 without red."""
    seen = {color: lab(color, SEEN[eyes]) for color in set(HELEN11.colors)}
    assert len(seen) == 9
    assert min(np.linalg.norm(seen[one] - seen[other]) for one, other in combinations(seen, 2)) > 15


def test_a_part_has_the_color_of_its_class_everywhere():
    for scheme in LANDMARK_SCHEMES.values():
        assert set(scheme.components) <= set(PART_CLASSES)
    assert part_color("right_brow") == part_color("left_eyebrow") == HELEN11.colors[2]
    assert part_color("mouth") == HELEN11.colors[HELEN11.classes.index("upper_lip")]
    assert set(part_legend().values()) == set(HELEN11.colors) - {(0, 0, 0)}
    assert part_legend(classes=False).items() <= {"mouth": part_color("mouth"), **part_legend()}.items()


@pytest.mark.parametrize("place", [(20.0, 15.0), (20.25, 15.5), (19.9, 14.63)])
@pytest.mark.parametrize("radius", [1.2, 2.5, 4.0])
def test_a_point_lies_between_the_pixels(place, radius):
    """The center of mass of its black rim and middle is the place; its area that of the circle."""
    image = np.full((32, 40, 3), 255, np.uint8)
    points = np.full((5, 2), np.nan)
    points[2] = place
    marked = mark_landmarks(image, {"five": points}, radius).astype(float)
    covered = 255 - marked[..., 2]  # the nose has no blue, and black has none
    assert part_color("nose")[2] == 0
    rows, columns = np.mgrid[:32, :40]
    center = [(covered * grid).sum() / covered.sum() for grid in (columns, rows)]
    assert center == pytest.approx(place, abs=0.03)
    assert covered.sum() / 255 == pytest.approx(np.pi * (1.4 * radius) ** 2, rel=0.08)
    assert tuple(marked[round(place[1]), round(place[0])]) == part_color("nose")
    assert ((covered > 0) & (covered < 255)).any()  # its edge is smooth


def test_points_beyond_the_image_and_missing_ones_are_left_out():
    image = np.full((20, 20, 3), 90, np.uint8)
    points = np.array([[np.nan, 3], [-50, 5], [5, np.inf], [1e9, 1e9], [-0.5, 19.5]])
    marked = mark_landmarks(image, {FIVE.name: points}, 2.0)
    rows, columns = np.nonzero((marked != 90).any(2))
    assert (rows.min() >= 16, columns.max() <= 3, len(rows) > 0) == (True, True, True)
    assert (image == 90).all()  # it is not changed
