"""Pictures of a hallucinated face show its pixels, landmarks and classes."""

import numpy as np
import pytest
import torch
from PIL import Image

from rim_lightning.functional.marked_faces import part_color, part_legend
from rim_lightning.functional.resize import enlarge
from rim_lightning.inference.face_pictures import face_pictures, face_strip, sharp_face, with_legend
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
    points = torch.full((2, 5, 2), torch.nan)
    points[:, 0] = torch.tensor([5.5, 9.5])  # the middle of that cell
    return HallucinatedFaces(
        gray / 3, gray / 4, gray, {"five": heatmaps}, {"five": points}, parsing, torch.tensor([9.0, 12.4])
    )


def test_a_face_in_its_own_size(faces):
    np.testing.assert_array_equal(np.asarray(sharp_face(faces, 1)), np.full((SIDE, SIDE, 3), 153))  # 0.6 * 255


def test_six_pictures_with_captions(faces):
    pictures = face_pictures(faces, 1, 64)
    captions = ["probe, 12 px", "bicubic", "coarse", "hallucinated", "landmarks", "parsing"]
    assert [caption for _, caption in pictures] == captions
    probe, bicubic, coarse, hallucinated, landmarks, parsing = (np.asarray(picture) for picture, _ in pictures)
    for picture, value in ((probe, 51), (bicubic, 51), (coarse, 38), (hallucinated, 153)):
        assert picture.shape == (64, 64, 3)
        assert (picture == value).all()
    rows, columns = np.nonzero((landmarks != 153).any(2))
    assert rows.mean() == pytest.approx(39.5)  # the center of the third of four rows, from 32 to 47
    assert columns.mean() == pytest.approx(23.5)
    assert np.abs(landmarks[39, 23] - np.array(part_color("left_eye"))).max() < 3
    assert (parsing[:, :32] == HELEN11.colors[10]).all()
    assert (parsing[:, 32:] == HELEN11.colors[0]).all()


def test_the_first_picture_has_the_pixels_of_the_probe(faces):
    """What was enlarged bicubically from 4 px to 16 px, on its own grid again."""
    probe = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3
    enlarged = (enlarge(2 * probe - 1, SIDE) + 1) / 2
    changed = faces._replace(bicubic=enlarged.expand(2, -1, -1, -1), size=torch.tensor([4.0, 4.4]))
    for index in (0, 1):
        shown = np.asarray(face_pictures(changed, index, 64)[0][0])
        blocks = shown.reshape(4, 16, 4, 16, 3)
        assert (blocks == blocks[:, :1, :, :1]).all()  # whole pixels
        expected = 255 * probe[0].movedim(0, -1).numpy()
        assert np.abs(blocks[:, 0, :, 0] - expected).max() < 2


def test_a_strip_has_all_pictures_under_their_captions(faces):
    strip = np.asarray(face_strip(faces, 0, 32))
    width = 6 * 32 + 5 * 4
    assert strip.shape[1] == width
    for column, (picture, _) in enumerate(face_pictures(faces, 0, 32)):
        np.testing.assert_array_equal(strip[18:50, 36 * column : 36 * column + 32], np.asarray(picture))
    assert (strip[:18] == 0).all(2).any()  # text
    legend = {tuple(pixel) for pixel in strip[50:].reshape(-1, 3)}
    assert set(part_legend().values()) <= legend


def test_a_legend_breaks_its_line_and_shows_boxes_empty():
    picture = Image.new("RGB", (120, 10), "gray")
    legend = {"a part of the face": (10, 20, 30), "another": (40, 50, 60), "third of them": (70, 80, 90)}
    shown = np.asarray(with_legend(picture, legend, {"a box": (200, 0, 0)}))
    np.testing.assert_array_equal(shown[:10], 128)
    assert shown.shape == (10 + 4 * 18, 120, 3)
    places = {color: np.nonzero((shown == color).all(2)) for color in ((200, 0, 0), *legend.values())}
    sizes = [len(rows) for rows, _ in places.values()]
    assert sizes == [10 * 10 - 6 * 6, 64, 64, 64]  # two pixels of a frame; what is within a black one
    lines = [(rows.min() - 10) // 18 for rows, _ in places.values()]
    assert lines == [0, 1, 2, 3]
    assert with_legend(picture.resize((400, 10)), legend).size == (400, 10 + 18)
