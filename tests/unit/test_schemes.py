"""Schemes: mirror permutations, the way from CelebAMask-HQ to Helen, five points from every scheme."""

import numpy as np
import pytest

from rim_lightning.schemes import (
    CELEBAMASK19,
    FIVE,
    HELEN11,
    HELEN194,
    IBUG68,
    LANDMARK_SCHEMES,
    PARSING_SCHEMES,
    five_points,
    parsing_colors,
    to_helen11,
)
from rim_lightning.types import UNLABELED

# The mirror table of the 68 points as other projects print it, counted from 1.
# fmt: off
PUBLISHED_IBUG_FLIP = [
    17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 28, 29, 30, 31,
    36, 35, 34, 33, 32, 46, 45, 44, 43, 48, 47, 40, 39, 38, 37, 42, 41, 55, 54, 53, 52, 51, 50, 49, 60, 59, 58, 57,
    56, 65, 64, 63, 62, 61, 68, 67, 66,
]
# fmt: on


@pytest.mark.parametrize("scheme", LANDMARK_SCHEMES.values(), ids=lambda scheme: scheme.name)
def test_landmark_flip_is_an_involution_of_all_points(scheme):
    flip = np.array(scheme.flip)
    assert sorted(flip) == list(range(scheme.points))
    assert (flip[flip] == np.arange(scheme.points)).all()


@pytest.mark.parametrize("scheme", PARSING_SCHEMES.values(), ids=lambda scheme: scheme.name)
def test_parsing_flip_swaps_exactly_the_classes_with_a_side(scheme):
    for number, name in enumerate(scheme.classes):
        mirrored = name
        for left, right in (("left_", "right_"), ("l_eye", "r_eye"), ("l_brow", "r_brow"), ("l_ear", "r_ear")):
            if left in name:
                mirrored = name.replace(left, right)
            elif right in name:
                mirrored = name.replace(right, left)
        assert scheme.classes[scheme.flip[number]] == mirrored


def test_every_parsing_class_has_a_color_and_so_have_unlabeled_pixels():
    colors = parsing_colors()
    assert len(HELEN11.colors) == len(HELEN11.classes)
    assert (colors[UNLABELED] == 128).all()
    shared = [c for c, color in enumerate(HELEN11.colors) if HELEN11.colors.count(color) > 1]
    assert [HELEN11.classes[c] for c in shared] == ["left_eyebrow", "right_eyebrow", "left_eye", "right_eye"]


def test_ibug_flip_is_the_published_table():
    assert [index + 1 for index in IBUG68.flip] == PUBLISHED_IBUG_FLIP


def test_helen_flip_exchanges_the_points_named_in_public_descriptions():
    pairs = {0: 40, 41: 57, 58: 72, 86: 100, 114: 134, 120: 140, 125: 145, 129: 149, 154: 174, 173: 193, 59: 71, 73: 85}
    assert {left: HELEN194.flip[left] for left in pairs} == pairs
    fixed = [index for index, other in enumerate(HELEN194.flip) if index == other]
    assert fixed == [20, 49, 65, 79, 93, 107]  # chin, base of the nose, middles of the four lip lines


def test_celebamask_classes_become_helen_classes():
    # background, skin, nose, glasses, l_eye, r_eye, l_brow, r_brow, ears, mouth, lips, hair, and what is no face
    expected = [0, 1, 6, 1, 5, 4, 3, 2, 0, 0, 8, 7, 9, 10, 0, 0, 0, 0, 0]
    assert to_helen11(np.arange(19, dtype=np.uint8)).tolist() == expected
    assert (to_helen11(np.arange(19, 256).astype(np.uint8)) == 255).all()


def test_mirroring_before_or_after_the_change_of_scheme_agrees():
    classes = np.arange(19, dtype=np.uint8)
    before = to_helen11(np.array(CELEBAMASK19.flip, dtype=np.uint8)[classes])
    after = np.array(HELEN11.flip, dtype=np.uint8)[to_helen11(classes)]
    np.testing.assert_array_equal(before, after)


def test_five_points_of_ibug_are_eye_means_and_single_points():
    points = np.zeros((68, 2))
    points[36:42] = [[0, 1], [1, 0], [2, 0], [3, 1], [2, 2], [1, 2]]
    points[42:48] = points[36:42] + np.array([10, 0])
    points[30], points[48], points[54] = [6, 5], [3, 8], [9, 8]
    expected = [[1.5, 1], [11.5, 1], [6, 5], [3, 8], [9, 8]]
    np.testing.assert_allclose(five_points({"ibug68": points}), expected)


def test_five_points_of_helen_lift_the_nose_from_its_base():
    points = np.zeros((194, 2))
    points[134:154], points[114:134] = [40, 50], [80, 50]
    points[49], points[58], points[72] = [60, 80], [45, 95], [75, 95]
    expected = [[40, 50], [80, 50], [60, 80 - 0.26 * 30], [45, 95], [75, 95]]
    np.testing.assert_allclose(five_points({"helen194": points}), expected)


@pytest.mark.parametrize("scheme", LANDMARK_SCHEMES.values(), ids=lambda scheme: scheme.name)
def test_five_points_of_the_mirrored_face_are_the_mirrored_five_points(scheme):
    points = np.random.default_rng(0).uniform(0, 100, (scheme.points, 2))
    mirrored = (points * [-1, 1])[list(scheme.flip)]
    expected = (five_points({scheme.name: points}) * [-1, 1])[list(FIVE.flip)]
    np.testing.assert_allclose(five_points({scheme.name: mirrored}), expected)


def test_five_points_takes_the_first_complete_scheme():
    rng = np.random.default_rng(0)
    five, ibug = rng.uniform(size=(5, 2)), rng.uniform(size=(68, 2))
    np.testing.assert_array_equal(five_points({"ibug68": ibug, "five": five}), five)
    five[2] = np.nan
    np.testing.assert_array_equal(five_points({"ibug68": ibug, "five": five})[2], ibug[30])
    assert five_points({"five": five}) is None
    assert five_points({}) is None


def test_five_points_refuses_a_wrong_number_of_points():
    with pytest.raises(ValueError, match=r"'ibug68' have shape \(67, 2\)"):
        five_points({"ibug68": np.zeros((67, 2))})


@pytest.mark.parametrize("scheme", LANDMARK_SCHEMES.values(), ids=lambda scheme: scheme.name)
def test_every_point_is_in_one_part_and_the_parts_of_the_mirror_image_are_the_parts(scheme):
    points = [point for part in scheme.components.values() for point in part]
    assert sorted(points) == list(range(scheme.points))
    assert set(scheme.components["left_eye"]) == set(scheme.left_eye)
    assert set(scheme.components["right_eye"]) == set(scheme.right_eye)
    assert scheme.nose in scheme.components["nose"]
    assert set(scheme.mouth_corners) <= set(scheme.components["mouth"])
    sides = {"left": "right", "right": "left"}
    for name, part in scheme.components.items():
        side, _, rest = name.partition("_")
        mirrored = f"{sides[side]}_{rest}" if side in sides else name
        assert {scheme.flip[point] for point in part} == set(scheme.components[mirrored])
