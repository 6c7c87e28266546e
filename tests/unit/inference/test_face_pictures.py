"""Pictures of a hallucinated face show its pixels, landmarks and classes."""

import numpy as np
import pytest
import torch

from rim_lightning.inference.face_pictures import face_pictures, face_strip, sharp_face
from rim_lightning.inference.recognizer import HallucinatedFaces
from rim_lightning.schemes import HELEN11

SIDE = 16


@pytest.fixture
def faces():
    """Two plain faces: one point in the third row and second column; class 10 in the left half."""
    gray = torch.tensor([0.0, 0.6]).reshape(2, 1, 1, 1).expand(2, 3, SIDE, SIDE)
    heatmaps = torch.zeros(2, 1, 4, 4)
    heatmaps[:, 0, 2, 1] = 1.0
    parsing = torch.zeros(2, 4, 4, dtype=torch.int64)
    parsing[:, :, :2] = 10
    points = torch.tensor([5.5, 9.5]).expand(2, 1, 2)  # the middle of that cell
    return HallucinatedFaces(
        gray / 3, gray / 4, gray, {"five": heatmaps}, {"five": points}, parsing, torch.tensor([9.0, 12.4])
    )


def test_a_face_in_its_own_size(faces):
    np.testing.assert_array_equal(np.asarray(sharp_face(faces, 1)), np.full((SIDE, SIDE, 3), 153))  # 0.6 * 255


def test_five_pictures_with_captions(faces):
    pictures = face_pictures(faces, 1, 64)
    assert [caption for _, caption in pictures] == ["bicubic, 12 px", "coarse", "hallucinated", "landmarks", "parsing"]
    bicubic, coarse, hallucinated, landmarks, parsing = (np.asarray(picture) for picture, _ in pictures)
    for picture, value in ((bicubic, 51), (coarse, 38), (hallucinated, 153)):
        assert picture.shape == (64, 64, 3)
        assert (picture == value).all()
    rows, columns = np.nonzero((landmarks != 153).any(2))
    assert abs(rows.mean() - 40) < 2  # the center of the third of four rows
    assert abs(columns.mean() - 24) < 2
    assert (parsing[:, :32] == HELEN11.colors[10]).all()
    assert (parsing[:, 32:] == HELEN11.colors[0]).all()


def test_a_strip_has_all_pictures_under_their_captions(faces):
    strip = np.asarray(face_strip(faces, 0, 32))
    assert strip.shape == (18 + 32, 5 * 32 + 4 * 4, 3)
    for column, (picture, _) in enumerate(face_pictures(faces, 0, 32)):
        np.testing.assert_array_equal(strip[18:, 36 * column : 36 * column + 32], np.asarray(picture))
    assert (strip[:18] == 0).all(2).any()  # text
