"""Landmarks that cannot belong to their picture get a reason; those of real and of synthetic faces do not."""

from pathlib import Path

import numpy as np
import pytest

from rim_lightning.data.alignment import FIVE_POINT_TEMPLATE_112
from rim_lightning.data.images import PictureHeader, picture_header
from rim_lightning.data.landmark_check import differ, landmark_fault, mask_fault
from rim_lightning.data.readers.celebamask import read_celebamask
from rim_lightning.data.readers.lfw import read_lfw
from rim_lightning.data.readers.pts import read_pts
from rim_lightning.data.synthetic.store import paint_face
from rim_lightning.schemes import HELEN11, LANDMARK_SCHEMES
from rim_lightning.types import UNLABELED
from tests.helpers.faces import face_points

HEADER = PictureHeader(120, 140, 1)
DATA = Path(__file__).parents[4] / "shared" / "data"
LEFT_RIGHT, EYES_MOUTH = [1, 0, 2, 4, 3], [3, 4, 2, 0, 1]


def fault(points, header=HEADER, scheme="five"):
    return landmark_fault({scheme: np.asarray(points, dtype=float)}, header)


def wrong(kind, points, header):
    """The points of a scheme as a mistake of this kind gives them."""
    size = np.array([header.width, header.height])
    return {
        "larger": points * 2,
        "normalized": points / size,
        "-1 to 1": points / size * 2 - 1,
        "x and y": points[:, ::-1],
        "y from below": [0, header.height - 1] + points * [1, -1],
        "mirrored": [header.width - 1, 0] + points * [-1, 1],
        "upside down": size - 1 - points,
        "infinite": np.where(np.arange(len(points))[:, None] == 2, np.inf, points),
        "equal": np.full_like(points, -1),
        "negative": -points,
    }[kind]


REASONS = {
    "larger": "has landmarks outside of the picture, as if made for a larger one (they reach from",
    "normalized": "has landmarks that look normalized to 0 to 1 (they reach from",
    "-1 to 1": "has landmarks that look normalized to 0 to 1 (they reach from",
    "x and y": "has landmarks with x and y exchanged (",
    "y from below": (
        "has landmarks that are upside down, as if eyes and mouth were exchanged or y counted from the bottom ("
    ),
    "mirrored": "has landmarks with left and right exchanged (",
    "upside down": "has landmarks of a face that stands on its head (turned by 180 degrees)",
    "infinite": "has landmarks that are infinite or far too large",
    "equal": "has landmarks that all coincide (at -1, -1)",
    "negative": "has landmarks outside of the picture (they reach from",
}


@pytest.mark.parametrize("scheme", LANDMARK_SCHEMES)
@pytest.mark.parametrize("kind", REASONS)
def test_every_kind_of_mistake_is_named_in_every_scheme(scheme, kind):
    points = face_points(scheme, side=100, shift=(10, 20))
    assert fault(points, scheme=scheme) is None
    assert fault(wrong(kind, points, HEADER), scheme=scheme).startswith(REASONS[kind])


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (LEFT_RIGHT, "with left and right exchanged"),
        (EYES_MOUTH, REASONS["y from below"].removeprefix("has landmarks ").removesuffix(" (")),
        ([1, 0, 2, 3, 4], "with the eyes exchanged"),
        ([0, 1, 2, 4, 3], "with the corners of the mouth exchanged"),
        ([2, 0, 1, 3, 4], "in another order"),
        ([1, 2, 3, 4, 0], "in another order"),
    ],
)
def test_points_in_another_order(order, reason):
    assert fault(FIVE_POINT_TEMPLATE_112[order]).startswith(f"has landmarks {reason} (their fit to a face is off by ")


def test_the_fit_by_hand():
    """Points on a horizontal line: only the x of the template fits. Its share of the template's square is 0.386."""
    line = FIVE_POINT_TEMPLATE_112 * [1, 0] + [0, 60]
    x, y = (FIVE_POINT_TEMPLATE_112 - FIVE_POINT_TEMPLATE_112.mean(axis=0)).T
    off = np.sqrt(1 - (x @ x) / (x @ x + y @ y))
    assert off == pytest.approx(0.783, abs=1e-3)
    assert fault(line) == (
        "has landmarks that do not fit a face (their fit to a face is off by 78%): correct them, or leave them empty "
        "so that the face is detected"
    )


def test_faces_from_every_side_and_at_every_roll_up_to_lying_on_the_side_are_kept():
    """A head of the template's points with the depth of nose and mouth, seen from -90 to 90 degrees."""
    depth = np.array([0.0, 0, 18, 5, 5])
    x, y = (FIVE_POINT_TEMPLATE_112 - 56).T
    for yaw in np.radians(np.arange(-90, 91, 10)):
        for roll in np.radians(np.arange(-100, 101, 20)):
            seen = np.stack([x * np.cos(yaw) + depth * np.sin(yaw), y], axis=1)
            turned = seen @ np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
            assert fault(turned + np.array([60, 70])) is None, (yaw, roll)


def test_one_of_five_points_outside_is_enough_and_the_edges_count_as_inside():
    points = FIVE_POINT_TEMPLATE_112
    to_the_right, down = np.eye(2)
    assert fault(points + to_the_right * (HEADER.width - points[1, 0])) is None
    assert "outside of the picture" in fault(points + to_the_right * (HEADER.width - points[1, 0] + 0.1))
    assert "outside of the picture" in fault(points - down * (points[1, 1] + 1.1))


def test_points_of_the_picture_as_its_orientation_turns_it():
    lying = PictureHeader(140, 80, 6)
    assert fault(FIVE_POINT_TEMPLATE_112, lying).startswith(
        "has landmarks of the picture as its EXIF orientation turns it"
    )
    assert "as if made for a larger one" in fault(FIVE_POINT_TEMPLATE_112, lying._replace(orientation=1))


def test_a_face_on_its_head_is_right_where_the_orientation_turns_it():
    upside_down = np.array([112, 112]) - FIVE_POINT_TEMPLATE_112
    assert "stands on its head" in fault(upside_down)
    assert fault(upside_down, HEADER._replace(orientation=3)) is None


def test_points_that_are_not_annotated_are_no_fault():
    assert fault(np.full((5, 2), np.nan)) is None
    assert fault(np.full((68, 2), np.nan), scheme="ibug68") is None
    partly = face_points("ibug68", side=100, shift=(10, 20))
    partly[36:42] = np.nan
    assert fault(partly, scheme="ibug68") is None
    assert "normalized" in fault(partly / 200, scheme="ibug68")
    assert "outside of the picture" in fault(partly * 4, scheme="ibug68")


def test_one_point_far_from_the_face():
    points = face_points("ibug68", side=40, shift=(10, 20))
    points[5] = [110, 130]
    assert fault(points, scheme="ibug68") == (
        "has landmarks with a point far from the face (number 5, from 0, at 110, 130): correct it"
    )


def test_a_face_of_few_pixels():
    assert fault(FIVE_POINT_TEMPLATE_112 / 112 * 8 + 50) is None
    assert "too small (of 6.0 pixels): it must have at least 7" in fault(FIVE_POINT_TEMPLATE_112 / 112 * 6 + 50)


def test_schemes_that_show_different_faces():
    five, other = FIVE_POINT_TEMPLATE_112, face_points("ibug68", side=112)
    assert landmark_fault({"five": five, "ibug68": other}, HEADER) is None
    assert landmark_fault({"five": five, "ibug68": other / 2}, HEADER) == (
        "has landmarks of two faces or sizes (five and ibug68 are apart): correct one of them"
    )
    assert not differ(five, five + np.array([0, 44]))
    assert differ(five, five + np.array([0, 46]))  # 0.4 of 112 pixels are 44.8


def test_a_mask_covers_its_face():
    """Skin in the rows of the mask that a share of the points lies on: eyes 51, nose 71, corners of the mouth 92."""
    mask = np.zeros((112, 112), np.uint8)
    assert mask_fault(FIVE_POINT_TEMPLATE_112, mask) == (
        "has a mask of another face (0 of 5 landmarks lie on its face): correct mask or landmarks"
    )
    mask[60:80] = HELEN11.classes.index("nose")
    assert "(1 of 5 landmarks lie on its face)" in mask_fault(FIVE_POINT_TEMPLATE_112, mask)
    mask[40:60] = HELEN11.classes.index("face_skin")
    assert mask_fault(FIVE_POINT_TEMPLATE_112, mask) is None
    assert mask_fault(FIVE_POINT_TEMPLATE_112, np.full_like(mask, UNLABELED)) is None
    assert "0 of 5" in mask_fault(FIVE_POINT_TEMPLATE_112, np.full_like(mask, HELEN11.classes.index("hair")))
    assert mask_fault(FIVE_POINT_TEMPLATE_112 + 500, np.full_like(mask, 1)) is None  # its border


def test_no_synthetic_face_is_refused():
    for person in range(8):
        _, ibug68, helen194, five, parsing = paint_face(person, 0, 64, 8)
        landmarks = {"five": five, "ibug68": ibug68, "helen194": helen194}
        assert landmark_fault(landmarks, PictureHeader(80, 80, 1)) is None
        assert mask_fault(five, parsing) is None


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
def test_no_annotated_face_is_refused_and_each_mistake_is():
    records = [
        *read_pts(DATA / "helen", first_pixel=0.0),
        *read_celebamask(DATA / "celebamask"),
        *read_lfw(DATA / "lfw", landmarks=DATA / "lfw" / "landmarks5.tsv")[::4],
    ]
    missed = dict.fromkeys(REASONS, 0)
    for record in records:
        header = picture_header(record.image)
        assert landmark_fault(record.landmarks, header) is None, record.name
        for kind in REASONS:
            points = {scheme: wrong(kind, np.asarray(xy), header) for scheme, xy in record.landmarks.items()}
            missed[kind] += landmark_fault(points, header) is None
    assert missed == dict.fromkeys(REASONS, 0)
