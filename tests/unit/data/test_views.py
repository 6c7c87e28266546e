import numpy as np
import pytest
import torch

from rim_lightning.data import views
from rim_lightning.data.synthetic.store import paint_face
from rim_lightning.data.views import center_crop, flip_face, mirror_parsing, mirrored_crop, moved_crop
from rim_lightning.functional.misalignment import moved
from rim_lightning.schemes import HELEN11
from tests.helpers.faces import assert_same_face

SIZE, MARGIN = 64, 8


@pytest.fixture(scope="module")
def face():
    image, ibug68, helen194, five, parsing = paint_face(5, 0, SIZE, MARGIN)
    return image, parsing, {"ibug68": ibug68, "helen194": helen194, "five": five}


def test_flipping_twice_is_the_identity(face):
    assert_same_face(flip_face(*flip_face(*face)), face)


def test_a_flipped_left_eye_is_a_left_eye(face):
    """Before and after: the points named left eye lie on the left of the image, on pixels of class left_eye."""
    image, parsing, points = face
    for _, classes, xy in (face, flip_face(image, parsing, points)):
        for start, name in ((36, "left_eye"), (42, "right_eye")):
            x, y = np.round(xy["ibug68"][start : start + 6].mean(0)).astype(int)
            assert HELEN11.classes[classes[y, x]] == name
        assert xy["ibug68"][36:42, 0].mean() < xy["ibug68"][42:48, 0].mean()
    np.testing.assert_array_equal(points["ibug68"], face[2]["ibug68"])


def test_the_flip_mirrors_by_hand():
    image = np.arange(12, dtype=np.uint8).reshape(1, 4, 3)
    parsing = np.array([[2, 4, 10, 255]], np.uint8)
    five = np.float32([(0, 0), (3, 0), (1, 0), (0, 1), (2, 1)])
    mirrored, classes, points = flip_face(image, parsing, {"five": five})
    assert mirrored[0, 0].tolist() == [9, 10, 11]
    assert classes.tolist() == [[255, 10, 5, 3]]
    assert points["five"].tolist() == [[0, 0], [3, 0], [2, 0], [1, 1], [3, 1]]


def test_a_stored_face_smaller_than_the_crop_is_refused(face):
    with pytest.raises(ValueError, match="prepare it larger"):
        center_crop(*face, SIZE + 2 * MARGIN + 2)


def test_the_mirrored_crop_is_the_mirror_image_of_the_crop(face):
    """The frame is as wide on the left as on the right, so that cropping and mirroring change places."""
    assert_same_face(mirrored_crop(*face, seed=7, size=SIZE), flip_face(*center_crop(*face, SIZE)))


def test_sides_of_a_parsing_map_change_places_and_unlabeled_stays():
    assert mirror_parsing(np.array([[2, 3, 4, 5, 10, 0, 255]], np.uint8)).tolist() == [[3, 2, 5, 4, 10, 0, 255]]


def test_a_moved_crop_takes_pixels_and_points_along(monkeypatch, face):
    """Two forms agree: the crop moved by OpenCV, and the center crop moved as a tensor."""
    image, parsing, points = face
    move = torch.tensor([[0.04, -0.03, 0.06, 0.1]], dtype=torch.float64)
    monkeypatch.setattr(views, "seeded_moves", lambda *_: move)
    crop, classes, moved_points = moved_crop(image, parsing, points, 0, SIZE, 16)
    still, _, still_points = center_crop(image, parsing, points, SIZE)
    expected = moved(torch.from_numpy(still.copy()).permute(2, 0, 1)[None].float(), move)[0].permute(1, 2, 0)
    inside = slice(8, -8)
    assert np.abs(crop.astype(float) - expected.numpy())[inside, inside].mean() < 1.5  # levels
    middle = (SIZE - 1) / 2
    turn = np.exp(0.06 + 0.1j)
    position = (still_points["five"] - middle) @ np.array([1, 1j]) * turn + SIZE * (0.04 - 0.03j) + middle * (1 + 1j)
    np.testing.assert_allclose(moved_points["five"], np.stack([position.real, position.imag], 1), atol=1e-3)
    assert classes.shape == (SIZE, SIZE)
