"""Detection with MTCNN: the choice of the face, changes of scale, images without a face, real faces."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from rim_lightning.data.detection import (
    MAX_SIDE,
    Face,
    _most_central,
    _rescaled,
    _resized_image,
    detect_faces,
    find_faces,
)
from rim_lightning.data.readers.lfw import read_lfw
from tests.helpers.stores import small_synthetic_store

LFW = Path(__file__).parents[4] / "shared" / "data" / "lfw"


def test_the_most_central_face_is_chosen():
    boxes = np.array([[0, 0, 90, 90], [40, 45, 60, 55], [60, 60, 99, 99]], dtype=float)
    faces = [Face(box, np.full((5, 2), i), 1.0) for i, box in enumerate(boxes)]
    assert _most_central(faces, 100, 100) is faces[1]


def test_points_return_to_the_large_image():
    large = np.zeros((MAX_SIDE * 4, MAX_SIDE * 2, 3), np.uint8)
    large[400:408, 800:808] = 255  # center (803.5, 403.5)
    small = _resized_image(large, 160, MAX_SIDE)
    assert small.shape == (MAX_SIDE, MAX_SIDE // 2, 3)
    center = np.argwhere(small[..., 0] == 255).mean(axis=0)[::-1]
    np.testing.assert_allclose(_rescaled(center, small.shape, large.shape), [803.5, 403.5])
    assert _resized_image(small, 160, MAX_SIDE) is small


def test_points_return_to_the_small_image():
    small = np.zeros((20, 40, 3), np.uint8)
    small[4:8, 20:24] = 255  # center (21.5, 5.5)
    large = _resized_image(small, 160, MAX_SIDE)
    assert large.shape == (80, 160, 3)
    bright = large[..., 0].astype(float)
    center = (np.indices(bright.shape) * bright).sum((1, 2))[::-1] / bright.sum()
    np.testing.assert_allclose(_rescaled(center, large.shape, small.shape), [21.5, 5.5], atol=0.05)


def test_images_without_a_face_give_none():
    gray = np.full((64, 48, 3), 128, np.uint8)
    images = [gray, gray, np.zeros((1, 1, 3), np.uint8), gray[:, :40]]
    assert detect_faces(images) == [None] * 4
    assert find_faces(images, min_side=160) == [[], [], [], []]


@pytest.mark.skipif(not LFW.is_dir(), reason="needs the LFW images of ../shared/data")
def test_real_faces_are_found_near_their_landmarks():
    from PIL import Image

    records = read_lfw(LFW, landmarks=LFW / "landmarks5.tsv")[::500]
    images = [np.asarray(Image.open(record.image).convert("RGB")) for record in records]
    found = detect_faces([*images, np.asarray(Image.fromarray(images[0]).resize((1000, 1000)))])
    errors = [np.linalg.norm(f - r.landmarks["five"], axis=1).mean() for f, r in zip(found, records, strict=False)]
    assert len(errors) == 8
    assert np.median(errors) < 6
    np.testing.assert_allclose(_rescaled(found[-1], (1000, 1000), (250, 250)), found[0], atol=2.5)


def test_small_faces_are_found_and_the_largest_comes_first(tmp_path):
    store = small_synthetic_store(tmp_path / "faces", people=6, views=1, hr_size=96)
    large, small = (np.asarray(store.images[index]) for index in (0, 1))
    scene = np.full((300, 400, 3), 128, np.uint8)
    scene[20 : 20 + 28, 20 : 20 + 28] = cv2.resize(small, (28, 28), interpolation=cv2.INTER_AREA)
    side = len(large)
    scene[100 : 100 + side, 200 : 200 + side] = large
    (faces,) = find_faces([scene], max_side=1024)
    assert len(faces) == 2
    for face, (left, top, size) in zip(faces, ((200, 100, side), (20, 20, 28)), strict=True):
        assert (face.points > [left, top]).all()
        assert (face.points < [left + size, top + size]).all()
        assert (face.box[:2] < face.points.min(0)).all()
        assert (face.box[2:] > face.points.max(0)).all()
    (tiny,) = find_faces([scene[16:52, 16:52]], min_side=240)
    np.testing.assert_allclose(tiny[0].points + 16, faces[1].points, atol=2.0)
    (reduced,) = find_faces([cv2.resize(scene, (4000, 3000))], max_side=100)  # the small one has 7 px then
    np.testing.assert_allclose(reduced[0].points / 10, faces[0].points, atol=6.0)
    assert len(reduced) == 1
