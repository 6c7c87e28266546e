"""Closer looks: which way a face is turned, looks that do not agree, faces turned by any angle."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from rim_lightning.data.alignment import FIVE_POINT_TEMPLATE_112, align, transform_points
from rim_lightning.data.closer_looks import ALIKE, _clearest, _settled
from rim_lightning.data.detection import find_faces
from rim_lightning.data.detectors import Face, point_distance
from rim_lightning.data.readers.files import read_landmark_table, same_name

CELEBAMASK = Path(__file__).parents[4] / "shared" / "data" / "celebamask"


def face_turned(roll, confidence):
    """A face on the template, turned so that `roll` degrees clockwise make it upright."""
    turned = transform_points(FIVE_POINT_TEMPLATE_112, cv2.getRotationMatrix2D((56.0, 56.0), roll, 1.0))
    return Face(np.array([0.0, 0.0, 112.0, 112.0]), turned, confidence)


@pytest.mark.parametrize(
    ("candidates", "expected"),
    [
        ([(0, 0.7), (45, 0.8), (180, 0.75)], (45, 0.8)),  # the clearest
        ([(-5, 0.84), (40, 0.6), (130, 0.86)], (-5, 0.84)),  # as likely upright: most photographs are
        ([(90, 0.84), (-90, 0.86)], (-90, 0.0)),  # it cannot be told which way
        ([(30, 0.85), (60, 0.86)], (60, 0.86)),  # two looks at the same face
    ],
)
def test_a_face_is_turned_the_way_that_is_clearer(candidates, expected):
    clearest = _clearest([face_turned(*candidate) for candidate in candidates])
    assert clearest.roll == pytest.approx(expected[0], abs=1e-6)
    assert clearest.confidence == expected[1]


@pytest.mark.skipif(not CELEBAMASK.is_dir(), reason="needs the portraits of ../shared/data")
@pytest.mark.parametrize("degrees", [0, 45, 90, 135, 180, -45])
def test_a_small_face_is_found_however_it_is_turned(degrees):
    from PIL import Image

    names = json.loads((CELEBAMASK.parent / "splits.json").read_text())["celebamask"]["val"][:3]
    points_of = read_landmark_table(CELEBAMASK / "landmarks.tsv")
    for name in names:
        stem = Path(name).stem
        image = np.asarray(Image.open(CELEBAMASK / "images" / f"{stem}.jpg").convert("RGB"))
        truth = points_of[same_name(stem)]["five"]
        middle = np.array([31.5, 31.5])
        turn = cv2.getRotationMatrix2D((0.0, 0.0), -degrees, 0.2)[:, :2]
        matrix = np.column_stack([turn, middle - turn @ truth.mean(axis=0)])
        picture = align(image, matrix, 64, {}, None)[0]
        usable = [face for face in find_faces([picture])[0] if face.fault is None]
        assert point_distance(usable[0].points, transform_points(truth, matrix)) < 0.3


@pytest.mark.parametrize(("distance", "used"), [(ALIKE - 0.01, True), (ALIKE + 0.01, False)])
def test_a_face_whose_points_move_with_each_look_is_refused(distance, used):
    before = face_turned(0, 0.9)
    shift = np.array([distance * np.linalg.norm(before.points[0] - before.points[1]), 0.0])
    after = before._replace(points=before.points + shift)
    settled = _settled(before, after)
    if used:
        assert settled.fault is None
        np.testing.assert_allclose(settled.points, before.points + shift / 2)
    else:
        assert settled.fault == "each look at it finds its points elsewhere"
