"""Detection: YuNet against OpenCV, changes of scale, turned faces, images without a face, real faces."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from rim_lightning.data import detection
from rim_lightning.data.alignment import template
from rim_lightning.data.detection import _turned_back, find_central_faces, find_faces
from rim_lightning.data.detector_choice import DETECTORS, checked_detector
from rim_lightning.data.detectors import Face, YuNetDetector, most_central, separate_faces
from rim_lightning.data.readers.lfw import read_lfw
from rim_lightning.data.yunet import WEIGHTS, YuNet, load_yunet
from rim_lightning.extras import MissingExtra
from tests.helpers.stores import small_synthetic_store

LFW = Path(__file__).parents[4] / "shared" / "data" / "lfw"
PUBLISHED = WEIGHTS.with_suffix(".onnx")
both_detectors = pytest.mark.parametrize("detector", DETECTORS)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """(6, 96 + frame, 96 + frame, 3) uint8: synthetic faces."""
    store = small_synthetic_store(tmp_path_factory.mktemp("faces") / "faces", people=6, views=1, hr_size=96)
    return np.array(store.images)


def scene_of(faces):
    """A large face at (200, 100) and a face of 28 px at (20, 20)."""
    scene = np.full((300, 400, 3), 128, np.uint8)
    scene[20 : 20 + 28, 20 : 20 + 28] = cv2.resize(faces[1], (28, 28), interpolation=cv2.INTER_AREA)
    side = len(faces[0])
    scene[100 : 100 + side, 200 : 200 + side] = faces[0]
    return scene


def test_the_published_file_is_shipped_with_its_license():
    digest = hashlib.sha256(PUBLISHED.read_bytes()).hexdigest()
    assert digest == "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"
    license_text = (WEIGHTS.parent / "yunet.LICENSE").read_text()
    assert "MIT License" in license_text
    assert "Copyright (c) 2020 Shiqi Yu" in license_text


def test_the_weights_are_those_of_the_published_file():
    onnx = pytest.importorskip("onnx")
    published = {
        initializer.name: onnx.numpy_helper.to_array(initializer)
        for initializer in onnx.load(PUBLISHED).graph.initializer
        if initializer.data_type == onnx.TensorProto.FLOAT and len(initializer.dims) > 0 and initializer.dims[0] > 0
    }
    ours = [tensor.numpy() for tensor in load_yunet().state_dict().values()]
    convolutions = [array for array in published.values() if array.ndim == 4]
    assert sum(array.ndim == 4 for array in ours) == len(convolutions)
    for array in ours:
        assert any(array.shape == other.shape and (array == other).all() for other in published.values())


def opencv_faces(image):
    """What OpenCV's own YuNet finds."""
    detector = cv2.FaceDetectorYN.create(str(PUBLISHED), "", image.shape[1::-1], YuNetDetector.candidate, 0.3, 5000)
    rows = detector.detect(np.ascontiguousarray(image[..., ::-1]))[1]
    return np.empty((0, 15)) if rows is None else rows


def test_yunet_finds_what_opencv_finds(faces):
    scene = scene_of(faces)
    images = [*faces, scene, scene[:257, 100:331], cv2.resize(scene, (640, 480)), cv2.resize(faces[3], (64, 64))]
    network = YuNetDetector("cpu")
    compared = 0
    for image in images:
        (found,) = network.find(image[None])
        found = sorted(separate_faces(found), key=lambda face: -face.confidence)
        rows = opencv_faces(image)
        assert len(found) == len(rows)
        compared += len(rows)
        for face, row in zip(found, rows, strict=True):
            np.testing.assert_allclose([*face.box[:2], *(face.box[2:] - face.box[:2])], row[:4], atol=1e-2)
            np.testing.assert_allclose(face.points.reshape(-1), row[4:14], atol=1e-2)
            assert face.confidence == pytest.approx(row[14], abs=1e-4)
    assert compared >= len(images)


def test_a_batch_is_searched_like_its_images(faces):
    mixed = [*faces, faces[0][:, ::-1], scene_of(faces), faces[0][:90]]
    for together, image in zip(find_faces(mixed), mixed, strict=True):
        (alone,) = find_faces([image])
        assert len(together) == len(alone)
        for one, two in zip(together, alone, strict=True):
            np.testing.assert_allclose(one.points, two.points, atol=1e-3)
            np.testing.assert_allclose(one.box, two.box, atol=1e-3)


def test_sides_that_are_no_multiple_of_the_stride_do_not_matter_to_the_network():
    boxes, points, confidences = YuNet()(torch.zeros(2, 3, 64, 96))
    cells = 8 * 12 + 4 * 6 + 2 * 3
    assert boxes.shape == (2, cells, 4)
    assert points.shape == (2, cells, 5, 2)
    assert confidences.shape == (2, cells)


def test_an_unknown_detector_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="detector is 'retinaface'; choose yunet or mtcnn"):
        checked_detector("retinaface")


def test_a_missing_package_is_named_before_any_work(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "facenet_pytorch", None)
    with pytest.raises(MissingExtra, match=r"detector=mtcnn needs facenet_pytorch.*--no-deps facenet-pytorch"):
        checked_detector("mtcnn")


def test_the_most_central_face_is_chosen():
    boxes = np.array([[0, 0, 90, 90], [40, 45, 60, 55], [60, 60, 99, 99]], dtype=float)
    faces = [Face(box, np.full((5, 2), i), 1.0) for i, box in enumerate(boxes)]
    assert most_central(faces, 100, 100) is faces[1]


@both_detectors
def test_images_without_a_face_give_none(detector):
    gray = np.full((64, 48, 3), 128, np.uint8)
    images = [gray, gray, np.zeros((1, 1, 3), np.uint8), gray[:, :40]]
    assert find_central_faces(images, detector) == [None] * 4
    assert find_faces(images, detector) == [[], [], [], []]
    assert find_faces([], detector) == []


@pytest.mark.skipif(not LFW.is_dir(), reason="needs the LFW images of ../shared/data")
@both_detectors
def test_real_faces_are_found_near_their_landmarks(detector):
    from PIL import Image

    records = read_lfw(LFW, landmarks=LFW / "landmarks5.tsv")[::500]
    images = [np.asarray(Image.open(record.image).convert("RGB")) for record in records]
    images.append(np.asarray(Image.fromarray(images[0]).resize((500, 500))))
    found = [central.face.points for central in find_central_faces(images, detector)]
    errors = [np.linalg.norm(f - r.landmarks["five"], axis=1).mean() for f, r in zip(found, records, strict=False)]
    assert len(errors) == 8
    assert np.median(errors) < 6
    tolerance = {"mtcnn": 2.5, "yunet": 7.0}[detector]  # YuNet's points move with the size: 7 px are 17 % of this face
    np.testing.assert_allclose((found[-1] + 0.5) / 2 - 0.5, found[0], atol=tolerance)


@both_detectors
def test_small_faces_are_found_and_the_largest_comes_first(faces, detector):
    scene, side = scene_of(faces), len(faces[0])
    (found,) = find_faces([scene], detector)
    assert len(found) == 2
    for face, (left, top, size) in zip(found, ((200, 100, side), (20, 20, 28)), strict=True):
        assert (face.points > [left, top]).all()
        assert (face.points < [left + size, top + size]).all()
        assert (face.box[:2] < face.points.min(0)).all()
        assert (face.box[2:] > face.points.max(0)).all()
    (tiny,) = find_faces([scene[16:52, 16:52]], detector)
    np.testing.assert_allclose(tiny[0].points + 16, found[1].points, atol=2.0)


@both_detectors
def test_a_face_that_fills_a_large_picture_is_found(faces, detector):
    large = cv2.resize(scene_of(faces), (3200, 2400), interpolation=cv2.INTER_CUBIC)
    (found,), (small,) = find_faces([large], detector), find_faces([scene_of(faces)], detector)
    assert len(found) == 2
    for one, two in zip(found, small, strict=True):
        np.testing.assert_allclose(one.points / 8, two.points, atol=6.0)


def test_faces_return_from_an_image_that_was_turned():
    image = np.zeros((20, 40, 3), np.uint8)
    image[5, 33] = 255  # x 33, y 5
    for quarters in (1, 2, 3):
        turned = np.rot90(image, -quarters)
        row, column = np.argwhere(turned[..., 0])[0]
        found = Face(np.array([column - 1, row - 2, column + 3, row + 4.0]), np.full((5, 2), (column, row)), 1.0)
        back = _turned_back(found, quarters, image.shape)
        np.testing.assert_array_equal(back.points, np.full((5, 2), (33, 5)))
        width, height = back.box[2:] - back.box[:2]
        assert (width, height) == ((4, 6) if quarters == 2 else (6, 4))
        assert (back.box[:2] < (33, 5)).all()
        assert (back.box[2:] > (33, 5)).all()


class SureOfMarkedImages:
    """Finds a face in the middle of every image, and is sure of it if the first pixel is white."""

    sure, least = 0.9, 0.6

    def sides(self, longer):
        return (longer,)

    def find(self, images):
        points = template(60) + (np.array(images.shape[2:0:-1]) - 60) / 2
        box = np.concatenate([points.min(0), points.max(0)])
        return [[Face(box, points, 0.95 if image[0, 0, 0] == 255 else 0.4)] for image in images]


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_picture_without_a_usable_face_is_turned(monkeypatch, quarters):
    monkeypatch.setattr(detection, "load_detector", lambda name, device: SureOfMarkedImages())
    upright = np.zeros((100, 140, 3), np.uint8)
    upright[0, 0] = 255
    face, *others = find_faces([np.rot90(upright, quarters)])[0]
    assert face.fault is None
    assert all(other.fault for other in others)
    assert face.turned == 90 * quarters
    points = template(60) + np.array([40, 20])
    for width in (140, 100, 140)[:quarters]:  # of the image before each turn
        points = np.stack([points[:, 1], width - 1 - points[:, 0]], axis=1)
    np.testing.assert_allclose(face.points, points)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_frame_is_searched_as_it_lies(monkeypatch, quarters):
    monkeypatch.setattr(detection, "load_detector", lambda name, device: SureOfMarkedImages())
    upright = np.zeros((100, 140, 3), np.uint8)
    upright[0, 0] = 255
    (faces,) = find_faces([np.rot90(upright, quarters)], turn=False)
    assert any(face.fault is None for face in faces) == (quarters == 0)
